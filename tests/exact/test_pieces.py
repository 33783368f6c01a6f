"""What is kept of a piece, and that computing or gathering something again changes no bit."""

from __future__ import annotations

import weakref
from collections.abc import Mapping, Sequence

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks

from regrow.exact import operations as ops
from regrow.exact.pieces import piece, recomputing, share

WEIGHTS = {"up": torch.randn(24, 8), "gain": torch.randn(24), "down": torch.randn(8, 24)}
X = torch.randn(5, 8)


class Far:
    """Has whole parameters, counts how often somebody wants them, and keeps their gradients."""

    def __init__(self) -> None:
        self.gathered: list[tuple[str, ...]] = []
        self.gradients: dict[str, Tensor] = {}
        self.there: list[weakref.ref[np.ndarray]] = []
        self._last: dict[str, Tensor] = {}

    def whole(self, names: Sequence[str]) -> Mapping[str, Tensor]:
        if {*names} != self._last.keys():
            self.gathered.append(tuple(names))
            arrays = {name: WEIGHTS[name].numpy().copy() for name in names}  # they live as long as tensors of them
            self.there += map(weakref.ref, arrays.values())
            self._last = {name: torch.from_numpy(array) for name, array in arrays.items()}
        return self._last

    def take(self, names: Sequence[str], gradients: Sequence[Tensor]) -> None:
        self.gradients |= dict(zip(names, gradients, strict=True))

    def forget(self) -> None:
        self._last = {}


def compute(parameters: Mapping[str, Tensor], x: Tensor) -> Tensor:
    """Two products and a norm."""
    y = ops.rms_norm(ops.linear(x, parameters["up"]), parameters["gain"])
    return ops.linear(y, parameters["down"])


def gradients(parameters: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], Tensor, bool]:
    """The gradients of a piece's parameters and of what it is given, and whether what lies inside was kept."""
    x, packed = X.clone().requires_grad_(), list[torch.Size]()

    def pack(kept: Tensor) -> Tensor:
        packed.append(kept.shape)
        return kept

    with saved_tensors_hooks(pack, lambda kept: kept):
        y = piece(compute, parameters, x)
    kept = (5, 24) in packed
    wanted = {name: p for name, p in parameters.items() if p.requires_grad}
    found = torch.autograd.grad(y.square().sum(), [x, *wanted.values()], allow_unused=True)
    return {name: g for name, g in zip(wanted, found[1:], strict=True) if g is not None}, found[0], kept


def leaves() -> dict[str, Tensor]:
    return {name: x.clone().requires_grad_() for name, x in WEIGHTS.items()}


def test_a_piece_is_computed_once_more_and_nothing_inside_is_kept() -> None:
    plain, dx, kept = gradients(leaves())
    with recomputing():
        again, dx_again, kept_again = gradients(leaves())
    assert (kept, kept_again) == (True, False)
    assert torch.equal(dx, dx_again)
    assert all(torch.equal(plain[name], again[name]) for name in WEIGHTS)


@pytest.mark.parametrize("recompute", [False, True])
@pytest.mark.parametrize("frozen", [(), ("up",), ("up", "gain", "down")])
def test_shares_become_whole_forwards_and_backwards(recompute: bool, frozen: tuple[str, ...]) -> None:
    whole = {name: x.requires_grad_(name not in frozen) for name, x in leaves().items()}
    plain, dx, _ = gradients(whole)
    source = Far()
    parts = {name: share(torch.zeros(0).requires_grad_(name not in frozen), name, source) for name in WEIGHTS}
    with recomputing(recompute):
        none, dx_shared, _ = gradients(parts)
    assert none == {}
    assert torch.equal(dx, dx_shared)
    assert source.gradients.keys() == plain.keys()
    assert all(torch.equal(plain[name], source.gradients[name]) for name in plain)


@pytest.mark.parametrize("recompute", [False, True])
def test_whole_parameters_are_let_go_of_between_forwards_and_backwards(recompute: bool) -> None:
    source = Far()
    parts = {name: share(torch.zeros(0).requires_grad_(), name, source) for name in WEIGHTS}
    with recomputing(recompute):
        y = piece(compute, parts, X.clone().requires_grad_())
        source.forget()
        assert [array() for array in source.there] == [None] * 3
        y.sum().backward()
    assert source.gathered == [("up", "gain", "down")] * 2


def test_nothing_is_gathered_twice_where_no_gradient_is_asked_for() -> None:
    source = Far()
    parts = {name: share(torch.zeros(0).requires_grad_(), name, source) for name in WEIGHTS}
    with torch.no_grad(), recomputing():
        assert torch.equal(piece(compute, parts, X), compute(WEIGHTS, X))
    assert len(source.gathered) == 1
