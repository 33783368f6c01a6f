"""Rows times 16 rows of codes by what a processor has for vectors, one description for several of them.

Codes of 4 bits are bytes, multiplied by digits that are bytes. Where no instruction adds up four products of bytes as
an int32, pairs are added as words (VPMADDUBSW, VPADDW): eight such sums, all of a block of 32 columns, are at most
``8 * 2 * 15 * 2**7``, below 2**15, so that they become int32 once for each digit. All sums are one int32, and codes
keep their zero, which is taken off behind: see ``ZERO`` in :mod:`regrow.exact.microkernels.coded`.

Other codes are words, multiplied by two digits, ``2**11 h + l`` (VPMADDWD, VPADDD). Of each four columns the even
ones are taken first, then the odd ones, which need no shuffle to be made from bytes. Sums of both digits are int32.

A single row takes codes from where they lie, those of 4 bits with three digits. For several they are unpacked once, and
stay in the first-level cache while all rows of the part go by; digit by digit, so that sums stay in registers. Codes of
4 bits are unpacked as bytes and as words, for two digits, ``2**16 h + l``: as many instructions as for three bytes, but
the sums of the words go on from those of the bytes, and no digit's have to wait for another's.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

from llvmlite import ir
from llvmlite.binding import llvm_version_info

from regrow.exact.coded import SIDE, Layout
from regrow.exact.microkernels import emission as emit
from regrow.exact.microkernels.coded import (
    DIGITS,
    MOST,
    NUMBERS,
    RECORD,
    WHOLE,
    WORDS,
    Form,
    fetch_ahead,
    floats_in_order,
    fused,
    joined,
    room,
    spread,
    values,
)  # fmt: skip
from regrow.exact.microkernels.vnni import dot

_ROWS = 4  # at a time: the sums of a digit take half of 16 registers
_LINE = 4 * SIDE  # bytes of what an instruction takes of 16 rows: four columns as bytes, or two as words
_WIDE = 8 * SIDE  # bytes of 16 float64
_LINES = 24  # of a block at the most: of codes of 4 bits as words, and behind these as bytes
_DOUBLE = ir.DoubleType()
Add = Callable[[Any, Any, Any, Any], Any]
"""Writes the instructions that add products to sums; given LLVM's builder, the sums, codes and digits, all as int32."""


@dataclass(frozen=True)
class Way:
    """How a processor multiplies codes of one width.

    Attributes:
        lanes: int32 of a register.
        add: what it adds products with.
        widen: makes int32 of what ``add`` gives for a block.
    """

    lanes: int
    add: Add
    widen: Callable[[Any, Any], Any]

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


def _pairs(lanes: int, bytes_name: str, words_name: str) -> dict[int, Way]:
    """Of a processor that adds pairs only."""
    of, words_of, bytes_of = (
        ir.VectorType(kind, lanes * n) for kind, n in ((emit.INT, 1), (emit.SHORT, 2), (emit.BYTE, 4))
    )

    def words(builder: Any, x: Any, y: Any) -> Any:
        factors = (builder.bitcast(factor, words_of) for factor in (x, y))
        return emit.call(builder, words_name, *factors, gives=of)

    def add_words(builder: Any, total: Any, codes: Any, digits: Any) -> Any:
        return builder.add(total, words(builder, codes, digits))

    def add_bytes(builder: Any, total: Any, codes: Any, digits: Any) -> Any:
        factors = (builder.bitcast(factor, bytes_of) for factor in (codes, digits))
        more = emit.call(builder, bytes_name, *factors, gives=words_of)
        return builder.bitcast(builder.add(builder.bitcast(total, words_of), more), of)

    def widen(builder: Any, total: Any) -> Any:
        return words(builder, total, emit.constants(1, words_of))

    return {4: Way(lanes, add_bytes, widen), 8: Way(lanes, add_words, _as_it_is)}


def _dots(lanes: int) -> dict[int, Way]:
    """Of a processor that adds products to int32 at once: VPDPBUSD and VPDPWSSD."""

    def add_words(builder: Any, total: Any, codes: Any, digits: Any) -> Any:
        # As :func:`regrow.exact.microkernels.vnni.dot`.
        operand = ir.VectorType(emit.SHORT, 2 * lanes) if llvm_version_info[0] >= 22 else total.type
        factors = (builder.bitcast(factor, operand) for factor in (codes, digits))
        return emit.call(builder, f"llvm.x86.avx512.vpdpwssd.{32 * lanes}", total, *factors, gives=total.type)

    return {4: Way(lanes, dot, _as_it_is), 8: Way(lanes, add_words, _as_it_is)}


def _as_it_is(_builder: Any, total: Any) -> Any:
    return total


WAYS = {
    "avxvnni": _dots(8),
    "avx512": _pairs(16, "llvm.x86.avx512.pmaddubs.w.512", "llvm.x86.avx512.pmaddw.d.512"),
    "avx2": _pairs(8, "llvm.x86.avx2.pmadd.ub.sw", "llvm.x86.avx2.pmadd.wd"),
}
"""By the names of the units of :mod:`regrow.exact.microkernels.units` that are made of the same instructions, the most
promising first, and by the bits of codes.
"""


def form(layout: Layout) -> Form:
    """What digits these ways take."""
    return Form.WHOLE if layout.bits == 4 else Form.WORDS


def _steps(layout: Layout, words: bool) -> int:
    """Lines of a block."""
    return layout.block // (2 if words else 4)


@cache
def row(layout: Layout, way: str) -> Any:
    """An intrinsic that writes the products of a single row; for its arguments see
    :func:`regrow.exact.microkernels.coded.tile`.
    """
    by = WAYS[way][layout.bits]

    def write(builder: Any, *given: Any) -> None:
        runs, blocks, records, apart, tails, _, out, _ = given
        totals = [emit.alloca(builder, by.doubles) for _ in range(2 * by.groups)]
        for total in totals:
            builder.store(ir.Constant(by.doubles, [0.0] * by.doubles.count), total)
        further = builder.sdiv(apart, emit.constant(RECORD // NUMBERS))
        with emit.for_range(builder, blocks) as block:
            run = builder.add(runs, emit.times(builder, block.index, layout.run))
            record = builder.add(records, builder.mul(block.index, apart))
            tail = builder.add(tails, builder.mul(block.index, further))
            fetch_ahead(builder, run, layout)
            planes = _sums_of_row(builder, layout, by, run, record)
            planes = _whole(builder, by, planes) if layout.bits == 4 else planes
            numbers = [floats_in_order(builder, run, layout, kind, by.lanes) for kind in range(1 + layout.offset)]
            more = _added(builder, layout, planes, tail, numbers, [builder.load(total) for total in totals])
            for value, total in zip(more, totals, strict=True):
                builder.store(value, total)
        _finish(builder, by, [builder.load(total) for total in totals], out)

    return _intrinsic(write, f"coded_row.{way}.{layout.title}")


@cache
def rows(layout: Layout, way: str) -> Any:
    """As :func:`row`, of up to 64 rows."""
    ways = WAYS[way]
    by = ways[layout.bits]

    def write(builder: Any, *given: Any) -> None:
        runs, blocks, records, apart, tails, count, out, stride = given
        codes, numbers, totals = (room(builder, n) for n in (_LINES * _LINE, 2 * _WIDE, MOST * _WIDE))
        width = 8 * by.doubles.count
        with emit.for_range(builder, emit.times(builder, count, _WIDE // width)) as part:
            zeros = ir.Constant(by.doubles, [0.0] * by.doubles.count)
            emit.store(builder, zeros, builder.add(totals, emit.times(builder, part.index, width)))
        further = builder.sdiv(apart, emit.constant(RECORD // NUMBERS))
        several = builder.sdiv(emit.offset(builder, count, _ROWS - 1), emit.constant(_ROWS))
        with emit.for_range(builder, blocks) as block:
            run = builder.add(runs, emit.times(builder, block.index, layout.run))
            first_record = builder.add(records, builder.mul(block.index, apart))
            first_tail = builder.add(tails, builder.mul(block.index, further))
            fetch_ahead(builder, run, layout)
            _unpack(builder, run, layout, by, codes, numbers)
            # Rows behind the last are read, too, though nothing comes of them.
            with emit.for_range(builder, several) as some:
                first = emit.times(builder, some.index, _ROWS)
                record, tail, kept = (
                    builder.add(base, emit.times(builder, first, size))
                    for base, size in ((first_record, RECORD), (first_tail, NUMBERS), (totals, _WIDE))
                )
                _add_up(builder, layout, ways, codes, numbers, record, tail, kept)
        with emit.for_range(builder, count) as one:
            kept = builder.add(totals, emit.times(builder, one.index, _WIDE))
            _finish(builder, by, _at(builder, by, kept), builder.add(out, builder.mul(one.index, stride)))

    return _intrinsic(write, f"coded_rows.{way}.{layout.title}")


def _intrinsic(write: Callable[..., None], title: str) -> Any:
    def typed(_typing: Any, a: Any, b: Any, c: Any, d: Any, e: Any, f: Any, g: Any, h: Any) -> Any:
        return emit.writes(write, *[emit.A] * 8, title=title)

    return emit.intrinsic(typed)


def _lines(builder: Any, run: Any, layout: Layout, by: Way, words: bool) -> Iterator[tuple[int, list[Any]]]:
    """The codes of a run, as bytes or as words: their number in the block, and registers of all 16 rows."""
    shorts, width, lines = ir.VectorType(emit.SHORT, 2 * by.lanes), 4 * by.lanes, layout.codes // _LINE
    mask = ((1 << layout.bits) - 1) * (1 if words else 0x0101)
    for line in range(lines):
        place = _LINE * line
        loaded = [emit.load(builder, shorts, emit.offset(builder, run, place + width * n)) for n in range(by.groups)]
        # Of bytes with two codes each the lower ones, then the upper ones; as words the even bytes, then the odd ones.
        for half, odd in itertools.product(range(8 // layout.bits), range(1 + words)):
            shift = 4 * half + 8 * odd
            found = [builder.lshr(one, emit.constants(shift, shorts)) for one in loaded] if shift else loaded
            if shift + layout.bits < 16:
                found = [builder.and_(one, emit.constants(mask, shorts)) for one in found]
            if layout.bits == 8:
                found = [builder.sub(one, emit.constants(layout.zero, shorts)) for one in found]
            yield (half * lines + line) * (1 + words) + odd, [builder.bitcast(one, by.sums) for one in found]


def _unpack(builder: Any, run: Any, layout: Layout, by: Way, codes: Any, numbers: Any) -> None:
    """The codes of a run line by line, and its scales and offsets as float64."""
    for words in (True, False) if layout.bits == 4 else (True,):
        behind = 0 if words else _steps(layout, True)
        for step, line in _lines(builder, run, layout, by, words):
            for number, some in enumerate(line):
                place = emit.offset(builder, codes, _LINE * (behind + step) + 4 * by.lanes * number)
                emit.store(builder, some, place)
    for kind in range(1 + layout.offset):
        for number, value in enumerate(floats_in_order(builder, run, layout, kind, by.lanes)):
            place = _WIDE * kind + 8 * by.doubles.count * number
            emit.store(builder, value, emit.offset(builder, numbers, place))


def _sums_of_row(builder: Any, layout: Layout, by: Way, run: Any, record: Any) -> list[list[Any]]:
    """The sums of each digit, all digits at once."""
    count, apart = (3, DIGITS) if layout.bits == 4 else (2, WORDS)
    sums = [[emit.constants(0, by.sums)] * by.groups for _ in range(count)]
    for step, line in _lines(builder, run, layout, by, layout.bits == 8):
        for number, before in enumerate(sums):
            digits = spread(builder, emit.INT, emit.offset(builder, record, apart * number + 4 * step), by.lanes)
            sums[number] = [by.add(builder, total, one, digits) for total, one in zip(before, line, strict=True)]
    return [[by.widen(builder, total) for total in digit] for digit in sums]


def _sums_of_rows(
    builder: Any, layout: Layout, ways: dict[int, Way], codes: Any, records: list[Any]
) -> list[list[Any]]:
    """The sums of several rows, row by row: of each digit, or of codes of 4 bits of all of them."""
    words, narrow = ways[8], ways[4]
    zeros = [emit.constants(0, words.sums)] * (len(records) * words.groups)
    lines, second = _steps(layout, True), [emit.offset(builder, record, WORDS) for record in records]
    if layout.bits == 8:
        return [_taken(builder, words, lines, codes, some, zeros) for some in (records, second)]
    behind = emit.offset(builder, codes, _LINE * lines)
    upper = _taken(builder, narrow, _steps(layout, False), behind, second, zeros)
    begin = [builder.shl(narrow.widen(builder, one), emit.constants(16, words.sums)) for one in upper]
    return [_taken(builder, words, lines, codes, records, begin)]


def _taken(builder: Any, by: Way, steps: int, codes: Any, digits: list[Any], begin: list[Any]) -> list[Any]:
    """Sums, with what so many lines of codes give with a digit of some rows."""
    # They are memory here, and registers once LLVM has promoted it.
    sums = [emit.alloca(builder, by.sums) for _ in begin]
    for total, value in zip(sums, begin, strict=True):
        builder.store(value, total)
    with emit.for_range(builder, emit.constant(steps // 2)) as two:
        for odd in range(2):
            step = emit.offset(builder, emit.times(builder, two.index, 2), odd)
            there = builder.add(codes, emit.times(builder, step, _LINE))
            line = [
                emit.load(builder, by.sums, emit.offset(builder, there, 4 * by.lanes * n)) for n in range(by.groups)
            ]
            place = emit.times(builder, step, 4)
            for row, base in enumerate(digits):
                four = spread(builder, emit.INT, builder.add(base, place), by.lanes)
                for one, total in zip(line, sums[by.groups * row :], strict=False):
                    builder.store(by.add(builder, builder.load(total), one, four), total)
    return [builder.load(total) for total in sums]


def _whole(builder: Any, by: Way, sums: list[list[Any]]) -> list[list[Any]]:
    """The sums of three digits of 8 bits as one."""
    total, *rest = sums
    for lower in rest:
        shifted = (builder.shl(one, emit.constants(8, by.sums)) for one in total)
        total = [builder.add(one, more) for one, more in zip(shifted, lower, strict=True)]
    return [total]


def _add_up(
    builder: Any, layout: Layout, ways: dict[int, Way], codes: Any, numbers: Any, record: Any, tail: Any, totals: Any
) -> None:
    """Add what a block of some rows gives to their totals."""
    by = ways[layout.bits]
    records = [emit.offset(builder, record, RECORD * number) for number in range(_ROWS)]
    planes = _sums_of_rows(builder, layout, ways, codes, records)
    for number in range(_ROWS):
        # Loaded for each row, as operands of what is done to them: there are no registers for them meanwhile.
        found = [_at(builder, by, emit.offset(builder, numbers, _WIDE * kind)) for kind in range(1 + layout.offset)]
        place, own = emit.offset(builder, totals, _WIDE * number), emit.offset(builder, tail, NUMBERS * number)
        some = [plane[by.groups * number : by.groups * (number + 1)] for plane in planes]
        more = _added(builder, layout, some, own, found, _at(builder, by, place))
        for part, value in enumerate(more):
            emit.store(builder, value, emit.offset(builder, place, 8 * by.doubles.count * part))


def _added(
    builder: Any, layout: Layout, planes: list[list[Any]], tail: Any, numbers: list[list[Any]], totals: list[Any]
) -> list[Any]:
    """The totals of a row, and what its sums over a block are times the scales, and the offsets."""
    first = emit.constants(-(1 << 31), planes[0][0].type)
    planes = [[builder.xor(one, first) for one in plane] for plane in planes]
    found, half = values(builder, planes, tail), totals[0].type.count
    found = [
        builder.fadd(total, builder.fmul(value, scale))
        for total, value, scale in zip(totals, found, numbers[0], strict=True)
    ]
    if layout.offset:
        whole = spread(builder, _DOUBLE, emit.offset(builder, tail, WHOLE), half)
        found = [fused(builder, one, whole, total) for one, total in zip(numbers[1], found, strict=True)]
    return found


def _at(builder: Any, by: Way, address: Any) -> list[Any]:
    """16 float64."""
    width = 8 * by.doubles.count
    return [emit.load(builder, by.doubles, emit.offset(builder, address, width * n)) for n in range(2 * by.groups)]


def _finish(builder: Any, by: Way, totals: list[Any], out: Any) -> None:
    """Write 16 totals as float32."""
    for number, value in enumerate(joined(builder, totals)):
        emit.store(builder, value, emit.offset(builder, out, 4 * by.lanes * number))
