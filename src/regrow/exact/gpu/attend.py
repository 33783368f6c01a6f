"""The CUDA kernels of attention: from digits to outputs and gradients, and nothing in between is written.

It is FlashAttention's tiling (Dao et al., 2022) without its running maximum: a weight is rounded to a grid that follows
from the largest score of all, so a program first goes through the keys for that, and then through them again. Backwards
scores are computed again from queries and keys (and a row's grid, once more, from all of its gradients), so that what
is kept of a query is two numbers. All memory is linear in the number of positions.

Operands are digits, made once beforehand: a tile of keys is read by every block of queries, and to make its digits each
time would take longer than to multiply them. Query heads that share a key head are rows below each other.
"""

from __future__ import annotations

from typing import Any

import triton
import triton.language as tl

from regrow.exact.gpu import functions as f
from regrow.exact.gpu.functions import jit

# Compiled once for all numbers of heads and positions: Triton would do so again for those that are 1, or multiples of
# 16, which does not make these faster. For the width of a head it does, since loads run along it.
sized: Any = triton.jit(do_not_specialize=["share", "positions"])


@jit
def _queries(share, positions, BM: tl.constexpr):
    """Group, first row of the head, and first position of a program that has a block of queries of a head."""
    # The last queries see the most keys: they begin first, so that in the end nobody waits for them.
    blocks = tl.cdiv(positions, BM)
    heads = tl.num_programs(0) // blocks
    head = tl.program_id(0) % heads
    block = blocks - 1 - tl.program_id(0) // heads
    return (head // share).to(tl.int64), (head % share) * positions, block * BM


@jit
def _rows(high, low, exponents, start, r, exists, width, BD: tl.constexpr, TYPE: tl.constexpr):
    """Digits ``(R, BD)`` of rows ``r`` ``(R, 1)`` on row grids, counted from ``start``; and float64 powers of two."""
    # What places are counted from is one pointer, so that they are int32.
    d, begin = tl.arange(0, BD)[None, :], start * 2 * width
    h, h_low = f.stored(high + begin, low + begin, r * 2 * width + d, exists & (d < width), TYPE)
    return h, h_low, f.two(tl.load(exponents + start + r, mask=exists, other=0))


@jit
def _rows_transposed(high, low, exponents, start, r, exists, width, BD: tl.constexpr, TYPE: tl.constexpr):
    """As :func:`_rows`, ``(BD, R)`` of rows ``(1, R)``."""
    d, begin = tl.arange(0, BD)[:, None], start * 2 * width
    h, h_low = f.stored(high + begin, low + begin, r * 2 * width + d, exists & (d < width), TYPE)
    return h, h_low, f.two(tl.load(exponents + start + r, mask=exists, other=0))


@jit
def _product(a, a_low, two, b, b_low, other, ROWS: tl.constexpr, COLUMNS: tl.constexpr, TYPE: tl.constexpr):
    """float32 of a product of rows and transposed rows over the width of a head."""
    high, cross = f.parts(a, a_low, b, b_low, f.zeros(ROWS, COLUMNS, TYPE), f.zeros(ROWS, COLUMNS, TYPE))
    return (f.total(high, cross) * (two * (other * f.PRODUCT_STEP))).to(tl.float32)


@jit
def _add(
    weight, weight_low, high, low, begin, r, stride, exists, width, total, cross,
    BD: tl.constexpr, TYPE: tl.constexpr,
):  # fmt: skip
    """Add the product of weights and rows ``r`` ``(R, 1)`` on column grids to int32 parts ``(B, BD)``."""
    d = tl.arange(0, BD)[None, :]
    x, x_low = f.stored(high + begin, low + begin, r * stride + d, exists & (d < width), TYPE)
    if tl.int8 == TYPE:
        total, cross = f.parts(weight, weight_low, x, x_low, total, cross)
    else:
        # A tile's sums are within float32's integers, those of all tiles are not.
        nothing = tl.zeros(total.shape, tl.float32)
        some, others = f.parts(weight, weight_low, x, x_low, nothing, nothing)
        total, cross = total + some.to(tl.int32), cross + others.to(tl.int32)
    return total, cross


@jit
def _write(out, start, r, exists, width, high, cross, two, exponents, g, BD: tl.constexpr):
    """Round a product with an operand on column grids."""
    d = tl.arange(0, BD)[None, :]
    other = f.two(tl.load(exponents + g * width + d, mask=d < width, other=0)) * f.PRODUCT_STEP
    found = (f.total(high, cross) * (two * other)).to(tl.float32)
    tl.store(out + start * width + r * width + d, found, mask=exists & (d < width))


@jit
def _numerators(s, largest, counts):
    """Softmax numerators on the grid 2**-13; 0 where they do not count."""
    return tl.where(counts, f.rint32(f.exp(tl.where(counts, s - largest, 0.0)) * 8192.0), 0)


@jit
def _score_gradients(n, products, inverse, delta, scale):
    """The gradients of scores from numerators, and products of gradients and values."""
    # A weight of 0 gives +0, or NaN in a row without a total, whatever stands in the product.
    return tl.where(n == 0, 0.0 * inverse, ((n.to(tl.float32) * inverse) * (products - delta)) * scale)


@sized
def attend(
    queries, queries_low, query_exponents, keys, keys_low, key_exponents, values, values_low, value_exponents,
    out, largest, totals, scale, share, positions, width,
    TYPE: tl.constexpr, BM: tl.constexpr, BN: tl.constexpr, BD: tl.constexpr,
):  # fmt: skip
    """Outputs of a block of queries, their largest scores, and the sums of their numerators."""
    g, head, first = _queries(share, positions, BM)
    place = first + tl.arange(0, BM)[:, None]
    row, exists, start, seen = head + place, place < positions, g * share * positions, g * positions
    q, q_low, two = _rows(queries, queries_low, query_exponents, start, row, exists, width, BD, TYPE)
    stop = tl.minimum(first + BM, positions)
    # NaNs are counted apart, because the device's maximum drops them.
    most = tl.full((BM, 1), float("-inf"), tl.float32)
    nans = tl.zeros((BM, 1), tl.int32)
    for at in range(0, stop, BN):
        c = at + tl.arange(0, BN)[None, :]
        k, k_low, other = _rows_transposed(keys, keys_low, key_exponents, seen, c, c < positions, width, BD, TYPE)
        s = _product(q, q_low, two, k, k_low, other, BM, BN, TYPE) * scale
        nans = tl.maximum(nans, tl.max(tl.where((c <= place) & (s != s), 1, 0), 1, keep_dims=True))
        most = tl.maximum(most, tl.max(tl.where((c <= place) & (s == s), s, float("-inf")), 1, keep_dims=True))
    finite = (nans == 0) & (f.bits(most) < f.INFINITY_BITS)
    total = tl.zeros((BM, 1), tl.int32)
    high, cross = tl.zeros((BM, BD), tl.int32), tl.zeros((BM, BD), tl.int32)
    for at in range(0, stop, BN):
        c = at + tl.arange(0, BN)[None, :]
        k, k_low, other = _rows_transposed(keys, keys_low, key_exponents, seen, c, c < positions, width, BD, TYPE)
        s = _product(q, q_low, two, k, k_low, other, BM, BN, TYPE) * scale
        n = _numerators(s, most, (c <= place) & finite)
        total += tl.sum(n, 1, keep_dims=True)
        w, w_low = f.digits(n, TYPE)
        r = at + tl.arange(0, BN)[:, None]
        high, cross = _add(
            w, w_low, values, values_low, 2 * seen * width, r, width, r < positions, width, high, cross, BD, TYPE
        )
    t = tl.where(finite, total.to(tl.float32), float("nan"))
    d = tl.arange(0, BD)[None, :]
    b = f.two(tl.load(value_exponents + g * width + d, mask=d < width, other=0)) * f.OPERAND_STEP
    mean = ((f.total(high, cross) * b) / t.to(tl.float64)).to(tl.float32)
    tl.store(out + start * width + row * width + d, mean, mask=exists & (d < width))
    tl.store(largest + start + row, most, mask=exists)
    tl.store(totals + start + row, t, mask=exists)


@jit
def _found(
    at, place, q, q_low, two, y, y_low, two_y, keys, keys_low, key_exponents, values, values_low, value_exponents,
    most, t, inverse, less, scale, seen, positions, width,
    BM: tl.constexpr, BN: tl.constexpr, BD: tl.constexpr, TYPE: tl.constexpr,
):  # fmt: skip
    """The gradients of the scores of a block of queries for a block of keys."""
    c = at + tl.arange(0, BN)[None, :]
    k, k_low, other = _rows_transposed(keys, keys_low, key_exponents, seen, c, c < positions, width, BD, TYPE)
    s = _product(q, q_low, two, k, k_low, other, BM, BN, TYPE) * scale
    n = _numerators(s, most, (c <= place) & (t == t))
    v, v_low, other_v = _rows_transposed(values, values_low, value_exponents, seen, c, c < positions, width, BD, TYPE)
    return _score_gradients(n, _product(y, y_low, two_y, v, v_low, other_v, BM, BN, TYPE), inverse, less, scale)


@sized
def attend_queries(
    queries, queries_low, query_exponents, keys, keys_low, key_exponents,
    gradients, gradients_low, gradient_exponents, values, values_low, value_exponents,
    columns, columns_low, column_exponents, largest, totals, delta, exponents, out, scale, share, positions, width,
    TYPE: tl.constexpr, BM: tl.constexpr, BN: tl.constexpr, BD: tl.constexpr,
):  # fmt: skip
    """Gradients of a block of queries, and the exponents of their scores' gradients; ``columns`` are keys on column
    grids, and values here on row grids.
    """
    g, head, first = _queries(share, positions, BM)
    place = first + tl.arange(0, BM)[:, None]
    row, exists, start, seen = head + place, place < positions, g * share * positions, g * positions
    q, q_low, two = _rows(queries, queries_low, query_exponents, start, row, exists, width, BD, TYPE)
    y, y_low, two_y = _rows(gradients, gradients_low, gradient_exponents, start, row, exists, width, BD, TYPE)
    most = tl.load(largest + start + row, mask=exists, other=0.0)
    t = tl.load(totals + start + row, mask=exists, other=1.0)
    less = tl.load(delta + start + row, mask=exists, other=0.0)
    inverse = tl.div_rn(tl.full((BM, 1), 1.0, tl.float32), t)
    stop = tl.minimum(first + BM, positions)
    # The grid of a row follows from all of its gradients, so that they are made once for it and once more to be used.
    bits = tl.zeros((BM, 1), tl.int32)
    for at in range(0, stop, BN):
        found = _found(
            at, place, q, q_low, two, y, y_low, two_y, keys, keys_low, key_exponents, values, values_low,
            value_exponents, most, t, inverse, less, scale, seen, positions, width, BM, BN, BD, TYPE,
        )  # fmt: skip
        bits = tl.maximum(bits, tl.max(f.bits(found), 1, keep_dims=True))
    e = f.exponent(bits)
    tl.store(exponents + start + row, e, mask=exists)
    high, cross = tl.zeros((BM, BD), tl.int32), tl.zeros((BM, BD), tl.int32)
    for at in range(0, stop, BN):
        found = _found(
            at, place, q, q_low, two, y, y_low, two_y, keys, keys_low, key_exponents, values, values_low,
            value_exponents, most, t, inverse, less, scale, seen, positions, width, BM, BN, BD, TYPE,
        )  # fmt: skip
        w, w_low = f.digits(f.operand(found, e), TYPE)
        r = at + tl.arange(0, BN)[:, None]
        high, cross = _add(
            w, w_low, columns, columns_low, 2 * seen * width, r, width, r < positions, width, high, cross, BD, TYPE
        )
    _write(out, start, row, exists, width, high, cross, f.two(e), column_exponents, g, BD)


@sized
def attend_keys(
    queries, queries_low, query_exponents, keys, keys_low, key_exponents,
    gradients, gradients_low, gradient_exponents, values, values_low, value_exponents,
    folded, folded_low, folded_exponents, normal, normal_low, normal_exponents,
    largest, totals, delta, exponents, dkeys, dvalues, scale, share, positions, width,
    TYPE: tl.constexpr, BM: tl.constexpr, BN: tl.constexpr, BD: tl.constexpr,
):  # fmt: skip
    """Gradients of a block of keys and of their values.

    ``folded`` are the queries times the powers of two of their scores' gradients, and ``normal`` the gradients of
    outputs divided by totals, both on column grids. Scores are made here with a row for each key.
    """
    # The first keys are seen by the most queries, and begin first.
    groups = tl.num_programs(0) // tl.cdiv(positions, BN)
    g, first = (tl.program_id(0) % groups).to(tl.int64), tl.program_id(0) // groups * BN
    place = first + tl.arange(0, BN)[:, None]
    exists, start, seen = place < positions, g * share * positions, g * positions
    k, k_low, two = _rows(keys, keys_low, key_exponents, seen, place, exists, width, BD, TYPE)
    v, v_low, two_v = _rows(values, values_low, value_exponents, seen, place, exists, width, BD, TYPE)
    key_high, key_cross = tl.zeros((BN, BD), tl.int32), tl.zeros((BN, BD), tl.int32)
    value_high, value_cross = tl.zeros((BN, BD), tl.int32), tl.zeros((BN, BD), tl.int32)
    # Blocks of queries of each head that see one of the keys at least.
    before = first // BM
    some = tl.cdiv(positions, BM) - before
    for i in range(share * some):
        head, at = i // some * positions, (before + i % some) * BM
        c = at + tl.arange(0, BM)[None, :]
        row, inside = head + c, c < positions
        q, q_low, other = _rows_transposed(queries, queries_low, query_exponents, start, row, inside, width, BD, TYPE)
        s = _product(k, k_low, two, q, q_low, other, BN, BM, TYPE) * scale
        t = tl.load(totals + start + row, mask=inside, other=1.0)
        most = tl.load(largest + start + row, mask=inside, other=0.0)
        n = _numerators(s, most, inside & (place <= c) & (t == t))
        y, y_low, other_y = _rows_transposed(
            gradients, gradients_low, gradient_exponents, start, row, inside, width, BD, TYPE
        )
        products = _product(v, v_low, two_v, y, y_low, other_y, BN, BM, TYPE)
        inverse = tl.div_rn(tl.full((1, BM), 1.0, tl.float32), t)
        less = tl.load(delta + start + row, mask=inside, other=0.0)
        e = tl.load(exponents + start + row, mask=inside, other=0)
        w, w_low = f.digits(n, TYPE)
        r = at + tl.arange(0, BM)[:, None]
        value_high, value_cross = _add(
            w, w_low, normal, normal_low, 2 * start * width, head + r, 2 * width, r < positions, width, value_high,
            value_cross, BD, TYPE,
        )  # fmt: skip
        d, d_low = f.digits(f.operand(_score_gradients(n, products, inverse, less, scale), e), TYPE)
        key_high, key_cross = _add(
            d, d_low, folded, folded_low, 2 * start * width, head + r, 2 * width, r < positions, width, key_high,
            key_cross, BD, TYPE,
        )  # fmt: skip
    one = tl.full((1, 1), 1.0, tl.float64)
    _write(dkeys, seen, place, exists, width, key_high, key_cross, one, folded_exponents, g, BD)
    _write(dvalues, seen, place, exists, width, value_high, value_cross, one, normal_exponents, g, BD)
