"""AdamW as an optimizer of torch's kind."""

import copy
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from regrow import exact
from regrow.exact import definition, grid
from regrow.exact.comparison import difference, sample
from regrow.exact.registry import load_kernels

SHAPES = ((5, 7), (7,), (), (2, 3, 4))


def parameters():
    return [sample(shape or (1,), i).view(shape).requires_grad_() for i, shape in enumerate(SHAPES)]


def groups(found):
    return [{"params": found[:1], "weight_decay": 0.3}, {"params": found[1:], "lr": 2e-2, "betas": (0.8, 0.99)}]


def step(optimizer, found, seed):
    for i, p in enumerate(found):
        p.grad = sample(tuple(p.shape) or (1,), 10 * seed + i).view(p.shape)
    optimizer.step()


def test_it_is_close_to_torch_s():
    ours, theirs = parameters(), [p.detach().double().requires_grad_() for p in parameters()]
    one, other = exact.AdamW(groups(ours)), torch.optim.AdamW(groups(theirs))
    for seed in range(5):
        step(one, ours, seed)
        for p, q in zip(ours, theirs, strict=True):
            q.grad = p.grad.double()
        other.step()
    for p, q in zip(ours, theirs, strict=True):
        assert torch.allclose(p.double(), q, rtol=1e-5, atol=1e-6)


@settings(max_examples=10, deadline=None)
@given(st.sampled_from(["normal", "wide", "edges"]), st.integers(0, 1000))
def test_backends_agree(kind, seed):
    def run():
        p = sample((6, 9), seed, kind).requires_grad_()
        optimizer = exact.AdamW([p], lr=0.1)
        for i in range(3):
            p.grad = sample((6, 9), seed + i + 1, kind)
            norm = exact.clip_grad_norm_([p], 0.5)
            optimizer.step()
        return p.detach(), torch.tensor(norm, dtype=torch.float64)

    with exact.use("reference"):
        expected = run()
    with exact.use("numba"):
        assert difference(run(), expected) == ""


def test_the_state_goes_through_a_dictionary():
    ours = parameters()
    optimizer = exact.AdamW(groups(ours))
    step(optimizer, ours, 1)
    saved, kept = copy.deepcopy(optimizer.state_dict()), [p.detach().clone().requires_grad_() for p in ours]
    again = exact.AdamW(groups(kept))
    again.load_state_dict(saved)
    for one, found in ((optimizer, ours), (again, kept)):
        step(one, found, 2)
    assert difference([p.detach() for p in kept], [p.detach() for p in ours]) == ""
    fresh = exact.AdamW(groups(other := [p.detach().clone().requires_grad_() for p in ours]))
    step(optimizer, ours, 3)
    step(fresh, other, 3)
    assert difference([p.detach() for p in other], [p.detach() for p in ours]) != ""


def test_a_parameter_in_another_layout_has_the_same_bits():
    plain = sample((6, 9), 1).requires_grad_()
    turned = sample((6, 9), 1).t().contiguous().t().requires_grad_()
    for p in (plain, turned):
        optimizer = exact.AdamW([p])
        for i in range(2):
            p.grad = sample((6, 9), 2 + i)
            optimizer.step()
    assert torch.equal(plain, turned)
    assert not torch.equal(plain, sample((6, 9), 1))


def test_parameters_without_a_gradient_and_schedules_and_closures():
    ours = parameters()
    optimizer = exact.AdamW(ours, lr=1.0, weight_decay=0.0)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 0.5 / (step + 1))
    ours[0].grad = torch.ones_like(ours[0])
    before = [p.detach().clone() for p in ours]
    assert optimizer.step(lambda: 3.25) == 3.25
    schedule.step()
    assert difference([p.detach() for p in ours[1:]], before[1:]) == ""
    assert torch.allclose(ours[0], before[0] - 0.5)
    assert optimizer.param_groups[0]["lr"] == 0.25


@pytest.mark.parametrize("nan", [torch.nan, -torch.nan])
def test_a_gradient_that_is_not_finite_is_not_hidden(nan):
    p = torch.ones(2, 2).requires_grad_()
    p.grad = torch.tensor([[1.0, nan], [1.0, 1.0]])
    assert math.isnan(exact.clip_grad_norm_([p], 1.0))
    exact.AdamW([p]).step()
    assert p.isnan().tolist() == [[False, True], [False, False]]


def test_clipping_scales_all_gradients_to_the_limit():
    ours = parameters()
    for i, p in enumerate(ours):
        p.grad = sample(tuple(p.shape) or (1,), i).view(p.shape) * 3.0
    expected = math.sqrt(sum(float((p.grad.double() ** 2).sum()) for p in ours))
    assert exact.clip_grad_norm_(ours, 1.0) == pytest.approx(expected, rel=1e-6)
    assert exact.clip_grad_norm_(ours, 2.0) == pytest.approx(1.0, rel=1e-6)
    assert exact.clip_grad_norm_(ours, 0.0) == pytest.approx(1.0, rel=1e-6)
    assert exact.clip_grad_norm_([torch.ones(3)], 1.0) == 0.0


def test_a_single_tensor_is_clipped_too():
    p = torch.ones(4, 4).requires_grad_()
    p.grad = torch.full((4, 4), 100.0)
    assert exact.clip_grad_norm_(p, 1.0) == 400.0
    assert torch.equal(p.grad, torch.full((4, 4), 0.25))


def test_the_norm_of_a_very_long_gradient_is_exact():
    """Longer than what float64 can add up at once; squares are 2**30 at most on their grid."""
    x = sample((1, 2**23 + 5), 1)
    x[0, -1] = 4.9e-4
    found = [
        k.square_sum(x, int(grid.exponents(torch.tensor(k.square_bits(x)))))
        for k in (load_kernels("numba"), definition)
    ]
    assert found[0] == found[1]


@pytest.mark.parametrize("backend", ["reference", "numba"])
def test_a_backward_pass_notices_that_a_parameter_was_updated(backend):
    x, w = sample((3, 4), 1).requires_grad_(), torch.nn.Parameter(sample((2, 4), 2))
    with exact.use(backend):
        loss = exact.linear(x, w).square().sum()
        w.grad = torch.ones_like(w)
        exact.AdamW([w]).step()
        with pytest.raises(RuntimeError, match="modified by an inplace operation"):
            loss.backward()


def test_betas_must_stay_below_one():
    with pytest.raises(exact.ArgumentError):
        exact.AdamW(parameters(), betas=(1.0, 0.9))
