"""Rows times 16 rows of codes by AMX, whose tiles are made for this: rows of digits times a block of 16 rows.

Scales change from block to block, so that int32 sums live for one block only, and most of the work is what comes behind
them: to make float64 of them and to add these up. So tiles multiply two blocks while vectors add up the two before.

A tile has room for 64 columns, and a block has 32. Where codes have 4 bits, the other half holds the same codes times
16: then a product is of two digits of 4 bits at once, and two of these make an integer of 22 bits where it takes three
digits of 8 bits. Both are rows of one tile, which so has eight rows of what is multiplied.

A sum becomes float64 as the lower half of one, whose upper half says that its last bit is the power of two of the
block: less what that stands for where the sum is 0, it is the sum times that power. So sums begin at 2**31, which
leaves none of them negative.

See :mod:`regrow.exact.microkernels.coded`, which does the same for few rows.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

from llvmlite import ir

from regrow.exact.coded import Layout
from regrow.exact.microkernels import emission as emit
from regrow.exact.microkernels.coded import (
    DIGITS,
    DOUBLES,
    MOST,
    NUMBERS,
    RECORD,
    WHOLE,
    fetch_ahead,
    floats_in_order,
    fused,
    halves,
    joined,
    quads_of,
    room,
    spread,
    values,
)  # fmt: skip

BEYOND = 16 * RECORD
"""Bytes behind records that are read, too, though nothing comes of them."""
_BLOCKS = 24  # at a time, whose codes as tiles stay in a cache
_HEIGHT = 16  # rows at a time, those of a tile or two
_ROWS = 4  # that vectors take at a time
_PAIR = 2  # blocks that are multiplied while as many are added up
_LINE = 64
_TILE = _HEIGHT * _LINE
_WIDE = 2 * _LINE  # bytes of 16 float64


def _planes(layout: Layout) -> int:
    """Of digits, and of sums."""
    return 2 if halves(layout) else 3


@cache
def tiles(layout: Layout) -> Any:
    """An intrinsic that writes float32 products of up to 64 rows; for its arguments see
    :func:`regrow.exact.microkernels.coded.tile`.
    """

    def write(builder: Any, *given: Any) -> None:
        runs, blocks, records, apart, tails, rows, out, stride = given
        sizes = _BLOCKS * _TILE, _BLOCKS * 2 * _WIDE, _PAIR * _planes(layout) * _TILE, MOST * _WIDE
        codes, numbers, sums, totals = (room(builder, size) for size in sizes)
        pieces = _parts(builder, rows, _HEIGHT)
        _begin(builder, layout)
        zeros = ir.Constant(DOUBLES, [0.0] * 8)
        with emit.for_range(builder, emit.times(builder, pieces, 2 * _HEIGHT)) as half:
            emit.store(builder, zeros, builder.add(totals, emit.times(builder, half.index, _LINE)))
        step, further = emit.constant(_BLOCKS), builder.sdiv(apart, emit.constant(RECORD // NUMBERS))
        with emit.for_range(builder, _parts(builder, blocks, _BLOCKS)) as several:
            first = builder.mul(several.index, step)
            count = _least(builder, builder.sub(blocks, first), step)
            here = builder.add(runs, emit.times(builder, first, layout.run))
            digits = builder.add(records, builder.mul(first, apart))
            tail = builder.add(tails, builder.mul(first, further))
            with emit.for_range(builder, count) as block:
                _unpack(builder, here, block.index, codes, numbers, layout)
            with emit.for_range(builder, pieces) as piece:
                begin = emit.times(builder, piece.index, _HEIGHT)
                height = _least(builder, builder.sub(rows, begin), emit.constant(_HEIGHT))
                kept = builder.add(totals, emit.times(builder, begin, _WIDE))
                left = builder.add(digits, emit.times(builder, begin, RECORD))
                behind = builder.add(tail, emit.times(builder, begin, NUMBERS))
                _add_up(builder, count, height, left, apart, behind, further, codes, numbers, sums, kept, layout)
        emit.call(builder, "llvm.x86.tilerelease")
        with emit.for_range(builder, rows) as row:
            target = builder.add(out, builder.mul(row.index, stride))
            found = _halves_at(builder, builder.add(totals, emit.times(builder, row.index, _WIDE)))
            emit.store(builder, joined(builder, found)[0], target)

    def typed(_typing: Any, a: Any, b: Any, c: Any, d: Any, e: Any, f: Any, g: Any, h: Any) -> Any:
        return emit.writes(write, *[emit.A] * 8, title=f"coded_tiles.{layout.title}")

    return emit.intrinsic(typed)


def _least(builder: Any, x: Any, y: Any) -> Any:
    return builder.select(builder.icmp_signed("<", x, y), x, y)


def _parts(builder: Any, count: Any, size: int) -> Any:
    """How many times as much, rounded up."""
    return builder.sdiv(emit.offset(builder, count, size - 1), emit.constant(size))


def _halves_at(builder: Any, address: Any) -> list[Any]:
    """16 float64."""
    return [emit.load(builder, DOUBLES, emit.offset(builder, address, _LINE * half)) for half in range(2)]


def _registers(layout: Layout, block: int) -> tuple[list[int], list[int], int]:
    """Those of the sums, digits and codes of the first or second block of a pair."""
    planes = _planes(layout)
    sums = [planes * block + plane for plane in range(planes)]
    # There are eight. What is loaded while a product still reads it waits, so that there are two where it can be.
    return (sums, [4, 5], 6 + block) if halves(layout) else (sums, [6] * planes, 7)


def _begin(builder: Any, layout: Layout) -> None:
    """Say how large tiles are: palette 1; from byte 16 the bytes of a row, 16 bits each, from byte 48 the rows."""
    width = layout.block * (2 if halves(layout) else 1)
    settings = [0] * 64
    settings[0] = 1
    for block in range(_PAIR):
        sums, lefts, right = _registers(layout, block)
        for register in (*sums, *lefts, right):
            settings[16 + 2 * register] = width if register in lefts else _LINE
            settings[48 + register] = width // 4 if register == right else _HEIGHT
    place = room(builder, 64)
    emit.store(builder, ir.Constant(emit.BYTES_64, settings), place)
    emit.call(builder, "llvm.x86.ldtilecfg", emit.pointer(builder, place))


def _unpack(builder: Any, runs: Any, block: Any, codes: Any, numbers: Any, layout: Layout) -> None:
    """The integers of a block as a tile, and its scales and offsets as float64."""
    run = builder.add(runs, emit.times(builder, block, layout.run))
    fetch_ahead(builder, run, layout)
    tile, zero = builder.add(codes, emit.times(builder, block, _TILE)), emit.constants(layout.zero, emit.BYTES_64)
    lines = [builder.sub(quad, zero) for quad in quads_of(builder, run, layout)]
    if halves(layout):
        # The lower four bits of each byte, times 16: what of them gets into the next byte is left out.
        four, upper = emit.constants(4, emit.INTS_16), emit.constants(0xF0, emit.BYTES_64)
        shifted = [builder.shl(builder.bitcast(line, emit.INTS_16), four) for line in lines]
        lines = [builder.and_(builder.bitcast(one, emit.BYTES_64), upper) for one in shifted] + lines
    for place, line in enumerate(lines):
        emit.store(builder, line, emit.offset(builder, tile, _LINE * place))
    target = builder.add(numbers, emit.times(builder, block, 2 * _WIDE))
    for kind in range(1 + layout.offset):
        for half, value in enumerate(floats_in_order(builder, run, layout, kind, _HEIGHT)):
            emit.store(builder, value, emit.offset(builder, target, _WIDE * kind + _LINE * half))


def _add_up(
    builder: Any, count: Any, height: Any, left: Any, apart: Any, tail: Any, further: Any, codes: Any, numbers: Any,
    sums: Any, totals: Any, layout: Layout,
) -> None:  # fmt: skip
    """Add what some blocks of up to 16 rows give to their 16 totals each, block by block."""
    # Either 16 rows of a digit each, or eight and eight rows of two digits each: (register of sums, of digits) of each.
    eight = builder.icmp_signed(">", height, emit.constant(_HEIGHT // 2))
    span, stride = (_HEIGHT // 2 * RECORD, 2 * DIGITS) if halves(layout) else (DIGITS, RECORD)
    # Codes without a sign are unsigned bytes even times 16, all others signed ones.
    product = "llvm.x86.tdpbsud" if layout.zero == 0 else "llvm.x86.tdpbssd"

    def each(number: int, act: Callable[[int, int, int], None]) -> None:
        """For all tiles of a block: with their number, and the registers of their sums and digits."""
        for place, (total, digits) in enumerate(zip(*_registers(layout, number)[:2], strict=True)):
            if place and halves(layout):
                with builder.if_then(eight):
                    act(place, total, digits)
            else:
                act(place, total, digits)

    def load(block: Any, number: int) -> None:
        right = _registers(layout, number)[2]
        _load(builder, right, builder.add(codes, emit.times(builder, block, _TILE)), emit.constant(_LINE))

    def multiply(block: Any, number: int) -> None:
        record, right = builder.add(left, builder.mul(block, apart)), _registers(layout, number)[2]

        def act(place: int, total: int, digits: int) -> None:
            _load(builder, digits, emit.offset(builder, record, span * place), emit.constant(stride))
            emit.call(builder, "llvm.x86.tilezero", _register(total))
            emit.call(builder, product, *map(_register, (total, digits, right)))

        each(number, act)

    def store(number: int) -> None:
        def act(place: int, total: int, _digits: int) -> None:
            target = emit.offset(builder, sums, _TILE * (_planes(layout) * number + place))
            address = emit.pointer(builder, target)
            emit.call(builder, "llvm.x86.tilestored64", _register(total), address, emit.constant(_LINE))

        each(number, act)

    def add(first: Any, number: int) -> None:
        behind = builder.add(tail, builder.mul(first, further))
        with emit.for_range(builder, _parts(builder, height, _ROWS)) as quad:
            row = emit.times(builder, quad.index, _ROWS)
            _add(builder, first, number, row, behind, further, numbers, sums, totals, layout)

    for number in range(_PAIR):
        with builder.if_then(builder.icmp_signed(">", count, emit.constant(number))):
            load(emit.constant(number), number)
            multiply(emit.constant(number), number)
    with emit.for_range(builder, builder.sdiv(count, emit.constant(_PAIR))) as pair:
        first = emit.times(builder, pair.index, _PAIR)
        for number in range(_PAIR):
            after = emit.offset(builder, first, _PAIR + number)
            more = builder.icmp_signed("<", after, count)
            # Loaded before sums are stored, as loads wait for stores to places that look alike.
            with builder.if_then(more):
                load(after, number)
            store(number)
            with builder.if_then(more):
                multiply(after, number)
        add(first, _PAIR)
    rest = builder.srem(count, emit.constant(_PAIR))
    with builder.if_then(builder.icmp_signed(">", rest, emit.constant(0))):
        store(0)
        add(builder.sub(count, rest), 1)


def _add(
    builder: Any, first: Any, count: int, row: Any, tail: Any, further: Any, numbers: Any, sums: Any, totals: Any,
    layout: Layout,
) -> None:  # fmt: skip
    """Add what one or two blocks of some rows give to their totals."""
    scales = builder.add(numbers, emit.times(builder, first, 2 * _WIDE))
    loaded = [
        [
            _halves_at(builder, emit.offset(builder, scales, _WIDE * (2 * block + kind)))
            for kind in range(1 + layout.offset)
        ]
        for block in range(count)
    ]
    own, place = (
        builder.add(tail, emit.times(builder, row, NUMBERS)),
        builder.add(totals, emit.times(builder, row, _WIDE)),
    )
    # Where two digits are rows of one tile, their sums are neighbours.
    line = builder.add(sums, emit.times(builder, row, _LINE * (2 if halves(layout) else 1)))
    for number in range(_ROWS):
        kept = _halves_at(builder, emit.offset(builder, place, _WIDE * number))
        for block, (scale, *more) in enumerate(loaded):
            record = emit.offset(builder, own, NUMBERS * number)
            record = builder.add(record, further) if block else record
            found = emit.offset(builder, line, _TILE * _planes(layout) * block)
            values = _values(
                builder, emit.offset(builder, found, _LINE * number * (2 if halves(layout) else 1)), record, layout
            )
            kept = [
                builder.fadd(total, builder.fmul(value, one))
                for total, value, one in zip(kept, values, scale, strict=True)
            ]
            for offsets in more:
                whole = spread(builder, ir.DoubleType(), emit.offset(builder, record, WHOLE), 8)
                kept = [fused(builder, one, whole, total) for total, one in zip(kept, offsets, strict=True)]
        for half, total in enumerate(kept):
            emit.store(builder, total, emit.offset(builder, place, _WIDE * number + _LINE * half))


def _register(number: int) -> Any:
    return emit.constant(number, emit.BYTE)


def _load(builder: Any, number: int, address: Any, stride: Any) -> None:
    emit.call(builder, "llvm.x86.tileloadd64", _register(number), emit.pointer(builder, address), stride)


def _values(builder: Any, sums: Any, record: Any, layout: Layout) -> list[Any]:
    """The 16 sums of a row and block times the power of two of these, float64, eight and eight."""
    apart = _LINE if halves(layout) else _TILE
    planes = [
        emit.load(builder, emit.INTS_16, emit.offset(builder, sums, apart * plane)) for plane in range(_planes(layout))
    ]
    shift = emit.constants(12 if halves(layout) else 8, emit.INTS_16)
    planes = [builder.add(builder.shl(planes[0], shift), planes[1]), *planes[2:]]
    # Beginning with 2**31: to turn the first bit is to add it.
    return values(builder, [[builder.xor(plane, emit.constants(-(1 << 31), emit.INTS_16))] for plane in planes], record)
