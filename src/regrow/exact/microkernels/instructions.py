"""What the packed products do beside multiplying, as functions that Numba's kernels call: packing and rounding.

Addresses and strides are int64, in bytes. A *tile* is 16 rows of 64 bytes, one after the other:

* of a left operand, a row is 64 digits of the depth;
* of a right operand, it holds 4 digits of the depth for each of 16 columns, so that a tile has the same 64 of depth.

They are written for registers of 64 bytes; where a processor's are narrower, LLVM takes several. What multiplies, and
how it wants tiles arranged, is in :mod:`regrow.exact.microkernels.units`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types

from regrow.exact import polynomials
from regrow.exact.microkernels import emission as emit

ROW = 64  # bytes of a row of a tile
TILE = 16 * ROW
# What a step along the depth takes from an operand's panel: two tiles, 32 rows or columns. They lie one after the
# other, so that a run over the depth is a run over the memory, which the processor fetches ahead.
STEP = 2 * TILE


@emit.intrinsic
def load_byte(_typing: Any, address: Any) -> Any:
    """The int8 at an address."""
    return types.int8(emit.A), lambda _context, builder, _signature, v: emit.load(builder, emit.BYTE, v[0])


@emit.intrinsic
def store_byte(_typing: Any, value: Any, address: Any) -> Any:
    """Write an int8 to an address."""
    return emit.writes(emit.store, types.int8, emit.A)


@emit.intrinsic
def clear_tile(_typing: Any, target: Any) -> Any:
    """Make a tile zero."""

    def write(builder: Any, target: Any) -> None:
        for row in range(16):
            emit.store(builder, ir.Constant(emit.BYTES_64, [0] * ROW), emit.offset(builder, target, row * ROW))

    return emit.writes(write, emit.A)


@emit.intrinsic
def copy_tile(_typing: Any, source: Any, stride: Any, target: Any) -> Any:
    """A tile of 16 rows of 64 bytes."""

    def write(builder: Any, source: Any, stride: Any, target: Any) -> None:
        for row in range(16):
            value = emit.load(builder, emit.BYTES_64, emit.row(builder, source, stride, row))
            emit.store(builder, value, emit.offset(builder, target, row * ROW))

    return emit.writes(write, emit.A, emit.A, emit.A)


def transposed(builder: Any, rows: list[Any]) -> list[Any]:
    """The columns of 16 rows of 16 words."""
    rows = [*rows]
    # Each round exchanges one bit of the number of the row with the same bit of the number of the column: 64 shuffles
    # of registers for 256 words, where gathering them would be 256 loads.
    for bit in (1, 2, 4, 8):
        upper = [c if not c & bit else 16 + (c ^ bit) for c in range(16)]
        lower = [c | bit if not c & bit else 16 + c for c in range(16)]
        for row in (row for row in range(16) if not row & bit):
            pair = rows[row], rows[row | bit]
            rows[row], rows[row | bit] = emit.shuffle(builder, *pair, upper), emit.shuffle(builder, *pair, lower)
    return rows


@emit.intrinsic
def transpose_tile(_typing: Any, source: Any, stride: Any, target: Any) -> Any:
    """A tile of the transpose of 16 rows of 16 words of four bytes. In place if the stride is a row's."""

    def write(builder: Any, source: Any, stride: Any, target: Any) -> None:
        rows = [emit.load(builder, emit.INTS_16, emit.row(builder, source, stride, row)) for row in range(16)]
        for row, value in enumerate(transposed(builder, rows)):
            emit.store(builder, value, emit.offset(builder, target, row * ROW))

    return emit.writes(write, emit.A, emit.A, emit.A)


@emit.intrinsic
def interleave_tile(_typing: Any, source: Any, stride: Any, target: Any) -> Any:
    """A tile of 64 rows of 16 bytes, four rows to a row: their bytes side by side, column by column."""

    def write(builder: Any, source: Any, stride: Any, target: Any) -> None:
        # Byte 4 c + i of the result is byte c of row i of four. One shuffle of 64 bytes, after two that only join.
        places = [16 * (byte % 4) + byte // 4 for byte in range(ROW)]
        for row in range(16):
            first, second, third, fourth = (
                emit.load(builder, emit.BYTES_16, emit.row(builder, source, stride, 4 * row + i)) for i in range(4)
            )
            upper = emit.shuffle(builder, first, second, list(range(32)))
            lower = emit.shuffle(builder, third, fourth, list(range(32)))
            emit.store(builder, emit.shuffle(builder, upper, lower, places), emit.offset(builder, target, row * ROW))

    return emit.writes(write, emit.A, emit.A, emit.A)


@emit.intrinsic
def interleave_tiles(_typing: Any, source: Any, stride: Any, target: Any, apart: Any) -> Any:
    """Four tiles of 64 rows of 64 bytes, as :func:`interleave_tile`; two at ``target``, two ``apart`` from there.

    Rows that lie a power of two apart share a set of the cache, so each line is read once only.
    """

    def write(builder: Any, source: Any, stride: Any, target: Any, apart: Any) -> None:
        targets = [
            emit.offset(builder, base, TILE * i) for base in (target, builder.add(target, apart)) for i in range(2)
        ]
        # A loop and not 16 times the code, which would be slow to compile. Rows 0 and 1 are interleaved, rows 2 and 3,
        # and then the pairs: shuffles of two registers, since no shuffle takes four.
        with emit.for_range(builder, emit.constant(16)) as loop:
            four = builder.mul(loop.index, emit.constant(4))
            base = builder.add(source, builder.mul(stride, four))
            rows = [emit.load(builder, emit.BYTES_64, emit.row(builder, base, stride, i)) for i in range(4)]
            place = emit.times(builder, loop.index, ROW)
            for half in range(2):
                pairs = [32 * half + byte // 2 + 64 * (byte % 2) for byte in range(64)]
                upper = emit.shuffle(builder, rows[0], rows[1], pairs)
                lower = emit.shuffle(builder, rows[2], rows[3], pairs)
                for quarter in range(2):
                    words = [32 * quarter + byte // 4 * 2 + byte % 2 + 64 * (byte % 4 // 2) for byte in range(64)]
                    address = builder.add(targets[2 * half + quarter], place)
                    emit.store(builder, emit.shuffle(builder, upper, lower, words), address)

    return emit.writes(write, emit.A, emit.A, emit.A, emit.A)


@emit.intrinsic
def largest_of_columns(_typing: Any, source: Any, stride: Any, count: Any, out: Any) -> Any:
    """The largest bit pattern, without its sign, of each of 64 columns of so many rows of float32: 64 int32."""

    def write(builder: Any, source: Any, stride: Any, count: Any, out: Any) -> None:
        found = [emit.alloca(builder, emit.INTS_16) for _ in range(4)]
        for part in found:
            builder.store(emit.constants(0, emit.INTS_16), part)
        with emit.for_range(builder, count) as loop:
            line = builder.add(source, builder.mul(loop.index, stride))
            for quarter, part in enumerate(found):
                bits = emit.load(builder, emit.INTS_16, emit.offset(builder, line, ROW * quarter))
                bits, before = builder.and_(bits, emit.constants(0x7FFFFFFF, emit.INTS_16)), builder.load(part)
                builder.store(builder.select(builder.icmp_signed(">", bits, before), bits, before), part)
        for quarter, part in enumerate(found):
            emit.store(builder, builder.load(part), emit.offset(builder, out, ROW * quarter))

    return emit.writes(write, *[emit.A] * 4)


@emit.intrinsic
def split_by_row(_typing: Any, source: Any, stride: Any, scales: Any, target: Any) -> Any:
    """Both digits of 64 x 64 float32, whose rows are ``stride`` apart: 64 x 64 bytes of the high ones at ``target``,
    then as many of the low ones. ``scales`` are 64 float32, which bring each row to its grid.
    """

    def write(builder: Any, source: Any, stride: Any, scales: Any, target: Any) -> None:
        with emit.for_range(builder, emit.constant(ROW)) as loop:
            scale = emit.load(builder, ir.FloatType(), builder.add(scales, emit.times(builder, loop.index, 4)))
            _split_line(builder, loop, source, stride, [emit.broadcast(builder, scale)] * 4, target)

    return emit.writes(write, *[emit.A] * 4)


@emit.intrinsic
def split_by_column(_typing: Any, source: Any, stride: Any, scales: Any, target: Any) -> Any:
    """As :func:`split_by_row`, with scales that bring each column to its grid."""

    def write(builder: Any, source: Any, stride: Any, scales: Any, target: Any) -> None:
        of_columns = [emit.load(builder, emit.FLOATS_16, emit.offset(builder, scales, ROW * i)) for i in range(4)]
        with emit.for_range(builder, emit.constant(ROW)) as loop:
            _split_line(builder, loop, source, stride, of_columns, target)

    return emit.writes(write, *[emit.A] * 4)


def _split_line(builder: Any, loop: Any, source: Any, stride: Any, scales: list[Any], target: Any) -> None:
    """The digits of a row of 64 numbers; see :func:`regrow.exact.rows.row_digits`."""
    line = builder.add(source, builder.mul(loop.index, stride))
    place = builder.add(target, emit.times(builder, loop.index, ROW))
    # The sum's last bits are the integer to which it rounds, since all of them have the exponent of ROUND32. Of what is
    # not finite some integer comes, where a conversion would be undefined.
    rounding = ir.Constant(emit.FLOATS_16, [polynomials.ROUND32] * 16)
    zero = int(np.float32(polynomials.ROUND32).view(np.int32))
    for quarter, scale in enumerate(scales):
        x = emit.load(builder, emit.FLOATS_16, emit.offset(builder, line, ROW * quarter))
        total = builder.bitcast(builder.fadd(builder.fmul(x, scale), rounding), emit.INTS_16)
        q = builder.sub(total, emit.constants(zero, emit.INTS_16))
        high = builder.ashr(builder.add(q, emit.constants(64, emit.INTS_16)), emit.constants(7, emit.INTS_16))
        low = builder.sub(q, builder.shl(high, emit.constants(7, emit.INTS_16)))
        for plane, digits in enumerate((high, low)):
            there = emit.offset(builder, place, 16 * quarter + ROW * ROW * plane)
            emit.store(builder, builder.trunc(digits, emit.BYTES_16), there)


@emit.intrinsic
def round_block(
    _typing: Any, high: Any, cross: Any, rows: Any, columns: Any, out: Any, stride: Any
) -> Any:  # fmt: skip
    """See :func:`regrow.exact.definition.combine`, for a block of 32 x 32.

    The parts are int32 side by side; ``rows`` and ``columns`` are 32 float64 each, whose products are the scale of
    ``2**14 high + 2**7 cross``; the result is float32, its rows ``stride`` apart.
    """

    def write(builder: Any, high: Any, cross: Any, rows: Any, columns: Any, out: Any, stride: Any) -> None:
        # Sixteen at a time: two registers of float64, from one of int32, to one of float32. Scales of columns stay in
        # registers. All is exact up to `fptrunc`, the one rounding, as `combine` in `compiled` says.
        scales = [emit.load(builder, emit.DOUBLES_16, emit.offset(builder, columns, 128 * half)) for half in range(2)]
        with emit.for_range(builder, emit.constant(32)) as loop:
            row = emit.broadcast(
                builder, emit.load(builder, ir.DoubleType(), builder.add(rows, emit.times(builder, loop.index, 8)))
            )
            target = builder.add(out, builder.mul(loop.index, stride))
            for half in range(2):
                total = _weighted(builder, loop, half, ((high, 16384.0), (cross, 128.0)))
                value = builder.fmul(total, builder.fmul(row, scales[half]))
                emit.store(builder, builder.fptrunc(value, emit.FLOATS_16), emit.offset(builder, target, ROW * half))

    return emit.writes(write, *[emit.A] * 6)


@emit.intrinsic
def round_block_float32(
    _typing: Any, high: Any, cross: Any, rows: Any, columns: Any, out: Any, stride: Any
) -> Any:  # fmt: skip
    """As :func:`round_block`, where ``2**7 high + cross`` is an int32, and the scales, float32, leave it normal.

    Then rounding the integer to float32 is the only rounding, because scaling it is exact. ``rows`` and ``columns``
    are scales of ``2**7 high + cross``.
    """

    def write(builder: Any, high: Any, cross: Any, rows: Any, columns: Any, out: Any, stride: Any) -> None:
        # Half the registers and instructions of the other. Products of a depth up to 4032 take it, unless some of their
        # numbers are extreme (`float32_epilogue_is_exact`).
        scales = [emit.load(builder, emit.FLOATS_16, emit.offset(builder, columns, 64 * half)) for half in range(2)]
        seven = ir.Constant(emit.INTS_16, [7] * 16)
        with emit.for_range(builder, emit.constant(32)) as loop:
            row = emit.broadcast(
                builder, emit.load(builder, ir.FloatType(), builder.add(rows, emit.times(builder, loop.index, 4)))
            )
            target = builder.add(out, builder.mul(loop.index, stride))
            for half in range(2):
                upper, lower = (_part(builder, loop, half, part) for part in (high, cross))
                total = builder.sitofp(builder.add(builder.shl(upper, seven), lower), emit.FLOATS_16)
                value = builder.fmul(total, builder.fmul(row, scales[half]))
                emit.store(builder, value, emit.offset(builder, target, ROW * half))

    return emit.writes(write, *[emit.A] * 6)


@emit.intrinsic
def add_rounded_block(_typing: Any, block: Any, out: Any, stride: Any) -> Any:
    """Add 32 x 32 float32, side by side, to those at ``out``, whose rows are ``stride`` apart."""

    def write(builder: Any, block: Any, out: Any, stride: Any) -> None:
        with emit.for_range(builder, emit.constant(32)) as loop:
            source = builder.add(block, emit.times(builder, loop.index, 2 * ROW))
            target = builder.add(out, builder.mul(loop.index, stride))
            for half in range(2):
                there, more = (emit.offset(builder, at, ROW * half) for at in (target, source))
                total = builder.fadd(
                    emit.load(builder, emit.FLOATS_16, there), emit.load(builder, emit.FLOATS_16, more)
                )
                emit.store(builder, total, there)

    return emit.writes(write, *[emit.A] * 3)


@emit.intrinsic
def stream_block(_typing: Any, block: Any, out: Any, stride: Any) -> Any:
    """Write 32 x 32 float32, side by side, to whole lines of the cache at ``out``, past the cache.

    Others may see it after :func:`end_streams` only.
    """

    def write(builder: Any, block: Any, out: Any, stride: Any) -> None:
        with emit.for_range(builder, emit.constant(32)) as loop:
            source = builder.add(block, emit.times(builder, loop.index, 2 * ROW))
            target = builder.add(out, builder.mul(loop.index, stride))
            for half in range(2):
                value = emit.load(builder, emit.FLOATS_16, emit.offset(builder, source, ROW * half))
                emit.stream(builder, value, emit.offset(builder, target, ROW * half))

    return emit.writes(write, *[emit.A] * 3)


@emit.intrinsic
def end_streams(_typing: Any) -> Any:
    """Have what was written past the cache come before whatever this thread writes next."""
    # A release would do by the language's rules, but x86 needs no instruction for one, and its streams do.
    return emit.writes(lambda builder: builder.fence("seq_cst"))


@emit.intrinsic
def add_block(_typing: Any, high: Any, cross: Any, out: Any, stride: Any) -> Any:
    """Add ``2**14 high + 2**7 cross`` to 32 x 32 float64 at ``out``, whose rows are ``stride`` apart."""

    def write(builder: Any, high: Any, cross: Any, out: Any, stride: Any) -> None:
        _add_weighted(builder, ((high, 16384.0), (cross, 128.0)), out, stride)

    return emit.writes(write, *[emit.A] * 4)


@emit.intrinsic
def add_deep_block(_typing: Any, top: Any, middle: Any, bottom: Any, out: Any, stride: Any) -> Any:
    """As :func:`add_block`, ``2**21 top + 2**14 middle + 2**7 bottom``."""

    def write(builder: Any, top: Any, middle: Any, bottom: Any, out: Any, stride: Any) -> None:
        _add_weighted(builder, ((top, 2097152.0), (middle, 16384.0), (bottom, 128.0)), out, stride)

    return emit.writes(write, *[emit.A] * 5)


def _add_weighted(builder: Any, parts: tuple[tuple[Any, float], ...], out: Any, stride: Any) -> None:
    with emit.for_range(builder, emit.constant(32)) as loop:
        target = builder.add(out, builder.mul(loop.index, stride))
        for half in range(2):
            place = emit.offset(builder, target, 128 * half)
            total = builder.fadd(emit.load(builder, emit.DOUBLES_16, place), _weighted(builder, loop, half, parts))
            emit.store(builder, total, place)


def _part(builder: Any, loop: Any, half: int, part: Any) -> Any:
    """Half a row of a block of int32."""
    return emit.load(
        builder, emit.INTS_16, emit.offset(builder, builder.add(part, emit.times(builder, loop.index, 128)), ROW * half)
    )


def _weighted(builder: Any, loop: Any, half: int, parts: tuple[tuple[Any, float], ...]) -> Any:
    """Half a row of the sum of blocks times powers of two, as float64; exact."""
    total = None
    for part, weight in parts:
        value = builder.sitofp(_part(builder, loop, half, part), emit.DOUBLES_16)
        value = builder.fmul(value, ir.Constant(emit.DOUBLES_16, [weight] * 16))
        total = value if total is None else builder.fadd(total, value)
    return total


@emit.intrinsic
def subtract_columns(_typing: Any, panel: Any, steps: Any, factor: Any, out: Any) -> Any:
    """Take ``factor`` times the sum of each column of one plane of a right operand's panel off 32 int32 at ``out``."""

    def write(builder: Any, panel: Any, steps: Any, factor: Any, out: Any) -> None:
        # Row by row of the tiles: four digits of the depth for each of 16 columns, in the bytes of a word.
        sums = [emit.alloca(builder, emit.INTS_16) for _ in range(2)]
        for half in range(2):
            builder.store(emit.constants(0, emit.INTS_16), sums[half])
        with emit.for_range(builder, steps) as step, emit.for_range(builder, emit.constant(16)) as word:
            place = builder.add(emit.times(builder, step.index, STEP), emit.times(builder, word.index, ROW))
            for half in range(2):
                words = emit.load(builder, emit.INTS_16, emit.offset(builder, builder.add(panel, place), half * TILE))
                total = builder.load(sums[half])
                for byte in range(4):
                    first = builder.shl(words, emit.constants(24 - 8 * byte, emit.INTS_16))
                    total = builder.add(total, builder.ashr(first, emit.constants(24, emit.INTS_16)))
                builder.store(total, sums[half])
        times = emit.broadcast(builder, builder.trunc(factor, emit.INT))
        for half in range(2):
            place = emit.offset(builder, out, half * ROW)
            less = builder.mul(builder.load(sums[half]), times)
            emit.store(builder, builder.sub(emit.load(builder, emit.INTS_16, place), less), place)

    return emit.writes(write, *[emit.A] * 4)
