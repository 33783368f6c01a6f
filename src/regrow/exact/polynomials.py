"""Elementary functions as fixed sequences of IEEE operations.

A platform's ``exp`` or ``sin`` differs from the next one's in the last bits, and so do vectorised ones
between instruction sets. These use only ``+ - * /``, ``sqrt``, round-to-nearest-even and bit operations, each
rounded on its own (never fused), so their bits are the same wherever IEEE 754 holds. They are not correctly
rounded and need not be; they need to be the same. Arguments are reduced with constants in two or three parts, as by
Cody and Waite (1980).

The float32 exponential is defined once here by its constants and written out by each backend. The float64
functions below run on the host for tables, initial values and schedules; NumPy's ``+ - * / sqrt rint`` are
IEEE operations on every platform.

Example:
    >>> float(exp64(np.array([1.0]))[0])
    2.718281828459045
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Float64 = NDArray[np.float64]

# exp in float32: x = k ln2 + r with |r| <= ln2 / 2, then exp(r) = 1 + r + r^2 (C2 + C3 r + ... + C6 r^4).
# LN2_HIGH has 15 significant bits, so k * LN2_HIGH is exact for |k| < 2^9. Coefficients: weighted minimax
# fit of the relative error (3e-9, well below half a unit in the last place), rounded to float32.
EXP_INVERSE_LN2 = float.fromhex("0x1.715476p+0")
EXP_LN2_HIGH = float.fromhex("0x1.62e4p-1")
EXP_LN2_LOW = float.fromhex("0x1.7f7d1cp-20")
EXP_COEFFICIENTS = (
    float.fromhex("0x1.fffffcp-2"),
    float.fromhex("0x1.555492p-3"),
    float.fromhex("0x1.5558f2p-5"),
    float.fromhex("0x1.1239e2p-7"),
    float.fromhex("0x1.6a2434p-10"),
)
# Below EXP_SMALLEST the result is 0; above EXP_LARGEST the argument is taken to be EXP_LARGEST.
EXP_SMALLEST = -87.0
EXP_LARGEST = 88.0

# The tail of the normal distribution is exp(-z^2 / 2) P(u) with u = 1 / (z / 4 + 1) for z in 0..13.2, beyond which the
# exponential is 0. Highest coefficient first: weighted minimax fit of the relative error (1.2e-8), rounded to float32.
TAIL_COEFFICIENTS = (
    float.fromhex("0x1.1c324p-5"),
    float.fromhex("-0x1.9a060ap-3"),
    float.fromhex("0x1.9e2788p-2"),
    float.fromhex("-0x1.625b04p-2"),
    float.fromhex("0x1.428564p-2"),
    float.fromhex("-0x1.aa7a8p-6"),
    float.fromhex("0x1.fa0078p-4"),
    float.fromhex("0x1.82a262p-4"),
    float.fromhex("0x1.9ac0ap-4"),
    float.fromhex("-0x1.98b9fap-16"),
)
# The density of the normal distribution at 0, 1 / sqrt(2 pi).
NORMAL_DENSITY = float.fromhex("0x1.988454p-2")

# GELU by tanh is x sigmoid(x (A + B x^2)), A = 2 sqrt(2 / pi) and B = 0.044715 A. Beyond 16 the sigmoid is 0 or 1.
GELU_LINEAR = float.fromhex("0x1.988454p+0")
GELU_CUBIC = float.fromhex("0x1.2444f2p-4")
GELU_CUBIC_SLOPE = float.fromhex("0x1.b6676cp-3")  # 3 B
GELU_LARGEST = 16.0

# Adding and subtracting 1.5 * 2^23 rounds a float32 of magnitude below 2^22 to the nearest even integer.
ROUND32 = 12582912.0

LN2_HIGH64 = float.fromhex("0x1.62e42ffp-1")
LN2_LOW64 = float.fromhex("-0x1.718432a1b0e26p-35")
ROOT_HALF64 = float.fromhex("0x1.6a09e667f3bcdp-1")
INVERSE_LN2_64 = float.fromhex("0x1.71547652b82fep+0")
_HALF_PI = tuple(map(float.fromhex, ("0x1.921fb544p+0", "0x1.0b4611a6p-34", "0x1.3198a2e037073p-69")))
_INVERSE_HALF_PI = float.fromhex("0x1.45f306dc9c883p-1")


def _horner(x: Float64, coefficients: Sequence[float]) -> Float64:
    """Evaluate a polynomial, highest coefficient first, one multiplication and one addition at a time."""
    result = np.full_like(x, coefficients[0])
    for coefficient in coefficients[1:]:
        result = result * x + coefficient
    return result


def _inverse_factorials(*numbers: int) -> list[float]:
    values = []
    for n in numbers:
        factorial = 1
        for i in range(2, n + 1):
            factorial *= i
        values.append(1.0 / factorial)
    return values


EXP64_COEFFICIENTS = tuple(_inverse_factorials(*range(14, -1, -1)))
EXP64_SMALLEST = -700.0
"""The exponentials of smaller arguments are taken to be that of it, where sums are made of them."""


def exp64(x: Float64) -> Float64:
    """e to the power of x for |x| < 700, float64, error below 4 units in the last place."""
    k = np.rint(x * INVERSE_LN2_64)
    r = (x - k * LN2_HIGH64) - k * LN2_LOW64
    return np.ldexp(_horner(r, EXP64_COEFFICIENTS), k.astype(np.int32))


def log64(x: Float64) -> Float64:
    """Natural logarithm of positive finite x, float64, by the series of the inverse hyperbolic tangent."""
    mantissa, exponent = np.frexp(x)
    small = mantissa < ROOT_HALF64
    mantissa = np.where(small, mantissa * 2.0, mantissa)
    exponent = (exponent - small).astype(np.float64)
    s = (mantissa - 1.0) / (mantissa + 1.0)
    z = s * s
    series = _horner(z, [1.0 / n for n in range(23, 0, -2)])
    return exponent * LN2_HIGH64 + (2.0 * s * series + exponent * LN2_LOW64)


def sin_cos64(x: Float64) -> tuple[Float64, Float64]:
    """Sine and cosine of |x| < 2^20, float64, by quadrants and Taylor polynomials."""
    k = np.rint(x * _INVERSE_HALF_PI)
    r = ((x - k * _HALF_PI[0]) - k * _HALF_PI[1]) - k * _HALF_PI[2]
    return _quadrants(r, k)


def sin_cos_turns64(turns: Float64) -> tuple[Float64, Float64]:
    """Sine and cosine of ``2 pi turns``, float64; the reduction is exact."""
    quarters = turns * 4.0
    k = np.rint(quarters)
    return _quadrants((quarters - k) * float.fromhex("0x1.921fb54442d18p+0"), k)


def _quadrants(r: Float64, k: Float64) -> tuple[Float64, Float64]:
    """Sine and cosine of ``r + k pi / 2`` for |r| <= pi / 4."""
    z = r * r
    signs = [1.0, -1.0] * 9
    sine = r * _horner(
        z, [s * c for s, c in zip(signs[1:9][::-1], _inverse_factorials(*range(17, 2, -2)), strict=True)] + [1.0]
    )
    cosine = _horner(z, [s * c for s, c in zip(signs[:9][::-1], _inverse_factorials(*range(16, -1, -2)), strict=True)])
    quadrant = k.astype(np.int64) & 3
    swap = (quadrant & 1) == 1
    s, c = np.where(swap, cosine, sine), np.where(swap, sine, cosine)
    return np.where(quadrant >= 2, -s, s), np.where((quadrant == 1) | (quadrant == 2), -c, c)


def power(base: float, exponent: int) -> float:
    """``base ** exponent`` for a non-negative integer, in float64 by squaring; libm's ``pow`` is not portable."""
    result = 1.0
    while exponent:
        if exponent & 1:
            result *= base
        base *= base
        exponent >>= 1
    return result
