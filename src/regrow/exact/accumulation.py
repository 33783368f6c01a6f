"""The mean of gradients over micro-batches: exact, and in memory that does not grow with their number.

The grid of a row is that of its largest entry in all micro-batches of all workers, so nobody knows it before the last
one is there; and what was rounded to one grid cannot be rounded to another. A few gradients are therefore kept as they
are. Of many, the sums are kept on every grid that may yet turn out to be the right one: there are 25, since on a grid
coarser than that each addend is 0. All but the first of these sums follow from it up to a small integer, so they need
a byte each.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

import torch
from torch import Tensor

from regrow.exact.grid import GRADIENT_BITS, exponents
from regrow.exact.optimizer import rows
from regrow.exact.selection import current
from regrow.exact.workers import ALONE, Workers

MOST_MICRO_BATCHES = 1 << 15
"""As many as the definition allows; int64 would have room for more."""

FEW = 7
"""Gradients of four bytes an entry that are kept as they are: as much memory as the sums on all grids."""

_NARROW = 127
"""Integers of 24 bits that int32 has room for."""

_SMALL = 168
"""Gradients of which each sum is within 127 of what follows from the first one. Both are sums of roundings, each off by
up to a half, and the first one is halved at least: that makes three quarters for each gradient, and one for a rest.
"""


class _Sum(Protocol):
    """What is kept of a parameter's gradients ``(R, C)``."""

    def add(self, gradient: Tensor) -> None:
        """One more of them."""

    def bits(self) -> Tensor:
        """The largest bit pattern of each row so far, int32 ``(R,)``."""

    def total(self, e: Tensor) -> Tensor:
        """Their sum on the grids of exponents ``e``, none of them below those of :meth:`bits`; this ends the sum."""


@dataclass
class Few:
    """Gradients as they are.

    Attributes:
        like: a tensor of the shape and on the device of all of them.
        dtype: of the total.
        parts: the gradients.
    """

    like: Tensor
    dtype: torch.dtype
    parts: list[Tensor] = field(default_factory=list)

    def add(self, gradient: Tensor) -> None:
        """Keep it."""
        self.parts.append(gradient)

    def bits(self) -> Tensor:
        """The largest of all."""
        kernels = current(self.like).kernels
        found = [kernels.row_bits(part) for part in self.parts]
        none = torch.zeros(self.like.shape[0], dtype=torch.int32, device=self.like.device)
        return torch.stack([none, *found]).amax(0)

    def total(self, e: Tensor) -> Tensor:
        """Add them, and let each go."""
        total = torch.zeros(self.like.shape, dtype=self.dtype, device=self.like.device)
        while self.parts:
            current(total).kernels.add_to_grid(self.parts.pop(), e, total)
        return total


class Many:
    """Sums on all grids from that of the largest entry so far."""

    def __init__(self, like: Tensor, dtype: torch.dtype, count: int) -> None:
        small = torch.int8 if count <= _SMALL else torch.int16
        self._bits = torch.zeros(like.shape[0], dtype=torch.int32, device=like.device)
        self._total = torch.zeros(like.shape, dtype=dtype, device=like.device)
        self._rest = torch.zeros((like.shape[0], GRADIENT_BITS, like.shape[1]), dtype=small, device=like.device)

    def add(self, gradient: Tensor) -> None:
        """Move the sums to where its entries have room, and add it to each."""
        kernels = current(gradient).kernels
        bits = torch.maximum(self._bits, kernels.row_bits(gradient))
        self._raise(exponents(bits))
        self._bits = bits
        kernels.add_to_levels(gradient, exponents(bits), self._total, self._rest)

    def bits(self) -> Tensor:
        """The largest of all."""
        return self._bits

    def total(self, e: Tensor) -> Tensor:
        """The sum that turned out to be the right one."""
        self._raise(e)
        return self._total

    def _raise(self, e: Tensor) -> None:
        rise = torch.where(self._bits > 0, e - exponents(self._bits), 0).to(torch.int32)
        if bool(rise.any()):
            current(self._total).kernels.raise_levels(rise, self._total, self._rest)


@dataclass
class Gradients:
    """The gradients of this worker's micro-batches, as far as their mean with all others' needs them.

    Attributes:
        sums: what is kept of each parameter's, by name.
        count: micro-batches of all workers.
    """

    sums: dict[str, _Sum]
    count: int

    @staticmethod
    def of(parameters: Mapping[str, Tensor], mine: int, count: int) -> Gradients:
        """Of so many micro-batches of this worker, of so many in all, and none yet.

        Raises:
            ValueError: if there are more than the definition allows.
        """
        if count > MOST_MICRO_BATCHES:
            raise ValueError(f"{count} micro-batches; a mean is defined of up to {MOST_MICRO_BATCHES}")
        dtype = torch.int32 if count <= _NARROW else torch.int64
        matrices = {name: rows(p.detach()) for name, p in parameters.items()}
        return Gradients({name: _sum(matrix, dtype, mine) for name, matrix in matrices.items()}, count)

    def add(self, gradients: Iterable[Tensor]) -> None:
        """Those of one more micro-batch, in the order of the parameters."""
        for kept, gradient in zip(self.sums.values(), gradients, strict=True):
            kept.add(rows(gradient.contiguous()))

    def mean(self, workers: Workers = ALONE) -> dict[str, Tensor]:
        """The means over all workers' micro-batches, exact; of each parameter this worker's rows. This ends the sums.

        What the workers exchange is int32, as many bytes as float32 gradients, and int64 of more than 127.
        """
        if self.count == 1 and workers.count == 1:
            only = {name: kept for name, kept in self.sums.items() if isinstance(kept, Few)}
            return {name: current(kept.like).kernels.on_grid(kept.parts.pop()) for name, kept in only.items()}
        bits = [kept.bits() for kept in self.sums.values()]
        largest = torch.cat(bits)
        workers.largest(largest)
        grids = dict(zip(self.sums, exponents(largest).split([len(one) for one in bits]), strict=True))
        totals = workers.total_rows([self.sums.pop(name).total(e) for name, e in grids.items()])
        kernels, found = current(largest).kernels, {}
        for name, e in grids.items():
            found[name] = kernels.from_grid(totals.pop(0), e[workers.rows(len(e))], self.count)
        return found


def _sum(like: Tensor, dtype: torch.dtype, count: int) -> _Sum:
    return Few(like, dtype) if count <= FEW else Many(like, dtype, count)
