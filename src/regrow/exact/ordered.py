"""The sums of inference on CPUs: products of float32 added in float64, in eight lanes and so in one order.

A product of two float32 is exact in float64, so that fusing it with the addition changes nothing: each machine takes
the instructions it has. What `ordered` means is said in docs/arithmetic.md; the definition is in
:mod:`regrow.exact.definition`.

A weight is read once for a token, and memory is what that waits for. Many tokens are multiplied tile by tile, so that
what is loaded serves several sums, which stay in registers; what serves many is made float64 only once. Tiles change
the speed and never the bits.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from llvmlite import binding, ir
from numba import extending, prange, types
from numba.core import cgutils
from torch import Tensor

from regrow.exact.definition import LANES
from regrow.exact.kernel import kernel, shared_kernel
from regrow.exact.rows import exp, largest_number

_intrinsic: Any = extending.intrinsic
_alloca: Any = cgutils.alloca_once
_parallel: Any = shared_kernel
_helper: Any = kernel()

_BYTE, _INT, _LONG = ir.IntType(8), ir.IntType(32), ir.IntType(64)
_FLOAT, _DOUBLE = ir.FloatType(), ir.DoubleType()
_FLOATS, _DOUBLES = ir.VectorType(_FLOAT, LANES), ir.VectorType(_DOUBLE, LANES)
_ITEM, _WIDE_ITEM = 4, 8  # bytes of a float32 and a float64

_host: Any = binding
_WIDE = bool(_host.get_host_cpu_features().get("avx512f"))
# Sums of a tile, each of eight lanes: as many as registers hold, and enough that none waits for the one before.
_ROWS, _COLUMNS = (4, 4) if _WIDE else (2, 2)
_ROW_COLUMNS = 8 if _WIDE else 4  # of a tile of a single row
# What a thread takes at a time: rows of weights, and rows of the other operand, so that both stay in its cache.
_OUTPUTS = 32
_INPUTS = 64
_QUERIES = 48
_NARROW = 128  # columns of rows of which so many are in that cache as float64
# Of sums of values: rows of weights, and eight columns each.
_WEIGHTED, _EIGHTS = (4, 4) if _WIDE else (2, 2)


def _constant(value: int, of: Any = _LONG) -> Any:
    return ir.Constant(of, value)


def _load(builder: Any, of: Any, address: Any) -> Any:
    return builder.load(builder.inttoptr(address, of.as_pointer()), align=_ITEM)


def _fused(builder: Any, x: Any, y: Any, total: Any) -> Any:
    """``x * y + total``; the product is exact, so that it does not matter if it is rounded on its own."""
    name = f"llvm.fmuladd.v{LANES}f64"
    function = builder.module.globals.get(name) or ir.Function(
        builder.module, ir.FunctionType(_DOUBLES, [_DOUBLES] * 3), name
    )
    return builder.call(function, (x, y, total))


def _lanes(builder: Any, address: Any, count: Any = None) -> Any:
    """Eight float32 as float64; of ``count`` that there are only, the others being 0."""
    if count is None:
        return builder.fpext(_load(builder, _FLOATS, address), _DOUBLES)
    found = ir.Constant(_FLOATS, [0.0] * LANES)
    for lane in range(LANES - 1):
        there = builder.icmp_signed("<", _constant(lane), count)
        offset = builder.select(there, _constant(_ITEM * lane), _constant(0))
        value = builder.select(there, _load(builder, _FLOAT, builder.add(address, offset)), ir.Constant(_FLOAT, 0.0))
        found = builder.insert_element(found, value, _constant(lane, _INT))
    return builder.fpext(found, _DOUBLES)


def _joined(builder: Any, lanes: Any) -> Any:
    """The sum of the lanes, the upper half added to the lower one until one is left."""
    width = LANES
    while width > 1:
        width //= 2
        of = ir.VectorType(_INT, width)
        lower, upper = (
            builder.shuffle_vector(lanes, lanes, ir.Constant(of, list(range(start, start + width))))
            for start in (0, width)
        )
        lanes = builder.fadd(lower, upper)
    return builder.extract_element(lanes, _constant(0, _INT))


def _joined_by_eight(builder: Any, sums: list[Any]) -> Any:
    """The same of eight at once."""
    width = LANES
    while len(sums) > 1:
        # What is left of each lies one behind the other: the first halves of these, and the second ones.
        places = [
            [LANES * vector + part + lane for vector in range(2) for part in range(0, LANES, width) for lane in half]
            for half in (range(width // 2), range(width // 2, width))
        ]
        pairs = zip(sums[::2], sums[1::2], strict=True)
        sums = [builder.fadd(*(_shuffled(builder, x, y, numbers) for numbers in places)) for x, y in pairs]
        width //= 2
    return sums[0]


def _shuffled(builder: Any, x: Any, y: Any, places: list[int]) -> Any:
    return builder.shuffle_vector(x, y, ir.Constant(ir.VectorType(_INT, len(places)), places))


def _function(title: str, write: Any, count: int) -> Any:
    """An intrinsic of so many int64. It calls a function, as its instructions are many, and used at several places."""

    def generate(context: Any, builder: Any, _signature: Any, values: Any) -> Any:
        name = f"regrow.ordered.{title}"
        function = builder.module.globals.get(name)
        if function is None:
            function = ir.Function(builder.module, ir.FunctionType(ir.VoidType(), [_LONG] * count), name)
            function.linkage = "internal"
            function.attributes.add("noinline")
            inside = ir.IRBuilder(function.append_basic_block("entry"))
            write(inside, *function.args)
            inside.ret_void()
        builder.call(function, values)
        return context.get_dummy_value()

    return types.void(*[types.int64] * count), generate


def _narrow_tile(_typing: Any, a: Any, b: Any, c: Any, d: Any, e: Any, f: Any, g: Any) -> Any:
    """An intrinsic that writes ``_ROWS`` x ``_COLUMNS`` sums of products of float64.

    Its arguments are int64, addresses and strides in bytes: of the left operand, and how far apart its rows are; the
    same of the right one; the depth, in eights; of the result, and how far apart its rows are.
    """

    def write(builder: Any, *given: Any) -> None:
        left, left_stride, right, right_stride, eights, out, out_stride = given
        ours = [builder.add(left, builder.mul(left_stride, _constant(row))) for row in range(_ROWS)]
        theirs = [builder.add(right, builder.mul(right_stride, _constant(row))) for row in range(_COLUMNS)]
        sums = [[_alloca(builder, _DOUBLES) for _ in theirs] for _ in ours]
        for total in (total for row in sums for total in row):
            builder.store(ir.Constant(_DOUBLES, [0.0] * LANES), total)
        with cgutils.for_range(builder, eights) as loop:
            place = builder.mul(loop.index, _constant(LANES * _WIDE_ITEM))
            values = [_load(builder, _DOUBLES, builder.add(base, place)) for base in ours]
            for column, base in enumerate(theirs):
                other = _load(builder, _DOUBLES, builder.add(base, place))
                for value, row in zip(values, sums, strict=True):
                    builder.store(_fused(builder, value, other, builder.load(row[column])), row[column])
        flat = [builder.load(total) for row in sums for total in row]
        flat += [flat[0]] * (-len(flat) % LANES)
        found = [_joined_by_eight(builder, flat[start : start + LANES]) for start in range(0, len(flat), LANES)]
        for number in range(_ROWS):
            start = number * _COLUMNS
            joined = found[start // LANES]
            value = _shuffled(builder, joined, joined, [start % LANES + column for column in range(_COLUMNS)])
            value = builder.fptrunc(value, ir.VectorType(_FLOAT, _COLUMNS))
            address = builder.add(out, builder.mul(out_stride, _constant(number)))
            builder.store(value, builder.inttoptr(address, value.type.as_pointer()), align=_ITEM)

    return _function("narrow", write, 7)


_narrow: Any = _intrinsic(_narrow_tile)


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
            factor = builder.add(factors, builder.mul(loop.index, _constant(LANES * _WIDE_ITEM)))
            values = [_lanes(builder, builder.add(row, _constant(LANES * _ITEM * eight))) for eight in range(_EIGHTS)]
            for number, totals in enumerate(sums):
                address = builder.add(factor, builder.mul(apart, _constant(number)))
                one = builder.insert_element(
                    ir.Constant(_DOUBLES, ir.Undefined), _load(builder, _DOUBLE, address), _constant(0, _INT)
                )
                weight = _shuffled(builder, one, one, [0] * LANES)
                for value, total in zip(values, totals, strict=True):
                    builder.store(_fused(builder, weight, value, builder.load(total)), total)
        for number, totals in enumerate(sums):
            place = builder.add(out, builder.mul(out_stride, _constant(number)))
            for eight, total in enumerate(totals):
                address = builder.add(place, _constant(LANES * _WIDE_ITEM * eight))
                builder.store(builder.load(total), builder.inttoptr(address, _DOUBLES.as_pointer()), align=_ITEM)

    return _function("weighted", write, 7)


_sums_of_rows: Any = _intrinsic(_weighted_tile)


def _tile(name: str, rows: int, columns: int) -> Any:
    """An intrinsic that writes ``rows`` x ``columns`` sums of products of float32.

    Its arguments are int64, addresses and strides in bytes: of the left operand, how far apart its rows are and how
    many there are; the same of the right one; the depth; of the result, and how far apart its rows are. For rows that
    are not there, the last one is read, and nothing is written.
    """

    def write(builder: Any, *given: Any) -> None:
        left, left_stride, left_count, right, right_stride, right_count, depth, out, out_stride = given
        ours = _rows(builder, left, left_stride, left_count, rows)
        theirs = _rows(builder, right, right_stride, right_count, columns)
        sums = [[_alloca(builder, _DOUBLES) for _ in theirs] for _ in ours]
        for total in (total for row in sums for total in row):
            builder.store(ir.Constant(_DOUBLES, [0.0] * LANES), total)

        def add(place: Any, count: Any = None) -> None:
            values = [_lanes(builder, builder.add(base, place), count) for base in ours]
            for column, base in enumerate(theirs):
                other = _lanes(builder, builder.add(base, place), count)
                for value, row in zip(values, sums, strict=True):
                    builder.store(_fused(builder, value, other, builder.load(row[column])), row[column])

        with cgutils.for_range(builder, builder.sdiv(depth, _constant(LANES))) as loop:
            add(builder.mul(loop.index, _constant(LANES * _ITEM)))
        rest = builder.srem(depth, _constant(LANES))
        with builder.if_then(builder.icmp_signed(">", rest, _constant(0))):
            add(builder.mul(builder.sub(depth, rest), _constant(_ITEM)), rest)
        for i, row in enumerate(sums):
            for j, total in enumerate(row):
                there = (
                    builder.icmp_signed("<", _constant(n), count) for n, count in ((i, left_count), (j, right_count))
                )
                with builder.if_then(builder.and_(*there)):
                    place = builder.add(builder.mul(out_stride, _constant(i)), _constant(_ITEM * j))
                    value = builder.fptrunc(_joined(builder, builder.load(total)), _FLOAT)
                    builder.store(value, builder.inttoptr(builder.add(out, place), _FLOAT.as_pointer()), align=_ITEM)

    def typed(_typing: Any, a: Any, b: Any, c: Any, d: Any, e: Any, f: Any, g: Any, h: Any, i: Any) -> Any:
        return _function(name, write, 9)

    return _intrinsic(typed)


def _rows(builder: Any, base: Any, stride: Any, there: Any, count: int) -> list[Any]:
    """The addresses of some rows, those that are not there being the last one's."""
    last = builder.sub(there, _constant(1))
    numbers = (builder.select(builder.icmp_signed("<", _constant(n), there), _constant(n), last) for n in range(count))
    return [builder.add(base, builder.mul(stride, number)) for number in numbers]


_row_tile: Any = _tile("row", 1, _ROW_COLUMNS)
_block_tile: Any = _tile("block", _ROWS, _COLUMNS)


@_helper
def _multiply(x: Any, weight: Any, out: Any) -> None:
    """The ordered products of rows ``(P, K)`` and rows ``(Q, K)``, float32 ``(P, Q)``; columns are dense in each."""
    rows, columns, depth = x.shape[0], weight.shape[0], x.shape[1]
    left, right, result = x.ctypes.data, weight.ctypes.data, out.ctypes.data
    step, apart, stride = x.strides[0], weight.strides[0], out.strides[0]
    if rows == 1:
        for q in range(0, columns, _ROW_COLUMNS):
            other, target = np.int64(right + q * apart), np.int64(result + q * _ITEM)
            _row_tile(np.int64(left), step, 1, other, apart, columns - q, depth, target, stride)
        return
    if rows > _ROWS and depth <= _NARROW:
        _multiply_narrow(x, weight, out)
        return
    for q in range(0, columns, _COLUMNS):
        for p in range(0, rows, _ROWS):
            one, other = np.int64(left + p * step), np.int64(right + q * apart)
            target = np.int64(result + p * stride + q * _ITEM)
            _block_tile(one, step, rows - p, other, apart, columns - q, depth, target, stride)


@_helper
def _widen(x: Any, wide: Any) -> None:
    """Rows as float64, with zeros behind them."""
    for r in range(x.shape[0]):
        for c in range(x.shape[1]):
            wide[r, c] = np.float64(x[r, c])
        wide[r, x.shape[1] :] = 0.0


@_helper
def _multiply_narrow(x: Any, weight: Any, out: Any) -> None:
    """The same of rows so short that some are in the first-level cache as float64, which they are made only once."""
    rows, columns, depth = x.shape[0], weight.shape[0], x.shape[1]
    eights = (depth + LANES - 1) // LANES
    left = np.empty(((rows + _ROWS - 1) // _ROWS * _ROWS, eights * LANES), np.float64)
    right = np.empty((_OUTPUTS, eights * LANES), np.float64)
    room = np.empty((_ROWS, _COLUMNS), np.float32)
    _widen(x, left)
    left[rows:], right[:] = 0.0, 0.0
    apart = np.int64(left.strides[0])
    for start in range(0, columns, _OUTPUTS):
        stop = min(columns, start + _OUTPUTS)
        _widen(weight[start:stop], right)
        for q in range(start, stop, _COLUMNS):
            other = np.int64(right.ctypes.data + (q - start) * apart)
            for p in range(0, rows, _ROWS):
                one = np.int64(left.ctypes.data + p * apart)
                if p + _ROWS <= rows and q + _COLUMNS <= columns:
                    target = np.int64(out.ctypes.data + p * out.strides[0] + q * _ITEM)
                    _narrow(one, apart, other, apart, eights, target, np.int64(out.strides[0]))
                    continue
                _narrow(one, apart, other, apart, eights, np.int64(room.ctypes.data), np.int64(room.strides[0]))
                for r in range(p, min(rows, p + _ROWS)):
                    for c in range(q, min(columns, q + _COLUMNS)):
                        out[r, c] = room[r - p, c - q]


@_parallel
def _product_kernel(x: Any, weight: Any, out: Any) -> None:
    rows, columns = out.shape
    blocks = (columns + _OUTPUTS - 1) // _OUTPUTS
    for i in prange(blocks * ((rows + _INPUTS - 1) // _INPUTS)):
        q, p = i % blocks * _OUTPUTS, i // blocks * _INPUTS
        _multiply(x[p : p + _INPUTS], weight[q : q + _OUTPUTS], out[p : p + _INPUTS, q : q + _OUTPUTS])


def ordered_product(x: Tensor, weight: Tensor) -> Tensor:
    """See :func:`regrow.exact.definition.ordered_product`."""
    out = torch.empty((x.shape[0], weight.shape[0]), dtype=torch.float32)
    _product_kernel(*(array.detach().contiguous().numpy() for array in (x, weight)), out.numpy())
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
    """Attention of the rows of some positions, ``share`` of each, the first of which is ``first``."""
    rows, width = q.shape
    keys = first + (rows - 1) // share + 1
    scores, weights = np.empty((rows, keys), np.float32), np.zeros((_WEIGHTED, keys), np.float64)
    sums, total = np.empty((_WEIGHTED, LANES, width), np.float64), np.empty(LANES, np.float64)
    denominators = np.empty(_WEIGHTED, np.float64)
    _multiply(q, k[:keys], scores)
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
    arrays = (q.contiguous().numpy(), _dense(k).numpy(), _dense(v).numpy())
    _attention_kernel(*arrays, first, share, np.float32(scale), out.numpy())
    return out


def _dense(x: Tensor) -> Tensor:
    """``x`` with its last axis dense; the others may have any strides."""
    return x if x.stride(2) == 1 else x.contiguous()
