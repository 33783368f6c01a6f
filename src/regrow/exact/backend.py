"""What computes: a set of kernels, and the integer GEMM backend that multiplies for them.

Every pair of them gives the same bits. :mod:`regrow.exact.registry` finds both by name, and
:mod:`regrow.exact.selection` says which are in force.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol, overload

import numpy as np
import torch
from torch import Tensor

from regrow.exact.blend import Blend
from regrow.exact.coded import Coded
from regrow.exact.gemm import FusedProducts, GemmBackend, Packed, WholeProducts
from regrow.exact.grid import LEFT, LEFT_TRANSPOSED, OPERAND_BITS, Block, Digits, Layout, Numbers, power_of_two


class Kernels(Protocol):
    """What a set of kernels offers; :mod:`regrow.exact.definition` documents and defines each."""

    @property
    def name(self) -> str: ...
    def split(self, x: Tensor, layout: Layout, dtype: torch.dtype) -> Digits: ...
    def combine(self, high: Tensor, cross: Tensor, left: Tensor, right: Tensor, out: Tensor) -> None: ...
    def accumulate(self, top: Tensor, middle: Tensor, bottom: Tensor, total: Tensor) -> None: ...
    def round_total(self, total: Tensor, scale: Tensor) -> Tensor: ...
    def rms_norm(self, x: Tensor, gain: Tensor, epsilon: float) -> tuple[Tensor, Tensor]: ...
    def rms_norm_backward(
        self, dy: Tensor, x: Tensor, gain: Tensor, inverse: Tensor, changes: bool = True
    ) -> tuple[Tensor, Tensor | None]: ...
    def swiglu(self, x: Tensor) -> Tensor: ...
    def swiglu_backward(self, dy: Tensor, x: Tensor) -> Tensor: ...
    def layer_norm(self, x: Tensor, gain: Tensor, bias: Tensor, epsilon: float) -> tuple[Tensor, Tensor, Tensor]: ...
    def layer_norm_backward(
        self, dy: Tensor, x: Tensor, gain: Tensor, mean: Tensor, inverse: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]: ...
    def column_sum(self, x: Tensor) -> Tensor: ...
    def softmax(self, x: Tensor) -> Tensor: ...
    def softmax_backward(self, dy: Tensor, y: Tensor) -> Tensor: ...
    def activation(self, x: Tensor, kind: str) -> Tensor: ...
    def activation_backward(self, dy: Tensor, x: Tensor, kind: str) -> Tensor: ...
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
    def ordered_product(self, x: Tensor, weight: Tensor) -> Tensor: ...
    def coded_product(self, x: Tensor, weight: Coded) -> Tensor: ...
    def ordered_attention(self, q: Tensor, k: Tensor, v: Tensor, first: int, share: int, scale: float) -> Tensor: ...
    def row_dot(self, x: Tensor, y: Tensor) -> Tensor: ...
    def cross_entropy(self, logits: Tensor, targets: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor, Tensor]: ...
    def distillation(
        self, logits: Tensor, teacher: Tensor, targets: Tensor, blend: Blend, dtype: torch.dtype
    ) -> tuple[Tensor, Tensor, Tensor]: ...
    def embedding_backward(self, dy: Tensor, ids: Tensor, rows: int) -> Tensor: ...
    def row_bits(self, x: Tensor) -> Tensor: ...
    def add_to_grid(self, x: Tensor, e: Tensor, total: Tensor) -> None: ...
    def add_to_levels(self, x: Tensor, e: Tensor, total: Tensor, rest: Tensor) -> None: ...
    def raise_levels(self, rise: Tensor, total: Tensor, rest: Tensor) -> None: ...
    def from_grid(self, total: Tensor, e: Tensor, count: int) -> Tensor: ...
    def on_grid(self, x: Tensor) -> Tensor: ...
    def square_bits(self, x: Tensor) -> int: ...
    def square_sum(self, x: Tensor, e: int) -> int: ...
    def adamw(
        self, parameter: Tensor, gradient: Tensor, first: Tensor, second: Tensor, constants: np.ndarray
    ) -> None: ...


# Entries of a tile: its two parts, 8 MiB each as int32, stay in the last-level cache until they are rounded.
TILE_ENTRIES = 1 << 21
# Rows of a tile at least: a library's product of fewer rows does not fill its own blocks.
TILE_ROWS = 256
# How many times as much a CUDA device is given at once: enough to keep it busy, a few hundred megabytes.
CUDA_SCALE = 16


@dataclass(frozen=True)
class Tile:
    """Exact parts HH and HL + LH of some groups and rows of a product, ``(groups, rows, columns)`` each."""

    groups: slice
    rows: slice
    high: Tensor
    cross: Tensor


@dataclass(frozen=True)
class Backend:
    """A set of kernels, and the integer GEMM backend of their products."""

    kernels: Kernels
    gemm: GemmBackend

    def __str__(self) -> str:
        return f"{self.kernels.name}/{self.gemm.name}"

    @property
    def device(self) -> torch.device:
        """Where this backend computes. The reference kernels could on any device, and do on the CPU."""
        return torch.device("cuda" if self.kernels.name == "triton" and not interpreted() else "cpu")

    def tiles(self, left: Digits, right: Digits) -> Iterator[Tile]:
        """The exact parts of a product, tile by tile, so that they are still in the cache when they are used."""
        groups, rows = left.exponents.shape
        columns = right.exponents.shape[1]
        entries = TILE_ENTRIES * device_scale(left.data)
        height = min(rows, max(TILE_ROWS, entries // columns))
        depth = max(1, entries // (rows * columns)) if height == rows else 1
        everything, multiply = slice(0, columns), self.gemm.multiply
        for group in range(0, groups, depth):
            for row in range(0, rows, height):
                g, r = slice(group, min(groups, group + depth)), slice(row, min(rows, row + height))
                a, b = left.tile(g, r), right.tile(g, everything)
                high = multiply(a.along(a.high), b.along(b.high).mT)
                yield Tile(g, r, high, multiply(a.along(a.both), b.along(b.both).mT))

    def operand(self, x: Tensor, layout: Layout) -> Digits | Numbers:
        """An operand ``(G, R, C)`` of one product: its digits, unless they are better made on the way."""
        depth = x.shape[2 if layout.by_row else 1]
        if whole := self.whole(depth):
            return whole.operand(x, layout)
        if self._fused(depth):
            return Numbers(x.detach().contiguous(), layout)
        return self.kernels.split(x, layout, self.gemm.dtype)

    @overload
    def packed(self, right: Digits, *depths: int) -> Digits | Packed: ...

    @overload
    def packed(self, right: Digits | Numbers, *depths: int) -> Digits | Numbers | Packed: ...

    def packed(self, right: Digits | Numbers, *depths: int) -> Digits | Numbers | Packed:
        """A right operand as products take it, for whoever has several with it, beside some of these depths."""
        fused = self._fused(right.depth, *depths)
        return fused.pack(right) if fused else right

    def matmul(
        self, left: Digits | Numbers, right: Digits | Numbers | Packed, onto: Tensor | None = None
    ) -> Tensor:  # fmt: skip
        """The product of two operands as float32 ``(G, P, Q)``, rounded; then added to ``onto``, if that is given."""
        if whole := self.whole(left.depth):
            return whole.matmul(left, right if isinstance(right, Numbers) else _stored(right), onto)
        if fused := self._fused(left.depth):
            return fused.matmul(left, right, onto)
        left, right = _stored(left), _stored(right)
        if onto is not None:
            return onto.add_(self.matmul(left, right))
        shape = *left.exponents.shape, right.exponents.shape[1]
        out = torch.empty(shape, dtype=torch.float32, device=left.data.device)
        for tile in self.tiles(left, right):
            at = tile.groups, tile.rows
            self.kernels.combine(tile.high, tile.cross, left.exponents[at], right.exponents[tile.groups], out[at])
        return out

    def low_rank(
        self, x: Tensor, wide: Digits | Numbers | Packed, first: Digits | Numbers | Packed,
        second: Digits | Numbers | Packed,
    ) -> tuple[Tensor, Tensor, Digits]:  # fmt: skip
        """Products of a matrix ``(1, P, K)`` with a wide one and, by way of a narrow one, with a second.

        Args:
            x: float32.
            wide: a right operand, to ``(1, P, Q)``.
            first: likewise, to ``(1, P, N)``.
            second: likewise, from ``(1, P, N)`` to ``(1, P, Q)``.

        Returns:
            The sum of both, what the first gives, and the digits of ``x``.
        """
        if fused := self._fused(x.shape[2], second.depth):
            return fused.low_rank(x, wide, first, second)
        rows = self.kernels.split(x, LEFT, self.gemm.dtype)
        narrow, out = self.matmul(rows, first), self.matmul(rows, wide)
        return self.matmul(self.operand(narrow, LEFT), second, onto=out), narrow, rows

    def add(self, left: Digits, right: Digits, total: Tensor) -> None:
        """Add the exact integers of a product to float64 ``(G, P, Q)``; P may be more than the left operand has."""
        if own := self.whole(left.depth) or self._fused(left.depth):
            own.accumulate(left.planes, right, total)
            return
        for tile in self.tiles(left, right):
            total[tile.groups, tile.rows].add_(tile.high, alpha=16384.0).add_(tile.cross, alpha=128.0)

    def add_deep(self, upper: Tensor, lower: Tensor, right: Digits, total: Tensor) -> None:
        """Add the exact integers of a product whose left operand has three digits to float64 ``(P, Q)``.

        Args:
            upper: the highest digit and the middle one, ``(R, 2, C)``.
            lower: the middle digit and the lowest one, alike.
            right: if its digits are stacked, C is contracted, else R.
            total: changed in place.
        """
        planes, transposed = _deep_planes(upper, lower, right), not right.layout.stacked
        if own := self.whole(right.depth) or self._fused(right.depth):
            own.accumulate(planes, right, total[None])
            return
        rows, _, columns = upper.shape
        shape = (2 * rows, columns) if transposed else (rows, 2 * columns)
        pairs = [(d.reshape(shape).mT if transposed else d.reshape(shape))[None] for d in (upper, lower)]
        top = self.gemm.multiply(planes[0], right.high)
        middle, bottom = (self.gemm.multiply(pair, right.both) for pair in pairs)
        self.kernels.accumulate(top[0], middle[0], bottom[0], total)

    def deep(self, upper: Tensor, lower: Tensor, right: Digits, factors: Tensor, out: Tensor) -> None:
        """What :meth:`add_deep` adds, each column times its float64 factor, and rounded to float32 ``(P, Q)``."""
        if fused := self._fused(right.depth):
            fused.scaled(_deep_planes(upper, lower, right), right, factors, out[None])
            return
        total = torch.zeros(out.shape, dtype=torch.float64, device=out.device)
        self.add_deep(upper, lower, right, total)
        out.copy_(self.kernels.round_total(total, factors))

    def attend(
        self, block: Block, queries: Digits, keys: Digits | Packed, values: Digits | Packed, scale: float,
        weights: Tensor, totals: Tensor, out: Tensor,
    ) -> None:  # fmt: skip
        """Causal attention of a block of queries.

        Args:
            block: which.
            queries: all of them, ``(G, R, D)`` on row grids.
            keys: those that the block sees, ``(G, K, D)`` on row grids.
            values: likewise, on column grids.
            scale: of the scores.
            weights: takes the digits of the softmax's numerators, ``(G, rows of the block, 2, K)``.
            totals: takes their sums, in the block's rows of ``(G, R)``.
            out: takes the weighted means, in the block's rows of ``(G, R, D)``.
        """
        if fused := self._fused(queries.depth, block.keys):
            return fused.attend(block, queries, keys, values, scale, weights, totals, out)
        keys, values = _stored(keys), _stored(values)
        some, sums, means = queries.rows(block.rows), totals[:, block.rows], out[:, block.rows]
        for tile in self.tiles(some, keys):
            at = tile.groups, tile.rows
            self.kernels.attention_weights(
                tile.high, tile.cross, some.exponents[at], keys.exponents[tile.groups], scale,
                block.first + tile.rows.start, weights[at], sums[at],
            )  # fmt: skip
        for tile in self.tiles(numerators(weights, LEFT), values):
            at = tile.groups, tile.rows
            self.kernels.attention_output(tile.high, tile.cross, values.exponents[tile.groups], sums[at], means[at])
        return None

    def attend_backward(
        self, block: Block, gradients: Digits, values: Digits | Packed, keys: Digits | Packed, scale: float,
        weights: Tensor, totals: Tensor, delta: Tensor, out: Tensor,
    ) -> Digits:  # fmt: skip
        """The gradients of a block's scores, ``(G, rows of the block, K)`` on row grids.

        Args:
            block: which.
            gradients: of the outputs, all of them, ``(G, R, D)`` on row grids.
            values: those that the block sees, ``(G, K, D)`` on row grids.
            keys: likewise, on column grids.
            scale: of the scores.
            weights: from :meth:`attend`.
            totals: from :meth:`attend`.
            delta: the sums over D of gradient times output, ``(G, R)``.
            out: takes the gradients of the queries, in the block's rows of ``(G, R, D)``.
        """
        if fused := self._fused(gradients.depth, block.keys):
            return fused.attend_backward(block, gradients, values, keys, scale, weights, totals, delta, out)
        values, keys = _stored(values), _stored(keys)
        some, sums, dots = gradients.rows(block.rows), totals[:, block.rows], delta[:, block.rows]
        exponents = torch.empty(sums.shape, dtype=torch.int32, device=weights.device)
        digits = Digits(torch.empty_like(weights), exponents, LEFT)
        for tile in self.tiles(some, values):
            at = tile.groups, tile.rows
            self.kernels.attention_gradient(
                tile.high, tile.cross, some.exponents[at], values.exponents[tile.groups], weights[at], sums[at],
                dots[at], scale, block.first + tile.rows.start, digits.data[at], exponents[at],
            )  # fmt: skip
        out[:, block.rows] = self.matmul(digits, keys)
        return digits

    def over_queries(self, blocks: list[Block], weights: list[Tensor], right: Digits) -> Tensor:
        """The transpose of attention's weights, or of digits on their grid, times a number for each query.

        Args:
            blocks: of queries, all there are.
            weights: of each, digits ``(G, rows of the block, 2, keys of the block)``; 0 for what a query does not see.
            right: over all queries, ``(G, R, D)`` on column grids.

        Returns:
            float32 ``(G, K, D)``.
        """
        if fused := self._fused(right.depth):
            return fused.over_queries(blocks, weights, right)
        # Transposed, because torch takes two thirds of the time for few rows and many columns.
        groups, width = right.exponents.shape
        total = torch.zeros(
            (groups, width, max(block.keys for block in blocks)), dtype=torch.float64, device=right.data.device
        )
        for block, digits in zip(blocks, weights, strict=True):
            self.add(right.rows(block.rows), numerators(digits, LEFT_TRANSPOSED), total[:, :, : block.keys])
        scale = power_of_two(right.exponents) * 2.0 ** (-2 * OPERAND_BITS)
        return (total.mT * scale[:, None, :]).to(torch.float32)

    def whole(self, *depths: int) -> WholeProducts | None:
        """What makes digits on the way, if the GEMM backend does; on the terms of :meth:`_fused`."""
        return self.gemm.whole if self._within(*depths) else None

    def _fused(self, *depths: int) -> FusedProducts | None:
        """What multiplies operands with all their digits, if the GEMM backend does, these depths are within its budget,
        and the kernels are not the definition, which has nothing but plain products.
        """
        return self.gemm.fused if self._within(*depths) else None

    def _within(self, *depths: int) -> bool:
        return max(depths) <= self.gemm.depth and self.kernels.name != "reference"


def _deep_planes(upper: Tensor, lower: Tensor, right: Digits) -> list[Tensor]:
    """The three planes of :meth:`Backend.add_deep`'s left operand, the contracted axis last."""
    planes = upper[:, 0], upper[:, 1], lower[:, 1]
    return [(plane if right.layout.stacked else plane.mT)[None] for plane in planes]


def _stored(operand: Digits | Numbers | Packed) -> Digits:
    """An operand whose digits are stored, where nothing else is multiplied: it was given by the same backend."""
    if not isinstance(operand, Digits):
        raise TypeError("an operand was made for another backend")
    return operand


def numerators(weights: Tensor, layout: Layout) -> Digits:
    """The digits of attention's weights as an operand, whose grid is 2**-13 everywhere: exponent 0."""
    groups, rows, _, columns = weights.shape
    exponents = torch.zeros((groups, rows if layout.by_row else columns), dtype=torch.int32, device=weights.device)
    return Digits(weights, exponents, layout)


def device_scale(x: Tensor) -> int:
    """How many times as much as a CPU the device of ``x`` is given at once."""
    return CUDA_SCALE if x.is_cuda else 1


def block_divisor(backend: Backend, x: Tensor) -> int:
    """What blocks of rows are divided by on the device of ``x``: on a CPU, digits of more than a byte take more memory
    and are multiplied more slowly."""
    return 1 if x.is_cuda or backend.gemm.dtype.itemsize == 1 else 2


def interpreted() -> bool:
    """Whether Triton interprets its kernels, on CPU tensors, as tests have it do."""
    return os.environ.get("TRITON_INTERPRET") == "1"
