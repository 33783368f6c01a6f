"""Tiles of ordered products, in a processor's instructions: rows of float64 times rows of a matrix as it is stored.

The rows are packed first, so that a tile reads them one behind the other: ``(tiles, parts, eights, rows, lanes)``, the
eight lanes of a sum in as many parts as they take registers, so that the sums of a part stay in registers. A single row
is a tile of its own, with all eight lanes in one part. Of a matrix float32, bfloat16 and float16 become float64 on the
way, which has them all, so that it does not matter what a matrix is stored as.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types

from regrow.exact.definition import LANES
from regrow.exact.microkernels import emission as emit
from regrow.exact.microkernels.processor import ARM, features

WIDE = "avx512f" in features()
HALVES = ARM.here or "f16c" in features()
"""Whether this processor makes float16 numbers wider; where it does not, nobody here does so number by number."""

# As many sums as registers hold beside what they are made of, and enough that none waits for the one before.
WIDTH = LANES if WIDE else 2 if ARM.here else 4
"""Lanes of a part of a tile."""
ROWS = 4
"""Of a tile, of the operand that is packed."""
COLUMNS = 6 if WIDE else 4 if ARM.here else 3
"""Of a tile: rows of the matrix."""
ROW_COLUMNS = 8 if WIDE else 4
"""Of a tile of a single row."""
PARTS = LANES // WIDTH
"""Of a tile."""

_ITEM, _WIDE_ITEM = 4, 8
_FLOAT, _DOUBLE, _HALF = ir.FloatType(), ir.DoubleType(), ir.HalfType()
_EIGHT = ir.VectorType(_DOUBLE, LANES)


def numbers(builder: Any, kind: str, address: Any, count: int) -> Any:
    """So many numbers as float64; they are stored as float32, or as an integer with the bits of a shorter number."""
    if kind == "float32":
        found = emit.load(builder, ir.VectorType(_FLOAT, count), address)
    elif kind == "bfloat16":
        short = emit.load(builder, ir.VectorType(emit.SHORT, count), address)
        bits = builder.zext(short, ir.VectorType(emit.INT, count))
        found = builder.bitcast(builder.shl(bits, emit.constants(16, bits.type)), ir.VectorType(_FLOAT, count))
    else:
        found = builder.fpext(emit.load(builder, ir.VectorType(_HALF, count), address), ir.VectorType(_FLOAT, count))
    return builder.fpext(found, ir.VectorType(_DOUBLE, count))


def fused(builder: Any, x: Any, y: Any, total: Any) -> Any:
    """``x * y + total``; the product is exact, so that it does not matter if it is rounded on its own."""
    return emit.call(builder, f"llvm.fmuladd.v{x.type.count}f64", x, y, total, gives=x.type)


def joined(builder: Any, sums: list[Any]) -> Any:
    """The sums of eight times eight lanes, the upper half added to the lower one until one is left, as eight."""
    width = LANES
    while len(sums) > 1:
        # What is left of each lies one behind the other: the first halves of these, and the second ones.
        places = [
            [LANES * vector + part + lane for vector in range(2) for part in range(0, LANES, width) for lane in half]
            for half in (range(width // 2), range(width // 2, width))
        ]
        pairs = zip(sums[::2], sums[1::2], strict=True)
        sums = [builder.fadd(*(emit.shuffle(builder, x, y, one) for one in places)) for x, y in pairs]
        width //= 2
    return sums[0]


def _all_joined(builder: Any, sums: list[Any]) -> list[Any]:
    """The sums of any number of times eight lanes, as float32."""
    sums = sums + [sums[0]] * (-len(sums) % LANES)
    each = (joined(builder, sums[start : start + LANES]) for start in range(0, len(sums), LANES))
    vectors = [builder.fptrunc(one, ir.VectorType(_FLOAT, LANES)) for one in each]
    return [builder.extract_element(one, emit.constant(lane, emit.INT)) for one in vectors for lane in range(LANES)]


def bases(builder: Any, base: Any, stride: Any, there: Any, count: int) -> list[Any]:
    """The addresses of some rows, those that are not there being the last one's."""
    last = builder.sub(there, emit.constant(1))
    each = (emit.constant(number) for number in range(count))
    found = (builder.select(builder.icmp_signed("<", one, there), one, last) for one in each)
    return [builder.add(base, builder.mul(stride, number)) for number in found]


def _rooms(builder: Any, count: int, of: Any) -> list[Any]:
    return [emit.alloca(builder, of) for _ in range(count)]


def _row(kind: str, builder: Any, *given: Any) -> None:
    """See :data:`row_tile`."""
    left, right, apart, there, eights, out = given
    places = bases(builder, right, apart, there, ROW_COLUMNS)
    sums = _rooms(builder, ROW_COLUMNS, _EIGHT)
    for total in sums:
        builder.store(ir.Constant(_EIGHT, [0.0] * LANES), total)
    size = _ITEM if kind == "float32" else _ITEM // 2
    with emit.for_range(builder, eights) as loop:
        value = emit.load(builder, _EIGHT, builder.add(left, emit.times(builder, loop.index, LANES * _WIDE_ITEM)))
        place = emit.times(builder, loop.index, LANES * size)
        for base, total in zip(places, sums, strict=True):
            other = numbers(builder, kind, builder.add(base, place), LANES)
            builder.store(fused(builder, value, other, builder.load(total)), total)
    for number, value in enumerate(_all_joined(builder, [builder.load(one) for one in sums])[:ROW_COLUMNS]):
        with builder.if_then(builder.icmp_signed("<", emit.constant(number), there)):
            emit.store(builder, value, emit.offset(builder, out, _ITEM * number))


def _block(kind: str, builder: Any, *given: Any) -> None:
    """See :data:`block_tile`."""
    left, right, apart, there, eights, out, stride, room = given
    places = bases(builder, right, apart, there, COLUMNS)
    of, size = ir.VectorType(_DOUBLE, WIDTH), _ITEM if kind == "float32" else _ITEM // 2
    sums = [_rooms(builder, COLUMNS, of) for _ in range(ROWS)]
    flat = [total for row in sums for total in row]
    with emit.for_range(builder, emit.constant(PARTS)) as part:
        for total in flat:
            builder.store(ir.Constant(of, [0.0] * WIDTH), total)
        begin = builder.add(left, emit.times(builder, builder.mul(part.index, eights), ROWS * WIDTH * _WIDE_ITEM))
        theirs = emit.times(builder, part.index, WIDTH * size)
        with emit.for_range(builder, eights) as loop:
            place = builder.add(begin, emit.times(builder, loop.index, ROWS * WIDTH * _WIDE_ITEM))
            further = builder.add(theirs, emit.times(builder, loop.index, LANES * size))
            others = [numbers(builder, kind, builder.add(base, further), WIDTH) for base in places]
            for number, row in enumerate(sums):
                value = emit.load(builder, of, emit.offset(builder, place, number * WIDTH * _WIDE_ITEM))
                for other, total in zip(others, row, strict=True):
                    builder.store(fused(builder, value, other, builder.load(total)), total)
        lanes = builder.add(room, emit.times(builder, part.index, WIDTH * _WIDE_ITEM))
        for number, total in enumerate(flat):
            emit.store(builder, builder.load(total), emit.offset(builder, lanes, number * LANES * _WIDE_ITEM))
    whole = [
        emit.load(builder, _EIGHT, emit.offset(builder, room, number * LANES * _WIDE_ITEM))
        for number in range(len(flat))
    ]
    products = iter(_all_joined(builder, whole))
    for number in range(ROWS):
        target = emit.row(builder, out, stride, number)
        for column in range(COLUMNS):
            emit.store(builder, next(products), emit.offset(builder, target, _ITEM * column))


_KINDS = {types.float32: "float32", types.int16: "bfloat16", types.uint16: "float16"}


def _tile(write: Any, count: int) -> Any:
    """An intrinsic of an array, whose type says what the matrix is stored as, and so many int64."""

    def generated(kind: str) -> Any:
        def generate(context: Any, builder: Any, _signature: Any, values: Any) -> Any:
            def written(inside: Any, *given: Any) -> None:
                write(kind, inside, *given)

            name = f"regrow.ordered.{write.__name__}.{kind}"
            builder.call(emit.function(builder.module, name, written, [emit.LONG] * count), values[1:])
            return context.get_dummy_value()

        return generate

    return generated


def _typed_row(_typing: Any, of: Any, a: Any, b: Any, c: Any, d: Any, e: Any, f: Any) -> Any:
    return types.void(of, *[emit.A] * 6), _tile(_row, 6)(_KINDS[of.dtype])


def _typed_block(_typing: Any, of: Any, a: Any, b: Any, c: Any, d: Any, e: Any, f: Any, g: Any, h: Any) -> Any:
    return types.void(of, *[emit.A] * 8), _tile(_block, 8)(_KINDS[of.dtype])


row_tile: Any = emit.intrinsic(_typed_row)
"""Writes the products of a row with up to ``ROW_COLUMNS`` rows of a matrix.

Its arguments are the matrix, for what it is stored as, and int64: the addresses of the row, packed, and of the first
row of the matrix; how many bytes apart its rows are, how many there are; the depth, in eights; where it writes to.
"""

block_tile: Any = emit.intrinsic(_typed_block)
"""Writes the products of ``ROWS`` rows with ``COLUMNS`` rows of a matrix; of fewer, what it writes there is of no use.

Its arguments are those of :data:`row_tile`, then how many bytes apart rows of the result are, and the address of room
for the lanes of all sums.
"""
