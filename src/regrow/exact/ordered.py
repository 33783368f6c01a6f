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
from llvmlite import ir
from numba import extending, prange
from numba.core import cgutils
from torch import Tensor
from torch.nn import functional

from regrow.exact.definition import LANES
from regrow.exact.kernel import kernel, shared_kernel
from regrow.exact.microkernels import emission as emit
from regrow.exact.ordered_tiles import (
    COLUMNS,
    HALVES,
    PARTS,
    ROW_COLUMNS,
    ROWS,
    WIDE,
    WIDTH,
    block_tile,
    fused,
    numbers,
    row_tile,
)
from regrow.exact.rows import exp, largest_number

_intrinsic: Any = extending.intrinsic
_alloca: Any = cgutils.alloca_once
_parallel: Any = shared_kernel
_helper: Any = kernel()

_DOUBLE = ir.DoubleType()
_DOUBLES = ir.VectorType(_DOUBLE, LANES)
_ITEM, _WIDE_ITEM = 4, 8  # bytes of a float32 and a float64

# What a thread takes at a time: rows of weights, and rows of the other operand, so that both stay in its cache.
_OUTPUTS = 48
_INPUTS = 64
_FEW = 2  # rows that are multiplied one by one, since a tile would be half empty
_QUERIES = 48
# Of sums of values: rows of weights, and eight columns each.
_WEIGHTED, _EIGHTS = (4, 4) if WIDE else (2, 2)


def _weighted_tile(_typing: Any, a: Any, b: Any, c: Any, d: Any, e: Any, f: Any, g: Any) -> Any:
    """An intrinsic that writes sums of rows of float32, each times a float64: ``_WEIGHTED`` of ``8 _EIGHTS`` columns.

    Its arguments are int64, addresses and strides in bytes: of the factors, which lie eight apart, and how far apart
    those of two sums are; of the rows, and how far apart they are; how many; of the sums, and how far apart they are.
    """

    def write(builder: Any, *given: Any) -> None:
        factors, apart, rows, stride, count, out, out_stride = given
        sums = [[_alloca(builder, _DOUBLES) for _ in range(_EIGHTS)] for _ in range(_WEIGHTED)]
        for total in (total for row in sums for total in row):
            builder.store(ir.Constant(_DOUBLES, [0.0] * LANES), total)
        with cgutils.for_range(builder, count) as loop:
            row = builder.add(rows, builder.mul(loop.index, stride))
            factor = builder.add(factors, builder.mul(loop.index, emit.constant(LANES * _WIDE_ITEM)))
            places = [emit.offset(builder, row, LANES * _ITEM * eight) for eight in range(_EIGHTS)]
            values = [numbers(builder, "float32", place, LANES) for place in places]
            for number, totals in enumerate(sums):
                address = builder.add(factor, builder.mul(apart, emit.constant(number)))
                weight = emit.broadcast(builder, emit.load(builder, _DOUBLE, address), LANES)
                for value, total in zip(values, totals, strict=True):
                    builder.store(fused(builder, weight, value, builder.load(total)), total)
        for number, totals in enumerate(sums):
            place = builder.add(out, builder.mul(out_stride, emit.constant(number)))
            for eight, total in enumerate(totals):
                address = builder.add(place, emit.constant(LANES * _WIDE_ITEM * eight))
                builder.store(builder.load(total), builder.inttoptr(address, _DOUBLES.as_pointer()), align=_ITEM)

    return emit.writes(write, *[emit.A] * 7, title="ordered.weighted")


_sums_of_rows: Any = _intrinsic(_weighted_tile)


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


def _filled(x: Tensor) -> Tensor:
    """A tensor whose last axis is a multiple of eight, with zeros behind it: lanes to which they add 0 stay."""
    x = x.detach()
    return functional.pad(x, (0, -x.shape[-1] % LANES)) if x.shape[-1] % LANES else x


def ordered_product(x: Tensor, weight: Tensor) -> Tensor:
    """See :func:`regrow.exact.definition.ordered_product`."""
    out = torch.empty((x.shape[0], weight.shape[0]), dtype=torch.float32)
    left, right = (_filled(one).contiguous() for one in (x, weight))
    _product_kernel(left.numpy(), _stored(right), out.numpy())
    return out


@_helper
def _numerators(scores: Any, scale: Any, total: Any) -> Any:
    """Softmax's numerators in the place of the products, and their sum; ``total`` is room for its lanes."""
    for c in range(scores.shape[0]):
        scores[c] = scores[c] * scale
    largest = largest_number(scores)
    for c in range(scores.shape[0]):
        scores[c] = exp(scores[c] - largest)
    total[:] = 0.0
    whole = scores.shape[0] // LANES * LANES
    for c in range(0, whole, LANES):
        for lane in range(LANES):
            total[lane] += np.float64(scores[c + lane])
    for c in range(whole, scores.shape[0]):
        total[c - whole] += np.float64(scores[c])
    found = ((total[0] + total[4]) + (total[2] + total[6])) + ((total[1] + total[5]) + (total[3] + total[7]))
    return found if np.isfinite(largest) else np.nan


@kernel(fastmath={"contract"})
def _add_weighted(numerators: Any, values: Any, begin: int, sums: Any) -> None:
    """Add the values from ``begin`` on, times their numerators, to their lanes of ``sums``: float64 ``(8, D)``."""
    # Exact products, which may be fused with the additions; nothing else may.
    for t in range(begin, values.shape[0]):
        weight, lane = numerators[t], t % LANES
        for c in range(values.shape[1]):
            sums[lane, c] += weight * np.float64(values[t, c])


@_helper
def _weigh(numerators: Any, values: Any, sums: Any) -> Any:
    """The same of some rows of numerators, for the values up to the one that is given; how many these are."""
    span, count = 8 * _EIGHTS, values.shape[0]
    width = values.shape[1] // span * span
    if width < values.shape[1]:
        sums[:] = 0.0
        return 0
    apart, stride = np.int64(numerators.strides[0]), np.int64(values.strides[0])
    for lane in range(LANES):
        some = np.int64((count - lane + LANES - 1) // LANES)
        for c in range(0, width, span):
            factors = np.int64(numerators.ctypes.data + lane * _WIDE_ITEM)
            rows = np.int64(values.ctypes.data + lane * stride + c * _ITEM)
            target = np.int64(sums.ctypes.data + lane * sums.strides[1] + c * _WIDE_ITEM)
            _sums_of_rows(factors, apart, rows, stride * LANES, some, target, np.int64(sums.strides[0]))
    return count


@_helper
def attend(q: Any, k: Any, v: Any, first: int, share: int, scale: Any, out: Any) -> None:
    """Attention of the rows of some positions, ``share`` of each, the first of which is ``first``.

    Queries and keys are a multiple of eight wide.
    """
    rows, width = q.shape[0], v.shape[1]
    keys = first + (rows - 1) // share + 1
    scores, weights = np.empty((rows, keys), np.float32), np.zeros((_WEIGHTED, keys), np.float64)
    sums, total = np.empty((_WEIGHTED, LANES, width), np.float64), np.empty(LANES, np.float64)
    denominators = np.empty(_WEIGHTED, np.float64)
    wide = _room(rows, q.shape[1])
    height = wide.shape[3]
    for t in range(len(wide)):
        _pack(q[t * height : (t + 1) * height], wide[t])
    _multiply(wide, k[:keys], scores)
    for begin in range(0, rows, _WEIGHTED):
        some = min(_WEIGHTED, rows - begin)
        for r in range(some):
            seen = first + (begin + r) // share + 1
            row = scores[begin + r, :seen]
            denominators[r] = _numerators(row, scale, total)
            for t in range(seen):
                weights[r, t] = np.float64(row[t])
        # All of these rows see what the first of them does.
        done = _weigh(weights, v[: first + begin // share + 1], sums)
        for r in range(some):
            _add_weighted(weights[r], v[: first + (begin + r) // share + 1], done, sums[r])
            for c in range(width):
                lower = (sums[r, 0, c] + sums[r, 4, c]) + (sums[r, 2, c] + sums[r, 6, c])
                upper = (sums[r, 1, c] + sums[r, 5, c]) + (sums[r, 3, c] + sums[r, 7, c])
                out[begin + r, c] = np.float32((lower + upper) / denominators[r])


@_parallel
def _attention_kernel(q: Any, k: Any, v: Any, first: int, share: int, scale: Any, out: Any) -> None:
    groups, rows, _ = q.shape
    positions = max(1, _QUERIES // share)
    blocks = (rows // share + positions - 1) // positions
    for i in prange(groups * blocks):
        g, start = i % groups, i // groups * positions
        stop = min(rows, (start + positions) * share)
        some = slice(start * share, stop)
        attend(q[g, some], k[g], v[g], first + start, share, scale, out[g, some])


def ordered_attention(q: Tensor, k: Tensor, v: Tensor, first: int, share: int, scale: float) -> Tensor:
    """See :func:`regrow.exact.definition.ordered_attention`."""
    out = torch.empty(q.shape, dtype=torch.float32)
    arrays = (_filled(q).contiguous().numpy(), _dense(_filled(k)).numpy(), _dense(v).numpy())
    _attention_kernel(*arrays, first, share, np.float32(scale), out.numpy())
    return out


def _dense(x: Tensor) -> Tensor:
    """``x`` with its last axis dense; the others may have any strides."""
    return x if x.stride(2) == 1 else x.contiguous()
