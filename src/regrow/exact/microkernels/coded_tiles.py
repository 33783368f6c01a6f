"""Rows times 16 rows of codes by AMX, whose tiles are made for this: 16 rows of digits times a block of 16 rows.

Scales change from block to block, so that int32 sums live for one block only, and most of the work is what comes behind
them: to make float64 of them and to add these up. So it goes by some blocks at a time, in three steps, each of which
leaves the next what it reads in the first-level cache: codes and scales of the blocks as tiles and vectors need them;
the sums of all these blocks; and row by row the totals, which stay in registers meanwhile.

See :mod:`regrow.exact.microkernels.coded`, which does the same for few rows.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from llvmlite import ir

from regrow.exact.coded import Layout
from regrow.exact.microkernels import emission as emit
from regrow.exact.microkernels.coded import (
    DIGITS,
    DOUBLES,
    HALVES,
    POWER,
    RECORD,
    WHOLE,
    fetch,
    fetch_ahead,
    floats_of,
    fused,
    quads_of,
    spread,
)  # fmt: skip

MOST = 64
"""Rows at the most: their records, 16 at a time, have their place in the second-level cache."""
_HEIGHT = 16  # rows of a tile
_BLOCKS = 2  # at a time: with more, the sums do not stay in the first-level cache
_LINE = 64
_TILE = _HEIGHT * _LINE
_PLANES = 3  # of digits, and of sums
_SUMS, _DIGITS, _CODES = (0, 1, 2), (3, 4, 5), 6  # registers
_NUMBERS = 2 * _LINE  # bytes of 16 float64


@cache
def tiles(layout: Layout) -> Any:
    """An intrinsic that writes float32 products of up to 64 rows; for its arguments see
    :func:`regrow.exact.microkernels.coded.tile`.
    """

    def write(builder: Any, *given: Any) -> None:
        runs, blocks, records, apart, rows, out, stride = given
        codes, numbers, sums, totals = (
            _room(builder, size)
            for size in (_BLOCKS * _TILE, _BLOCKS * 2 * _NUMBERS, _BLOCKS * _PLANES * _TILE, MOST * _NUMBERS)
        )
        # As few tiles as there can be, of one height; the last one may have rows of the one before, which are left out.
        pieces = builder.sdiv(emit.offset(builder, rows, _HEIGHT - 1), emit.constant(_HEIGHT))
        height = builder.sdiv(builder.sub(builder.add(rows, pieces), emit.constant(1)), pieces)
        below = builder.mul(height, apart)  # where the next tile's records are
        _begin(builder, height, layout)
        zeros = ir.Constant(DOUBLES, [0.0] * 8)
        with emit.for_range(builder, rows) as row:
            _put(builder, totals, row.index, [zeros, zeros])
        step = emit.constant(_BLOCKS)
        with emit.for_range(builder, builder.sdiv(emit.offset(builder, blocks, _BLOCKS - 1), step)) as several:
            first = builder.mul(several.index, step)
            count = _least(builder, builder.sub(blocks, first), step)
            here = builder.add(runs, emit.times(builder, first, layout.run))
            there = builder.add(records, emit.times(builder, first, RECORD))
            with emit.for_range(builder, count) as block:
                _unpack(builder, here, block.index, codes, numbers, layout)
            with emit.for_range(builder, pieces) as piece:
                begin = builder.mul(piece.index, height)
                end = _least(builder, builder.add(begin, height), rows)
                start = builder.sub(end, height)
                left = builder.add(there, builder.mul(start, apart))
                with emit.for_range(builder, count) as block:
                    _multiply(builder, left, apart, block.index, codes, sums)
                with emit.for_range(builder, builder.sub(end, begin)) as number:
                    row = builder.add(begin, number.index)
                    record = builder.add(there, builder.mul(row, apart))
                    found = builder.add(sums, emit.times(builder, builder.sub(row, start), _LINE))
                    to = builder.add(totals, _times(builder, row))
                    _add(builder, count, record, below, found, numbers, to, layout)
        emit.call(builder, "llvm.x86.tilerelease")
        with emit.for_range(builder, rows) as row:
            target = builder.add(out, builder.mul(row.index, stride))
            for half in range(2):
                total = _got(builder, totals, row.index, half)
                value = builder.fptrunc(total, ir.VectorType(ir.FloatType(), 8))
                emit.store(builder, value, emit.offset(builder, target, 32 * half))

    def typed(_typing: Any, a: Any, b: Any, c: Any, d: Any, e: Any, f: Any, g: Any) -> Any:
        return emit.writes(write, *[emit.A] * 7, title=f"coded_tiles.{layout.title}")

    return emit.intrinsic(typed)


def _room(builder: Any, size: int) -> Any:
    """The address of so many bytes, a multiple of a cache's line."""
    # Numba's own way writes to it at once, byte by byte, which takes LLVM minutes.
    room = builder.alloca(ir.ArrayType(emit.BYTE, size))
    room.align = _LINE
    return builder.ptrtoint(room, emit.LONG)


def _least(builder: Any, x: Any, y: Any) -> Any:
    return builder.select(builder.icmp_signed("<", x, y), x, y)


def _times(builder: Any, number: Any) -> Any:
    return emit.times(builder, number, _NUMBERS)


def _put(builder: Any, base: Any, number: Any, halves: list[Any]) -> None:
    """Write 16 float64 to the place of that number."""
    place = builder.add(base, _times(builder, number))
    for half, value in enumerate(halves):
        emit.store(builder, value, emit.offset(builder, place, _LINE * half))


def _got(builder: Any, base: Any, number: Any, half: int) -> Any:
    return emit.load(builder, DOUBLES, emit.offset(builder, builder.add(base, _times(builder, number)), _LINE * half))


def _begin(builder: Any, height: Any, layout: Layout) -> None:
    """Say how large tiles are: palette 1; from byte 16 the bytes of a row, 16 bits each, from byte 48 the rows."""
    settings = [0] * 64
    settings[0] = 1
    for register in _SUMS:
        settings[16 + 2 * register] = _LINE
    for register in _DIGITS:
        settings[16 + 2 * register] = layout.block
    settings[16 + 2 * _CODES] = _LINE
    settings[48 + _CODES] = layout.block // 4
    room = _room(builder, 64)
    emit.store(builder, ir.Constant(emit.BYTES_64, settings), room)
    for register in (*_SUMS, *_DIGITS):
        emit.store(builder, builder.trunc(height, emit.BYTE), emit.offset(builder, room, 48 + register))
    emit.call(builder, "llvm.x86.ldtilecfg", emit.pointer(builder, room))


def _unpack(builder: Any, runs: Any, block: Any, codes: Any, numbers: Any, layout: Layout) -> None:
    """The integers of a block as a tile, and its scales and offsets as float64."""
    run = builder.add(runs, emit.times(builder, block, layout.run))
    fetch_ahead(builder, run, layout)
    tile = builder.add(codes, emit.times(builder, block, _TILE))
    for number, quad in enumerate(quads_of(builder, run, layout)):
        integers = builder.sub(quad, emit.constants(layout.zero, emit.BYTES_64))
        emit.store(builder, integers, emit.offset(builder, tile, _LINE * number))
    for number in range(1 + layout.offset):
        place = builder.add(emit.times(builder, block, 2), emit.constant(number))
        _put(builder, numbers, place, floats_of(builder, run, layout, number))


def _multiply(builder: Any, left: Any, apart: Any, block: Any, codes: Any, sums: Any) -> None:
    """The sums of a block: those of each plane of digits are a tile."""

    def register(number: int) -> Any:
        return emit.constant(number, emit.BYTE)

    def load(number: int, address: Any, stride: Any) -> None:
        emit.call(builder, "llvm.x86.tileloadd64", register(number), emit.pointer(builder, address), stride)

    line = emit.constant(_LINE)
    load(_CODES, builder.add(codes, emit.times(builder, block, _TILE)), line)
    record = builder.add(left, emit.times(builder, block, RECORD))
    target = builder.add(sums, emit.times(builder, block, _PLANES * _TILE))
    for plane, (digits, total) in enumerate(zip(_DIGITS, _SUMS, strict=True)):
        load(digits, emit.offset(builder, record, DIGITS * plane), apart)
        emit.call(builder, "llvm.x86.tilezero", register(total))
        emit.call(builder, "llvm.x86.tdpbssd", register(total), register(digits), register(_CODES))
    for plane, total in enumerate(_SUMS):
        address = emit.pointer(builder, emit.offset(builder, target, _TILE * plane))
        emit.call(builder, "llvm.x86.tilestored64", register(total), address, line)


def _add(
    builder: Any, count: Any, record: Any, ahead: Any, sums: Any, numbers: Any, totals: Any, layout: Layout
) -> None:
    """Add what some blocks of a row give to its 16 totals, block by block."""
    kept = [emit.alloca(builder, DOUBLES) for _ in HALVES]  # registers, once LLVM has promoted them
    for half, total in enumerate(kept):
        builder.store(emit.load(builder, DOUBLES, emit.offset(builder, totals, _LINE * half)), total)
    with emit.for_range(builder, count) as block:
        place = builder.add(record, emit.times(builder, block.index, RECORD))
        found = builder.add(sums, emit.times(builder, block.index, _PLANES * _TILE))
        fetch(builder, builder.add(place, ahead), RECORD)
        power = spread(builder, ir.DoubleType(), emit.offset(builder, place, POWER), 8)
        whole = spread(builder, ir.DoubleType(), emit.offset(builder, place, WHOLE), 8) if layout.offset else None
        scale, more = emit.times(builder, block.index, 2), emit.offset(builder, emit.times(builder, block.index, 2), 1)
        for half, total in enumerate(kept):
            upper, middle, lower = (
                builder.sitofp(
                    emit.load(
                        builder, ir.VectorType(emit.INT, 8), emit.offset(builder, found, _TILE * plane + 32 * half)
                    ),
                    DOUBLES,
                )
                for plane in range(_PLANES)
            )
            weight = ir.Constant(DOUBLES, [256.0] * 8)
            whole_sum = fused(builder, fused(builder, upper, weight, middle), weight, lower)
            value = builder.fmul(whole_sum, _got(builder, numbers, scale, half))
            value = fused(builder, value, power, builder.load(total))
            if whole is not None:
                value = fused(builder, _got(builder, numbers, more, half), whole, value)
            builder.store(value, total)
    for half, total in enumerate(kept):
        emit.store(builder, builder.load(total), emit.offset(builder, totals, _LINE * half))
