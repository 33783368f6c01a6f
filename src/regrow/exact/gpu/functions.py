"""What the CUDA kernels are made of: constants, elementary functions, grids, and the parts of a matrix they work on.

The sequences are those of ``definition``. Triton's ``/`` and ``tl.sqrt`` of float32 are approximate and not used:
``tl.div_rn`` and ``tl.sqrt_rn`` round correctly, and so do both of float64. Rounding to nearest even is
``(v + ROUND) - ROUND``, as on the CPU: two additions that are IEEE's on every device, and no library function. Where
the integer is asked for, it is read from the bits of ``v + ROUND``, since conversions are slow on devices.

No function takes the compiler's word for a reduction: what is reduced is an integer, whatever the order.
"""

from __future__ import annotations

import struct
from typing import Any

import triton
import triton.language as tl

from regrow.exact import grid, polynomials

jit: Any = triton.jit

ROUND32 = tl.constexpr(polynomials.ROUND32)
ROUND32_BITS = tl.constexpr(struct.unpack("<i", struct.pack("<f", polynomials.ROUND32))[0])
ROUND64 = tl.constexpr(6755399441055744.0)  # 1.5 * 2**52
INVERSE_LN2 = tl.constexpr(polynomials.EXP_INVERSE_LN2)
LN2_HIGH = tl.constexpr(polynomials.EXP_LN2_HIGH)
LN2_LOW = tl.constexpr(polynomials.EXP_LN2_LOW)
C2, C3, C4, C5, C6 = (tl.constexpr(c) for c in polynomials.EXP_COEFFICIENTS)
T9, T8, T7, T6, T5, T4, T3, T2, T1, T0 = (tl.constexpr(c) for c in polynomials.TAIL_COEFFICIENTS)
NORMAL_DENSITY = tl.constexpr(polynomials.NORMAL_DENSITY)
GELU_LINEAR = tl.constexpr(polynomials.GELU_LINEAR)
GELU_CUBIC = tl.constexpr(polynomials.GELU_CUBIC)
GELU_CUBIC_SLOPE = tl.constexpr(polynomials.GELU_CUBIC_SLOPE)
GELU_LARGEST = tl.constexpr(polynomials.GELU_LARGEST)
SMALLEST = tl.constexpr(polynomials.EXP_SMALLEST)
LARGEST = tl.constexpr(polynomials.EXP_LARGEST)
LOG_LN2_HIGH = tl.constexpr(polynomials.LN2_HIGH64)
LOG_LN2_LOW = tl.constexpr(polynomials.LN2_LOW64)
# The fraction bits of the root of a half. An integer, because Triton rounds a number that it compares to float32.
LOG_SMALL = tl.constexpr(int(polynomials.ROOT_HALF64 * 2.0**53) - (1 << 52))
MASK = tl.constexpr(grid.SIGN_MASK)
INFINITY_BITS = tl.constexpr(0x7F800000)
MIN_EXPONENT = tl.constexpr(grid.MIN_EXPONENT)
NON_FINITE = tl.constexpr(grid.NON_FINITE)
# What one of the integers on a grid with exponent 0 is worth.
OPERAND_STEP = tl.constexpr(2.0**-grid.OPERAND_BITS)
PRODUCT_STEP = tl.constexpr(2.0 ** (-2 * grid.OPERAND_BITS))
SUM_STEP = tl.constexpr(2.0**-grid.SUM_BITS)
GRADIENT_STEP = tl.constexpr(2.0**-grid.GRADIENT_BITS)


@jit
def bits(x):
    """The bit pattern of float32 without its sign."""
    return x.to(tl.int32, bitcast=True) & MASK


@jit
def exponent(bits):
    """The exponent of a group from its largest bit pattern."""
    return tl.maximum((bits >> 23) - 126, MIN_EXPONENT)


@jit
def two(e):
    """float64 2**e; NaN for NON_FINITE."""
    # From the bits of the exponent, because the device's exp2 is approximate.
    value = ((e.to(tl.int64) + 1023) << 52).to(tl.float64, bitcast=True)
    return tl.where(e == NON_FINITE, float("nan"), value)


@jit
def two32(e):
    """float32 2**e for e within -126..127."""
    return ((e + 127) << 23).to(tl.float32, bitcast=True)


@jit
def integer32(x):
    """int32 of float32 ``n + ROUND32``, ``n`` an integer below 2**22 in magnitude; something else of what is not."""
    return x.to(tl.int32, bitcast=True) - ROUND32_BITS


@jit
def rint32(x):
    """int32 of float32 below 2**22 in magnitude."""
    return integer32(x + ROUND32)


@jit
def rint64(x):
    """int64 of float64 below 2**51 in magnitude."""
    return ((x + ROUND64) - ROUND64).to(tl.int64)


@jit
def on_grid(x, e, BITS: tl.constexpr):
    """int64 ``rint(x * 2**(BITS - e))`` of float32; 0 for NON_FINITE."""
    # Within 2**30, so that int64 has room for 2**33 of them, and float64 for the 2**22 that `checks` lets through. A
    # NaN is replaced before it is converted, since what an integer of it is differs between devices.
    return rint64(tl.where(e == NON_FINITE, 0.0, x.to(tl.float64) * (two(-e) * (1 << BITS))))


@jit
def operand(x, e):
    """int32 ``rint(x * 2**(13 - e))`` of float32; 0 for NON_FINITE."""
    return rint32(tl.where(e == NON_FINITE, 0.0, x * two32(13 - tl.where(e == NON_FINITE, 0, e))))


@jit
def back(total, e):
    """float64 of an int64 sum of ``on_grid`` with 30 bits."""
    return total.to(tl.float64) * (two(e) * SUM_STEP)


@jit
def exp(x):
    """float32 e to the power of x."""
    # The device's minimum and maximum drop NaNs, so one is put back at the end.
    c = tl.minimum(tl.maximum(x, SMALLEST), LARGEST)
    rounded = c * INVERSE_LN2 + ROUND32
    k = rounded - ROUND32
    r = (c - k * LN2_HIGH) - k * LN2_LOW
    p = (((r * C6 + C5) * r + C4) * r + C3) * r + C2
    y = (((r * r) * p + r) + 1.0) * two32(integer32(rounded))
    return tl.where(x != x, x, tl.where(x < SMALLEST, 0.0, y))


@jit
def sigmoid(x):
    """``1 / (1 + exp(-x))``."""
    denominator = exp(-x) + 1.0
    return tl.div_rn(tl.full(denominator.shape, 1.0, tl.float32), denominator)


@jit
def log(x):
    """The natural logarithm of positive normal float64, as ``polynomials.log64``."""
    # Mantissa and exponent by bits: they stand for frexp, which there is none of, and are exact.
    bits = x.to(tl.int64, bitcast=True)
    exponent = ((bits >> 52) - 1022).to(tl.float64)
    fraction = bits & 0xFFFFFFFFFFFFF
    mantissa = (fraction | 0x3FE0000000000000).to(tl.float64, bitcast=True)
    small = fraction < LOG_SMALL
    mantissa = tl.where(small, mantissa * 2.0, mantissa)
    exponent = tl.where(small, exponent - 1.0, exponent)
    s = (mantissa - 1.0) / (mantissa + 1.0)
    z = s * s
    series = tl.full(z.shape, 1.0 / 23.0, tl.float64)
    for i in tl.static_range(11):
        series = series * z + 1.0 / (21.0 - 2.0 * i)
    return exponent * LOG_LN2_HIGH + ((s * 2.0) * series + exponent * LOG_LN2_LOW)


@jit
def high(q):
    """The upper of two digits of an integer."""
    return (q + 64) >> 7


@jit
def digit(q, TYPE: tl.constexpr):
    """A digit in the type that multiplies."""
    return q.to(tl.int8) if tl.int8 == TYPE else q.to(tl.float32).to(TYPE)


@jit
def digits(q, TYPE: tl.constexpr):
    """Both digits of an integer, likewise."""
    upper = high(q)
    return digit(upper, TYPE), digit(q - (upper << 7), TYPE)


@jit
def stored(upper, lower, at, mask, TYPE: tl.constexpr):
    """Both digits of part of an operand that are stored, likewise; 0 for what is masked."""
    first, second = tl.load(upper + at, mask=mask, other=0), tl.load(lower + at, mask=mask, other=0)
    return digit(first, TYPE), digit(second, TYPE)


@jit
def zeros(ROWS: tl.constexpr, COLUMNS: tl.constexpr, TYPE: tl.constexpr):
    """What sums of products of digits of a type begin with."""
    return tl.zeros((ROWS, COLUMNS), tl.int32 if tl.int8 == TYPE else tl.float32)


@jit
def dot(a, b, total):
    """The exact sums of products of digits, added to ``total``: within its budget, see `regrow.exact.gemm`."""
    return tl.dot(a, b, total, input_precision="ieee", out_dtype=total.dtype)


@jit
def parts(a, a_low, b, b_low, high, cross):
    """Both parts of a product added to what there is, the definition's HH and HL + LH."""
    return dot(a, b, high), dot(a_low, b, dot(a, b_low, cross))


@jit
def total(high, cross):
    """The exact integer ``2**14 HH + 2**7 (HL + LH)`` in float64."""
    return high.to(tl.float64) * 16384.0 + cross.to(tl.float64) * 128.0


@jit
def write(pointer, value, mask):
    """Store integers as digits of the pointer's type."""
    # By way of float32, from which there is a conversion to int8 and bfloat16 alike; exact, being within -64..64.
    tl.store(pointer, value.to(tl.float32).to(pointer.dtype.element_ty), mask=mask)


@jit
def terms(high, cross, at_high, at_cross, mask):
    """The exact integer of a product whose parts are stored, in float64."""
    # Below 2**49 for the 2**22 addends of at most 2**12 that a product may have.
    return total(tl.load(high + at_high, mask=mask, other=0), tl.load(cross + at_cross, mask=mask, other=0))


@jit
def rows(rows, BR: tl.constexpr):
    """The rows of a program that has all columns, and which of them exist, each ``(BR, 1)``."""
    r = tl.program_id(0).to(tl.int64) * BR + tl.arange(0, BR)[:, None]
    return r, r < rows


@jit
def columns(start, columns, BC: tl.constexpr):
    """Columns from ``start``, and which of them exist, each ``(1, BC)``."""
    c = start + tl.arange(0, BC)[None, :]
    return c, c < columns


@jit
def tile(rows, columns, BR: tl.constexpr, BC: tl.constexpr):
    """Rows, columns and mask of a program that has one tile."""
    _, r, c, mask = group_tile(rows, columns, BR, BC)
    return r, c, mask


@jit
def group_tile(rows, columns, BR: tl.constexpr, BC: tl.constexpr):
    """Group, rows, columns and mask of a program that has one tile of one of many matrices, one after the other on the
    first axis of the launch: the others end at 65,535.
    """
    across, tiles = tl.cdiv(columns, BC), tl.cdiv(rows, BR) * tl.cdiv(columns, BC)
    i = tl.program_id(0) % tiles
    r = (i // across).to(tl.int64) * BR + tl.arange(0, BR)[:, None]
    c = (i % across) * BC + tl.arange(0, BC)[None, :]
    return (tl.program_id(0) // tiles).to(tl.int64), r, c, (r < rows) & (c < columns)


@jit
def mean(total, e, columns):
    """float64 of an int64 sum of ``on_grid`` with 30 bits, divided by how many were added."""
    return back(total, e) / tl.full((1, 1), columns, tl.float64)


@jit
def inverse_root(x):
    """float32 ``1 / sqrt(x)`` of float64, rounded twice in float64 and then once."""
    return (tl.full((1, 1), 1.0, tl.float64) / tl.sqrt(x)).to(tl.float32)
