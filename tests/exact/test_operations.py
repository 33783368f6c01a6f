"""Operations against plain torch in float64: results and gradients agree to the precision of the grid."""

import pytest
import torch
import torch.nn.functional as F

from regrow.exact import operations as ops
from regrow.exact.checks import ArgumentError
from regrow.exact.comparison import difference, sample
from regrow.exact.registry import cpu_gemm_backends
from regrow.exact.selection import use

TOLERANCE = 3e-3  # of the largest entry; two digits hold 2**-13 of a group's largest


def leaves(*shapes):
    return [sample(shape, i + 1).requires_grad_() for i, shape in enumerate(shapes)]


def gradients(function, inputs, scale=True):
    y = function(*inputs)
    weights = sample(tuple(y.shape), 99).to(y.dtype) if scale else torch.ones_like(y)
    return y, torch.autograd.grad((y * weights).sum(), inputs)


def assert_close(function, oracle, inputs, tolerance=TOLERANCE):
    doubles = [x.detach().double().requires_grad_() for x in inputs]
    y, found = gradients(function, inputs, scale=True)
    z, expected = gradients(oracle, doubles, scale=True)
    for a, b in [(y, z), *zip(found, expected, strict=True)]:
        assert float((a - b).detach().abs().max()) <= tolerance * float(b.detach().abs().max())


def test_linear():
    assert_close(ops.linear, F.linear, leaves((3, 5, 40), (24, 40)))


def low_rank(weight, bias=None):
    return lambda x, a, b: ops.low_rank(x, weight, a, b, bias)


def test_low_rank():
    weight, bias = sample((24, 40), 7), sample((24,), 8)

    def oracle(x, a, b):
        return F.linear(x, weight.double(), bias.double()) + F.linear(F.linear(x, a), b)

    inputs = leaves((3, 5, 40), (4, 40), (24, 4))
    with torch.no_grad():
        inputs[0] *= torch.tensor(2.0) ** torch.arange(-2, 3)[:, None]  # rows of several sizes: their grids are folded
    assert_close(low_rank(weight, bias), oracle, inputs, 2 * TOLERANCE)


@pytest.mark.parametrize("other", [("reference", "float64"), ("numba", "float32"), ("numba", "int8")])
def test_low_rank_has_the_same_bits_everywhere(other):
    weight, inputs = sample((48, 72), 7), leaves((65, 72), (6, 72), (48, 6))
    y, found = gradients(low_rank(weight), inputs)
    with use(*other):
        z, expected = gradients(low_rank(weight), inputs)
    assert difference((y, *found), (z, *expected)) == ""


def test_what_is_frozen_gets_no_gradient_and_changes_none():
    x, weight, targets = sample((9, 16), 1), sample((30, 16), 2), torch.arange(9)
    for function in (lambda x, w: ops.linear(x, w).sum(), lambda x, w: ops.linear_cross_entropy(x, w, targets)):
        leaves = x.clone().requires_grad_(), weight.clone().requires_grad_()
        both = torch.autograd.grad(function(*leaves), leaves)
        moved = x.clone().requires_grad_()
        assert torch.equal(torch.autograd.grad(function(moved, weight), moved)[0], both[0])
        changed = weight.clone().requires_grad_()
        assert torch.equal(torch.autograd.grad(function(x, changed), changed)[0], both[1])
    with pytest.raises(ArgumentError, match="`low_rank` cannot take `weight`"):
        ops.low_rank(x, changed, sample((2, 16), 3), sample((30, 2), 4))


def test_rms_norm():
    assert_close(
        lambda x, g: ops.rms_norm(x, g, 1e-5), lambda x, g: F.rms_norm(x, (32,), g, 1e-5), leaves((7, 32), (32,)), 1e-6
    )


def test_swiglu():
    assert_close(ops.swiglu, lambda x: F.silu(x[..., :20]) * x[..., 20:], leaves((6, 40)), 1e-6)


def test_rotate_turns_pairs_of_halves_and_leaves_values_alone():
    angles = sample((5, 4), 3)
    cosine, sine = angles.cos(), angles.sin()

    def oracle(x):
        a, b = x[:, :, :2].chunk(2, 3)
        c, s = cosine[:, None].double(), sine[:, None].double()
        return torch.cat((torch.cat((a * c - b * s, b * c + a * s), 3), x[:, :, 2:]), 2)

    assert_close(lambda x: ops.rotate(x, cosine, sine, 2), oracle, leaves((2, 5, 3, 8)), 1e-6)


@pytest.mark.parametrize(("heads", "kv_heads"), [(4, 4), (4, 2), (6, 1)])
def test_attention(heads, kv_heads):
    def oracle(q, k, v):
        q, k, v = (x.transpose(1, 2) for x in (q, k, v))
        return F.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=True).transpose(1, 2)

    assert_close(ops.attention, oracle, leaves((2, 17, heads, 16), (2, 17, kv_heads, 16), (2, 17, kv_heads, 16)), 6e-3)


def test_attention_of_a_single_token_is_its_value():
    q, k, v = (sample((1, 1, 2, 8), i) for i in range(3))
    assert torch.allclose(ops.attention(q, k, v), v, atol=1e-3)


def test_embedding_sums_repeated_rows():
    ids = torch.tensor([[1, 4, 1], [0, 1, 4]])
    assert_close(lambda w: ops.embedding(ids, w), lambda w: F.embedding(ids, w), leaves((6, 10)), 1e-6)


def test_linear_cross_entropy():
    targets = torch.arange(30) % 50
    x, w = leaves((30, 24), (50, 24))
    dx, dw = torch.autograd.grad(ops.linear_cross_entropy(x, w, targets), (x, w))
    loss = F.cross_entropy(F.linear(x.double(), w.double()), targets)
    ex, ew = torch.autograd.grad(loss, (x, w))
    assert float((ops.linear_cross_entropy(x, w, targets) - loss).detach()) == pytest.approx(0.0, abs=2e-3)
    assert float((dx - ex).abs().max() / ex.abs().max()) < TOLERANCE
    assert float((dw - ew).abs().max() / ew.abs().max()) < TOLERANCE


def test_confident_and_rare_tokens_keep_their_gradient():
    """Probabilities of one in a hundred thousand still push: the digits reach down to 2**-21."""
    x, w = torch.ones(4, 8), torch.zeros(1000, 8)
    w[0] = 1.6
    w.requires_grad_()
    (dw,) = torch.autograd.grad(ops.linear_cross_entropy(x, w, torch.zeros(4, dtype=torch.int64)), (w,))
    probability = 1.0 / (999 + torch.tensor(12.8).exp())
    assert float(probability) < 1e-5
    assert torch.allclose(dw[1:], probability.expand(999, 8), rtol=0.15)


@pytest.mark.parametrize("other", [("reference", "float64"), ("reference", "int8"), ("numba", "float32")])
def test_backends_give_the_same_bits_forward_and_backward(other):
    q, k, v = leaves((2, 9, 4, 8), (2, 9, 2, 8), (2, 9, 2, 8))

    def everything():
        y, dy = gradients(ops.attention, [q, k, v])
        x, w = y.detach().reshape(18, 32).requires_grad_(), sample((60, 32), 5).requires_grad_()
        loss = ops.linear_cross_entropy(ops.rms_norm(x, torch.ones(32)), w, torch.arange(18))
        return y, *dy, loss, *torch.autograd.grad(loss, (x, w))

    with use("numba", "int8"):
        expected = everything()
    with use(*other):
        assert difference(everything(), expected) == ""


@pytest.mark.parametrize("heads", [1, 3])
@pytest.mark.parametrize("other", [(), ("numba", "int8"), ("numba", "float32"), ("reference", "float64")])
def test_blocks_of_queries_do_not_change_the_bits(heads, other, monkeypatch):
    inputs = leaves((2, 50, heads, 8), (2, 50, 1, 8), (2, 50, 1, 8))
    whole = gradients(ops.attention, inputs)
    monkeypatch.setattr(ops, "QUERY_BLOCK", 16)
    with use(*other) as backend:
        assert len(ops._blocks(backend, inputs[0], 50)) >= 4
        assert difference(gradients(ops.attention, inputs), whole) == ""


def test_blocks_of_rows_do_not_change_the_loss_or_its_gradient(monkeypatch):
    x, w = leaves((200, 16), (70, 16))
    targets = torch.arange(200) % 70

    def run():
        loss = ops.linear_cross_entropy(x, w, targets)
        return loss, *torch.autograd.grad(loss, (x, w))

    whole = run()
    monkeypatch.setattr(ops, "HEAD_ENTRIES", 1)
    monkeypatch.setattr(ops, "HEAD_ROWS", 64)
    assert len(ops._row_blocks(200, ops.HEAD_ROWS)) == 4
    assert difference(run(), whole) == ""


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_a_number_that_is_not_finite_comes_out_as_nan(value):
    x, w = sample((5, 16), 1), sample((8, 16), 2)
    x[2, 3] = value
    y = ops.linear(x, w)
    assert y[2].isnan().all()
    assert y[[0, 1, 3, 4]].isfinite().all()
    leaf, weight = x.clone().requires_grad_(), w.clone().requires_grad_()
    loss = ops.linear_cross_entropy(leaf, weight, torch.arange(5))
    dx, dw = torch.autograd.grad(loss, (leaf, weight))
    assert loss.isnan()
    assert dx[2].isnan().all()
    assert dw.isnan().all()
    q = sample((1, 6, 2, 8), 3)
    k = q.clone()
    k[0, 4, 0, 0] = value
    out = ops.attention(q, k, q)
    assert out[0, 4:, 0].isnan().all()
    assert out[0, :4].isfinite().all()


@pytest.mark.parametrize("spoilt", ["q", "k"])
@pytest.mark.parametrize("value", [torch.nan, torch.inf, 3e38])  # the last makes scores that are not finite
def test_gradients_of_attention_without_scores_are_nan(spoilt, value):
    given = {name: 10.0 * sample((1, 6, 1, 8), i) for i, name in enumerate("qkv")}
    given[spoilt][0, 4, 0, 0] = value
    inputs = [x.requires_grad_() for x in given.values()]

    def run():
        y = ops.attention(*inputs)
        return y.detach(), *torch.autograd.grad(y, inputs, sample((1, 6, 1, 8), 3))

    with use("reference", "float64"):
        y, dq, dk, dv = expected = run()
    assert y[0, 4].isnan().all()
    assert dq[0, 4].isnan().all()
    assert dk.isnan().all()
    assert dv.isnan().all()
    for gemm in cpu_gemm_backends():
        with use("numba", gemm.name):
            assert difference(run(), expected) == "", gemm.name


@pytest.mark.parametrize(("temperature", "share", "top"), [(1.0, 1.0, 0), (2.0, 0.5, 0), (4.0, 0.9, 7), (0.5, 0.0, 3)])
def test_linear_distillation(temperature, share, top):
    targets = torch.arange(30) % 50
    x, w = leaves((30, 24), (50, 24))
    teacher = sample((30, 12), 7), sample((50, 12), 8)
    loss = ops.linear_distillation(x, w, targets, teacher, temperature, share, top)
    dx, dw = torch.autograd.grad(loss, (x, w))

    logits, known = F.linear(x.double(), w.double()), F.linear(*(y.double() for y in teacher))
    if top:
        known = known.masked_fill(known < known.topk(top).values[:, -1:], -torch.inf)
    own, wise = (y.div(temperature).log_softmax(-1) for y in (logits, known))
    divergence = torch.where(wise.isfinite(), wise.exp() * (wise - own), 0.0).sum(-1).mean()
    expected = share * temperature**2 * divergence + (1 - share) * F.cross_entropy(logits, targets)
    ex, ew = torch.autograd.grad(expected, (x, w))
    assert float((loss - expected).detach()) == pytest.approx(0.0, abs=5e-3)
    assert float((dx - ex).abs().max() / ex.abs().max()) < TOLERANCE
    assert float((dw - ew).abs().max() / ew.abs().max()) < TOLERANCE


def test_distillation_from_oneself_has_nothing_to_learn():
    x, w = leaves((6, 8), (20, 8))
    loss = ops.linear_distillation(x, w, torch.zeros(6, dtype=torch.int64), (x, w), 3.0, 1.0)
    assert float(loss.detach()) == 0.0
    assert all(not bool(g.any()) for g in torch.autograd.grad(loss, (x, w)))


def test_distillation_in_blocks_of_rows_has_the_same_bits(monkeypatch):
    x, w = leaves((40, 8), (20, 8))
    teacher, targets = (sample((40, 6), 7), sample((20, 6), 8)), torch.arange(40) % 20

    def everything():
        loss = ops.linear_distillation(x, w, targets, teacher, 2.0, 0.5, 5)
        return loss, *torch.autograd.grad(loss, (x, w))

    whole = everything()
    monkeypatch.setattr(ops, "HEAD_ROWS", 16)
    monkeypatch.setattr(ops, "HEAD_ENTRIES", 1)
    assert difference(everything(), whole) == ""
