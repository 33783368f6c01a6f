"""Rows times 16 rows of codes by AVX512-VNNI, which multiplies unsigned bytes by signed ones: codes and digits.

See :mod:`regrow.exact.coded` for how codes lie in memory and :mod:`regrow.exact.coded_products` for the records.
"""

from __future__ import annotations

from enum import Enum
from functools import cache
from typing import Any, NamedTuple

from llvmlite import ir
from numba import extending, types
from numba.core import cgutils

from regrow.exact.coded import Layout
from regrow.exact.microkernels import emission as emit
from regrow.exact.microkernels.vnni import dot

_intrinsic: Any = extending.intrinsic
_alloca: Any = cgutils.alloca_once
_BYTE, _INT, _LONG, _DOUBLE = ir.IntType(8), ir.IntType(32), ir.IntType(64), ir.DoubleType()
_BYTES, _INTS = ir.VectorType(_BYTE, 64), ir.VectorType(_INT, 16)
_INTS_8, _FLOATS_8, DOUBLES = ir.VectorType(_INT, 8), ir.VectorType(ir.FloatType(), 8), ir.VectorType(_DOUBLE, 8)
_AHEAD = 8192  # bytes that are asked for before they are needed
HALVES = [list(range(8)), list(range(8, 16))]

RECORD, NUMBERS = 128, 32
"""Bytes of a record, and of the numbers that belong to it. Of rows that are multiplied at a time, those of a block lie
beside each other, block by block; behind all records, in the same order, the numbers."""
DIGITS, UPPER, LOWER = 32, 96, 100
"""Bytes of a digit's row in a record, and where the sums behind three of them are."""
POWER, WHOLE, ZERO, PLACE = 0, 8, 16, 24
"""Where numbers are: 2**(e - 22); that times the sum of the integers; and for sums that become float64 in place, what
those of 0 become, and the upper words of float64 whose last bit is 2**(e - 22) or, of the upper one of two sums, that
times what it counts, and then the former.
"""
MOST = 64
"""Rows at the most that are multiplied at a time: their records have their place in the second-level cache."""


class Form(Enum):
    """What digits a record has."""

    BYTES = "three of 8 bits"
    HALVES = "four of 4 bits where rows are many, which are taken two at once; else three of 8"
    WHOLE = "three of 8 bits, whose sums become one int32"
    MIXED = "as WHOLE, but where rows are many one of 8 bits above one of 16"
    WORDS = "two words, of which the lower one has 11 bits"

    @property
    def raw(self) -> bool:
        """Whether what is multiplied is codes as they are, and what stands for zero is taken off behind."""
        return self in (Form.WHOLE, Form.MIXED)


class Digit(NamedTuple):
    """A digit of each number of a record.

    Attributes:
        place: where its row is, in bytes.
        size: bits that each takes there, 8 or 16.
        bits: of the number that it is: the digit above counts ``2**bits`` times as much.
    """

    place: int
    size: int
    bits: int


def planes(form: Form, many: bool) -> tuple[tuple[Digit, ...], ...]:
    """The digits of a record by the int32 that their sums become, the most significant first.

    Of halves, which :mod:`regrow.exact.microkernels.coded_tiles` alone knows, there are none here, but an int32.
    """
    high, middle, low = (Digit(DIGITS * number, 8, 8) for number in range(3))
    if form is Form.WORDS:
        return (Digit(0, 16, 16),), (Digit(64, 16, 11),)
    if form is Form.MIXED and many:
        return ((Digit(64, 8, 8), Digit(0, 16, 16)),)
    if form is Form.HALVES and many:
        return ((),)
    return ((high, middle, low),) if form.raw else ((high, middle), (low,))


def least(form: Form) -> int:
    """From how many rows on these are many."""
    return 2 if form is Form.MIXED else 8


def halves(layout: Layout) -> bool:
    """Whether tiles take integers as four digits of 4 bits, two at once, and not as three of 8 bits."""
    return layout.bits == 4 and layout.zero in (0, 8)  # 16 times an integer is a byte, without or with a sign


def planes_apart(form: Form) -> int:
    """How many bits the upper one of two sums counts more than the lower one; 0 if there is one sum only."""
    _, *lower = planes(form, many=True)
    return sum(digit.bits for plane in lower for digit in plane)


@cache
def tile(rows: int, layout: Layout) -> Any:
    """An intrinsic that writes ``rows`` x 16 products, float32.

    Its arguments are int64: the address of the runs, how many there are; the address of the records, how many bytes
    apart those of two blocks are, the address of the numbers that belong to them, and how many rows there are; the
    address of the result, and how many bytes apart its rows are. For rows that are not there the last one is read, and
    nothing is written.
    """

    def write(builder: Any, *given: Any) -> None:
        runs, blocks, records, apart, numbers, there, out, stride = given
        last = builder.sub(there, emit.constant(1))
        is_there = (builder.icmp_signed("<", emit.constant(row), there) for row in range(rows))
        chosen = [builder.select(yes, emit.constant(row), last) for row, yes in enumerate(is_there)]
        bases = [builder.add(records, emit.times(builder, number, RECORD)) for number in chosen]
        tails = [builder.add(numbers, emit.times(builder, number, NUMBERS)) for number in chosen]
        further = builder.sdiv(apart, emit.constant(RECORD // NUMBERS))
        totals = [[_alloca(builder, DOUBLES) for _ in range(2)] for _ in range(rows)]
        for total in (total for row in totals for total in row):
            builder.store(ir.Constant(DOUBLES, [0.0] * 8), total)
        with cgutils.for_range(builder, blocks) as loop:
            run = builder.add(runs, builder.mul(loop.index, emit.constant(layout.run)))
            place, behind = (builder.mul(loop.index, of) for of in (apart, further))
            if rows == 1:
                fetch_ahead(builder, run, layout)
            quads = quads_of(builder, run, layout)
            floats = [floats_of(builder, run, layout, number) for number in range(1 + layout.offset)]
            for base, tail, row in zip(bases, tails, totals, strict=True):
                _add(builder, builder.add(base, place), builder.add(tail, behind), quads, floats, row, layout)
        for number, row in enumerate(totals):
            with builder.if_then(builder.icmp_signed("<", emit.constant(number), there)):
                address = emit.row(builder, out, stride, number)
                for half, total in enumerate(row):
                    value = builder.fptrunc(builder.load(total), _FLOATS_8)
                    emit.store(builder, value, emit.offset(builder, address, 32 * half))

    def generate(context: Any, builder: Any, _signature: Any, values: Any) -> Any:
        name = f"regrow.coded.{rows}.{layout.title}"
        builder.call(emit.function(builder.module, name, write, [_LONG] * 8), values)
        return context.get_dummy_value()

    def typed(_typing: Any, a: Any, b: Any, c: Any, d: Any, e: Any, f: Any, g: Any, h: Any) -> Any:
        return types.void(*[types.int64] * 8), generate

    return _intrinsic(typed)


def fetch_ahead(builder: Any, run: Any, layout: Layout) -> None:
    """Ask for the memory of runs further on, which a processor does not foresee beyond the end of a page."""
    fetch(builder, emit.offset(builder, run, _AHEAD), layout.run)


def fetch(builder: Any, start: Any, size: int) -> None:
    """Ask for so many bytes of memory."""
    for place in range(0, size, 64):
        address = emit.pointer(builder, emit.offset(builder, start, place))
        settings = [emit.constant(number, _INT) for number in (0, 3, 1)]  # to read, into all caches, data
        emit.call(builder, "llvm.prefetch.p0", address, *settings)


def quads_of(builder: Any, run: Any, layout: Layout) -> list[Any]:
    """The codes of a run, four columns of the 16 rows in each."""
    loaded = [emit.load(builder, _BYTES, emit.offset(builder, run, place)) for place in range(0, layout.codes, 64)]
    if layout.bits == 8:
        return loaded
    lower = ir.Constant(_BYTES, [15] * 64)
    four = ir.Constant(_INTS, [4] * 16)
    upper = [builder.bitcast(builder.lshr(builder.bitcast(one, _INTS), four), _BYTES) for one in loaded]
    return [builder.and_(one, lower) for one in (*loaded, *upper)]


def floats_of(builder: Any, run: Any, layout: Layout, number: int) -> list[Any]:
    """The scales or the offsets of a run, as float64."""
    places = (emit.offset(builder, run, layout.codes + 64 * number + 32 * half) for half in range(2))
    return [builder.fpext(emit.load(builder, _FLOATS_8, place), DOUBLES) for place in places]


def order(lanes: int) -> list[list[int]]:
    """The order in which the int32 of a register become float64, by the halves of each quarter of 16 bytes."""
    return [[4 * part + 2 * half + i for part in range(lanes // 4) for i in range(2)] for half in range(2)]


def floats_in_order(builder: Any, run: Any, layout: Layout, number: int, lanes: int) -> list[Any]:
    """The scales or the offsets of a run as float64, in the :func:`order` of registers of so many int32."""
    narrow, wide = ir.VectorType(ir.FloatType(), lanes), ir.VectorType(_DOUBLE, lanes // 2)
    start = layout.codes + 64 * number
    loaded = [emit.load(builder, narrow, emit.offset(builder, run, start + 4 * first)) for first in range(0, 16, lanes)]
    return [builder.fpext(emit.shuffle(builder, one, one, half), wide) for one in loaded for half in order(lanes)]


def joined(builder: Any, totals: list[Any]) -> list[Any]:
    """Registers of float32 of float64 in their :func:`order`."""
    narrow = [builder.fptrunc(one, ir.VectorType(ir.FloatType(), one.type.count)) for one in totals]
    first, second = order(2 * totals[0].type.count)
    back = sorted(range(2 * len(first)), key=[*first, *second].__getitem__)
    return [emit.shuffle(builder, narrow[i], narrow[i + 1], back) for i in range(0, len(narrow), 2)]


def values(builder: Any, planes: list[list[Any]], tail: Any) -> list[Any]:
    """The sums of a row and block times the power of two of these, float64, in the :func:`order` of their registers.

    Sums begin with 2**31, so that they are the lower words of float64.
    """
    lanes = planes[0][0].type.count
    zero = spread(builder, _DOUBLE, emit.offset(builder, tail, ZERO), lanes // 2)
    words = [spread(builder, _INT, emit.offset(builder, tail, PLACE + 4 * n), lanes) for n in range(len(planes))]
    found = []
    for registers in zip(*planes, strict=True):
        for half in order(lanes):
            upper, *rest = (_placed(builder, *pair, half) for pair in zip(registers, words, strict=True))
            value = builder.fsub(upper, zero)
            for lower in rest:
                value = builder.fadd(value, lower)
            found.append(value)
    return found


def _placed(builder: Any, lower: Any, upper: Any, half: list[int]) -> Any:
    """float64 of their lower and upper words."""
    places = [place for number in half for place in (number, lower.type.count + number)]
    return builder.bitcast(emit.shuffle(builder, lower, upper, places), ir.VectorType(_DOUBLE, len(half)))


def room(builder: Any, size: int) -> Any:
    """The address of so many bytes, a multiple of a cache's line."""
    # Numba's own way writes to it at once, byte by byte, which takes LLVM minutes.
    found = builder.alloca(ir.ArrayType(_BYTE, size))
    found.align = 64
    return builder.ptrtoint(found, _LONG)


def spread(builder: Any, of: Any, address: Any, count: int) -> Any:
    """So many times the number at an address."""
    value = emit.load(builder, of, address)
    one = builder.insert_element(ir.Constant(ir.VectorType(of, count), ir.Undefined), value, emit.constant(0, _INT))
    return emit.shuffle(builder, one, one, [0] * count)


def _add(
    builder: Any, record: Any, tail: Any, quads: list[Any], numbers: list[Any], totals: list[Any], layout: Layout
) -> None:
    """Add what a block of a row gives to the sums of its 16 columns."""
    sums = [
        ir.Constant(_INTS, [0] * 16),
        spread(builder, _INT, emit.offset(builder, record, UPPER), 16),
        spread(builder, _INT, emit.offset(builder, record, LOWER), 16),
    ]
    for number, codes in enumerate(quads):
        for digit in range(3):
            digits = spread(builder, _INT, emit.offset(builder, record, DIGITS * digit + 4 * number), 16)
            sums[digit] = dot(builder, sums[digit], codes, digits)
    eight = ir.Constant(_INTS, [8] * 16)
    upper = builder.add(builder.shl(sums[0], eight), sums[1])
    power = spread(builder, _DOUBLE, emit.offset(builder, tail, POWER), 8)
    whole = spread(builder, _DOUBLE, emit.offset(builder, tail, WHOLE), 8) if layout.offset else None
    for half, places in enumerate(HALVES):
        if layout.bits == 4:
            value = _doubles(builder, builder.add(builder.shl(upper, eight), sums[2]), places)
        else:  # both are exact, as is their sum
            value = builder.fmul(_doubles(builder, upper, places), ir.Constant(DOUBLES, [256.0] * 8))
            value = builder.fadd(value, _doubles(builder, sums[2], places))
        # To multiply by a power of two is exact: where in a product it stands does not matter, and it may be fused.
        total = fused(builder, builder.fmul(value, numbers[0][half]), power, builder.load(totals[half]))
        if whole is not None:
            total = fused(builder, numbers[1][half], whole, total)
        builder.store(total, totals[half])


def fused(builder: Any, x: Any, y: Any, z: Any) -> Any:
    """``x y + z``, of which ``x y`` is exact, so that one rounding is as two."""
    return emit.call(builder, f"llvm.fmuladd.v{x.type.count}f64", x, y, z, gives=x.type)


def _doubles(builder: Any, integers: Any, places: list[int]) -> Any:
    return builder.sitofp(emit.shuffle(builder, integers, integers, places), DOUBLES)
