"""Arguments that cannot be taken are refused, in words that say which, why and what to do."""

import pytest
import torch

from regrow import exact
from regrow.errors import RegrowError
from regrow.exact import checks

X = torch.ones(4, 6)
IDS = torch.tensor([0, 1, 2, 3])
HEADS = torch.ones(2, 5, 4, 8)

# Each operation with good arguments, by name; every tensor among them is then spoiled in turn.
CALLS = {
    "linear": (exact.linear, {"x": X, "weight": torch.ones(3, 6), "bias": torch.ones(3)}),
    "rms_norm": (exact.rms_norm, {"x": X, "gain": torch.ones(6)}),
    "layer_norm": (exact.layer_norm, {"x": X, "gain": torch.ones(6), "bias": torch.ones(6)}),
    "softmax": (exact.softmax, {"x": X}),
    "silu": (exact.silu, {"x": X}),
    "gelu": (exact.gelu, {"x": X}),
    "swiglu": (exact.swiglu, {"x": X}),
    "mean": (exact.mean, {"x": torch.ones(3)}),
    "embedding": (exact.embedding, {"ids": IDS, "weight": X}),
    "cross_entropy": (exact.cross_entropy, {"logits": X, "targets": IDS}),
    "linear_cross_entropy": (exact.linear_cross_entropy, {"x": X, "weight": X, "targets": IDS}),
    "attention": (exact.attention, {"q": HEADS, "k": HEADS, "v": HEADS}),
    "rotate": (exact.rotate, {"x": HEADS, "cosine": torch.ones(5, 4), "sine": torch.ones(5, 4), "heads": 2}),
}
ARGUMENTS = [
    (operation, name) for operation, (_, given) in CALLS.items() for name, x in given.items() if name != "heads"
]
SPOILT = {
    "float64": (lambda x: x.double(), "convert it with"),
    "bfloat16": (lambda x: x.bfloat16().requires_grad_(), "convert it with"),
    "int32": (lambda x: x.int(), "convert it with"),
    "complex64": (lambda x: x.to(torch.complex64), "convert it with"),
    "list": (lambda x: x.tolist(), "it must be a tensor"),
    "NoneType": (lambda x: None, "it must be a tensor"),
    "sparse_coo": (lambda x: x.to_sparse(), "it must be dense"),
    "(0, ": (lambda x: x[:0].view(0, *x.shape[1:], 1), "it has no entries"),
    "meta": (lambda x: x.to("meta"), "meta"),
}


@pytest.mark.parametrize("kind", SPOILT)
@pytest.mark.parametrize(("operation", "name"), ARGUMENTS)
def test_every_tensor_is_looked_at(operation, name, kind):
    function, given = CALLS[operation]
    function(**given)
    if kind == "NoneType" and name == "bias":
        return
    spoil, words = SPOILT[kind]
    with pytest.raises(exact.ArgumentError) as caught:
        function(**given | {name: spoil(given[name])})
    text = str(caught.value)
    if kind != "meta":  # where it may be another argument that is named as the one elsewhere
        assert f"`{operation}` cannot take `{name}`" in text
    assert kind in text
    assert words in text


FLOATS = [(operation, name) for operation, name in ARGUMENTS if CALLS[operation][1][name].is_floating_point()]


@pytest.mark.parametrize("value", [torch.nan, torch.inf, -torch.inf])
@pytest.mark.parametrize(("operation", "name"), FLOATS)
def test_a_number_that_is_not_finite_is_an_error_where_that_is_wanted(operation, name, value):
    function, given = CALLS[operation]
    spoilt = given[name].clone()
    spoilt.view(-1)[-1] = value
    last = tuple(length - 1 for length in spoilt.shape)
    function(**given | {name: spoilt})
    with exact.finite():
        function(**given)
        with pytest.raises(exact.ArgumentError) as caught:
            function(**given | {name: spoilt})
    assert f"`{operation}` cannot take `{name}`" in str(caught.value)
    assert f"it holds {value} at {last}" in str(caught.value)
    function(**given | {name: spoilt})


def test_the_optimizer_can_refuse_gradients_that_are_not_finite():
    p = torch.ones(2, 3, requires_grad=True)
    p.grad = torch.tensor([[1.0, 2.0, 3.0], [torch.nan, 5.0, 6.0]])
    with exact.finite():
        for name, update in {
            "clip_grad_norm_": lambda: exact.clip_grad_norm_([p], 1.0),
            "AdamW": exact.AdamW([p]).step,
        }.items():
            with pytest.raises(exact.ArgumentError, match=f"`{name}` cannot take `gradient`") as caught:
                update()
            assert "it holds nan at (1, 0)" in caught.value.why
    assert torch.equal(p, torch.ones(2, 3))


@pytest.mark.filterwarnings("ignore:Anomaly Detection", "ignore:Error detected")
def test_torch_finds_the_backward_pass_that_made_a_nan():
    x = torch.full((2, 4), 1e-30, requires_grad=True)
    with pytest.raises(RuntimeError, match="_RMSNormBackward"), torch.autograd.detect_anomaly():
        exact.rms_norm(x, torch.ones(4), 0.0).backward(torch.full((2, 4), 3e38))


ONE = torch.ones(1)
CASES = [
    (lambda: exact.linear(X, torch.ones(3, 5)), "`weight`", "shape must be (any, 6)"),
    (lambda: exact.linear(X, torch.ones(6)), "`weight`", "shape must be (any, 6)"),
    (lambda: exact.linear(torch.tensor(1.0), X), "`x`", "must have an axis"),
    (lambda: exact.linear(X, torch.ones(3, 6), torch.ones(4)), "`bias`", "shape must be (3,)"),
    (lambda: exact.rms_norm(X, torch.ones(4)), "`gain`", "shape must be (6,)"),
    (lambda: exact.rms_norm(X, torch.ones(6), -1.0), "`epsilon`, -1.0", "within 0..inf"),
    (lambda: exact.rms_norm(X, torch.ones(6), float("nan")), "`epsilon`, nan", "finite"),
    (lambda: exact.rms_norm(X, torch.ones(6), "1"), "`epsilon`, '1'", "finite"),
    (lambda: exact.layer_norm(X, torch.ones(6), torch.ones(4)), "`bias`", "shape must be (6,)"),
    (lambda: exact.swiglu(torch.ones(2, 3)), "`x`", "two halves"),
    (lambda: exact.gelu(X, "erf"), "`approximate`, 'erf'", "`none` or `tanh`"),
    (lambda: exact.mean(X), "`x`", "shape must be (any,)"),
    (lambda: exact.embedding(torch.tensor([0, 4]), X), "`ids`", "it holds 4, and must be within 0..3"),
    (lambda: exact.embedding(torch.tensor([-1]), X), "`ids`", "it holds -1"),
    (lambda: exact.cross_entropy(X, torch.tensor([0, 1, 6, 2])), "`targets`", "it holds 6"),
    (lambda: exact.cross_entropy(X, IDS[:3]), "`targets`", "shape must be (4,)"),
    (lambda: exact.cross_entropy(X, IDS * 0 - 100), "`targets`", "ignored -100"),
    (lambda: exact.linear_cross_entropy(X, X, IDS[None]), "`targets`", "shape must be (4,)"),
    (lambda: exact.linear_cross_entropy(X, X, IDS - 1), "`targets`", "it holds -1"),
    (lambda: exact.attention(HEADS, HEADS[:, :4], HEADS[:, :4]), "`k`", "shape must be (2, 5, any, 8)"),
    (lambda: exact.attention(HEADS, HEADS[:, :, :2], HEADS), "`v`", "shape must be (2, 5, 2, 8)"),
    (lambda: exact.attention(HEADS[:, :, :3], *[HEADS[:, :, :2]] * 2), "`k`", "do not divide the 3 heads"),
    (lambda: exact.rotate(HEADS[..., :7], X, X, 2), "`x`", "must be even"),
    (lambda: exact.rotate(HEADS, X, X, 2), "`cosine`", "shape must be (5, 4)"),
    (lambda: exact.rotate(HEADS, torch.ones(5, 4), torch.ones(5, 4), 5), "`heads`, 5", "within 0..4"),
    (lambda: exact.rotary_tables(4, 3), "`width`, 3", "even"),
    (lambda: exact.rotary_tables(4, 2.0), "`width`, 2.0", "whole number"),
    (lambda: exact.rotary_tables(2**20 + 1, 2), "`positions`, 1048577", "within 1..1048576"),
    (lambda: exact.rotary_tables(4, 2, 1e-20), "`theta`, 1e-20", "within 1..inf"),
    (lambda: exact.normal((2,), -1, "a"), "`seed`, -1", "within 0..2**64 - 1"),
    (lambda: exact.normal(2, 1, "a"), "`shape`, 2", "sequence of lengths"),
    (lambda: exact.uniform((2,), 1, "a", low=2.0, high=1.0), "`high`, 1.0", "within 2..1e+37"),
    (lambda: exact.permutation(-1, 1, "a"), "`shape`", "sequence of lengths"),
    (lambda: exact.normal((True,), 1, "a"), "`shape`", "sequence of lengths"),
    (lambda: exact.normal((2,), 1, None), "`purpose`", "UTF-8"),
    (lambda: exact.normal((2,), 1, "\ud800"), "`purpose`", "UTF-8"),
    (lambda: exact.normal((2,), 1, "a", deviation=1e300), "`deviation`, 1e+300", "within 0..1e+37"),
    (lambda: exact.uniform((2,), 1, "a", low=-1.7e308), "`low`, -1.7e+308", "within -1e+37..1e+37"),
    (lambda: exact.rotate(HEADS, torch.ones(5, 4), torch.ones(5, 4), None), "`heads`, a NoneType", "whole number"),
    (lambda: exact.cross_entropy(X, IDS, 2**70), "`ignore_index`, 1180591620717411303424", "whole number"),
    (lambda: exact.rms_norm(X, torch.ones(6), 10**400), "`epsilon`", "finite"),
    (lambda: exact.linear(torch._neg_view(X), X), "`x`", "its signs are yet to be turned"),
    (lambda: exact.AdamW([ONE.double().requires_grad_()]), "`params`", "must be float32"),
    (lambda: exact.AdamW([ONE.clone().requires_grad_()], lr=-1.0), "`lr`, -1.0", "within 0..inf"),
    (lambda: exact.AdamW([ONE.clone().requires_grad_()], betas=(0.9, 1.0)), "`betas`, 1.0", "below 1"),
    (lambda: exact.AdamW([ONE.clone().requires_grad_()], betas=0.9), "`betas`, 0.9", "two numbers"),
    (lambda: exact.AdamW([ONE.clone().requires_grad_()], betas=(0.9,)), "`betas`", "two numbers"),
    (lambda: exact.clip_grad_norm_(None, 1.0), "`parameters`, a NoneType", "a tensor"),
    (lambda: exact.clip_grad_norm_(["a"], 1.0), "`parameters`", "a tensor"),
    (lambda: exact.clip_grad_norm_([], -1.0), "`limit`, -1.0", "within 0..inf"),
]


@pytest.mark.parametrize("index", range(len(CASES)))
def test_the_error_names_the_argument_and_the_reason(index):
    call, name, reason = CASES[index]
    with pytest.raises(exact.ArgumentError) as caught:
        call()
    assert name in caught.value.what
    assert reason in caught.value.why


def test_the_whole_message():
    with pytest.raises(ValueError) as caught:
        exact.linear(X, torch.ones(3, 5))
    assert isinstance(caught.value, RegrowError)
    assert str(caught.value) == (
        "`linear` cannot take `weight`, a float32 tensor of shape (3, 5) on cpu\n"
        "because its shape must be (any, 6)\n"
        "hint: its last axis must be as long as that of `x`"
    )


def long(*shape):
    """A tensor of any size that takes no memory."""
    return torch.ones(1).expand(*shape)


@pytest.mark.parametrize(
    "call",
    [
        lambda n: exact.linear(long(1, n), long(1, n)),
        lambda n: exact.linear(long(n, 1), long(1, 1)),
        lambda n: exact.embedding(torch.zeros(1, dtype=torch.int64).expand(n), long(1, 1)),
        lambda n: exact.softmax(long(1, n)),
        lambda n: exact.attention(*[long(1, 1, 1, n)] * 3),
        lambda n: exact.mean(long(n)),
    ],
)
def test_more_addends_than_are_exact_are_refused(call):
    with pytest.raises(exact.ArgumentError, match="4194305 numbers would be summed"):
        call(checks.MOST_ADDENDS + 1)


def test_autocast_is_refused_where_it_would_be_wrong_in_silence():
    x, w = torch.ones(4, 6, requires_grad=True), torch.ones(3, 6)
    with torch.autocast("cpu", dtype=torch.bfloat16), pytest.raises(exact.ArgumentError, match="autocast"):
        exact.linear(x, w)
    y = exact.linear(x, w)
    with torch.autocast("cpu", dtype=torch.bfloat16), pytest.raises(exact.ArgumentError, match="autocast"):
        y.backward(torch.ones_like(y))
