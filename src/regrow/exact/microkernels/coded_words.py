"""Rows times 16 rows of codes by pairs of words (VPMADDWD), where no instruction adds up four products of bytes.

An integer of 22 bits is two digits, ``2**11 h + l``, of which each is a word, as is a code. Of a block's columns each
four are taken as two pairs, the even ones and the odd ones, which need no shuffle to be made from bytes. A single row
takes codes from where they lie; for several they are made words once, which stay in the first-level cache while all
rows of the part go by.

Sums become float64 as those of :mod:`regrow.exact.microkernels.coded_tiles` do. Where codes have 4 bits, those of the
upper digit are shifted and go on as sums of the lower one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

from llvmlite import ir

from regrow.exact.coded import SIDE, Layout
from regrow.exact.microkernels import emission as emit
from regrow.exact.microkernels.coded import (
    MOST,
    NUMBERS,
    RECORD,
    WHOLE,
    WORD_BITS,
    WORDS,
    fetch_ahead,
    floats_in_order,
    fused,
    joined,
    one_plane,
    room,
    spread,
    values,
)  # fmt: skip

_ROWS = 4  # at a time: their sums take half of 16 registers
_LINE = 2 * 2 * SIDE  # bytes of a pair of columns of 16 rows, as words
_WIDE = 8 * SIDE  # bytes of 16 float64
_DOUBLE = ir.DoubleType()


@dataclass(frozen=True)
class Words:
    """How a processor multiplies words.

    Attributes:
        lanes: int32 of a register.
        add: writes the instructions that add pairs of products to int32; given LLVM's builder, the sums, and both
            factors, int32 whose halves are words.
    """

    lanes: int
    add: Callable[[Any, Any, Any, Any], Any]

    @property
    def sums(self) -> Any:
        """A register of sums."""
        return ir.VectorType(emit.INT, self.lanes)

    @property
    def doubles(self) -> Any:
        """Half of them as float64."""
        return ir.VectorType(_DOUBLE, self.lanes // 2)

    @property
    def groups(self) -> int:
        """Registers of 16 rows' sums."""
        return SIDE // self.lanes


def _by_pairs(lanes: int, name: str) -> Words:
    words = ir.VectorType(emit.SHORT, 2 * lanes)

    def add(builder: Any, total: Any, codes: Any, digits: Any) -> Any:
        factors = (builder.bitcast(x, words) for x in (codes, digits))
        return builder.add(total, emit.call(builder, name, *factors, gives=total.type))

    return Words(lanes, add)


WAYS = {"avx512": _by_pairs(16, "llvm.x86.avx512.pmaddw.d.512"), "avx2": _by_pairs(8, "llvm.x86.avx2.pmadd.wd")}
"""By the names of the units of :mod:`regrow.exact.microkernels.units` that are made of the same instructions."""


@cache
def row(layout: Layout, way: str) -> Any:
    """An intrinsic that writes the products of a single row; for its arguments see
    :func:`regrow.exact.microkernels.coded.tile`.
    """
    by = WAYS[way]

    def write(builder: Any, *given: Any) -> None:
        runs, blocks, records, apart, tails, _, out, _ = given
        totals = [emit.alloca(builder, by.doubles) for _ in range(2 * by.groups)]
        for total in totals:
            builder.store(ir.Constant(by.doubles, [0.0] * by.doubles.count), total)
        further = builder.sdiv(apart, emit.constant(RECORD // NUMBERS))
        with emit.for_range(builder, blocks) as block:
            run = builder.add(runs, emit.times(builder, block.index, layout.run))
            record, tail = (
                builder.add(base, builder.mul(block.index, step)) for base, step in ((records, apart), (tails, further))
            )
            fetch_ahead(builder, run, layout)
            lines = _lines(builder, run, layout, by)

            def add(digit: int, sums: list[Any], lines: Any = lines, record: Any = record) -> None:
                for place, line in enumerate(lines):
                    _add_line(builder, by, line, [record], WORDS * digit + 4 * place, sums)

            numbers = [floats_in_order(builder, run, layout, kind, by.lanes) for kind in range(1 + layout.offset)]
            (planes,) = _sums(builder, layout, by, 1, add)
            more = _added(builder, layout, planes, tail, numbers, [builder.load(total) for total in totals])
            for value, total in zip(more, totals, strict=True):
                builder.store(value, total)
        _finish(builder, by, [builder.load(total) for total in totals], out)

    return _intrinsic(write, f"coded_row.{way}.{layout.title}")


@cache
def rows(layout: Layout, way: str) -> Any:
    """As :func:`row`, of up to 64 rows."""
    by = WAYS[way]

    def write(builder: Any, *given: Any) -> None:
        runs, blocks, records, apart, tails, count, out, stride = given
        codes, numbers, totals = (room(builder, n) for n in (layout.block // 2 * _LINE, 2 * _WIDE, MOST * _WIDE))
        width = 8 * by.doubles.count
        with emit.for_range(builder, emit.times(builder, count, _WIDE // width)) as part:
            zeros = ir.Constant(by.doubles, [0.0] * by.doubles.count)
            emit.store(builder, zeros, builder.add(totals, emit.times(builder, part.index, width)))
        further = builder.sdiv(apart, emit.constant(RECORD // NUMBERS))
        several = builder.sdiv(emit.offset(builder, count, _ROWS - 1), emit.constant(_ROWS))
        with emit.for_range(builder, blocks) as block:
            run = builder.add(runs, emit.times(builder, block.index, layout.run))
            _unpack(builder, run, layout, by, codes, numbers)
            with emit.for_range(builder, several) as some:
                first = emit.times(builder, some.index, _ROWS)
                record, tail = (
                    builder.add(builder.add(base, builder.mul(block.index, step)), emit.times(builder, first, size))
                    for base, step, size in ((records, apart, RECORD), (tails, further, NUMBERS))
                )
                kept = builder.add(totals, emit.times(builder, first, _WIDE))
                _add_up(builder, layout, by, codes, numbers, record, tail, kept)
        with emit.for_range(builder, count) as one:
            kept = builder.add(totals, emit.times(builder, one.index, _WIDE))
            found = _at(builder, by, kept)
            _finish(builder, by, found, builder.add(out, builder.mul(one.index, stride)))

    return _intrinsic(write, f"coded_rows.{way}.{layout.title}")


def _intrinsic(write: Callable[..., None], title: str) -> Any:
    def typed(_typing: Any, a: Any, b: Any, c: Any, d: Any, e: Any, f: Any, g: Any, h: Any) -> Any:
        return emit.writes(write, *[emit.A] * 8, title=title)

    return emit.intrinsic(typed)


def _lines(builder: Any, run: Any, layout: Layout, by: Words) -> list[list[Any]]:
    """The integers of a run as words: of each pair of columns, registers of all 16 rows."""
    shorts, size = ir.VectorType(emit.SHORT, 2 * by.lanes), 4 * by.lanes
    zero, mask = (emit.constants(value, shorts) for value in (layout.zero, (1 << layout.bits) - 1))

    def word(loaded: Any, shift: int) -> Any:
        """So many bits from there on, of each word."""
        moved = builder.lshr(loaded, emit.constants(shift, shorts)) if shift else loaded
        code = moved if shift + layout.bits == 16 else builder.and_(moved, mask)
        return builder.bitcast(builder.sub(code, zero) if layout.zero else code, by.sums)

    halves: list[list[list[Any]]] = [[] for _ in range(8 // layout.bits)]
    for place in range(0, layout.codes, 4 * SIDE):
        loaded = [emit.load(builder, shorts, emit.offset(builder, run, place + size * n)) for n in range(by.groups)]
        for number, half in enumerate(halves):
            half += [[word(one, layout.bits * number + 8 * odd) for one in loaded] for odd in range(2)]
    return [line for half in halves for line in half]


def _unpack(builder: Any, run: Any, layout: Layout, by: Words, codes: Any, numbers: Any) -> None:
    """The integers of a run as words, and its scales and offsets as float64."""
    for place, line in enumerate(_lines(builder, run, layout, by)):
        for number, words in enumerate(line):
            emit.store(builder, words, emit.offset(builder, codes, _LINE * place + 4 * by.lanes * number))
    for kind in range(1 + layout.offset):
        for number, value in enumerate(floats_in_order(builder, run, layout, kind, by.lanes)):
            place = _WIDE * kind + 8 * by.doubles.count * number
            emit.store(builder, value, emit.offset(builder, numbers, place))


def _add_line(builder: Any, by: Words, line: list[Any], records: list[Any], place: Any, sums: list[Any]) -> None:
    """Add the products of a pair of columns to the sums of some rows; where in a record its digits are."""
    for number, record in enumerate(records):
        address = emit.offset(builder, record, place) if isinstance(place, int) else builder.add(record, place)
        digits = spread(builder, emit.INT, address, by.lanes)
        for codes, total in zip(line, sums[number * by.groups :], strict=False):
            builder.store(by.add(builder, builder.load(total), codes, digits), total)


def _sums(
    builder: Any, layout: Layout, by: Words, count: int, add: Callable[[int, list[Any]], None]
) -> list[list[list[Any]]]:
    """The planes of sums of so many rows, beginning with 2**31; ``add`` adds the products of a digit."""
    sums = [emit.alloca(builder, by.sums) for _ in range(count * by.groups)]
    planes, zeros = [], emit.constants(0, by.sums)
    for digit in range(2):
        for total in sums:
            goes_on = digit and one_plane(layout)
            shifted = builder.shl(builder.load(total), emit.constants(WORD_BITS, by.sums)) if goes_on else zeros
            builder.store(shifted, total)
        add(digit, sums)
        if digit or not one_plane(layout):
            first = emit.constants(-(1 << 31), by.sums)
            planes.append([builder.xor(builder.load(total), first) for total in sums])
    return [[plane[by.groups * row : by.groups * (row + 1)] for plane in planes] for row in range(count)]


def _add_up(
    builder: Any, layout: Layout, by: Words, codes: Any, numbers: Any, record: Any, tail: Any, totals: Any
) -> None:
    """Add what a block of some rows gives to their totals."""
    records = [emit.offset(builder, record, RECORD * number) for number in range(_ROWS)]

    def add(digit: int, sums: list[Any]) -> None:
        with emit.for_range(builder, emit.constant(layout.block // 4)) as four:
            for odd in range(2):
                pair = emit.offset(builder, emit.times(builder, four.index, 2), odd)
                there = builder.add(codes, emit.times(builder, pair, _LINE))
                line = [
                    emit.load(builder, by.sums, emit.offset(builder, there, 4 * by.lanes * n)) for n in range(by.groups)
                ]
                place = emit.offset(builder, emit.times(builder, pair, 4), WORDS * digit)
                _add_line(builder, by, line, records, place, sums)

    found = [_at(builder, by, emit.offset(builder, numbers, _WIDE * kind)) for kind in range(1 + layout.offset)]
    for number, planes in enumerate(_sums(builder, layout, by, _ROWS, add)):
        place, own = emit.offset(builder, totals, _WIDE * number), emit.offset(builder, tail, NUMBERS * number)
        more = _added(builder, layout, planes, own, found, _at(builder, by, place))
        for part, value in enumerate(more):
            emit.store(builder, value, emit.offset(builder, place, 8 * by.doubles.count * part))


def _added(
    builder: Any, layout: Layout, planes: list[list[Any]], tail: Any, numbers: list[list[Any]], totals: list[Any]
) -> list[Any]:
    """The totals of a row, and what its sums over a block are times the scales, and the offsets."""
    found, half = values(builder, planes, tail), totals[0].type.count
    found = [
        builder.fadd(total, builder.fmul(value, scale))
        for total, value, scale in zip(totals, found, numbers[0], strict=True)
    ]
    if layout.offset:
        whole = spread(builder, _DOUBLE, emit.offset(builder, tail, WHOLE), half)
        found = [fused(builder, one, whole, total) for one, total in zip(numbers[1], found, strict=True)]
    return found


def _at(builder: Any, by: Words, address: Any) -> list[Any]:
    """16 float64."""
    width = 8 * by.doubles.count
    return [emit.load(builder, by.doubles, emit.offset(builder, address, width * n)) for n in range(2 * by.groups)]


def _finish(builder: Any, by: Words, totals: list[Any], out: Any) -> None:
    """Write 16 totals as float32."""
    for number, value in enumerate(joined(builder, totals)):
        emit.store(builder, value, emit.offset(builder, out, 4 * by.lanes * number))
