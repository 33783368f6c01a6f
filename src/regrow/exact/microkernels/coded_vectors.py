"""Rows times 16 rows of codes by what a processor has for vectors, one description for several of them.

Codes of 4 bits are bytes, multiplied by three digits of 8 bits. Where no instruction adds up four products of bytes as
an int32, pairs are added as words (VPMADDUBSW, VPADDW): eight such sums, all of a block of 32 columns, are at most
``8 * 2 * 15 * 2**7``, below 2**15, so that they become int32 once for each digit. The three sums are one int32, and
codes keep their zero, which is taken off behind: see ``ZERO`` in :mod:`regrow.exact.microkernels.coded`.

All other codes are words, multiplied by two digits, ``2**11 h + l`` (VPMADDWD, VPADDD). Of each four columns the even
ones are taken first, then the odd ones, which need no shuffle to be made from bytes. Sums of both digits are int32.

Arm's registers have a quarter of the lanes of the widest ones, and there are 32 of them. SDOT adds up four products of
bytes as an int32, SMMLA eight, of two rows and of two of codes, and both take signed ones: codes of any width are bytes
there, less what stands for zero where they have 8 bits. What every Arm processor has adds neighbours up last: SMLAL
adds products of bytes to words, for a block of 32 columns at most ``8 * 15 * 2**7``, and products of words to int32.

A single row takes codes from where they lie. For several they are unpacked once, and stay in the first-level cache
while all rows of the part go by; digit by digit, so that sums stay in registers. Sums become float64 as those of tiles.
"""

from __future__ import annotations

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
from regrow.exact.microkernels.neon import NEON, SDOT, SMMLA
from regrow.exact.microkernels.processor import compiled_for
from regrow.exact.microkernels.unit import Unit
from regrow.exact.microkernels.vnni import dot

_LINE = 4 * SIDE  # bytes of what an instruction takes of 16 rows: four columns as bytes, or two as words
_WIDE = 8 * SIDE  # bytes of 16 float64
_DOUBLE = ir.DoubleType()
Add = Callable[[Any, Any, Any, Any], Any]
"""Writes the instructions that add products to sums; given LLVM's builder, the sums, codes and digits, all as int32."""


@dataclass(frozen=True)
class Way:
    """How a processor multiplies codes of one width.

    Attributes:
        lanes: int32 of a register.
        add: what it adds products with.
        widen: makes int32 of what ``add`` gives for a block; None if that gives int32.
        bytes: whether codes are bytes, and digits have 8 bits; else codes are words.
        rows: at a time, so many that their sums of a digit stay in registers.
        parts: how many int32 take the room of a sum before ``widen``.
        pairs: as ``add``, of eight bytes of two rows, and of two rows of codes; several rows are multiplied so, if
            there is this.
        features: what LLVM calls what a processor must have.
    """

    lanes: int
    add: Add
    widen: Callable[[Any, Any], Any] | None = None
    bytes: bool = False
    rows: int = 4
    parts: int = 1
    pairs: Add | None = None
    features: tuple[str, ...] = ()

    @property
    def ints(self) -> Any:
        """A register of int32."""
        return ir.VectorType(emit.INT, self.lanes)

    @property
    def sums(self) -> Any:
        """One of sums, or several."""
        return ir.VectorType(emit.INT, self.lanes * self.parts)

    @property
    def doubles(self) -> Any:
        """One of float64."""
        return ir.VectorType(_DOUBLE, self.lanes // 2)

    @property
    def groups(self) -> int:
        """Registers of 16 rows' sums."""
        return SIDE // self.lanes

    @property
    def apart(self) -> int:
        """Bytes from one digit's row in a record to the next one's."""
        return DIGITS if self.bytes else WORDS

    @property
    def narrow(self) -> bool:
        """Whether registers are Arm's, of 16 bytes, which instructions of its own fill from memory."""
        return self.lanes == 4

    @property
    def together(self) -> int:
        """Lines whose digits are loaded at once: of Arm's, an instruction takes one word for all its lanes."""
        return 4 if self.narrow else 2

    def first(self, digits: int) -> int:
        """What sums begin with, so that those of so many digits, as one, begin with 2**31."""
        return 0 if self.widen else (1 << 31) >> 8 * (digits - 1)


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

    return {4: Way(lanes, add_bytes, widen, bytes=True), 8: Way(lanes, add_words)}


def _dots(lanes: int) -> dict[int, Way]:
    """Of a processor that adds products to int32 at once: VPDPBUSD and VPDPWSSD."""

    def add_words(builder: Any, total: Any, codes: Any, digits: Any) -> Any:
        # As :func:`regrow.exact.microkernels.vnni.dot`.
        operand = ir.VectorType(emit.SHORT, 2 * lanes) if llvm_version_info[0] >= 22 else total.type
        factors = (builder.bitcast(factor, operand) for factor in (codes, digits))
        return emit.call(builder, f"llvm.x86.avx512.vpdpwssd.{32 * lanes}", total, *factors, gives=total.type)

    return {4: Way(lanes, dot, bytes=True), 8: Way(lanes, add_words)}


def _arm(name: str) -> Add:
    """Adds four or eight products of bytes."""

    def add(builder: Any, total: Any, codes: Any, digits: Any) -> Any:
        # Of SDOT the second factor may be a word of a register, of SMMLA the first one has the rows.
        both = (codes, digits) if name == "sdot" else (digits, codes)
        factors = (builder.bitcast(factor, emit.BYTES_16) for factor in both)
        return emit.call(builder, f"llvm.aarch64.neon.{name}.v4i32.v16i8", total, *factors, gives=total.type)

    return add


def _halves(builder: Any, value: Any, of: Any) -> list[Any]:
    """Both halves of what is taken for such numbers."""
    whole, half = builder.bitcast(value, of), of.count // 2
    return [emit.shuffle(builder, whole, whole, list(range(start, start + half))) for start in (0, half)]


def _longer(kind: Any, longer: Any) -> Add:
    """Adds single products to numbers of twice their length: SMLAL and SMLAL2."""
    count = 4 * emit.INT.width // kind.width
    of, sums, half = ir.VectorType(kind, count), ir.VectorType(longer, count), ir.VectorType(longer, count // 2)

    def add(builder: Any, total: Any, codes: Any, digits: Any) -> Any:
        name = f"llvm.aarch64.neon.smull.v{half.count}i{longer.width}"
        factors = zip(_halves(builder, codes, of), _halves(builder, digits, of), strict=True)
        products = [emit.call(builder, name, *pair, gives=half) for pair in factors]
        added = [builder.add(x, y) for x, y in zip(_halves(builder, total, sums), products, strict=True)]
        lower, upper = added
        return builder.bitcast(emit.shuffle(builder, lower, upper, list(range(sums.count))), total.type)

    return add


def _neighbours(kind: Any) -> Callable[[Any, Any], Any]:
    """Adds up what belongs to a row of codes: two int32, or four words: SADDLP and ADDP."""
    four = ir.VectorType(emit.INT, 4)

    def widen(builder: Any, total: Any) -> Any:
        halves = _halves(builder, total, ir.VectorType(kind, 8 * emit.INT.width // kind.width))
        if kind == emit.SHORT:
            halves = [emit.call(builder, "llvm.aarch64.neon.saddlp.v4i32.v8i16", half, gives=four) for half in halves]
        return emit.call(builder, "llvm.aarch64.neon.addp.v4i32", *halves, gives=four)

    return widen


def _of_arm(unit: Unit, pairs: Add | None = None) -> dict[int, Way]:
    return dict.fromkeys((4, 8), Way(4, _arm("sdot"), bytes=True, pairs=pairs, features=unit.features))


WAYS = {
    "avxvnni": _dots(8),
    "avx512": _pairs(16, "llvm.x86.avx512.pmaddubs.w.512", "llvm.x86.avx512.pmaddw.d.512"),
    "avx2": _pairs(8, "llvm.x86.avx2.pmadd.ub.sw", "llvm.x86.avx2.pmadd.wd"),
    SMMLA.name: _of_arm(SMMLA, _arm("smmla")),
    SDOT.name: _of_arm(SDOT),
    NEON.name: {
        4: Way(4, _longer(emit.BYTE, emit.SHORT), _neighbours(emit.SHORT), bytes=True, rows=2, parts=2),
        8: Way(4, _longer(emit.SHORT, emit.INT), _neighbours(emit.INT), rows=2, parts=2),
    },
}
"""By the names of the units of :mod:`regrow.exact.microkernels.units` that are made of the same instructions, the most
promising first, and by the bits of codes.
"""


def form(layout: Layout, way: str) -> Form:
    """What digits a way takes."""
    return Form.WHOLE if layout.bits == 4 else Form.BYTES if WAYS[way][8].bytes else Form.WORDS


def _planes(layout: Layout, by: Way) -> list[list[int]]:
    """Which digits have sums that are one int32 together."""
    if by.bytes:
        return [[0, 1, 2]] if layout.bits == 4 else [[0, 1], [2]]
    return [[0], [1]]


def _steps(layout: Layout, by: Way) -> int:
    """Lines of a block."""
    return layout.block // (4 if by.bytes else 2)


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
            numbers = [floats_in_order(builder, run, layout, kind, by.lanes) for kind in range(1 + layout.offset)]
            more = _added(builder, layout, planes, tail, numbers, [builder.load(total) for total in totals])
            for value, total in zip(more, totals, strict=True):
                builder.store(value, total)
        _finish(builder, by, [builder.load(total) for total in totals], out)

    return _intrinsic(write, by, f"coded_row.{way}.{layout.title}")


@cache
def rows(layout: Layout, way: str) -> Any:
    """As :func:`row`, of up to 64 rows."""
    by = WAYS[way][layout.bits]

    def write(builder: Any, *given: Any) -> None:
        runs, blocks, records, apart, tails, count, out, stride = given
        codes, numbers, totals = (room(builder, n) for n in (_steps(layout, by) * _LINE, 2 * _WIDE, MOST * _WIDE))
        width = 8 * by.doubles.count
        with emit.for_range(builder, emit.times(builder, count, _WIDE // width)) as part:
            zeros = ir.Constant(by.doubles, [0.0] * by.doubles.count)
            emit.store(builder, zeros, builder.add(totals, emit.times(builder, part.index, width)))
        further = builder.sdiv(apart, emit.constant(RECORD // NUMBERS))
        several = builder.sdiv(emit.offset(builder, count, by.rows - 1), emit.constant(by.rows))
        with emit.for_range(builder, blocks) as block:
            run = builder.add(runs, emit.times(builder, block.index, layout.run))
            first_record = builder.add(records, builder.mul(block.index, apart))
            first_tail = builder.add(tails, builder.mul(block.index, further))
            _unpack(builder, run, layout, by, codes, numbers)
            # Rows behind the last are read, too, though nothing comes of them.
            with emit.for_range(builder, several) as some:
                first = emit.times(builder, some.index, by.rows)
                record, tail, kept = (
                    builder.add(base, emit.times(builder, first, size))
                    for base, size in ((first_record, RECORD), (first_tail, NUMBERS), (totals, _WIDE))
                )
                _add_up(builder, layout, by, codes, numbers, record, tail, kept)
        with emit.for_range(builder, count) as one:
            kept = builder.add(totals, emit.times(builder, one.index, _WIDE))
            _finish(builder, by, _at(builder, by, kept), builder.add(out, builder.mul(one.index, stride)))

    return _intrinsic(write, by, f"coded_rows.{way}.{layout.title}")


def _intrinsic(write: Callable[..., None], by: Way, title: str) -> Any:
    def typed(_typing: Any, a: Any, b: Any, c: Any, d: Any, e: Any, f: Any, g: Any, h: Any) -> Any:
        features = compiled_for(by.features) if by.features else []
        return emit.writes(write, *[emit.A] * 8, title=title, features=features)

    return emit.intrinsic(typed)


def _lines(builder: Any, run: Any, layout: Layout, by: Way) -> Iterator[tuple[int, list[Any]]]:
    """The codes of a run: their number in the block, and registers of all 16 rows."""
    numbers = ir.VectorType(emit.BYTE, 4 * by.lanes) if by.bytes else ir.VectorType(emit.SHORT, 2 * by.lanes)
    for place in range(0, layout.codes, _LINE):
        places = (emit.offset(builder, run, place + 4 * by.lanes * n) for n in range(by.groups))
        loaded = [emit.load(builder, numbers, address) for address in places]
        halves = {place: loaded}
        if layout.bits == 4:
            halves = _halved(builder, loaded, 4, place, layout.codes + place)
        elif not by.bytes:  # the even bytes, then the odd ones
            halves = _halved(builder, loaded, 8, 2 * place, 2 * place + _LINE)
        for first, line in halves.items():
            if layout.bits == 8:
                line = [builder.sub(one, emit.constants(layout.zero, numbers)) for one in line]
            yield first // _LINE, [builder.bitcast(one, by.ints) for one in line]


def _halved(builder: Any, loaded: list[Any], bits: int, lower: int, upper: int) -> dict[int, list[Any]]:
    """The lower so many bits of each number, and the others, by their places."""
    bits, mask = (emit.constants(value, loaded[0].type) for value in (bits, (1 << bits) - 1))
    return {
        lower: [builder.and_(one, mask) for one in loaded],
        upper: [builder.lshr(one, bits) for one in loaded],
    }


def _unpack(builder: Any, run: Any, layout: Layout, by: Way, codes: Any, numbers: Any) -> None:
    """The codes of a run line by line, or two lines by two, and its scales and offsets as float64."""
    lines = _lines(builder, run, layout, by)
    for step, line in _paired(builder, lines) if by.pairs else lines:
        for number, some in enumerate(line):
            emit.store(builder, some, emit.offset(builder, codes, _LINE * step + 4 * by.lanes * number))
    for kind in range(1 + layout.offset):
        for number, value in enumerate(floats_in_order(builder, run, layout, kind, by.lanes)):
            place = _WIDE * kind + 8 * by.doubles.count * number
            emit.store(builder, value, emit.offset(builder, numbers, place))


def _paired(builder: Any, lines: Iterator[tuple[int, list[Any]]]) -> Iterator[tuple[int, list[Any]]]:
    """Two lines as one: of two rows of codes, eight columns of each."""
    even: dict[int, list[Any]] = {}
    for step, line in lines:
        if step % 2 == 0:
            even[step] = line
            continue
        both = zip(even.pop(step - 1), line, strict=True)
        yield step - 1, [emit.shuffle(builder, x, y, half) for x, y in both for half in ([0, 4, 1, 5], [2, 6, 3, 7])]


def _sums_of_row(builder: Any, layout: Layout, by: Way, run: Any, record: Any) -> list[list[Any]]:
    """The sums of each plane, all digits at once."""
    planes = _planes(layout, by)
    firsts = [0 if place else by.first(len(digits)) for digits in planes for place in range(len(digits))]
    sums = [[emit.constants(first, by.sums)] * by.groups for first in firsts]
    for step, line in _lines(builder, run, layout, by):
        for number, before in enumerate(sums):
            digits = _digits(builder, by, emit.offset(builder, record, by.apart * number), step)
            sums[number] = [by.add(builder, total, one, digits) for total, one in zip(before, line, strict=True)]
    return [_joined(builder, by, [_widened(builder, by, sums[number]) for number in digits]) for digits in planes]


def _sums_of_rows(builder: Any, layout: Layout, by: Way, codes: Any, records: list[Any]) -> list[list[Any]]:
    """The sums of each plane of several rows, row by row."""
    # They are memory here, and registers once LLVM has promoted it.
    sums = [emit.alloca(builder, by.sums) for _ in range(len(records) * by.groups)]
    planes = []
    for plane in _planes(layout, by):
        each: list[list[Any]] = []
        begin = [emit.constants(by.first(len(plane)), by.sums)] * len(sums)
        for number in plane:
            for total, value in zip(sums, begin, strict=True):
                builder.store(value, total)
            rows = [emit.offset(builder, record, by.apart * number) for record in records]
            _add_digits(builder, layout, by, codes, rows, sums)
            found = [builder.load(total) for total in sums]
            if by.widen:
                each.append(_widened(builder, by, found))
            else:  # what the digits above give is what the next one begins with
                each, begin = [found], _shifted(builder, found)
        planes.append(_joined(builder, by, each))
    return [_by_row(builder, by, plane) for plane in planes] if by.pairs else planes


def _add_digits(builder: Any, layout: Layout, by: Way, codes: Any, rows: list[Any], sums: list[Any]) -> None:
    """Add what a digit of some rows gives with a block of codes."""
    deep, add = (2, by.pairs) if by.pairs else (1, by.add)
    count = emit.constant(_steps(layout, by) // by.together)
    if by.narrow:
        # No instruction takes codes from memory: LLVM would unroll the loop and keep them for the next digit, as copies
        # on the stack.
        count = emit.opaque(builder, count)
    with emit.for_range(builder, count) as loop:
        start = emit.times(builder, loop.index, by.together)
        there, place = emit.times(builder, start, _LINE), emit.times(builder, start, 4)
        there, rows = builder.add(codes, there), [builder.add(row, place) for row in rows]
        for step in range(0, by.together, deep):
            places = (emit.offset(builder, there, _LINE * step + 4 * by.lanes * n) for n in range(deep * by.groups))
            line = [emit.load(builder, by.ints, address) for address in places]
            for number in range(0, len(rows), deep):
                digits = _digits(builder, by, rows[number], step)
                if by.pairs:
                    digits = _digits_of_pair(builder, rows[number : number + 2], step)
                for one, total in zip(line, sums[by.groups * number :], strict=False):
                    builder.store(add(builder, builder.load(total), one, digits), total)


def _digits(builder: Any, by: Way, row: Any, step: int) -> Any:
    """Those of a line, in all lanes."""
    if by.together == 2:
        return spread(builder, emit.INT, emit.offset(builder, row, 4 * step), by.lanes)
    some = emit.load(builder, by.ints, emit.offset(builder, row, 4 * (step // 4 * 4)))
    return emit.shuffle(builder, some, some, [step % 4] * 4)


def _digits_of_pair(builder: Any, rows: list[Any], step: int) -> Any:
    """Eight of one row, and eight of another."""
    first, second = (emit.load(builder, ir.VectorType(emit.LONG, 2), row) for row in rows)
    return emit.shuffle(builder, first, second, [step // 2, 2 + step // 2])


def _by_row(builder: Any, by: Way, sums: list[Any]) -> list[Any]:
    """What two rows give with two rows of codes each, row by row."""
    pairs = [sums[first : first + 2 * by.groups] for first in range(0, len(sums), 2 * by.groups)]
    return [
        emit.shuffle(builder, pair[two], pair[two + 1], row)
        for pair in pairs
        for row in ([0, 1, 4, 5], [2, 3, 6, 7])
        for two in range(0, 2 * by.groups, 2)
    ]


def _widened(builder: Any, by: Way, sums: list[Any]) -> list[Any]:
    """As int32."""
    return [by.widen(builder, total) for total in sums] if by.widen else sums


def _shifted(builder: Any, sums: list[Any]) -> list[Any]:
    """Times 2**8."""
    return [builder.shl(total, emit.constants(8, total.type)) for total in sums]


def _joined(builder: Any, by: Way, digits: list[list[Any]]) -> list[Any]:
    """Those of all digits as one, with 2**31 added, if it is not there yet."""
    total, *rest = digits
    for lower in rest:
        total = [builder.add(*pair) for pair in zip(_shifted(builder, total), lower, strict=True)]
    return [builder.xor(one, emit.constants(-(1 << 31), by.ints)) for one in total] if by.widen else total


def _add_up(
    builder: Any, layout: Layout, by: Way, codes: Any, numbers: Any, record: Any, tail: Any, totals: Any
) -> None:
    """Add what a block of some rows gives to their totals."""
    records = [emit.offset(builder, record, RECORD * number) for number in range(by.rows)]
    planes = _sums_of_rows(builder, layout, by, codes, records)
    found = [_at(builder, by, emit.offset(builder, numbers, _WIDE * kind)) for kind in range(1 + layout.offset)]
    for number in range(by.rows):
        place, own = emit.offset(builder, totals, _WIDE * number), emit.offset(builder, tail, NUMBERS * number)
        some = [plane[by.groups * number : by.groups * (number + 1)] for plane in planes]
        more = _added(builder, layout, some, own, found, _at(builder, by, place))
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


def _at(builder: Any, by: Way, address: Any) -> list[Any]:
    """16 float64."""
    width = 8 * by.doubles.count
    return [emit.load(builder, by.doubles, emit.offset(builder, address, width * n)) for n in range(2 * by.groups)]


def _finish(builder: Any, by: Way, totals: list[Any], out: Any) -> None:
    """Write 16 totals as float32."""
    for number, value in enumerate(joined(builder, totals)):
        emit.store(builder, value, emit.offset(builder, out, 4 * by.lanes * number))
