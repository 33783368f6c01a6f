"""Rows times 16 rows of codes by what a processor has for vectors, one description for several of them.

Codes become numbers of the size of a digit, bytes or words, and an instruction adds up the products of a few of them
and as many of the digit's, as an int32. Which digits there are, a :class:`Way` says by the bits of codes, and
:func:`regrow.exact.microkernels.coded.planes` of each form. Of four columns as words the even ones come first, then the
odd ones, which need no shuffle to be made from bytes. The sums of one int32 go on from those of the digits above, times
what these count; all begin with 2**31, and become float64 as those of tiles.

Codes of 4 bits stay as they are, and so are bytes without a sign; all other ones are less what stands for zero.

x86 has an instruction for pairs of words (VPMADDWD), and takes other codes so, for two digits, ``2**11 h + l``, of two
int32. For codes of 4 bits the newest ones add up four products of bytes (VPDPBUSD), for three digits of 8 bits. Others
add up pairs of bytes as words (VPMADDUBSW, VPADDW): eight such sums, all of a block of 32 columns, are at most
``8 * 2 * 15 * 2**7``, below 2**15, so that they become int32 once for each digit. Where rows are many, two of the three
digits are a word, ``2**16 h + l``: as many instructions, but no sums of these have to become int32.

Arm's registers have a quarter of the lanes of the widest ones, and there are 32 of them. SDOT adds up four products of
bytes, SMMLA eight, of two rows and of two of codes, and both take signed ones: codes of any width are bytes there. What
every Arm processor has adds neighbours up last: SMLAL adds products of bytes to words, for a block of 32 columns at
most ``8 * 15 * 2**7``, and products of words to int32.

A single row takes codes from where they lie. For several they are unpacked once, and stay in the first-level cache
while all rows of the part go by; digit by digit, so that sums stay in registers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from llvmlite import ir
from llvmlite.binding import llvm_version_info

from regrow.exact.coded import SIDE, Layout
from regrow.exact.microkernels import emission as emit
from regrow.exact.microkernels.coded import (
    MOST,
    NUMBERS,
    RECORD,
    WHOLE,
    Digit,
    Form,
    fetch_ahead,
    floats_in_order,
    fused,
    joined,
    planes,
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
class Products:
    """How a processor multiplies codes that are of the size of a digit.

    Attributes:
        add: what it adds products with.
        widen: makes int32 of what ``add`` gives for a block; None if that gives int32.
        parts: how many int32 take the room of a sum before ``widen``.
        pairs: as ``add``, of eight bytes of two rows, and of two rows of codes; several rows are multiplied so, if
            there is this.
    """

    add: Add
    widen: Callable[[Any, Any], Any] | None = None
    parts: int = 1
    pairs: Add | None = None


@dataclass(frozen=True)
class Way:
    """How a processor multiplies codes.

    Attributes:
        lanes: int32 of a register.
        forms: what digits rows have, by the bits of codes.
        products: how it multiplies, by the bits that a digit takes.
        rows: at a time, so many that their sums of a digit stay in registers.
        features: what LLVM calls what a processor must have.
    """

    lanes: int
    forms: Mapping[int, Form]
    products: Mapping[int, Products]
    rows: int = 4
    features: tuple[str, ...] = ()

    @property
    def ints(self) -> Any:
        """A register of int32."""
        return ir.VectorType(emit.INT, self.lanes)

    @property
    def doubles(self) -> Any:
        """One of float64."""
        return ir.VectorType(_DOUBLE, self.lanes // 2)

    @property
    def groups(self) -> int:
        """Registers of 16 rows' sums."""
        return SIDE // self.lanes

    @property
    def narrow(self) -> bool:
        """Whether registers are Arm's, of 16 bytes, which instructions of its own fill from memory."""
        return self.lanes == 4

    @property
    def together(self) -> int:
        """Lines whose digits are loaded at once: of Arm's, an instruction takes one word for all its lanes."""
        return 4 if self.narrow else 2

    def planes(self, layout: Layout, many: bool) -> tuple[tuple[Digit, ...], ...]:
        """See :func:`regrow.exact.microkernels.coded.planes`."""
        return planes(self.forms[layout.bits], many)


def _pairs(lanes: int, bytes_name: str, words_name: str) -> Way:
    """Of an x86 processor that adds pairs only."""
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

    products = {8: Products(add_bytes, widen), 16: Products(add_words)}
    return Way(lanes, {4: Form.MIXED, 8: Form.WORDS}, products)


def _dots(lanes: int) -> Way:
    """Of one that adds products to int32 at once: VPDPBUSD and VPDPWSSD."""

    def add_words(builder: Any, total: Any, codes: Any, digits: Any) -> Any:
        # As :func:`regrow.exact.microkernels.vnni.dot`.
        operand = ir.VectorType(emit.SHORT, 2 * lanes) if llvm_version_info[0] >= 22 else total.type
        factors = (builder.bitcast(factor, operand) for factor in (codes, digits))
        return emit.call(builder, f"llvm.x86.avx512.vpdpwssd.{32 * lanes}", total, *factors, gives=total.type)

    return Way(lanes, {4: Form.WHOLE, 8: Form.WORDS}, {8: Products(dot), 16: Products(add_words)})


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


def _of_arm(unit: Unit, pairs: Add | None = None) -> Way:
    products = {8: Products(_arm("sdot"), pairs=pairs)}
    return Way(4, {4: Form.WHOLE, 8: Form.BYTES}, products, features=unit.features)


def _of_any_arm() -> Way:
    products = {
        8: Products(_longer(emit.BYTE, emit.SHORT), _neighbours(emit.SHORT), parts=2),
        16: Products(_longer(emit.SHORT, emit.INT), _neighbours(emit.INT), parts=2),
    }
    return Way(4, {4: Form.WHOLE, 8: Form.WORDS}, products, rows=2)


WAYS = {
    "avxvnni": _dots(8),
    "avx512": _pairs(16, "llvm.x86.avx512.pmaddubs.w.512", "llvm.x86.avx512.pmaddw.d.512"),
    "avx2": _pairs(8, "llvm.x86.avx2.pmadd.ub.sw", "llvm.x86.avx2.pmadd.wd"),
    SMMLA.name: _of_arm(SMMLA, _arm("smmla")),
    SDOT.name: _of_arm(SDOT),
    NEON.name: _of_any_arm(),
}
"""By the names of the units of :mod:`regrow.exact.microkernels.units` that are made of the same instructions, the most
promising first.
"""


def form(layout: Layout, way: str) -> Form:
    """What records a way takes."""
    return WAYS[way].forms[layout.bits]


def _sizes(several: tuple[tuple[Digit, ...], ...]) -> list[int]:
    """Those of digits, each once."""
    return sorted({digit.size for plane in several for digit in plane})


def _lines_of(layout: Layout, size: int) -> int:
    """Lines of a block of codes of a size."""
    return layout.block * size // 32


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
    by = WAYS[way]

    def write(builder: Any, *given: Any) -> None:
        runs, blocks, records, apart, tails, count, out, stride = given
        numbers, totals = (room(builder, n) for n in (2 * _WIDE, MOST * _WIDE))
        codes = {n: room(builder, _LINE * _lines_of(layout, n)) for n in _sizes(by.planes(layout, many=True))}
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
            fetch_ahead(builder, run, layout)
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


def _lines(builder: Any, run: Any, layout: Layout, by: Way, size: int) -> Iterator[tuple[int, list[Any]]]:
    """The codes of a run as numbers of a size: their number in the block, and registers of all 16 rows."""
    numbers, lines = ir.VectorType(ir.IntType(size), 32 * by.lanes // size), layout.codes // _LINE
    mask, raw = (1 << layout.bits) - 1, by.forms[layout.bits].raw
    for line in range(lines):
        places = (emit.offset(builder, run, _LINE * line + 4 * by.lanes * n) for n in range(by.groups))
        loaded = [emit.load(builder, numbers, address) for address in places]
        # The lower halves of bytes are codes of the first half of the block. Of words first the even bytes are taken.
        for shift in range(0, size, layout.bits):
            found = [builder.lshr(one, emit.constants(shift, numbers)) for one in loaded] if shift else loaded
            if shift + layout.bits < size:
                found = [builder.and_(one, emit.constants(mask, numbers)) for one in found]
            if not raw:
                found = [builder.sub(one, emit.constants(layout.zero, numbers)) for one in found]
            odd, half = divmod(shift, 8)
            first = lines if half else 0
            yield (first + line) * (size // 8) + odd, [builder.bitcast(one, by.ints) for one in found]


def _unpack(builder: Any, run: Any, layout: Layout, by: Way, codes: Mapping[int, Any], numbers: Any) -> None:
    """The codes of a run line by line, or two lines by two, and its scales and offsets as float64."""
    for size, start in codes.items():
        lines = _lines(builder, run, layout, by, size)
        for step, line in _paired(builder, lines) if by.products[size].pairs else lines:
            for number, some in enumerate(line):
                emit.store(builder, some, emit.offset(builder, start, _LINE * step + 4 * by.lanes * number))
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
    several = by.planes(layout, many=False)
    sums = {digit: [_nothing(by, digit)] * by.groups for plane in several for digit in plane}
    for size in _sizes(several):
        add = by.products[size].add
        for step, line in _lines(builder, run, layout, by, size):
            for digit in (one for one in sums if one.size == size):
                digits = _digits(builder, by, emit.offset(builder, record, digit.place), step)
                sums[digit] = [add(builder, total, one, digits) for total, one in zip(sums[digit], line, strict=True)]
    found = []
    for plane in several:
        total = _begin(by, plane, by.groups)
        for digit in plane:
            total = _widened(builder, by, digit, _shifted(builder, total, digit), sums[digit])
        found.append(total)
    return found


def _sums_of_rows(
    builder: Any, layout: Layout, by: Way, codes: Mapping[int, Any], records: list[Any]
) -> list[list[Any]]:
    """The sums of each plane of several rows, row by row."""
    found = []
    for plane in by.planes(layout, many=True):
        total = _begin(by, plane, len(records) * by.groups)
        for digit in plane:
            upper, products = _shifted(builder, total, digit), by.products[digit.size]
            # What is above the first digit is a constant, which x86 has no registers for until there are sums.
            behind = products.widen or (digit is plane[0] and not by.narrow)
            begin = [_nothing(by, digit)] * len(upper) if behind else upper
            rows = [emit.offset(builder, record, digit.place) for record in records]
            more = _added_to(builder, begin, by, products, _lines_of(layout, digit.size), codes[digit.size], rows)
            total = _widened(builder, by, digit, upper, more) if behind else more
        found.append(_by_row(builder, by, total) if by.products[plane[0].size].pairs else total)
    return found


def _begin(by: Way, plane: tuple[Digit, ...], count: int) -> list[Any]:
    """What sums of a plane begin with, so that they do with 2**31 where all digits count what they do."""
    return [emit.constants((1 << 31) >> sum(digit.bits for digit in plane), by.ints)] * count


def _nothing(by: Way, digit: Digit) -> Any:
    """What sums of a digit begin with by themselves."""
    return emit.constants(0, ir.VectorType(emit.INT, by.lanes * by.products[digit.size].parts))


def _shifted(builder: Any, upper: list[Any], digit: Digit) -> list[Any]:
    """Sums of the digits above as what they count beside a digit."""
    return [builder.shl(total, emit.constants(digit.bits, total.type)) for total in upper]


def _widened(builder: Any, by: Way, digit: Digit, upper: list[Any], sums: list[Any]) -> list[Any]:
    """With the sums of the digits above, as int32."""
    widen = by.products[digit.size].widen
    sums = [widen(builder, total) for total in sums] if widen else sums
    return [builder.add(*pair) for pair in zip(upper, sums, strict=True)]


def _added_to(
    builder: Any, begin: list[Any], by: Way, products: Products, steps: int, codes: Any, rows: list[Any]
) -> list[Any]:
    """Sums, and what a digit of some rows gives with so many lines of codes."""
    # They are memory here, and registers once LLVM has promoted it.
    sums = [emit.alloca(builder, total.type) for total in begin]
    for total, value in zip(sums, begin, strict=True):
        builder.store(value, total)
    deep, add = (2, products.pairs) if products.pairs else (1, products.add)
    count = emit.constant(steps // by.together)
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
                if products.pairs:
                    digits = _digits_of_pair(builder, rows[number : number + 2], step)
                for one, total in zip(line, sums[by.groups * number :], strict=False):
                    builder.store(add(builder, builder.load(total), one, digits), total)
    return [builder.load(total) for total in sums]


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


def _add_up(
    builder: Any,
    layout: Layout,
    by: Way,
    codes: Mapping[int, Any],
    numbers: Any,
    record: Any,
    tail: Any,
    totals: Any,
) -> None:
    """Add what a block of some rows gives to their totals."""
    records = [emit.offset(builder, record, RECORD * number) for number in range(by.rows)]
    planes = _sums_of_rows(builder, layout, by, codes, records)
    for number in range(by.rows):
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
