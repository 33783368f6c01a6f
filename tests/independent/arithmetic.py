"""Grids, sums, products, elementary functions and random numbers, from docs/arithmetic.md alone.

Written to be compared with ``regrow``, not to be fast: Python integers, and NumPy for single IEEE operations on
arrays. Three things of NumPy are used beyond those, all on integers only: sums of int64, float64 products ``@`` whose
partial sums stay below 2**53, and searches.
"""

import hashlib
from math import factorial

import numpy as np

f32, f64 = np.float32, np.float64
hexadecimal = float.fromhex

POISON = 129
LARGEST_INTEGER = 2.0**53


def two(e):
    """2**e in float64, NaN for the exponent of a group that holds a NaN or an infinity."""
    e = np.asarray(e)
    return np.where(e == POISON, np.nan, np.ldexp(1.0, np.where(e == POISON, 0, e)))


def exponent(x, axis=None):
    """The exponents of groups along ``axis``, which stays with length 1; without an axis, of everything."""
    bits = np.ascontiguousarray(x).view(np.uint32) & 0x7FFFFFFF
    largest = bits.max(axis, keepdims=axis is not None).astype(np.int64)
    return np.maximum((largest >> 23) - 126, -100)


def on_grid(x, e, bits):
    """``rint(x * 2**(bits - e))`` as float64 integers, 0 where a group is poisoned."""
    return np.where(e == POISON, 0.0, np.rint(np.where(e == POISON, 0.0, x).astype(f64) * (two(-e) * 2.0**bits)))


def exact(a, b):
    """The product of matrices of integers, exact."""
    bound = np.abs(a).max(initial=0) * np.abs(b).max(initial=0) * a.shape[-1]
    assert bound <= LARGEST_INTEGER
    return a @ b


def low(n):
    """The low digit of integers."""
    return n - 128.0 * np.floor((n + 64.0) / 128.0)


def digit_product(n, m):
    """``sum(n m)`` without the products of low digits."""
    return exact(n, m) - exact(low(n), low(m))


def turned(x):
    """The transpose of the last two axes."""
    return np.swapaxes(x, -1, -2)


def product(a, b):
    """float32 ``a @ b``: rows of ``a`` and columns of ``b`` are groups."""
    e, f = exponent(a, -1), exponent(b, -2)
    return f32(digit_product(on_grid(a, e, 13), on_grid(b, f, 13)) * (two(e) * two(f) * 2.0**-26))


def ordered_sum(terms):
    """The sum of float64 along the first axis in the one order of inference."""
    lanes = [0.0] * 8
    for i, term in enumerate(terms):
        lanes[i % 8] = lanes[i % 8] + term
    a, b, c, d, e, f, g, h = lanes
    return ((a + e) + (c + g)) + ((b + f) + (d + h))


def ordered_product(a, b):
    """float32 ``a @ b`` of inference, of two matrices."""
    a, b = a.astype(f64), b.astype(f64)
    return f32(ordered_sum(a[:, k, None] * b[k] for k in range(len(b))))


def coded_product(x, integers, scales, offsets=None):
    """float32 product of rows with a matrix of codes, whose groups are as wide as the number of scales says."""
    group = x.shape[1] // scales.shape[1]
    block, y = min(32, group), np.zeros((len(x), len(integers)))
    for start in range(0, x.shape[1], block):
        some, q = x[:, start : start + block], integers[:, start : start + block].astype(f64)
        e = exponent(some, 1)
        n, step = on_grid(some, e, 22), two(e) * 2.0**-22
        y = y + (n @ q.T) * (scales[:, start // group].astype(f64) * step)
        if offsets is not None:
            y = y + offsets[:, start // group].astype(f64) * (n.sum(1, keepdims=True) * step)
    return f32(y)


def grid_sum(x, axis):
    """``S``: the plain sum of float32 along an axis, as float64."""
    e = exponent(x, axis)
    total = on_grid(x, e, 30).astype(np.int64).sum(axis, keepdims=True).astype(f64)
    return (total * (two(e) * 2.0**-30)).squeeze(axis)


def mean(x):
    """The mean of a float32 vector."""
    return f32(grid_sum(x, 0) / f64(len(x)))


def exp32(x):
    """The float32 exponential."""
    c2, c3, c4, c5, c6 = map(
        f32,
        map(hexadecimal, ("0x1.fffffcp-2", "0x1.555492p-3", "0x1.5558f2p-5", "0x1.1239e2p-7", "0x1.6a2434p-10")),
    )
    c = np.minimum(np.maximum(x, f32(-87)), f32(88))
    k = np.rint(c * f32(hexadecimal("0x1.715476p+0")))
    r = (c - k * f32(hexadecimal("0x1.62e4p-1"))) - k * f32(hexadecimal("0x1.7f7d1cp-20"))
    p = (((r * c6 + c5) * r + c4) * r + c3) * r + c2
    y = ((r * r) * p + r) + f32(1)
    return np.where(x < f32(-87), f32(0), y * f32(two(np.where(np.isnan(k), 0, k).astype(int))))


def horner(x, coefficients):
    """A polynomial, highest coefficient first."""
    result = np.full_like(x, coefficients[0])
    for coefficient in coefficients[1:]:
        result = result * x + coefficient
    return result


LN2_HIGH, LN2_LOW = hexadecimal("0x1.62e42ffp-1"), hexadecimal("-0x1.718432a1b0e26p-35")


def exp64(x):
    """The float64 exponential."""
    k = np.rint(x * hexadecimal("0x1.71547652b82fep+0"))
    r = (x - k * LN2_HIGH) - k * LN2_LOW
    return np.ldexp(horner(r, [1.0 / factorial(n) for n in range(14, -1, -1)]), k.astype(int))


def log64(x):
    """The float64 natural logarithm."""
    m, k = np.frexp(x)
    small = m < hexadecimal("0x1.6a09e667f3bcdp-1")
    m, k = np.where(small, 2.0 * m, m), np.where(small, k - 1, k).astype(f64)
    s = (m - 1.0) / (m + 1.0)
    series = horner(s * s, [1.0 / n for n in range(23, 0, -2)])
    return k * LN2_HIGH + (((2.0 * s) * series) + k * LN2_LOW)


def sin_cos64(x):
    """Sine and cosine of float64."""
    k = np.rint(x * hexadecimal("0x1.45f306dc9c883p-1"))
    a, b, c = map(hexadecimal, ("0x1.921fb544p+0", "0x1.0b4611a6p-34", "0x1.3198a2e037073p-69"))
    return quadrants(((x - k * a) - k * b) - k * c, k)


def sin_cos_turns64(x):
    """Sine and cosine of ``2 pi x``."""
    k = np.rint(4.0 * x)
    return quadrants((4.0 * x - k) * hexadecimal("0x1.921fb54442d18p+0"), k)


def quadrants(r, k):
    """Sine and cosine of ``r + k pi / 2``."""
    z = r * r
    sine = r * horner(z, [(-1.0) ** (n // 2) / factorial(n) for n in range(17, 0, -2)])
    cosine = horner(z, [(-1.0) ** (n // 2) / factorial(n) for n in range(16, -1, -2)])
    quadrant = k.astype(np.int64) % 4
    s, c = np.where(quadrant % 2 == 1, cosine, sine), np.where(quadrant % 2 == 1, sine, cosine)
    return np.where(quadrant >= 2, -s, s), np.where((quadrant == 1) | (quadrant == 2), -c, c)


def power(base, n):
    """``base**n`` by squaring, from the lowest bit of ``n``."""
    result = 1.0
    while n:
        if n & 1:
            result *= base
        base *= base
        n >>= 1
    return result


MASK = 2**64 - 1


def philox(key, counter):
    """The four 64-bit words of a block of Philox 4x64-10."""
    (k0, k1), (x0, x1, x2, x3) = key, counter
    for _ in range(10):
        a, b = x0 * 0xD2E7470EE14C6C93, x2 * 0xCA5A826395121157
        x0, x1, x2, x3 = (b >> 64) ^ x1 ^ k0, b & MASK, (a >> 64) ^ x3 ^ k1, a & MASK
        k0, k1 = (k0 + 0x9E3779B97F4A7C15) & MASK, (k1 + 0xBB67AE8584CAA73B) & MASK
    return x0, x1, x2, x3


def integers(seed, purpose, count):
    """Uniform 64-bit integers."""
    key = seed, int.from_bytes(hashlib.sha256(purpose.encode()).digest()[:8], "little")
    blocks = range(1, (count + 3) // 4 + 1)
    return [word for block in blocks for word in philox(key, (block, 0, 0, 0))][:count]


def uniforms(seed, purpose, count):
    """Multiples of 2**-53 in [0, 1)."""
    return np.array([n >> 11 for n in integers(seed, purpose, count)], f64) * 2.0**-53


def normals(seed, purpose, count):
    """Standard normal float64."""
    u, v = uniforms(seed, purpose, count + count % 2).reshape(-1, 2).T
    radius = np.sqrt(-2.0 * log64(u + 2.0**-53))
    sine, cosine = sin_cos_turns64(v)
    return np.stack((radius * cosine, radius * sine), 1).ravel()[:count]
