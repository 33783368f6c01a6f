"""What the CPU kernels do to numbers and to rows of them, compiled by Numba into whoever calls.

One function for each thing that the definition writes down once, so that the kernels over a library's products and
those over the microkernels cannot differ. Functions of a number are inlined by Numba, before it compiles, so that the
loop around them vectorises; functions of a row are calls, which cost nothing beside the row.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from regrow.exact import polynomials
from regrow.exact.kernel import kernel

F = np.float32
_ROUND = F(polynomials.ROUND32)
_INVERSE_LN2 = F(polynomials.EXP_INVERSE_LN2)
_LN2_HIGH = F(polynomials.EXP_LN2_HIGH)
_LN2_LOW = F(polynomials.EXP_LN2_LOW)
_C2, _C3, _C4, _C5, _C6 = (F(c) for c in polynomials.EXP_COEFFICIENTS)
_SMALLEST = F(polynomials.EXP_SMALLEST)
_LARGEST = F(polynomials.EXP_LARGEST)
_ONE = F(1.0)
_ZERO = F(0.0)
_MASK = np.int32(0x7FFFFFFF)
_INFINITY = np.int32(0x7F800000)
_MIN_EXPONENT = np.int32(-100)
_NON_FINITE = np.int32(129)

_helper: Any = kernel()
_inline: Any = kernel(inline="always")


@_inline
def exp(x: Any) -> Any:
    """See :func:`regrow.exact.definition.exp`."""
    # No branch before the end: the argument is clamped, and the result of small ones replaced, so that loops vectorise.
    # k is within -126..127, so that 2**k is a normal number made of its exponent's bits alone.
    c = min(max(x, _SMALLEST), _LARGEST)
    k = (c * _INVERSE_LN2 + _ROUND) - _ROUND
    r = (c - k * _LN2_HIGH) - k * _LN2_LOW
    p = (((r * _C6 + _C5) * r + _C4) * r + _C3) * r + _C2
    y = ((r * r) * p + r) + _ONE
    scale = np.int32((np.int32(k) + 127) << 23).view(np.float32)
    return _ZERO if x < _SMALLEST else y * scale


@_inline
def grid_exponent(bits: Any) -> Any:
    """The exponent of the grid of a group whose largest float32 bit pattern is known."""
    return max(np.int32((bits >> 23) - 126), _MIN_EXPONENT)


@_inline
def power(e: Any) -> Any:
    """float64 2**e; NaN for NON_FINITE."""
    return np.nan if e == _NON_FINITE else np.int64((np.int64(e) + 1023) << 52).view(np.float64)


@_inline
def to_grid(e: Any) -> Any:
    """float64 2**(30 - e), which brings addends to their grid; see :func:`regrow.exact.grid.to_grid`."""
    return power(-e) * 2.0**30


@_inline
def power32(e: Any) -> Any:
    """float32 2**e for e within -126..127."""
    return np.int32((np.int32(e) + 127) << 23).view(np.float32)


@_helper
def largest_bits(x: Any) -> Any:
    """The largest float32 bit pattern, without its sign, in an int32 row."""
    # Patterns without sign are in the order of the magnitudes, with infinity and then the NaNs above all numbers: one
    # maximum of integers finds the exponent and whatever is not finite.
    largest = np.int32(0)
    for c in range(x.shape[0]):
        largest = max(largest, np.int32(x[c] & _MASK))
    return largest


@_inline
def _ordered(bits: Any) -> Any:
    """Bit patterns as integers in the order of the numbers, and back; integers have a maximum in any order."""
    # Positive numbers stay; of negative ones, whose patterns grow as they fall, all bits but the sign are turned.
    return np.int32(bits ^ ((bits >> 31) & _MASK))


@_helper
def largest_number(x: Any) -> Any:
    """The largest number of a row; NaN if there is a NaN."""
    bits = x.view(np.int32)
    if largest_bits(bits) > _INFINITY:
        return F(np.nan)
    largest = np.int32(-2147483648)
    for c in range(x.shape[0]):
        largest = max(largest, _ordered(bits[c]))
    return _ordered(largest).view(np.float32)


@_helper
def digits(x: Any, scale: Any) -> Any:
    """The digits of ``rint(x * scale)``, the high one first."""
    # Within 2**13, far below the 2**22 to which _ROUND rounds. A power of two scales exactly; what becomes subnormal by
    # it is below a half and rounds to 0 in any case. The digits are balanced, high rounded to the nearest: -64..64.
    q = np.int32((x * scale + _ROUND) - _ROUND)
    high = np.int32((q + 64) >> 7)
    return high, np.int32(q - (high << 7))


@_helper
def row_digits(x: Any, scale: Any, first: Any, second: Any, right: bool) -> None:
    """Digits of a row in two rows, with one scale, which stays in a register."""
    for c in range(x.shape[0]):
        high, low = digits(x[c], scale)
        first[c] = low if right else high
        second[c] = high if right else low


@_helper
def column_scales(right: Any) -> Any:
    """What the exponents of the right operand's columns make of the integers of a product; NaN for NON_FINITE."""
    scale = np.empty(right.shape, np.float64)
    for g in range(right.shape[0]):
        for c in range(right.shape[1]):
            scale[g, c] = power(right[g, c]) * 2.0**-26
    return scale


@_helper
def product_row(high: Any, cross: Any, row: float, columns: Any, scale: Any, out: Any) -> None:
    """``scale`` times a row of a product; see :func:`regrow.exact.definition.combine`."""
    for j in range(out.shape[0]):
        total = np.float64(high[j]) * 16384.0 + np.float64(cross[j]) * 128.0
        out[j] = F(total * (row * columns[j])) * scale


@_helper
def product_row_float32(high: Any, cross: Any, row: Any, columns: Any, scale: Any, out: Any) -> None:
    """As :func:`product_row` where :func:`float32_epilogue_is_exact`; float32 scales, of ``2**7 high + cross``."""
    for j in range(out.shape[0]):
        out[j] = (F(np.int32((high[j] << 7) + cross[j])) * (row * columns[j])) * scale


@_helper
def exponent_range(exponents: Any, start: int, stop: int) -> Any:
    """The smallest and the largest of some exponents."""
    low, high = _NON_FINITE, np.int32(-_NON_FINITE)
    for i in range(start, stop):
        low, high = min(low, exponents[i]), max(high, exponents[i])
    return low, high


@_helper
def float32_epilogue_is_exact(depth: int, rows: Any, columns: Any) -> bool:
    """Whether ``2**7 high + cross`` is an int32, and neither its scales nor its product with one leave the normal
    float32 numbers: then rounding it to float32 is the only rounding. The ranges are of the exponents.
    """
    # A product of digits is at most 2**12, so |high| <= depth 2**12 and |cross| <= depth 2**13, which makes
    # |2**7 high + cross| <= 4032 (2**19 + 2**13) < 2**31; 4032 is the largest such depth.
    # Scales are 2**(row + column - 19): normal, and normal still when multiplied with an integer from 1 to 2**31.
    finite = rows[1] != _NON_FINITE and columns[1] != _NON_FINITE
    normal = rows[1] <= 127 and rows[0] + columns[0] - 19 >= -126 and rows[1] + columns[1] + 12 <= 127
    return depth <= 4032 and normal and finite


@_helper
def weights_row(scores: Any, largest: Any, first: Any, second: Any) -> Any:
    """Digits of the softmax numerators of one query on the grid 2**-13; gives their sum. Overwrites the scores.

    In three loops, because one that also holds a sum of 64 bits would be compiled for half as many numbers at a time.
    At most 2**17 numerators of at most 2**13 (``operations.MOST_POSITIONS``) make 2**30.
    """
    for j in range(scores.shape[0]):
        scores[j] = (exp(scores[j] - largest) * F(8192.0) + _ROUND) - _ROUND
    row_digits(scores, _ONE, first, second, False)
    return _integer_sum(scores)


@kernel(fastmath={"reassoc"})
def _integer_sum(x: Any) -> float:
    """The exact sum of integers held in float32; float64 has room for it in any order."""
    total = 0.0
    for c in range(x.shape[0]):
        total += np.float64(x[c])
    return total


@_helper
def mean_row(high: Any, cross: Any, columns: Any, total: float, out: Any) -> None:
    """The output of one query; see :func:`regrow.exact.definition.attention_output`. Scales are of ``2**26``."""
    # 8192 makes scales of 2**13 of them, since numerators are on the grid 2**-13 whatever their exponent says.
    for c in range(out.shape[0]):
        value = np.float64(high[c]) * 16384.0 + np.float64(cross[c]) * 128.0
        out[c] = F((value * (columns[c] * 8192.0)) / total)


@_helper
def dscores_row(
    products: Any, first: Any, second: Any, inverse: Any, delta: Any, scale: Any, out: Any
) -> None:  # fmt: skip
    """The gradient of the scores of one query; see :func:`regrow.exact.definition.attention_gradient`."""
    # A weight of 0 gives +0, or NaN in a row without a total, whatever stands in the product: so neither what is not
    # finite in a value that does not count nor the sign of a zero gets through.
    for j in range(out.shape[0]):
        q = F(first[j]) * F(128.0) + F(second[j])
        out[j] = _ZERO * inverse if q == _ZERO else ((q * inverse) * (products[j] - delta)) * scale


@_helper
def column_scales_float32(right: Any) -> Any:
    """float32 scales of ``2**7 high + cross``; of use only where :func:`float32_epilogue_is_exact`."""
    scale = np.empty(right.shape, np.float32)
    for g in range(right.shape[0]):
        for c in range(right.shape[1]):
            scale[g, c] = power32(max(right[g, c] - 19, -126))
    return scale
