"""Integer GEMM backends of our own on a CUDA device: see :class:`regrow.exact.gemm.WholeProducts`."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import torch
import triton
import triton.language as tl
from torch import Tensor

from regrow.exact.gemm import GemmBackend
from regrow.exact.gpu import attend, launch, multiply
from regrow.exact.grid import (
    LEFT,
    RIGHT,
    RIGHT_OF_TRANSPOSED,
    RIGHT_TRANSPOSED,
    Digits,
    Layout,
    Numbers,
    power_of_two_float32,
)

# The widest part of a product, HL + LH, has two products of at most 2**12 for each of the depth: 2**30 within int32.
_DEPTH = 1 << 17
# So many bytes a program must be able to share, to have the loads of several steps on the way: consumers' devices have
# 99 KiB, those of data centres 163 or more.
_ROOM = 160 << 10
# The widest heads of which a block of queries, or of keys, and its sums have room in a processor's registers.
_WIDEST = 128


@dataclass(frozen=True)
class Tile:
    """What a program has: rows and columns of the result, or queries and keys; how much of the depth at a time; how
    many groups of 32 threads; and how many steps of a loop have their loads on the way.
    """

    rows: int
    columns: int
    depth: int
    warps: int
    stages: int


@dataclass(frozen=True)
class Tiles:
    """The tile of each kernel; of those of attention by the width of a head, up to which it holds."""

    multiply: Tile = Tile(128, 128, 64, 8, 3)
    sums: Tile = Tile(128, 64, 64, 8, 3)
    attend: tuple[tuple[int, Tile], ...] = ((64, Tile(64, 64, 0, 4, 2)), (128, Tile(64, 64, 0, 8, 2)))
    attend_queries: tuple[tuple[int, Tile], ...] = ((64, Tile(64, 64, 0, 4, 2)), (128, Tile(64, 32, 0, 8, 2)))
    attend_keys: tuple[tuple[int, Tile], ...] = ((64, Tile(64, 64, 0, 8, 2)), (128, Tile(32, 64, 0, 8, 2)))


@dataclass(frozen=True)
class _Operand:
    """An operand as the kernel of products takes it: pointers to its high digits, or numbers, and to its low ones;
    what its exponents are, or follow from; and strides from group to group, outer to outer, and along the depth.
    """

    high: Tensor
    low: Tensor
    exponents: Tensor
    strides: tuple[int, int, int]
    stored: bool

    @staticmethod
    def of(operand: Digits | Numbers) -> _Operand:
        stored = isinstance(operand, Digits)
        high, low = (operand.high, operand.low) if isinstance(operand, Digits) else (operand.data, operand.data)
        group, *inner = high.stride()
        outer, step = inner if operand.layout.by_row else reversed(inner)
        found = operand.exponents if isinstance(operand, Digits) else launch.largest(operand)
        return _Operand(high, low, launch.rows_apart(found), (group, outer, step), stored)


class TritonProducts:
    """Products of whole operands, and attention; see :class:`regrow.exact.gemm.WholeProducts`.

    Args:
        dtype: of the digits that are multiplied: int8, bfloat16, or float32 where Triton's interpreter has them.
        tiles: what programs have, which changes the speed and never the bits.
    """

    def __init__(self, dtype: torch.dtype, tiles: Tiles | None = None) -> None:
        self._type = {torch.int8: tl.int8, torch.bfloat16: tl.bfloat16, torch.float32: tl.float32}[dtype]
        self._tiles = tiles or Tiles()

    def operand(self, x: Tensor, layout: Layout) -> Numbers:
        """A matrix ``(G, R, C)`` as products take it."""
        return launch.numbers(x, layout)

    def matmul(self, left: Digits | Numbers, right: Digits | Numbers, onto: Tensor | None = None) -> Tensor:
        """See :meth:`regrow.exact.backend.Backend.matmul`."""
        rows, columns, tile = _Operand.of(left), _Operand.of(right), self._tiles.multiply
        shape = *rows.exponents.shape, columns.exponents.shape[1]
        out = torch.empty(shape, dtype=torch.float32, device=rows.high.device) if onto is None else onto
        launch.require_dense(out)
        launch.start(
            multiply.multiply, _grid(shape, tile), rows.high, rows.low, rows.exponents, columns.high, columns.low,
            columns.exponents, out, *shape[1:], left.depth, *rows.strides, rows.exponents.stride(0), *columns.strides,
            columns.exponents.stride(0), *out.stride()[:2], LEFT_STORED=rows.stored, RIGHT_STORED=columns.stored,
            ONTO=onto is not None, DEEP=self._deep(left.depth), **self._constants(tile, out),
        )  # fmt: skip
        return out

    def accumulate(self, left: list[Tensor], right: Digits, total: Tensor) -> None:
        """Add the exact integers of two or three planes ``(G, P, K)``, the highest first, to float64
        ``(G, P or more, Q)``.
        """
        self._sums(left, right.along(right.high), right.along(right.low), total)

    def integers(self, left: Tensor, right: Tensor) -> Tensor:
        """The exact integers of ``(G, P, K) x (G, K, Q)``, float64."""
        shape = left.shape[0], left.shape[1], right.shape[2]
        total = torch.zeros(shape, dtype=torch.float64, device=left.device)
        self._sums([left], right.mT, right.mT, total)
        return total

    def attention(self, q: Tensor, k: Tensor, v: Tensor, scale: float) -> tuple[Tensor, Tensor, Tensor]:
        """See :class:`regrow.exact.gemm.WholeProducts`."""
        out, sizes = _dense(q), _sizes(q, k)
        largest, totals = (torch.empty(q.shape[:2], dtype=torch.float32, device=q.device) for _ in range(2))
        tile = _tile(self._tiles.attend, q.shape[2])
        launch.start(
            attend.attend, (_blocks(q, k, tile.rows),), *_row_digits(q, LEFT), *_row_digits(k, RIGHT_TRANSPOSED),
            *_row_digits(v, RIGHT), out, largest, totals, float(np.float32(scale)), *sizes,
            **self._attention_constants(tile, q),
        )  # fmt: skip
        return out, largest, totals

    def attention_backward(
        self, dy: Tensor, q: Tensor, k: Tensor, v: Tensor, found: tuple[Tensor, Tensor, Tensor], scale: float
    ) -> tuple[Tensor, Tensor, Tensor]:
        """See :class:`regrow.exact.gemm.WholeProducts`."""
        out, largest, totals = found
        width, sizes, factor = q.shape[2], _sizes(q, k), float(np.float32(scale))
        delta = launch.row_dot(dy.reshape(-1, width), out.reshape(-1, width))
        rows = (
            *_row_digits(q, LEFT), *_row_digits(k, RIGHT_TRANSPOSED), *_row_digits(dy, LEFT),
            *_row_digits(v, RIGHT_TRANSPOSED),
        )  # fmt: skip
        dq, e = _dense(q), torch.empty(q.shape[:2], dtype=torch.int32, device=q.device)
        tile = _tile(self._tiles.attend_queries, width)
        launch.start(
            attend.attend_queries, (_blocks(q, k, tile.rows),), *rows, *_row_digits(k, RIGHT), largest, totals, delta,
            e, dq, factor, *sizes, **self._attention_constants(tile, q),
        )  # fmt: skip
        # The grids of the rows are folded into the queries, so that one set of digits serves both products.
        folded = _row_digits(q * power_of_two_float32(e)[:, :, None], RIGHT_OF_TRANSPOSED)
        normal = _row_digits(dy * (torch.full_like(totals, 8192.0) / totals)[:, :, None], RIGHT_OF_TRANSPOSED)
        dk, dv = _dense(k), _dense(v)
        tile = _tile(self._tiles.attend_keys, width)
        programs = k.shape[0] * triton.cdiv(k.shape[1], tile.columns)
        launch.start(
            attend.attend_keys, (programs,), *rows, *folded, *normal, largest, totals, delta, e, dk, dv, factor,
            *sizes, **self._attention_constants(tile, q),
        )  # fmt: skip
        return dq, dk, dv

    def takes(self, rows: int, width: int) -> bool:
        """Whether attention has room for so many queries of a group, and heads so wide."""
        return rows <= _DEPTH and width <= _WIDEST

    def _sums(self, left: list[Tensor], high: Tensor, low: Tensor, total: Tensor) -> None:
        first, second, third = (left * 3)[:3]
        assert all(x.stride() == first.stride() for x in left), "planes have strides of their own"
        launch.require_dense(total)
        tile, (groups, rows, depth), columns = self._tiles.sums, first.shape, high.shape[1]
        launch.start(
            multiply.sums, _grid((groups, rows, columns), tile), first, second, third, high, low, total, rows, columns,
            depth, *first.stride(), *high.stride(), *total.stride()[:2], PLANES=len(left), DEEP=self._deep(depth),
            **self._constants(tile, total),
        )  # fmt: skip

    def _deep(self, depth: int) -> bool:
        return bool(self._type != tl.int8 and depth > multiply.DEPTH.value)

    def _constants(self, tile: Tile, out: Tensor) -> dict[str, Any]:
        return {"BM": tile.rows, "BN": tile.columns, "BK": tile.depth} | self._usual(tile, out)

    def _attention_constants(self, tile: Tile, q: Tensor) -> dict[str, Any]:
        width = max(32, triton.next_power_of_2(q.shape[2]))
        return {"BM": tile.rows, "BN": tile.columns, "BD": width} | self._usual(tile, q)

    def _usual(self, tile: Tile, x: Tensor) -> dict[str, Any]:
        stages = tile.stages if not x.is_cuda or _shared(x.device) >= _ROOM else 1
        return {"TYPE": self._type, "num_warps": tile.warps, "num_stages": stages}


@cache
def _shared(device: torch.device) -> int:
    """How many bytes a program of a device can share at most."""
    properties: Any = torch.cuda.get_device_properties(device)  # whose types lack the name
    return int(properties.shared_memory_per_block_optin)


def _grid(shape: tuple[int, ...], tile: Tile) -> tuple[int]:
    """As many programs as a result ``(G, P, Q)`` has tiles."""
    groups, rows, columns = shape
    return (groups * triton.cdiv(rows, tile.rows) * triton.cdiv(columns, tile.columns),)


def _tile(by_width: tuple[tuple[int, Tile], ...], width: int) -> Tile:
    return next((tile for most, tile in by_width if width <= most), by_width[-1][1])


def _sizes(q: Tensor, k: Tensor) -> tuple[int, int, int]:
    """Heads that share a key head, positions, and the width of a head."""
    return q.shape[1] // k.shape[1], k.shape[1], k.shape[2]


def _dense(x: Tensor) -> Tensor:
    """Room for as many numbers, row by row, which ``empty_like`` is not if ``x`` is a transpose."""
    return torch.empty(x.shape, dtype=x.dtype, device=x.device)


def _blocks(q: Tensor, k: Tensor, queries: int) -> int:
    """Blocks of queries of all heads: none has those of two."""
    return int(q.shape[0] * (q.shape[1] // k.shape[1]) * triton.cdiv(k.shape[1], queries))


def _row_digits(x: Tensor, layout: Layout) -> tuple[Tensor, Tensor, Tensor]:
    """High digits, low digits and exponents of ``(G, R, D)``."""
    digits = launch.split(x, layout, torch.int8)
    return digits.high, digits.low, digits.exponents


def _backend(name: str, dtype: torch.dtype) -> GemmBackend:
    products = TritonProducts(dtype)
    return GemmBackend(name, dtype, _DEPTH, products.integers, whole=products)


GEMM_BACKENDS = (_backend("triton8", torch.int8), _backend("triton16", torch.bfloat16))
