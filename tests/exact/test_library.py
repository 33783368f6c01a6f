"""The public interface: results, gradients, one set of bits on every backend, layout and number of threads."""

import os
import subprocess
import sys
from fractions import Fraction

import numba
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from regrow import exact
from regrow.exact.comparison import difference, sample
from regrow.exact.registry import cpu_gemm_backends
from tests.exact.test_guard import Guard
from tests.exact.test_operations import assert_close, gradients, leaves
from tests.house.tree import ROOT

GRID = 3e-3  # of the largest entry, where two digits hold the operands
ROUNDING = 2e-6  # where only float32 rounds

# What is done to rows and vectors of C entries, by name.
OPERATIONS = {
    "linear": lambda x, c: exact.linear(x, x[:2], x[0, :2]),
    "rms_norm": lambda x, c: exact.rms_norm(x, x[0]),
    "layer_norm": lambda x, c: exact.layer_norm(x, x[0], x[1]),
    "softmax": lambda x, c: exact.softmax(x),
    "silu": lambda x, c: exact.silu(x),
    "gelu": lambda x, c: exact.gelu(x),
    "gelu_tanh": lambda x, c: exact.gelu(x, "tanh"),
    "swiglu": lambda x, c: exact.swiglu(torch.cat((x, x), 1)),
    "cross_entropy": lambda x, c: exact.cross_entropy(x, torch.arange(len(x)) % c),
    "linear_cross_entropy": lambda x, c: exact.linear_cross_entropy(x, x, torch.arange(len(x)) % len(x)),
    "linear_distillation": lambda x, c: exact.linear_distillation(
        x, x, torch.arange(len(x)) % len(x), (torch.cat((x[1:], x[:1])), x), temperature=2.0, top=3
    ),
    "embedding": lambda x, c: exact.embedding(torch.arange(2 * len(x)) % len(x), x),
    "attention": lambda x, c: exact.attention(*[x.view(1, len(x), 1, c)] * 3),
    "mean": lambda x, c: exact.mean(x[0]),
}

finite = st.floats(width=32, allow_nan=False, allow_infinity=False)
special = st.sampled_from([0.0, -0.0, 1e-45, -1.1e-38, 3.4e38, -3.4e38, 0.5, 1.5, 88.0, -87.5, -88.5, 13.25, 16.0])
matrices = arrays.arrays(
    np.float32,
    st.tuples(st.integers(2, 5), st.integers(2, 9)),
    elements=st.one_of(special, finite).map(lambda v: float(np.float32(v))),
)


def run(name, x):
    """A result and the gradient of its input."""
    x = x.clone().requires_grad_()
    y = OPERATIONS[name](x, x.shape[1])
    weights = sample(tuple(y.shape), 9) if y.dim() else torch.tensor(0.7)
    return y.detach(), *torch.autograd.grad(y, x, weights)


@pytest.mark.parametrize("name", OPERATIONS)
@settings(max_examples=20, deadline=None)
@given(values=matrices)
@example(values=np.zeros((3, 4), np.float32))
@example(values=np.full((3, 4), -3.4e38, np.float32))
@example(values=np.array([[1e-45, -1e-45], [1e-39, 3e38]], np.float32))
def test_backends_agree_on_any_numbers(name, values):
    x = torch.from_numpy(values)
    with exact.use("reference", "float64"):
        expected = run(name, x)
    for gemm in cpu_gemm_backends():
        with exact.use("numba", gemm.name):
            assert difference(run(name, x), expected) == "", gemm.name


@pytest.mark.parametrize("name", OPERATIONS)
def test_layout_and_threads_do_not_change_the_bits(name):
    x = sample((40, 16), 1)
    expected = run(name, x)
    turned = x.t().contiguous().t()
    spread = torch.zeros(40, 32)[:, ::2].copy_(x)
    assert not turned.is_contiguous()
    for other in (turned, spread):
        assert difference(run(name, other), expected) == ""
    threads = numba.get_num_threads()
    try:
        for count in {1, threads}:
            numba.set_num_threads(count)
            torch.set_num_threads(count)
            assert difference(run(name, x), expected) == ""
    finally:
        numba.set_num_threads(threads)
        torch.set_num_threads(threads)


@pytest.mark.parametrize("name", OPERATIONS)
def test_the_default_type_of_torch_does_not_matter(name):
    x = sample((6, 8), 1)
    expected = run(name, x)
    torch.set_default_dtype(torch.float64)
    try:
        assert difference(run(name, x), expected) == ""
    finally:
        torch.set_default_dtype(torch.float32)


@pytest.mark.parametrize("name", OPERATIONS)
def test_expanded_gradients_are_taken(name):
    x = sample((6, 8), 1).requires_grad_()
    y = OPERATIONS[name](x, 8)
    (whole,) = torch.autograd.grad(y, x, torch.ones_like(y), retain_graph=True)
    (expanded,) = torch.autograd.grad(y, x, torch.ones(()).expand(y.shape))
    assert difference(expanded, whole) == ""


@pytest.mark.parametrize("name", sorted(set(OPERATIONS) - {"embedding"}))
@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_a_number_that_is_not_finite_is_not_hidden(name, value):
    x = sample((6, 8), 1)
    x[0, 3] = value
    assert not run(name, x)[0].isfinite().all()
    if name != "mean":  # whose gradient does not depend on what is averaged
        assert not run(name, x)[1].isfinite().all()


class Around(Guard):
    """The guard, which lets pass what torch does around the operations, none of it arithmetic."""

    moves = frozenset(("select_backward", "slice_backward", "_record_function_enter_new", "_record_function_exit"))

    @staticmethod
    def fault(name, args, kwargs):
        if name == "add_" and args[0].dtype is torch.float32:  # the two gradients of what is used twice
            name = "add"
        return "" if name in Around.moves else Guard.fault(name, args, kwargs)


@pytest.mark.parametrize("backend", ["reference", "numba"])
@pytest.mark.parametrize("name", OPERATIONS)
def test_no_forbidden_operation_is_reached(name, backend):
    x = sample((6, 8), 1).requires_grad_()
    with exact.use(backend), Around():
        y = OPERATIONS[name](x, 8)
        torch.autograd.grad(y, x, torch.ones_like(y))


def test_linear_with_a_bias():
    assert_close(exact.linear, F.linear, leaves((3, 5, 40), (24, 40), (24,)))
    x, w, b = leaves((5, 40), (24, 40), (24,))
    assert torch.equal(exact.linear(x, w, b), exact.linear(x, w) + b)
    assert exact.linear(x[0], w, b).shape == (24,)


def test_layer_norm():
    def oracle(x, g, b=None):
        return F.layer_norm(x, (32,), g, b, 1e-5)

    assert_close(exact.layer_norm, oracle, leaves((2, 7, 32), (32,), (32,)), ROUNDING)
    assert_close(exact.layer_norm, oracle, leaves((7, 32), (32,)), ROUNDING)
    far = [leaves((7, 32))[0].detach() * 0.01 + 1000.0, *leaves((32,), (32,))]
    assert_close(exact.layer_norm, oracle, [x.detach().requires_grad_() for x in far], 1e-4)


def test_softmax():
    assert_close(lambda x: exact.softmax(x * 5.0), lambda x: F.softmax(x * 5.0, -1), leaves((2, 7, 50)), ROUNDING)


def test_softmax_of_minus_infinity_is_zero_unless_there_is_nothing_else():
    x = torch.tensor([[0.0, -torch.inf, 0.0], [-torch.inf] * 3])
    y = exact.softmax(x)
    assert y[0].tolist() == [0.5, 0.0, 0.5]
    assert y[1].isnan().all()


@pytest.mark.parametrize("approximate", ["none", "tanh"])
def test_gelu(approximate):
    x = (sample((200, 7), 1) * 4.0).requires_grad_()
    assert_close(lambda x: exact.gelu(x, approximate), lambda x: F.gelu(x, approximate=approximate), [x], ROUNDING)


def test_silu():
    assert_close(exact.silu, F.silu, [(sample((200, 7), 1) * 4.0).requires_grad_()], ROUNDING)


def test_gelu_keeps_its_small_values_accurate():
    x = torch.linspace(-12.0, -0.5, 5000)
    expected = x.double() * torch.special.erfc(-x.double() / 2**0.5) / 2
    assert float((exact.gelu(x).double() / expected - 1.0).abs().max()) < 5e-6
    near = x > -4.0
    assert float((exact.gelu(x).double() / expected - 1.0)[near].abs().max()) < 5e-7


@pytest.mark.parametrize("function", [exact.silu, exact.gelu, lambda x: exact.gelu(x, "tanh")])
def test_activations_of_large_numbers_are_the_number_or_nothing(function):
    x = torch.tensor([1e3, 1e20, 3.4e38, -1e3, -1e20, -3.4e38, 0.0]).requires_grad_()
    y = function(x)
    assert y.tolist() == [*x.tolist()[:3], 0.0, 0.0, 0.0, 0.0]
    assert torch.autograd.grad(y, x, torch.ones_like(x))[0].tolist() == [1.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.5]


@settings(deadline=None)
@given(st.lists(st.floats(-87.0, 2.0**100, width=32), min_size=1, max_size=20))
def test_silu_is_that_of_swiglu(values):
    x = torch.tensor([values])
    assert difference(exact.silu(x), exact.swiglu(torch.cat((x, torch.ones_like(x)), 1))) == ""


@pytest.mark.parametrize(
    ("function", "bits"),
    [
        (exact.gelu, [-1148931252, -1105037690, 1041843410, 1073360140]),
        (lambda x: exact.gelu(x, "tanh"), [-1150394030, -1105027440, 1041843327, 1073360963]),
        (exact.silu, [-1106136774, -1098272079, 1041230541, 1071741930]),
    ],
)
def test_activations_have_known_bits(function, bits):
    """If these change, the arithmetic changed."""
    assert function(torch.tensor([-3.0, -1.0, 0.25, 2.0])).view(torch.int32).tolist() == bits


@pytest.mark.parametrize("ignored", [False, True])
def test_cross_entropy(ignored):
    targets = torch.arange(30).view(3, 10) % 50
    if ignored:
        targets[1, 2:7] = -100
    (x,) = leaves((3, 10, 50))
    loss = exact.cross_entropy(x, targets)
    expected = F.cross_entropy(x.double().view(-1, 50), targets.view(-1))
    assert float((loss - expected).detach()) == pytest.approx(0.0, abs=1e-6)
    (dx,), (ex,) = torch.autograd.grad(loss, x), torch.autograd.grad(expected, x)
    assert float((dx - ex).abs().max()) < 2.0**-20
    assert bool((dx[targets == -100] == 0.0).all())


def test_ignored_targets_are_as_if_they_were_not_there():
    (x,) = leaves((9, 20))
    kept = torch.tensor([0, 3, 4, 8])
    targets = torch.full((9,), -1)
    targets[kept] = torch.arange(4)
    x.data[1, 5] = torch.nan
    loss = exact.cross_entropy(x, targets, ignore_index=-1)
    (dx,) = torch.autograd.grad(loss, x)
    part = x.detach()[kept].requires_grad_()
    shorter = exact.cross_entropy(part, torch.arange(4))
    assert difference([loss, dx[kept]], [shorter, *torch.autograd.grad(shorter, part)]) == ""


def test_both_cross_entropies_give_the_same_loss():
    x, w = sample((30, 24), 1), sample((50, 24), 2)
    targets = torch.arange(30)
    assert torch.equal(exact.linear_cross_entropy(x, w, targets), exact.cross_entropy(exact.linear(x, w), targets))


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32), st.permutations(range(24)))
def test_the_order_of_what_is_summed_does_not_matter(seed, order):
    x, w, b, g = sample((24, 8), seed), sample((5, 24), seed + 1), sample((24,), seed + 2), sample((24, 8), seed + 3)
    rows = x[order].t().contiguous(), x.t().contiguous()
    assert torch.equal(exact.linear(rows[0], w[:, order]), exact.linear(rows[1], w))
    assert torch.equal(exact.softmax(rows[0]), exact.softmax(rows[1])[:, order])
    assert torch.equal(exact.layer_norm(rows[0], b[order], b[order]), exact.layer_norm(rows[1], b, b)[:, order])
    assert torch.equal(exact.mean(b[order]), exact.mean(b))
    for name in ("linear", "layer_norm"):

        def parameters_gradient(x, g, name=name):
            gain, bias = torch.ones(8).requires_grad_(), torch.zeros(8).requires_grad_()
            y = exact.layer_norm(x, gain, bias) if name == "layer_norm" else exact.linear(x, torch.eye(8), bias)
            return [t for t in torch.autograd.grad(y, (gain, bias), g, allow_unused=True) if t is not None]

        assert difference(parameters_gradient(x[order], g[order]), parameters_gradient(x, g)) == ""


@pytest.mark.parametrize("exponent", range(-149, 128))
def test_a_sum_is_that_of_its_grid_at_every_magnitude(exponent):
    largest = 2.0**exponent
    x = torch.tensor([largest, -0.71 * largest, 0.3 * largest, largest * 2.0**-20], dtype=torch.float32)
    step = Fraction(2) ** (max(exponent + 1, -100) - 30)
    total = sum(round(Fraction(float(v)) / step) for v in x) * step
    assert float(exact.mean(x)) == np.float32(float(total) / 4)


@pytest.mark.parametrize("size", [1e-16, 1e-15, 1e-14])  # of the second the squares have the exponent -99
def test_small_rows_are_normal_without_an_epsilon(size):
    for backend in ("reference", "numba"):
        with exact.use(backend):
            y = exact.rms_norm(torch.full((2, 8), size), torch.ones(8), 0.0)
        torch.testing.assert_close(y, torch.ones(2, 8), rtol=1e-6, atol=0.0)


def test_a_loss_can_be_asked_for_its_gradients_again():
    x, w = sample((6, 8), 1).requires_grad_(), sample((5, 8), 2).requires_grad_()
    loss = exact.linear_cross_entropy(x, w, torch.arange(6) % 5)
    loss.backward(retain_graph=True)
    first = x.grad.clone(), w.grad.clone()
    x.grad.zero_()
    w.grad.data.zero_()
    loss.backward(retain_graph=True)
    assert difference((x.grad, w.grad), first) == ""
    loss.backward()
    assert difference((x.grad, w.grad), tuple(2.0 * g for g in first)) == ""


def test_second_derivatives_are_refused_rather_than_wrong():
    x = sample((4, 8), 1).requires_grad_()
    (dx,) = torch.autograd.grad(exact.gelu(x).square().sum(), x, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        dx.sum().backward()


def test_initial_values_depend_on_seed_and_purpose_only():
    a = exact.normal((3, 5), 7, "a", deviation=0.5)
    assert a.shape == (3, 5)
    assert a.dtype is torch.float32
    assert torch.equal(a, exact.normal((3, 5), 7, "a", deviation=0.5))
    assert torch.equal(a.view(-1)[:4], exact.normal((4,), 7, "a", deviation=0.5))
    assert not torch.equal(a, exact.normal((3, 5), 7, "b", deviation=0.5))
    assert not torch.equal(a, exact.normal((3, 5), 8, "a", deviation=0.5))
    u = exact.uniform((1000,), 1, "u", low=-2.0, high=3.0)
    assert -2.0 <= float(u.min()) < -1.9
    assert 2.9 < float(u.max()) <= 3.0


def test_permutations_are_permutations_with_known_order():
    assert exact.permutation(6, 1, "order").tolist() == PERMUTATION
    assert sorted(exact.permutation(1000, 2, "order").tolist()) == list(range(1000))
    assert exact.permutation(0, 1, "order").tolist() == []


PERMUTATION = [5, 2, 4, 1, 0, 3]


def test_the_facade_is_light_and_complete():
    program = (
        "import sys; from regrow import exact; heavy = {'torch', 'numpy', 'numba'} & set(sys.modules); "
        "assert not heavy, heavy; [getattr(exact, name) for name in exact.__all__]"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
    assert dir(exact) == exact.__all__
    with pytest.raises(AttributeError, match="nothing"):
        exact.nothing  # noqa: B018


EXAMPLE = ROOT / "examples" / "gpt2" / "train.py"


SATURATING = {"ONEDNN_MAX_CPU_ISA": "AVX2", "REGROW_GEMM": "int8"}
OTHERS = (
    {"ATEN_CPU_CAPABILITY": "default", "REGROW_GEMM": "float32"},
    {"ATEN_CPU_CAPABILITY": "avx2", "REGROW_GEMM": "float64"},
)


def trained(backend, threads, *arguments, **settings):
    settings |= {"REGROW_BACKEND": backend, "OMP_NUM_THREADS": threads, "NUMBA_NUM_THREADS": threads}
    command = [sys.executable, str(EXAMPLE), *arguments]
    return subprocess.run(command, env=os.environ | settings, capture_output=True, text=True, check=True).stdout


def test_the_example_ends_at_one_hash():
    found = {trained(*where, "--steps", "2") for where in (("numba", "1"), ("reference", "2"))}
    assert found == {trained("numba", "2", "--steps", "2", **SATURATING)}


@pytest.mark.slow  # in one process the products of these are compared above, operation by operation
@pytest.mark.parametrize("settings", OTHERS, ids=lambda settings: settings["REGROW_GEMM"])
def test_the_example_ends_there_with_other_vector_units(settings):
    assert trained("numba", "2", "--steps", "2", **settings) == trained("numba", "1", "--steps", "2")


def test_the_example_ends_at_the_hash_of_its_readme():
    found = trained("numba", "1").split()[-1]
    assert f"```\n{found}\n```" in (EXAMPLE.parent / "README.md").read_text("utf-8")


def test_the_example_reaches_no_forbidden_operation(monkeypatch):
    monkeypatch.syspath_prepend(EXAMPLE.parent)
    import train

    config = train.Config(positions=8, layers=1, width=16, heads=2)
    model = train.GPT2(config)
    optimizer = exact.AdamW(model.parameters())
    (tokens,) = train.batches(config, 1, 2)
    for backend in (("reference", "int8"), ("numba", "int8")):
        with exact.use(*backend), Around():
            optimizer.zero_grad()
            model(tokens).backward()
            exact.clip_grad_norm_(model.parameters(), 1e-3)
            optimizer.step()


def test_the_page_names_everything_and_its_example_runs():
    page = (ROOT / "docs" / "library.md").read_text("utf-8")
    for name in exact.__all__:
        assert f"`{name}" in page, name
    scope = {}
    exec(page.split("```python\n")[1].split("```")[0], scope)
    assert float(scope["loss"].detach()) < 4.0


def test_gradients_of_shared_parameters_are_added():
    x, w = leaves((6, 8), (8, 8))
    _, (dw,) = gradients(lambda w: exact.linear(x, w) + exact.linear(x, w), [w])
    _, (single,) = gradients(lambda w: exact.linear(x, w), [w])
    assert torch.equal(dw, single + single)
