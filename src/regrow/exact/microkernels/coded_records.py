"""Rows as records, block by block: what :mod:`regrow.exact.microkernels.coded` and its tiles multiply."""

from __future__ import annotations

import itertools
from functools import cache
from typing import Any

from llvmlite import ir

from regrow.exact import polynomials
from regrow.exact.coded import Layout
from regrow.exact.grid import CODED_BITS
from regrow.exact.microkernels import emission as emit
from regrow.exact.microkernels.coded import (
    DIGITS,
    LOWER,
    PLACE,
    POWER,
    UPPER,
    WHOLE,
    ZERO,
    Digit,
    Form,
    planes,
    planes_apart,
)  # fmt: skip

_NON_FINITE, _LEAST = 129, -100
_DOUBLE = ir.DoubleType()


@cache
def record(layout: Layout, form: Form) -> Any:
    """An intrinsic that writes a record, and the numbers that belong to it.

    Its arguments are int64, the addresses of the block of float32, of the record and of the numbers, and whether rows
    are many, 0 or 1.
    """
    ints, bytes_ = ir.VectorType(emit.INT, layout.block), ir.VectorType(emit.BYTE, layout.block)
    shorts, floats = ir.VectorType(emit.SHORT, layout.block), ir.VectorType(ir.FloatType(), layout.block)
    # Of each four columns of words the even ones, then the odd ones.
    pairs = [4 * four + place for four in range(layout.block // 4) for place in (0, 2, 1, 3)]

    def write(builder: Any, *given: Any) -> None:
        x, digits, numbers, many = given

        def sum_of(vector: Any) -> Any:
            return emit.call(builder, f"llvm.vector.reduce.add.v{layout.block}i32", vector, gives=emit.INT)

        def number(value: int) -> Any:
            return emit.constants(value, ints)

        def split(value: Any, bits: int) -> tuple[Any, Any]:
            """A number as a multiple of 2**bits and a rest from -2**(bits - 1) on."""
            half = 1 << (bits - 1)
            rest = builder.and_(builder.add(value, number(half)), number(2 * half - 1))
            rest = builder.sub(rest, number(half))
            return builder.ashr(builder.sub(value, rest), number(bits)), rest

        numbers_in = emit.load(builder, floats, x)
        magnitudes = builder.and_(builder.bitcast(numbers_in, ints), number(0x7FFFFFFF))
        largest = emit.call(builder, f"llvm.vector.reduce.smax.v{layout.block}i32", magnitudes, gives=emit.INT)
        e = builder.sub(builder.lshr(largest, emit.constant(23, emit.INT)), emit.constant(126, emit.INT))
        small = builder.icmp_signed("<", e, emit.constant(_LEAST, emit.INT))
        e = builder.select(small, emit.constant(_LEAST, emit.INT), e)
        finite = builder.icmp_signed("!=", e, emit.constant(_NON_FINITE, emit.INT))
        scale = builder.shl(builder.sub(emit.constant(CODED_BITS + 127, emit.INT), e), emit.constant(23, emit.INT))
        scale = emit.broadcast(builder, builder.bitcast(scale, ir.FloatType()), layout.block)
        rounding = ir.Constant(floats, [polynomials.ROUND32] * layout.block)
        there = builder.select(finite, numbers_in, ir.Constant(floats, [0.0] * layout.block))
        scaled = builder.fsub(builder.fadd(builder.fmul(there, scale), rounding), rounding)
        n = builder.fptosi(scaled, ints)

        def in_halves() -> None:
            high, low = split(n, 12)
            fifteen, bits = number(15), number(4)
            each = [(builder.ashr(half, bits), builder.and_(half, fifteen)) for half in (high, low)]
            for place, pair in enumerate(each):
                for second, value in enumerate(pair):
                    target = emit.offset(builder, digits, 2 * DIGITS * place + layout.block * second)
                    emit.store(builder, builder.trunc(value, bytes_), target)

        def in_digits(*each: Digit) -> None:
            """From the most significant one on; what is above that is zero."""
            upper = n
            for digit in reversed(each):
                upper, own = split(upper, digit.bits)
                own = builder.trunc(own, bytes_ if digit.size == 8 else shorts)
                if digit.size == 16:
                    own = emit.shuffle(builder, own, own, pairs)
                emit.store(builder, own, emit.offset(builder, digits, digit.place))

        def for_tiles() -> None:
            """What sums of both int32 begin with."""
            for place, value in zip((UPPER, LOWER), split(n, 8), strict=True):
                total = builder.mul(sum_of(value), emit.constant(-layout.zero, emit.INT))
                emit.store(builder, total, emit.offset(builder, digits, place))

        def for_few() -> None:
            in_digits(*few)
            if form in (Form.BYTES, Form.HALVES):
                for_tiles()

        few, several = ([*itertools.chain(*planes(form, which))] for which in (False, True))
        if few == several:
            for_few()
        else:
            with builder.if_else(builder.trunc(many, ir.IntType(1))) as (yes, no):
                with yes:
                    in_digits(*several) if several else in_halves()
                with no:
                    for_few()

        exponent = builder.sext(builder.add(e, emit.constant(1023 - CODED_BITS, emit.INT)), emit.LONG)
        two = builder.bitcast(builder.shl(exponent, emit.constant(52)), _DOUBLE)
        two = builder.select(finite, two, ir.Constant(_DOUBLE, float("nan")))
        # What sums of 0 become: their upper words, and 2**31 in the lower ones.
        apart = planes_apart(form)
        nothing = builder.fmul(two, ir.Constant(_DOUBLE, 2.0**52 + 2.0**31))
        more = builder.fmul(nothing, ir.Constant(_DOUBLE, 2.0**apart))
        zero = builder.fadd(more, nothing) if apart else nothing
        whole = builder.fmul(builder.sitofp(sum_of(n), _DOUBLE), two)
        if form.raw:  # both are integers of less than 53 bits, times the power of two
            zero = builder.fadd(zero, builder.fmul(whole, ir.Constant(_DOUBLE, float(layout.zero))))
        for place, value in (
            (POWER, two),
            (WHOLE, whole),
            (ZERO, zero),
        ):
            emit.store(builder, value, emit.offset(builder, numbers, place))
        for second, value in enumerate((more, nothing)):
            word = builder.lshr(builder.bitcast(value, emit.LONG), emit.constant(32))
            emit.store(builder, builder.trunc(word, emit.INT), emit.offset(builder, numbers, PLACE + 4 * second))

    def typed(_typing: Any, a: Any, b: Any, c: Any, d: Any) -> Any:
        return emit.writes(write, *[emit.A] * 4, title=f"coded_record.{layout.title}.{form.name}")

    return emit.intrinsic(typed)
