"""The CUDA kernels of products: digits are multiplied by the tensor cores, and a product is rounded where it is summed.

A program has one tile of the result. Of an operand that is given as numbers it makes the digits in registers, for each
tile anew: nothing but float32 numbers are read and written. It must know the exponents before, so that whoever launches
it has gone once through the numbers for their maxima.

Sums are taken in int32, in which 2**17 products of digits have room twice. Digits as bfloat16 are summed in float32,
which holds ``DEPTH`` of them, and these sums again in int32.
"""

from __future__ import annotations

import triton.language as tl

from regrow.exact.gpu import functions as f
from regrow.exact.gpu.functions import jit

# A part of two products of at most 2**12 for each of the depth stays within the 2**24 up to which float32 is exact.
DEPTH = tl.constexpr(1 << 11)
# Rows of tiles that are worked on together, so that what they read of the other operand is still in the cache.
BAND = tl.constexpr(8)


@jit
def _place(rows, columns, BM: tl.constexpr, BN: tl.constexpr):
    """Group, first row and first column of a program's tile."""
    across, down = tl.cdiv(columns, BN), tl.cdiv(rows, BM)
    i = tl.program_id(0) % (across * down)
    first = i // (BAND * across) * BAND
    height = tl.minimum(down - first, BAND)
    at = i % (BAND * across)
    return (tl.program_id(0) // (across * down)).to(tl.int64), (first + at % height) * BM, at // height * BN


@jit
def _exponents(pointer, at, mask, STORED: tl.constexpr):
    """Exponents of groups, which are known where digits are stored, and else follow from the largest bit patterns."""
    found = tl.load(pointer + at, mask=mask, other=0)
    return found if STORED else f.exponent(found)


@jit
def _to_grid(e):
    """What brings a group to its grid; of one that is not finite anything will do, since its results are NaN."""
    return f.two32(13 - tl.where(e == f.NON_FINITE, 0, e))


@jit
def _operand(upper, lower, at, scale, mask, STORED: tl.constexpr, TYPE: tl.constexpr):
    """Both digits of part of an operand: those that are stored, or those of its numbers."""
    if STORED:
        high, low = f.stored(upper, lower, at, mask, TYPE)
    else:
        high, low = f.digits(f.rint32(tl.load(upper + at, mask=mask, other=0.0) * scale), TYPE)
    return high, low


@jit
def _step(
    start, left, left_low, right, right_low, left_step, right_step, left_scale, right_scale, at_left, at_right,
    r_inside, c_inside, depth, high, cross,
    LEFT_STORED: tl.constexpr, RIGHT_STORED: tl.constexpr, TYPE: tl.constexpr, BK: tl.constexpr,
):  # fmt: skip
    """Add what ``BK`` of the depth contribute to both parts of a tile."""
    # Places in a tile are int32; what they are counted from is one pointer.
    k, here, there = tl.arange(0, BK), tl.cast(start, tl.int64) * left_step, tl.cast(start, tl.int64) * right_step
    mask, other_mask = r_inside & (start + k < depth)[None, :], c_inside & (start + k < depth)[:, None]
    a, a_low = _operand(left + here, left_low + here, at_left, left_scale, mask, LEFT_STORED, TYPE)
    b, b_low = _operand(right + there, right_low + there, at_right, right_scale, other_mask, RIGHT_STORED, TYPE)
    return f.parts(a, a_low, b, b_low, high, cross)


@jit
def multiply(
    left, left_low, left_exponents, right, right_low, right_exponents, out, rows, columns, depth,
    left_group, left_row, left_step, left_exponents_group,
    right_group, right_column, right_step, right_exponents_group, out_group, out_row,
    LEFT_STORED: tl.constexpr, RIGHT_STORED: tl.constexpr, ONTO: tl.constexpr, DEEP: tl.constexpr,
    TYPE: tl.constexpr, BM: tl.constexpr, BN: tl.constexpr, BK: tl.constexpr,
):  # fmt: skip
    """A product of two operands, each of which has its digits stored or is numbers; rounded, and added if ``ONTO``."""
    g, first_row, first_column = _place(rows, columns, BM, BN)
    y, x, k = tl.arange(0, BM)[:, None], tl.arange(0, BN)[None, :], tl.arange(0, BK)
    r, c = first_row + y, first_column + x
    e = _exponents(left_exponents, g * left_exponents_group + r, r < rows, LEFT_STORED)
    o = _exponents(right_exponents, g * right_exponents_group + c, c < columns, RIGHT_STORED)
    left_scale, right_scale = _to_grid(e), _to_grid(o)
    here = g * left_group + first_row.to(tl.int64) * left_row
    there = g * right_group + first_column.to(tl.int64) * right_column
    at_left, at_right = y * left_row + k[None, :] * left_step, x * right_column + k[:, None] * right_step
    if DEEP:
        high, cross = tl.zeros((BM, BN), tl.int32), tl.zeros((BM, BN), tl.int32)
        for begin in range(0, depth, DEPTH):
            some, others = f.zeros(BM, BN, TYPE), f.zeros(BM, BN, TYPE)
            for start in range(begin, tl.minimum(begin + DEPTH, depth), BK):
                some, others = _step(
                    start, left + here, left_low + here, right + there, right_low + there, left_step, right_step,
                    left_scale, right_scale, at_left, at_right, r < rows, c < columns, depth, some, others,
                    LEFT_STORED, RIGHT_STORED, TYPE, BK,
                )  # fmt: skip
            high += some.to(tl.int32)
            cross += others.to(tl.int32)
    else:
        high, cross = f.zeros(BM, BN, TYPE), f.zeros(BM, BN, TYPE)
        for start in range(0, depth, BK):
            high, cross = _step(
                start, left + here, left_low + here, right + there, right_low + there, left_step, right_step,
                left_scale, right_scale, at_left, at_right, r < rows, c < columns, depth, high, cross,
                LEFT_STORED, RIGHT_STORED, TYPE, BK,
            )  # fmt: skip
    found = (f.total(high, cross) * (f.two(e) * (f.two(o) * f.PRODUCT_STEP))).to(tl.float32)
    to, mask = out + g * out_group + r.to(tl.int64) * out_row + c, (r < rows) & (c < columns)
    if ONTO:
        found = tl.load(to, mask=mask, other=0.0) + found
    tl.store(to, found, mask=mask)


@jit
def sums(
    first, second, third, right, right_low, total, rows, columns, depth,
    left_group, left_row, left_step, right_group, right_column, right_step, total_group, total_row,
    PLANES: tl.constexpr, DEEP: tl.constexpr, TYPE: tl.constexpr,
    BM: tl.constexpr, BN: tl.constexpr, BK: tl.constexpr,
):  # fmt: skip
    """Add the exact integers of one to three planes of digits times both of an operand to float64 ``total``.

    A plane is worth 2**7 of the next, and the last 1 if it is the only one, else 2**7: what it makes with low digits is
    left out.
    """
    g, first_row, first_column = _place(rows, columns, BM, BN)
    y, x, k = tl.arange(0, BM)[:, None], tl.arange(0, BN)[None, :], tl.arange(0, BK)
    r, c = first_row + y, first_column + x
    here = g * left_group + first_row.to(tl.int64) * left_row
    there = g * right_group + first_column.to(tl.int64) * right_column
    at_left, at_right = y * left_row + k[None, :] * left_step, x * right_column + k[:, None] * right_step
    to, mask = total + g * total_group + r.to(tl.int64) * total_row + c, (r < rows) & (c < columns)
    found = tl.load(to, mask=mask, other=0.0)
    # Where float32 sums are full the integers go to the float64 numbers at once, which hold all of them.
    span = DEPTH if DEEP else depth
    for begin in range(0, depth, span):
        top, middle, bottom = f.zeros(BM, BN, TYPE), f.zeros(BM, BN, TYPE), f.zeros(BM, BN, TYPE)
        for start in range(begin, tl.minimum(begin + span, depth), BK):
            at = here + tl.cast(start, tl.int64) * left_step + at_left
            there_is = start + k < depth
            inside, other_inside = (r < rows) & there_is[None, :], (c < columns) & there_is[:, None]
            other = there + tl.cast(start, tl.int64) * right_step
            h, low = f.stored(right + other, right_low + other, at_right, other_inside, TYPE)
            a = f.digit(tl.load(first + at, mask=inside, other=0), TYPE)
            top = f.dot(a, h, top)
            if PLANES > 1:
                b = f.digit(tl.load(second + at, mask=inside, other=0), TYPE)
                middle = f.dot(b, h, f.dot(a, low, middle))
                if PLANES > 2:
                    d = f.digit(tl.load(third + at, mask=inside, other=0), TYPE)
                    bottom = f.dot(d, h, f.dot(b, low, bottom))
        if PLANES == 1:
            found += top.to(tl.float64)
        elif PLANES == 2:
            found += f.total(top, middle)
        else:
            found += f.total(top, middle) * 128.0 + bottom.to(tl.float64) * 128.0
    tl.store(to, found, mask=mask)
