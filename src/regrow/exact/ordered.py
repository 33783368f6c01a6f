"""The sums of inference on CPUs: products of float32 added in float64, in eight lanes and so in one order.

A product of two float32 is exact in float64, so that fusing it with the addition changes nothing: each machine takes
the instructions it has. What `ordered` means is said in docs/arithmetic.md; the definition is in
:mod:`regrow.exact.definition`.

A weight is read once for a token, and memory is what that waits for. Many tokens are multiplied tile by tile, so that
what is loaded serves several sums, which stay in registers; see :mod:`regrow.exact.ordered_tiles`. Tiles change the
speed and never the bits.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numba import prange
from torch import Tensor
from torch.nn import functional

from regrow.exact.definition import LANES
from regrow.exact.kernel import kernel, shared_kernel
from regrow.exact.ordered_tiles import (
    COLUMNS,
    HALVES,
    PARTS,
    ROW_COLUMNS,
    ROWS,
    WIDTH,
    block_tile,
    row_tile,
)

_parallel: Any = shared_kernel
_helper: Any = kernel()

_ITEM = 4  # bytes of a float32

# What a thread takes at a time: rows of weights, and rows of the other operand, so that both stay in its cache.
_OUTPUTS = 48
_INPUTS = 64
_FEW = 2  # rows that are multiplied one by one, since a tile would be half empty


@_helper
def _pack(x: Any, wide: Any) -> None:
    """Rows as tiles read them, ``(parts, eights, rows, lanes)``; 0 for those that are not there."""
    parts, eights, rows, width = wide.shape
    for r in range(rows):
        for part in range(parts):
            for e in range(eights):
                for lane in range(width):
                    value = np.float64(x[r, e * LANES + part * width + lane]) if r < x.shape[0] else 0.0
                    wide[part, e, r, lane] = value


@_helper
def _room(rows: int, depth: int) -> Any:
    """Where rows are packed."""
    eights = depth // LANES
    if rows <= _FEW:
        return np.empty((rows, 1, eights, 1, LANES), np.float64)
    return np.empty(((rows + ROWS - 1) // ROWS, PARTS, eights, ROWS, WIDTH), np.float64)


@_helper
def _multiply(wide: Any, weight: Any, out: Any) -> None:
    """The ordered products of packed rows and rows ``(Q, K)``, float32 ``(P, Q)``; columns are dense in each."""
    (rows, columns), eights = out.shape, wide.shape[2]
    apart, stride = np.int64(weight.strides[0]), np.int64(out.strides[0])
    if wide.shape[3] == 1:
        for q in range(0, columns, ROW_COLUMNS):
            right = np.int64(weight.ctypes.data + q * apart)
            for r in range(rows):
                left = np.int64(wide.ctypes.data + r * wide.strides[0])
                target = np.int64(out.ctypes.data + r * stride + q * _ITEM)
                row_tile(weight, left, right, apart, columns - q, eights, target)
        return
    lanes, edge = np.empty(ROWS * COLUMNS * LANES, np.float64), np.empty((ROWS, COLUMNS), np.float32)
    for t in range(wide.shape[0]):
        p = t * ROWS
        for q in range(0, columns, COLUMNS):
            left = np.int64(wide.ctypes.data + t * wide.strides[0])
            right, there = np.int64(weight.ctypes.data + q * apart), columns - q
            room = np.int64(lanes.ctypes.data)
            if p + ROWS <= rows and there >= COLUMNS:
                target = np.int64(out.ctypes.data + p * stride + q * _ITEM)
                block_tile(weight, left, right, apart, there, eights, target, stride, room)
                continue
            target = np.int64(edge.ctypes.data)
            block_tile(weight, left, right, apart, there, eights, target, np.int64(edge.strides[0]), room)
            for r in range(min(ROWS, rows - p)):
                for c in range(min(COLUMNS, there)):
                    out[p + r, q + c] = edge[r, c]


@_parallel
def _product_kernel(x: Any, weight: Any, out: Any) -> None:
    rows, columns = out.shape
    wide = _room(rows, x.shape[1])
    height = wide.shape[3]
    for t in prange(len(wide)):
        _pack(x[t * height : (t + 1) * height], wide[t])
    blocks, tiles = (columns + _OUTPUTS - 1) // _OUTPUTS, _INPUTS // ROWS
    for i in prange(blocks * ((rows + _INPUTS - 1) // _INPUTS)):
        q, p = i % blocks * _OUTPUTS, i // blocks * _INPUTS
        some = wide[i // blocks * tiles : (i // blocks + 1) * tiles]
        _multiply(some, weight[q : q + _OUTPUTS], out[p : p + _INPUTS, q : q + _OUTPUTS])


_BITS = {torch.bfloat16: torch.int16, torch.float16: torch.uint16}


def _stored(weight: Tensor) -> Any:
    """A matrix as kernels take it: float32, or the bits of shorter numbers, whose type tells which they are."""
    if weight.dtype == torch.float16 and not HALVES:
        weight = weight.float()
    return weight.view(_BITS[weight.dtype]).numpy() if weight.dtype in _BITS else weight.numpy()


def filled(x: Tensor) -> Tensor:
    """A tensor whose last axis is a multiple of eight, with zeros behind it: lanes to which they add 0 stay."""
    x = x.detach()
    return functional.pad(x, (0, -x.shape[-1] % LANES)) if x.shape[-1] % LANES else x


def ordered_product(x: Tensor, weight: Tensor) -> Tensor:
    """See :func:`regrow.exact.definition.ordered_product`."""
    out = torch.empty((x.shape[0], weight.shape[0]), dtype=torch.float32)
    left, right = (filled(one).contiguous() for one in (x, weight))
    _product_kernel(left.numpy(), _stored(right), out.numpy())
    return out
