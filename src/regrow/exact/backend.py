"""Which kernels and which carrier compute, on this machine, now. The choice changes the speed and never the bits.

The fastest carrier that passes its self-test is taken once per process; ``REGROW_BACKEND`` (``reference`` or
``numba``) and ``REGROW_CARRIER`` (``int8``, ``float32``, ``float64``) overrule it, and :func:`use` does so
for a block of code.

Example:
    >>> with use("reference", "float64"):
    ...     y = linear(x, weight)
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import cache
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from regrow.errors import RecipeError
from regrow.exact.carriers import CARRIERS, Carrier
from regrow.exact.grid import Digits, Layout


class Kernels(Protocol):
    """What a set of kernels offers; :mod:`regrow.exact.reference` documents and defines each."""

    @property
    def name(self) -> str: ...
    def split(self, x: Tensor, layout: Layout, dtype: torch.dtype) -> Digits: ...
    def combine(self, high: Tensor, cross: Tensor, left: Tensor, right: Tensor, out: Tensor) -> None: ...
    def accumulate(self, top: Tensor, middle: Tensor, bottom: Tensor, total: Tensor) -> None: ...
    def round_total(self, total: Tensor, scale: Tensor) -> Tensor: ...
    def rms_norm(self, x: Tensor, gain: Tensor, epsilon: float) -> tuple[Tensor, Tensor]: ...
    def rms_norm_backward(self, dy: Tensor, x: Tensor, gain: Tensor, inverse: Tensor) -> tuple[Tensor, Tensor]: ...
    def swiglu(self, x: Tensor) -> Tensor: ...
    def swiglu_backward(self, dy: Tensor, x: Tensor) -> Tensor: ...
    def rotate(self, x: Tensor, cosine: Tensor, sine: Tensor, heads: int) -> Tensor: ...
    def attention_weights(
        self,
        high: Tensor,
        cross: Tensor,
        left: Tensor,
        right: Tensor,
        scale: float,
        first: int,
        weights: Tensor,
        totals: Tensor,
    ) -> None: ...
    def attention_output(self, high: Tensor, cross: Tensor, right: Tensor, totals: Tensor, out: Tensor) -> None: ...
    def attention_gradient(
        self,
        high: Tensor,
        cross: Tensor,
        left: Tensor,
        right: Tensor,
        weights: Tensor,
        totals: Tensor,
        delta: Tensor,
        scale: float,
        first: int,
        out: Tensor,
        out_exponents: Tensor,
    ) -> None: ...
    def row_dot(self, x: Tensor, y: Tensor) -> Tensor: ...
    def cross_entropy(self, logits: Tensor, targets: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor, Tensor]: ...
    def embedding_backward(self, dy: Tensor, ids: Tensor, rows: int) -> Tensor: ...
    def row_bits(self, x: Tensor) -> Tensor: ...
    def add_to_grid(self, x: Tensor, e: Tensor, total: Tensor) -> None: ...
    def from_grid(self, total: Tensor, e: Tensor, count: int) -> Tensor: ...
    def square_bits(self, x: Tensor) -> int: ...
    def square_sum(self, x: Tensor, e: int) -> int: ...
    def adamw(
        self, parameter: Tensor, gradient: Tensor, first: Tensor, second: Tensor, constants: np.ndarray
    ) -> None: ...


# Entries of a tile: two int32 parts of this size fit a second-level cache or so.
TILE_ENTRIES = 1 << 18


@dataclass(frozen=True)
class Tile:
    """Exact parts HH and HL + LH of some groups and rows of a product, ``(groups, rows, columns)`` each."""

    groups: slice
    rows: slice
    high: Tensor
    cross: Tensor


@dataclass(frozen=True)
class Backend:
    """A set of kernels and the carrier of its products."""

    kernels: Kernels
    carrier: Carrier

    def __str__(self) -> str:
        return f"{self.kernels.name}/{self.carrier.name}"

    def tiles(self, left: Digits, right: Digits) -> Iterator[Tile]:
        """The exact parts of a product, tile by tile, so that they are still in the cache when they are combined."""
        a_high, a_both = (left.high, left.both) if left.layout.by_row else (left.high.mT, left.both.mT)
        b_high, b_both = (right.high.mT, right.both.mT) if right.layout.by_row else (right.high, right.both)
        groups, rows = a_high.shape[:2]
        columns = b_high.shape[2]
        height = min(rows, max(64, TILE_ENTRIES // columns))
        depth = max(1, TILE_ENTRIES // (rows * columns)) if height == rows else 1
        for group in range(0, groups, depth):
            for row in range(0, rows, height):
                g, r = slice(group, min(groups, group + depth)), slice(row, min(rows, row + height))
                high = self.carrier.multiply(a_high[g, r], b_high[g])
                yield Tile(g, r, high, self.carrier.multiply(a_both[g, r], b_both[g]))

    def matmul(self, left: Digits, right: Digits) -> Tensor:
        """The product of two operands as float32 ``(G, P, Q)``."""
        out = torch.empty((*left.exponents.shape, right.exponents.shape[1]), device=left.data.device)
        for tile in self.tiles(left, right):
            at = tile.groups, tile.rows
            self.kernels.combine(tile.high, tile.cross, left.exponents[at], right.exponents[tile.groups], out[at])
        return out


_current: ContextVar[Backend | None] = ContextVar("regrow_backend", default=None)


def current() -> Backend:
    """The backend in force here."""
    return _current.get() or default()


@contextmanager
def use(kernels: str = "", carrier: str = "") -> Iterator[Backend]:
    """Compute with the named kernels and carrier in this block; empty names mean the default's."""
    backend = Backend(
        load_kernels(kernels) if kernels else current().kernels,
        find_carrier(carrier) if carrier else current().carrier,
    )
    token = _current.set(backend)
    try:
        yield backend
    finally:
        _current.reset(token)


def load_kernels(name: str) -> Kernels:
    """The kernels by name."""
    if name == "reference":
        from regrow.exact import reference

        return reference
    if name == "numba":
        from regrow.exact import compiled

        return compiled
    raise RecipeError(f"there is no backend `{name}`", where="REGROW_BACKEND", hint="use `reference` or `numba`")


def find_carrier(name: str) -> Carrier:
    """The carrier by name."""
    for carrier in CARRIERS:
        if carrier.name == name:
            return carrier
    known = ", ".join(f"`{c.name}`" for c in CARRIERS)
    raise RecipeError(f"there is no carrier `{name}`", where="REGROW_CARRIER", hint=f"use one of {known}")


@cache
def default() -> Backend:
    """The backend of this process, chosen once: what the environment asks for, else the fastest that is exact."""
    from regrow.exact.selftest import carrier_fault

    kernels = load_kernels(os.environ.get("REGROW_BACKEND", "numba"))
    asked = os.environ.get("REGROW_CARRIER")
    if asked:
        carrier = find_carrier(asked)
        if fault := carrier_fault(carrier):
            raise RecipeError(
                f"carrier `{asked}` is not exact on this machine",
                where="REGROW_CARRIER",
                why=fault,
                hint="unset REGROW_CARRIER, or see `regrow selftest`",
            )
        return Backend(kernels, carrier)
    sound = [carrier for carrier in CARRIERS if not carrier_fault(carrier)]
    return Backend(kernels, min(sound, key=_seconds))


def _seconds(carrier: Carrier) -> float:
    """The best of three timings of a product of moderate size."""
    a = torch.ones((1, 512, 256)).to(carrier.dtype)
    best = float("inf")
    for _ in range(4):
        start = time.perf_counter()
        carrier.product(a, a.mT)
        best = min(best, time.perf_counter() - start)
    return best
