"""Attention of inference on CPUs, its sums those of :mod:`regrow.exact.ordered`; see docs/arithmetic.md.

Eight keys are turned at a time, so that a register holds the same entry of each: their products with queries are then
sums of eight lanes that lie in registers of their own, and nothing of a register is to be added up. Rows of queries are
taken together so that what is loaded, and made float64, serves several.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
import torch
from llvmlite import ir
from numba import prange
from torch import Tensor

from regrow.exact.definition import LANES
from regrow.exact.kernel import floats_at, kernel, shared_kernel
from regrow.exact.microkernels import emission as emit
from regrow.exact.ordered import filled
from regrow.exact.ordered_tiles import WIDE, bases, fused, numbers
from regrow.exact.rows import exp, largest_number
from regrow.exact.threads import THREADS

_numba: Any = numba
_parallel: Any = shared_kernel
_helper: Any = kernel()

_ITEM, _WIDE_ITEM = 4, 8  # bytes of a float32 and a float64
_FLOATS, _DOUBLES = (ir.VectorType(of, LANES) for of in (ir.FloatType(), ir.DoubleType()))
_ZEROS = ir.Constant(_DOUBLES, [0.0] * LANES)

_ROWS = 8 if WIDE else 4
"""Of a tile: as many sums as registers hold beside what they are made of, and enough that none waits for another."""
_QUERIES = 48  # rows that a thread takes at a time, so that they stay in its cache
_ORDER = ((0, 4), (2, 6)), ((1, 5), (3, 7))  # in which lanes are added up


def _turned(builder: Any, rows: list[Any]) -> list[Any]:
    """Columns of as many rows as there are entries in each."""
    for apart in (4, 2, 1):
        for first in (row for row in range(LANES) if not row & apart):
            x, y = rows[first], rows[first + apart]
            upper = [LANES + place - apart if place & apart else place for place in range(LANES)]
            lower = [LANES + place if place & apart else place + apart for place in range(LANES)]
            rows[first], rows[first + apart] = (emit.shuffle(builder, x, y, places) for places in (upper, lower))
    return rows


def _add_lane(builder: Any, eights: Any, keys: Any, queries: Any) -> list[Any]:
    """The sums of one lane: of eight keys, for the rows of a tile."""
    sums = [emit.alloca(builder, _DOUBLES) for _ in range(_ROWS)]
    for total in sums:
        builder.store(_ZEROS, total)
    with emit.for_range(builder, eights) as loop:
        key = emit.load(builder, _DOUBLES, builder.add(keys, emit.times(builder, loop.index, LANES * _WIDE_ITEM)))
        place = builder.add(queries, emit.times(builder, loop.index, _ROWS * _WIDE_ITEM))
        for row, total in enumerate(sums):
            one = emit.load(builder, ir.DoubleType(), emit.offset(builder, place, row * _WIDE_ITEM))
            query = emit.broadcast(builder, one, LANES)
            builder.store(fused(builder, query, key, builder.load(total)), total)
    return [builder.load(total) for total in sums]


def _scored(_typing: Any, a: Any, b: Any, c: Any, d: Any, e: Any, f: Any, g: Any, h: Any, i: Any) -> Any:
    """See :data:`_products`."""

    def write(builder: Any, *given: Any) -> None:
        keys, stride, there, queries, tiles, eights, room, out, out_stride = given
        rows = bases(builder, keys, stride, there, LANES)
        with emit.for_range(builder, eights) as loop:
            place = emit.times(builder, loop.index, LANES * _ITEM)
            found = _turned(builder, [emit.load(builder, _FLOATS, builder.add(row, place)) for row in rows])
            for lane, column in enumerate(found):
                number = builder.add(emit.times(builder, eights, lane), loop.index)
                target = builder.add(room, emit.times(builder, number, LANES * _WIDE_ITEM))
                emit.store(builder, builder.fpext(column, _DOUBLES), target)
        with emit.for_range(builder, tiles) as tile:
            first = builder.mul(emit.times(builder, tile.index, LANES * _ROWS * _WIDE_ITEM), eights)

            def lane_sums(lane: int) -> list[Any]:
                number = emit.times(builder, eights, lane)
                theirs = builder.add(room, emit.times(builder, number, LANES * _WIDE_ITEM))
                own = builder.add(queries, builder.add(first, emit.times(builder, number, _ROWS * _WIDE_ITEM)))
                return _add_lane(builder, eights, theirs, own)

            def added(of: Any) -> list[Any]:
                if isinstance(of, int):
                    return lane_sums(of)
                pair = [added(one) for one in of]
                return [builder.fadd(x, y) for x, y in zip(*pair, strict=True)]

            for row, total in enumerate(added(_ORDER)):
                number = emit.offset(builder, emit.times(builder, tile.index, _ROWS), row)
                target = builder.add(out, builder.mul(out_stride, number))
                emit.store(builder, builder.fptrunc(total, _FLOATS), target)

    return emit.writes(write, *[emit.A] * 9, title="ordered.scores")


_products: Any = emit.intrinsic(_scored)
"""Writes the products of eight keys with all rows of queries.

Its arguments are int64: the address of the first key, how many bytes apart keys are, and how many there are, of which
the last stands for those that are not; the address of the queries, how many tiles of them there are, and the depth, in
eights; the address of room for the keys; where the products of the first row go to, and how many bytes apart rows are.
"""


def _weighted(_typing: Any, a: Any, b: Any, c: Any, d: Any, e: Any, f: Any, g: Any) -> Any:
    """See :data:`_sums_of_values`."""

    def write(builder: Any, *given: Any) -> None:
        factors, apart, rows, stride, count, out, out_stride = given
        sums = [emit.alloca(builder, _DOUBLES) for _ in range(_ROWS)]
        for total in sums:
            builder.store(_ZEROS, total)
        with emit.for_range(builder, count) as loop:
            value = numbers(builder, "float32", builder.add(rows, builder.mul(loop.index, stride)), LANES)
            factor = builder.add(factors, emit.times(builder, loop.index, LANES * _WIDE_ITEM))
            for row, total in enumerate(sums):
                one = emit.load(builder, ir.DoubleType(), emit.row(builder, factor, apart, row))
                weight = emit.broadcast(builder, one, LANES)
                builder.store(fused(builder, weight, value, builder.load(total)), total)
        for row, total in enumerate(sums):
            emit.store(builder, builder.load(total), emit.row(builder, out, out_stride, row))

    return emit.writes(write, *[emit.A] * 7, title="ordered.weighted")


_sums_of_values: Any = emit.intrinsic(_weighted)
"""Writes eight columns of sums of rows of float32, each times a float64, for the rows of a tile.

Its arguments are int64, addresses and strides in bytes: of the factors, which lie eight apart, and how far apart those
of two sums are; of the rows, and how far apart they are; how many; of the sums, and how far apart they are.
"""


@_helper
def _packed(q: Any) -> Any:
    """Queries as tiles read them, ``(tiles, lanes, eights, rows)``; 0 for those that are not there."""
    rows, eights = q.shape[0], q.shape[1] // LANES
    found = np.zeros(((rows + _ROWS - 1) // _ROWS, LANES, eights, _ROWS), np.float64)
    for r in range(rows):
        for e in range(eights):
            for lane in range(LANES):
                found[r // _ROWS, lane, e, r % _ROWS] = np.float64(q[r, e * LANES + lane])
    return found


@_helper
def _scores(q: Any, keys: int, count: int) -> Any:
    """Products of rows with so many keys from an address on, float32; those behind the last are of no use."""
    wide = _packed(q)
    tiles, _, eights, _ = wide.shape
    found, room = (
        np.empty((tiles * _ROWS, (count + LANES - 1) // LANES * LANES), np.float32),
        np.empty(q.shape[1] * LANES),
    )
    stride = q.shape[1] * _ITEM
    for first in range(0, count, LANES):
        place, target = np.int64(keys + first * stride), np.int64(found.ctypes.data + first * _ITEM)
        _products(
            place, np.int64(stride), np.int64(count - first), np.int64(wide.ctypes.data), np.int64(tiles),
            np.int64(eights), np.int64(room.ctypes.data), target, np.int64(found.strides[0]),
        )  # fmt: skip
    return found


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
def _add_weighted(numerators: Any, values: Any, begin: int, stop: int, sums: Any) -> None:
    """Add values ``begin`` to ``stop`` times their numerators to their lanes of ``sums``: float64 ``(8, D)``."""
    # Exact products, which may be fused with the additions; nothing else may.
    for t in range(begin, stop):
        weight, lane = numerators[t], t % LANES
        for c in range(values.shape[1]):
            sums[lane, c] += weight * np.float64(values[t, c])


@_helper
def _weigh(numerators: Any, values: Any, count: int, sums: Any) -> Any:
    """The same of a tile's rows, for the first values; how many these are: none if they are no whole registers wide."""
    width = values.shape[1]
    if width % LANES:
        sums[:] = 0.0
        return 0
    apart, stride, out = np.int64(numerators.strides[0]), np.int64(values.strides[0]), np.int64(sums.strides[0])
    for lane in range(LANES):
        some = np.int64((count - lane + LANES - 1) // LANES)
        for c in range(0, width, LANES):
            factors = np.int64(numerators.ctypes.data + lane * _WIDE_ITEM)
            rows = np.int64(values.ctypes.data + lane * stride + c * _ITEM)
            target = np.int64(sums.ctypes.data + lane * sums.strides[1] + c * _WIDE_ITEM)
            _sums_of_values(factors, apart, rows, stride * LANES, some, target, out)
    return count


@_helper
def attend(q: Any, keys: int, values: int, first: int, share: int, scale: Any, out: Any) -> None:
    """Attention of the rows of some positions, ``share`` of each, the first of which is ``first``.

    Keys and values are addresses of float32, as dense rows as wide as ``q``, a multiple of eight, and as ``out``.
    """
    rows, width = q.shape[0], out.shape[1]
    count = first + (rows - 1) // share + 1
    scores, v = _scores(q, keys, count), _numba.carray(floats_at(values), (count, width))
    weights, sums = np.zeros((_ROWS, count), np.float64), np.empty((_ROWS, LANES, width), np.float64)
    total, denominators = np.empty(LANES, np.float64), np.empty(_ROWS, np.float64)
    for begin in range(0, rows, _ROWS):
        some = min(_ROWS, rows - begin)
        for r in range(some):
            seen = first + (begin + r) // share + 1
            row = scores[begin + r, :seen]
            denominators[r] = _numerators(row, scale, total)
            for t in range(seen):
                weights[r, t] = np.float64(row[t])
        # All of these rows see what the first of them does.
        done = _weigh(weights, v, first + begin // share + 1, sums)
        for r in range(some):
            _add_weighted(weights[r], v, done, first + (begin + r) // share + 1, sums[r])
            for c in range(width):
                lower = (sums[r, 0, c] + sums[r, 4, c]) + (sums[r, 2, c] + sums[r, 6, c])
                upper = (sums[r, 1, c] + sums[r, 5, c]) + (sums[r, 3, c] + sums[r, 7, c])
                out[begin + r, c] = np.float32((lower + upper) / denominators[r])


@_helper
def folded(number: int, count: int) -> int:
    """Numbers from both ends in turn: threads get neighbours, and positions have the more to do the later they are."""
    return count - 1 - number // 2 if number % 2 else number // 2


@_parallel
def _attention_kernel(q: Any, held: Any, first: int, share: int, scale: Any, out: Any) -> None:
    groups, rows, _ = q.shape
    positions = max(1, _QUERIES // share)
    blocks = (rows // share + positions - 1) // positions
    for i in prange(groups * blocks):
        g, start = i % groups, folded(i // groups, blocks) * positions
        stop = min(rows, (start + positions) * share)
        some = slice(start * share, stop)
        attend(q[g, some], held[g, 0], held[g, 1], first + start, share, scale, out[g, some])


def ordered_attention(q: Tensor, k: Tensor, v: Tensor, first: int, share: int, scale: float) -> Tensor:
    """See :func:`regrow.exact.definition.ordered_attention`."""
    out = torch.empty(q.shape, dtype=torch.float32)
    q, k, v = filled(q).contiguous(), _dense(filled(k)), _dense(v)
    held = np.array([(keys.data_ptr(), values.data_ptr()) for keys, values in zip(k, v, strict=True)], np.int64)
    threads = THREADS.worth(k.nbytes + v.nbytes)
    _attention_kernel(q.numpy(), held, first, share, np.float32(scale), out.numpy(), threads=threads)
    return out


def _dense(x: Tensor) -> Tensor:
    """``x`` with the rows of each group dense; groups may be any distance apart, as they are in a cache."""
    return x if x.stride()[1:] == (x.shape[2], 1) else x.contiguous()
