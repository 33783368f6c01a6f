"""The CUDA kernels of attention: from digits to outputs and gradients, and nothing in between is written.

It is FlashAttention's tiling (Dao et al., 2022) without its running maximum: a weight is rounded to a grid that follows
from the largest score of all, so a program first goes through the keys for that, and then through them again. Backwards
scores are computed again from queries and keys (and a row's grid, once more, from all of its gradients), so that what
is kept of a query is two numbers. All memory is linear in the number of positions.

Operands are digits, made once beforehand: a tile of keys is read by every block of queries, and to make its digits each
time would take longer than to multiply them. Query heads that share a key head are rows below each other.
"""

from __future__ import annotations

import triton.language as tl

from regrow.exact.gpu import functions as f
from regrow.exact.gpu.functions import jit


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
def _rounded(high, cross, a, b):
    """float32 of a product from its parts; ``a`` and ``b`` are powers of two of rows and columns, of both grids."""
    return (f.total(high, cross) * (a * b)).to(tl.float32)


@jit
def _product(a, a_low, b, b_low, scale, other_scale, ROWS: tl.constexpr, COLUMNS: tl.constexpr, TYPE: tl.constexpr):
    """float32 of a product of two tiles over the width of a head."""
    high, cross = f.parts(a, a_low, b, b_low, f.zeros(ROWS, COLUMNS, TYPE), f.zeros(ROWS, COLUMNS, TYPE))
    return _rounded(high, cross, scale, other_scale)


@jit
def _add(a, a_low, b, b_low, high, cross, TYPE: tl.constexpr):
    """Add a product to int32 parts."""
    if tl.int8 == TYPE:
        high, cross = f.parts(a, a_low, b, b_low, high, cross)
    else:
        # A tile's sums are within float32's integers, those of all tiles are not.
        nothing = tl.zeros(high.shape, tl.float32)
        some, others = f.parts(a, a_low, b, b_low, nothing, nothing)
        high, cross = high + some.to(tl.int32), cross + others.to(tl.int32)
    return high, cross


@jit
def _scale(exponents, at, mask):
    """float64 powers of two of groups; 1 for what is masked."""
    return f.two(tl.load(exponents + at, mask=mask, other=0))


@jit
def _numerators(s, largest, counts):
    """Softmax numerators on the grid 2**-13; 0 where they do not count."""
    return tl.where(counts, f.rint32(f.exp(tl.where(counts, s - largest, 0.0)) * 8192.0), 0)


@jit
def _score_gradients(n, products, inverse, delta, scale):
    """The gradients of scores; see `kernels.attention_gradient`."""
    # A weight of 0 gives +0, or NaN in a row without a total, whatever stands in the product.
    q = n.to(tl.float32)
    return tl.where(n == 0, 0.0 * inverse, ((q * inverse) * (products - delta)) * scale)


@jit
def attend(
    queries, queries_low, query_exponents, keys, keys_low, key_exponents, values, values_low, value_exponents,
    out, largest, totals, scale, share, positions, width,
    TYPE: tl.constexpr, BM: tl.constexpr, BN: tl.constexpr, BD: tl.constexpr,
):  # fmt: skip
    """Outputs of a block of queries, their largest scores, and the sums of their numerators."""
    g, first_row, first = _queries(share, positions, BM)
    place, d = first + tl.arange(0, BM)[:, None], tl.arange(0, BD)
    exists, row = place < positions, g * share * positions + first_row + place
    across, down = d[None, :], d[:, None]
    q, q_low = f.stored(queries, queries_low, row * 2 * width + across, exists & (across < width), TYPE)
    a = _scale(query_exponents, row, exists)
    stop = tl.minimum(first + BM, positions)
    # NaNs are counted apart, because the device's maximum drops them.
    most = tl.full((BM, 1), float("-inf"), tl.float32)
    nans = tl.zeros((BM, 1), tl.int32)
    for start in range(0, stop, BN):
        c = start + tl.arange(0, BN)[None, :]
        at, mask = (g * positions + c) * 2 * width + down, (c < positions) & (down < width)
        k, k_low = f.stored(keys, keys_low, at, mask, TYPE)
        b = _scale(key_exponents, g * positions + c, c < positions) * f.PRODUCT_STEP
        s = _product(q, q_low, k, k_low, a, b, BM, BN, TYPE) * scale
        seen = c <= place
        nans = tl.maximum(nans, tl.max(tl.where(seen & (s != s), 1, 0), 1, keep_dims=True))
        most = tl.maximum(most, tl.max(tl.where(seen & (s == s), s, float("-inf")), 1, keep_dims=True))
    finite = (nans == 0) & (f.bits(most) < f.INFINITY_BITS)
    total = tl.zeros((BM, 1), tl.int32)
    high, cross = tl.zeros((BM, BD), tl.int32), tl.zeros((BM, BD), tl.int32)
    for start in range(0, stop, BN):
        c, below = start + tl.arange(0, BN)[None, :], start + tl.arange(0, BN)[:, None]
        at, mask = (g * positions + c) * 2 * width + down, (c < positions) & (down < width)
        k, k_low = f.stored(keys, keys_low, at, mask, TYPE)
        b = _scale(key_exponents, g * positions + c, c < positions) * f.PRODUCT_STEP
        s = _product(q, q_low, k, k_low, a, b, BM, BN, TYPE) * scale
        n = _numerators(s, most, (c <= place) & finite)
        total += tl.sum(n, 1, keep_dims=True)
        weight, weight_low = f.digits(n, TYPE)
        at, mask = (g * 2 * positions + below) * width + across, (below < positions) & (across < width)
        v, v_low = f.stored(values, values_low, at, mask, TYPE)
        high, cross = _add(weight, weight_low, v, v_low, high, cross, TYPE)
    b = _scale(value_exponents, g * width + across, across < width) * f.OPERAND_STEP
    t = tl.where(finite, total.to(tl.float32), float("nan"))
    mean = ((f.total(high, cross) * b) / t.to(tl.float64)).to(tl.float32)
    tl.store(out + row * width + across, mean, mask=exists & (across < width))
    tl.store(largest + row, most, mask=exists)
    tl.store(totals + row, t, mask=exists)


@jit
def attend_queries(
    queries, queries_low, query_exponents, keys, keys_low, key_exponents,
    gradients, gradients_low, gradient_exponents, values, values_low, value_exponents,
    columns, columns_low, column_exponents, largest, totals, delta, exponents, out, scale, share, positions, width,
    TYPE: tl.constexpr, BM: tl.constexpr, BN: tl.constexpr, BD: tl.constexpr,
):  # fmt: skip
    """Gradients of a block of queries, and the exponents of their scores' gradients; ``columns`` are keys on column
    grids, and values here on row grids.
    """
    g, first_row, first = _queries(share, positions, BM)
    place, d = first + tl.arange(0, BM)[:, None], tl.arange(0, BD)
    exists, row = place < positions, g * share * positions + first_row + place
    across, down = d[None, :], d[:, None]
    at, mask = row * 2 * width + across, exists & (across < width)
    q, q_low = f.stored(queries, queries_low, at, mask, TYPE)
    y, y_low = f.stored(gradients, gradients_low, at, mask, TYPE)
    a, o = _scale(query_exponents, row, exists), _scale(gradient_exponents, row, exists)
    most, t = tl.load(largest + row, mask=exists, other=0.0), tl.load(totals + row, mask=exists, other=1.0)
    less = tl.load(delta + row, mask=exists, other=0.0)
    inverse = tl.div_rn(tl.full((BM, 1), 1.0, tl.float32), t)
    stop = tl.minimum(first + BM, positions)
    bits = tl.zeros((BM, 1), tl.int32)
    for start in range(0, stop, BN):
        c = start + tl.arange(0, BN)[None, :]
        at, mask = (g * positions + c) * 2 * width + down, (c < positions) & (down < width)
        k, k_low = f.stored(keys, keys_low, at, mask, TYPE)
        b = _scale(key_exponents, g * positions + c, c < positions) * f.PRODUCT_STEP
        s = _product(q, q_low, k, k_low, a, b, BM, BN, TYPE) * scale
        n = _numerators(s, most, (c <= place) & (t == t))
        v, v_low = f.stored(values, values_low, at, mask, TYPE)
        b = _scale(value_exponents, g * positions + c, c < positions) * f.PRODUCT_STEP
        found = _score_gradients(n, _product(y, y_low, v, v_low, o, b, BM, BN, TYPE), inverse, less, scale)
        bits = tl.maximum(bits, tl.max(f.bits(found), 1, keep_dims=True))
    e = f.exponent(bits)
    tl.store(exponents + row, e, mask=exists)
    high, cross = tl.zeros((BM, BD), tl.int32), tl.zeros((BM, BD), tl.int32)
    for start in range(0, stop, BN):
        c, below = start + tl.arange(0, BN)[None, :], start + tl.arange(0, BN)[:, None]
        at, mask = (g * positions + c) * 2 * width + down, (c < positions) & (down < width)
        k, k_low = f.stored(keys, keys_low, at, mask, TYPE)
        b = _scale(key_exponents, g * positions + c, c < positions) * f.PRODUCT_STEP
        s = _product(q, q_low, k, k_low, a, b, BM, BN, TYPE) * scale
        n = _numerators(s, most, (c <= place) & (t == t))
        v, v_low = f.stored(values, values_low, at, mask, TYPE)
        b = _scale(value_exponents, g * positions + c, c < positions) * f.PRODUCT_STEP
        found = _score_gradients(n, _product(y, y_low, v, v_low, o, b, BM, BN, TYPE), inverse, less, scale)
        w, w_low = f.digits(f.operand(found, e), TYPE)
        at, mask = (g * 2 * positions + below) * width + across, (below < positions) & (across < width)
        k, k_low = f.stored(columns, columns_low, at, mask, TYPE)
        high, cross = _add(w, w_low, k, k_low, high, cross, TYPE)
    b = _scale(column_exponents, g * width + across, across < width) * f.PRODUCT_STEP
    tl.store(out + row * width + across, _rounded(high, cross, f.two(e), b), mask=exists & (across < width))


@jit
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
    blocks = tl.cdiv(positions, BN)
    # The first keys are seen by the most queries, and begin first.
    groups = tl.num_programs(0) // blocks
    g, first = (tl.program_id(0) % groups).to(tl.int64), tl.program_id(0) // groups * BN
    place, d = first + tl.arange(0, BN)[:, None], tl.arange(0, BD)
    exists, across, down = place < positions, d[None, :], d[:, None]
    at, mask = (g * positions + place) * 2 * width + across, exists & (across < width)
    k, k_low = f.stored(keys, keys_low, at, mask, TYPE)
    v, v_low = f.stored(values, values_low, at, mask, TYPE)
    a = _scale(key_exponents, g * positions + place, exists) * f.PRODUCT_STEP
    o = _scale(value_exponents, g * positions + place, exists) * f.PRODUCT_STEP
    key_high, key_cross = tl.zeros((BN, BD), tl.int32), tl.zeros((BN, BD), tl.int32)
    value_high, value_cross = tl.zeros((BN, BD), tl.int32), tl.zeros((BN, BD), tl.int32)
    # Blocks of queries that see one of the keys at least, of each head.
    before = first // BM
    some = tl.cdiv(positions, BM) - before
    for i in range(share * some):
        head, block = g * share + i // some, (before + i % some) * BM
        c, below = block + tl.arange(0, BM)[None, :], block + tl.arange(0, BM)[:, None]
        row, inside = head * positions + c, c < positions
        at, mask = row * 2 * width + down, inside & (down < width)
        q, q_low = f.stored(queries, queries_low, at, mask, TYPE)
        s = _product(k, k_low, q, q_low, a, _scale(query_exponents, row, inside), BN, BM, TYPE) * scale
        t = tl.load(totals + row, mask=inside, other=1.0)
        counts = inside & (place <= c) & (t == t)
        n = _numerators(s, tl.load(largest + row, mask=inside, other=0.0), counts)
        weight, weight_low = f.digits(n, TYPE)
        y, y_low = f.stored(gradients, gradients_low, at, mask, TYPE)
        products = _product(v, v_low, y, y_low, o, _scale(gradient_exponents, row, inside), BN, BM, TYPE)
        inverse = tl.div_rn(tl.full((1, BM), 1.0, tl.float32), t)
        found = _score_gradients(n, products, inverse, tl.load(delta + row, mask=inside, other=0.0), scale)
        w, w_low = f.digits(f.operand(found, tl.load(exponents + row, mask=inside, other=0)), TYPE)
        at = (head * positions + below) * 2 * width + across
        mask = (below < positions) & (across < width)
        x, x_low = f.stored(normal, normal_low, at, mask, TYPE)
        value_high, value_cross = _add(weight, weight_low, x, x_low, value_high, value_cross, TYPE)
        x, x_low = f.stored(folded, folded_low, at, mask, TYPE)
        key_high, key_cross = _add(w, w_low, x, x_low, key_high, key_cross, TYPE)
    to, mask, one = (
        (g * positions + place) * width + across,
        exists & (across < width),
        tl.full((1, 1), 1.0, tl.float64),
    )
    b = _scale(folded_exponents, g * width + across, across < width) * f.PRODUCT_STEP
    tl.store(dkeys + to, _rounded(key_high, key_cross, one, b), mask=mask)
    b = _scale(normal_exponents, g * width + across, across < width) * f.PRODUCT_STEP
    tl.store(dvalues + to, _rounded(value_high, value_cross, one, b), mask=mask)
