"""The CUDA kernels, in Triton: the sequences of operations of ``definition``, one pass over memory where possible.

What keeps the bits: kernels are launched without fusion of multiplications and additions (see ``launch``); each
operation is rounded as in ``functions``; and every reduction is a maximum or a sum of integers, so that neither its
order nor an atomic operation matters. The tests read what the kernels compile to.

A program works on a tile of ``BR`` rows and ``BC`` columns; kernels that reduce rows step through the columns, of which
there may be any number, so that a tile and not a row is what registers must hold. What such a kernel needs again it
reads again, from the cache of the device, or computes again: that is cheaper than to write it to memory and read it.
Kernels that reduce columns are two, one for the maxima and one for the sums, since only the end of a launch makes all
programs wait for each other. All pointers but those given with strides are to contiguous memory. Numbers of rows are
int64 inside, since a matrix may have more than 2**31 entries.
"""

from __future__ import annotations

import triton.language as tl

from regrow.exact.gpu import functions as f
from regrow.exact.gpu.functions import jit


@jit
def split_rows(
    x, out, exponents, count, rows, columns, group, row, digit,
    RIGHT: tl.constexpr, BR: tl.constexpr, BC: tl.constexpr,
):  # fmt: skip
    """Rows of ``(G, R, C)`` on their grids; ``group``, ``row`` and ``digit`` are strides of ``out``."""
    r, exists = f.rows(count, BR)
    # First the maximum, in which entries beyond the end count as 0, the smallest pattern.
    largest = tl.zeros((BR, 1), tl.int32)
    for start in range(0, columns, BC):
        c, inside = f.columns(start, columns, BC)
        v = tl.load(x + r * columns + c, mask=exists & inside, other=0.0)
        largest = tl.maximum(largest, tl.max(f.bits(v), 1, keep_dims=True))
    e = f.exponent(largest)
    tl.store(exponents + r, e, mask=exists)
    # Then the digits. The right operand's low ones come first; see `grid.Layout`.
    base = out + (r // rows) * group + (r % rows) * row
    for start in range(0, columns, BC):
        c, inside = f.columns(start, columns, BC)
        q = f.operand(tl.load(x + r * columns + c, mask=exists & inside, other=0.0), e)
        high = f.high(q)
        f.write(base + (digit if RIGHT else 0) + c, high, exists & inside)
        f.write(base + (0 if RIGHT else digit) + c, q - (high << 7), exists & inside)


@jit
def column_bits(x, largest, rows, columns, BR: tl.constexpr, BC: tl.constexpr):
    """Raise ``largest`` ``(G, C)``, bit patterns, to those of the columns of ``(G, R, C)``."""
    g, r, c, mask = f.group_tile(rows, columns, BR, BC)
    v = tl.load(x + (g * rows + r) * columns + c, mask=mask, other=0.0)
    at = g * columns + tl.max(c, 0)
    # Relaxed, because nobody reads it before the next launch; and a maximum does not ask who came first.
    tl.atomic_max(largest + at, tl.max(f.bits(v), 0), mask=tl.max(c, 0) < columns, sem="relaxed")


@jit
def split_columns(
    x, largest, out, exponents, rows, columns, group, row, digit,
    RIGHT: tl.constexpr, BR: tl.constexpr, BC: tl.constexpr,
):  # fmt: skip
    """Columns of ``(G, R, C)`` on their grids, which ``column_bits`` found."""
    g, r, c, mask = f.group_tile(rows, columns, BR, BC)
    e = f.exponent(tl.load(largest + g * columns + c, mask=c < columns, other=0))
    # The exponents are those of every tile of a column; the program that has row 0 writes them.
    tl.store(exponents + g * columns + c + r * 0, e + tl.zeros((BR, BC), tl.int32), mask=mask & (r == 0))
    q = f.operand(tl.load(x + (g * rows + r) * columns + c, mask=mask, other=0.0), e)
    high = f.high(q)
    base = out + g * group + r * row + c
    f.write(base + (digit if RIGHT else 0), high, mask)
    f.write(base + (0 if RIGHT else digit), q - (high << 7), mask)


@jit
def combine(
    high, cross, left, right, out, rows, columns,
    high_group, high_row, cross_group, cross_row, left_group, right_group,
    out_group, out_row, BR: tl.constexpr, BC: tl.constexpr,
):  # fmt: skip
    """A product from its parts."""
    g, r, c, mask = f.group_tile(rows, columns, BR, BC)
    # Strides, because the parts come from whatever multiplied, with padding where its library wants some.
    t = f.terms(high, cross, g * high_group + r * high_row + c, g * cross_group + r * cross_row + c, mask)
    a = f.two(tl.load(left + g * left_group + r, mask=r < rows, other=0))
    b = f.two(tl.load(right + g * right_group + c, mask=c < columns, other=0)) * f.PRODUCT_STEP
    tl.store(out + g * out_group + r * out_row + c, (t * (a * b)).to(tl.float32), mask=mask)


@jit
def accumulate(
    top, middle, bottom, total, rows, columns,
    top_row, middle_row, bottom_row, BR: tl.constexpr, BC: tl.constexpr,
):  # fmt: skip
    """Add the parts of a product of three digits with two."""
    r, c, mask = f.tile(rows, columns, BR, BC)
    # Integers below 2**53, so that the order of the additions, which differs from the definition's, does not matter.
    high = f.terms(top, middle, r * top_row + c, r * middle_row + c, mask) * 128.0
    low = tl.load(bottom + r * bottom_row + c, mask=mask, other=0).to(tl.float64) * 128.0
    at = total + r * columns + c
    tl.store(at, tl.load(at, mask=mask) + (high + low), mask=mask)


@jit
def round_total(total, scale, out, rows, columns, BR: tl.constexpr, BC: tl.constexpr):
    """float64 sums times what stands in ``scale`` for their columns."""
    r, c, mask = f.tile(rows, columns, BR, BC)
    s = tl.load(scale + c, mask=c < columns, other=0.0)
    t = tl.load(total + r * columns + c, mask=mask, other=0.0)
    tl.store(out + r * columns + c, (t * s).to(tl.float32), mask=mask)


@jit
def rms_norm(
    x, gain, out, inverse, rows, columns,
    EPSILON: tl.constexpr, BR: tl.constexpr, BC: tl.constexpr,
):  # fmt: skip
    """Rows divided by their root mean square."""
    r, exists = f.rows(rows, BR)
    largest = tl.zeros((BR, 1), tl.int32)
    for start in range(0, columns, BC):
        c, inside = f.columns(start, columns, BC)
        v = tl.load(x + r * columns + c, mask=exists & inside, other=0.0)
        largest = tl.maximum(largest, tl.max(f.bits(v * v), 1, keep_dims=True))
    e = f.exponent(largest)
    # The sum of integers, each square rounded to float32 before it is put on the grid, as the definition has it.
    total = tl.zeros((BR, 1), tl.int64)
    for start in range(0, columns, BC):
        c, inside = f.columns(start, columns, BC)
        v = tl.load(x + r * columns + c, mask=exists & inside, other=0.0)
        total += tl.sum(f.on_grid(v * v, e, 30), 1, keep_dims=True)
    i = f.inverse_root(f.mean(total, e, columns) + EPSILON)
    tl.store(inverse + r, i, mask=exists)
    for start in range(0, columns, BC):
        c, inside = f.columns(start, columns, BC)
        v = tl.load(x + r * columns + c, mask=exists & inside, other=0.0)
        w = tl.load(gain + c, mask=inside, other=0.0)
        tl.store(out + r * columns + c, (v * i) * w, mask=exists & inside)


@jit
def rms_norm_backward(
    dy, x, gain, inverse, dx, products, rows, columns, BR: tl.constexpr, BC: tl.constexpr
):  # fmt: skip
    """The gradient of the rows, and the addends of that of the gains."""
    r, exists = f.rows(rows, BR)
    i = tl.load(inverse + r, mask=exists, other=0.0)
    # The addends of the gains' gradient are written, because `column_bits` and `column_sums` read them by columns.
    largest = tl.zeros((BR, 1), tl.int32)
    for start in range(0, columns, BC):
        c, inside = f.columns(start, columns, BC)
        mask = exists & inside
        normal = tl.load(x + r * columns + c, mask=mask, other=0.0) * i
        d = tl.load(dy + r * columns + c, mask=mask, other=0.0)
        tl.store(products + r * columns + c, d * normal, mask=mask)
        scaled = d * tl.load(gain + c, mask=inside, other=0.0)
        largest = tl.maximum(largest, tl.max(f.bits(scaled * normal), 1, keep_dims=True))
    e = f.exponent(largest)
    total = tl.zeros((BR, 1), tl.int64)
    for start in range(0, columns, BC):
        c, inside = f.columns(start, columns, BC)
        normal = tl.load(x + r * columns + c, mask=exists & inside, other=0.0) * i
        scaled = _scaled(dy, gain, r, c, columns, exists & inside)
        total += tl.sum(f.on_grid(scaled * normal, e, 30), 1, keep_dims=True)
    mean = f.mean(total, e, columns).to(tl.float32)
    for start in range(0, columns, BC):
        c, inside = f.columns(start, columns, BC)
        normal = tl.load(x + r * columns + c, mask=exists & inside, other=0.0) * i
        scaled = _scaled(dy, gain, r, c, columns, exists & inside)
        tl.store(dx + r * columns + c, i * (scaled - normal * mean), mask=exists & inside)


@jit
def _scaled(dy, gain, r, c, columns, mask):
    return tl.load(dy + r * columns + c, mask=mask, other=0.0) * tl.load(gain + c, mask=c < columns, other=0.0)


@jit
def _centred(x, mean):
    return (x.to(tl.float64) - mean).to(tl.float32)


@jit
def layer_norm(
    x, gain, bias, out, means, inverse, rows, columns, EPSILON: tl.constexpr, BR: tl.constexpr, BC: tl.constexpr
):
    """Rows with mean 0 and variance 1, then gain and bias."""
    r, exists = f.rows(rows, BR)
    largest = tl.zeros((BR, 1), tl.int32)
    for start in range(0, columns, BC):
        c, inside = f.columns(start, columns, BC)
        v = tl.load(x + r * columns + c, mask=exists & inside, other=0.0)
        largest = tl.maximum(largest, tl.max(f.bits(v), 1, keep_dims=True))
    e = f.exponent(largest)
    total = tl.zeros((BR, 1), tl.int64)
    for start in range(0, columns, BC):
        c, inside = f.columns(start, columns, BC)
        v = tl.load(x + r * columns + c, mask=exists & inside, other=0.0)
        total += tl.sum(f.on_grid(v, e, 30), 1, keep_dims=True)
    mean = f.mean(total, e, columns)
    tl.store(means + r, mean, mask=exists)
    largest = tl.zeros((BR, 1), tl.int32)
    for start in range(0, columns, BC):
        c, inside = f.columns(start, columns, BC)
        v = _centred(tl.load(x + r * columns + c, mask=exists & inside, other=0.0), mean)
        # Beyond the last column there is a 0 less the mean, which is none of the row: it must not count.
        largest = tl.maximum(largest, tl.max(tl.where(inside, f.bits(v * v), 0), 1, keep_dims=True))
    e = f.exponent(largest)
    total = tl.zeros((BR, 1), tl.int64)
    for start in range(0, columns, BC):
        c, inside = f.columns(start, columns, BC)
        v = _centred(tl.load(x + r * columns + c, mask=exists & inside, other=0.0), mean)
        total += tl.sum(tl.where(inside, f.on_grid(v * v, e, 30), 0), 1, keep_dims=True)
    i = f.inverse_root(f.mean(total, e, columns) + EPSILON)
    tl.store(inverse + r, i, mask=exists)
    for start in range(0, columns, BC):
        c, inside = f.columns(start, columns, BC)
        v = _centred(tl.load(x + r * columns + c, mask=exists & inside, other=0.0), mean)
        g, b = tl.load(gain + c, mask=inside, other=0.0), tl.load(bias + c, mask=inside, other=0.0)
        tl.store(out + r * columns + c, (v * i) * g + b, mask=exists & inside)


@jit
def layer_norm_backward(
    dy, x, gain, means, inverse, dx, products, rows, columns, BR: tl.constexpr, BC: tl.constexpr
):  # fmt: skip
    """The gradient of the rows, and the addends of that of the gains."""
    r, exists = f.rows(rows, BR)
    i, mean = tl.load(inverse + r, mask=exists, other=0.0), tl.load(means + r, mask=exists, other=0.0)
    # Both sums of a row share a pass for the maxima and one for the integers: it is read three times, not five.
    largest1, largest2 = tl.zeros((BR, 1), tl.int32), tl.zeros((BR, 1), tl.int32)
    for start in range(0, columns, BC):
        c, inside = f.columns(start, columns, BC)
        mask = exists & inside
        normal = _centred(tl.load(x + r * columns + c, mask=mask, other=0.0), mean) * i
        d = tl.load(dy + r * columns + c, mask=mask, other=0.0)
        tl.store(products + r * columns + c, d * normal, mask=mask)
        scaled = d * tl.load(gain + c, mask=inside, other=0.0)
        largest1 = tl.maximum(largest1, tl.max(f.bits(scaled), 1, keep_dims=True))
        largest2 = tl.maximum(largest2, tl.max(tl.where(inside, f.bits(scaled * normal), 0), 1, keep_dims=True))
    e1, e2 = f.exponent(largest1), f.exponent(largest2)
    total1, total2 = tl.zeros((BR, 1), tl.int64), tl.zeros((BR, 1), tl.int64)
    for start in range(0, columns, BC):
        c, inside = f.columns(start, columns, BC)
        normal = _centred(tl.load(x + r * columns + c, mask=exists & inside, other=0.0), mean) * i
        scaled = _scaled(dy, gain, r, c, columns, exists & inside)
        total1 += tl.sum(f.on_grid(scaled, e1, 30), 1, keep_dims=True)
        total2 += tl.sum(tl.where(inside, f.on_grid(scaled * normal, e2, 30), 0), 1, keep_dims=True)
    first, second = f.mean(total1, e1, columns).to(tl.float32), f.mean(total2, e2, columns).to(tl.float32)
    for start in range(0, columns, BC):
        c, inside = f.columns(start, columns, BC)
        normal = _centred(tl.load(x + r * columns + c, mask=exists & inside, other=0.0), mean) * i
        scaled = _scaled(dy, gain, r, c, columns, exists & inside)
        tl.store(dx + r * columns + c, i * ((scaled - first) - normal * second), mask=exists & inside)


@jit
def column_sums(x, largest, total, rows, columns, BR: tl.constexpr, BC: tl.constexpr):
    """Add columns on their grids, which ``column_bits`` found, to int64 ``total``."""
    # A tile is summed before it is added, so that there is one atomic addition for a column of it, not for an entry.
    r, c, mask = f.tile(rows, columns, BR, BC)
    e = f.exponent(tl.load(largest + c, mask=c < columns, other=0))
    q = f.on_grid(tl.load(x + r * columns + c, mask=mask, other=0.0), e, 30)
    tl.atomic_add(total + tl.max(c, 0), tl.sum(q, 0), mask=tl.max(c, 0) < columns, sem="relaxed")


@jit
def round_columns(total, largest, out, columns, BLOCK: tl.constexpr):
    """float32 of the sums that ``column_sums`` made."""
    c = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    mask = c < columns
    e = f.exponent(tl.load(largest + c, mask=mask, other=0))
    tl.store(out + c, f.back(tl.load(total + c, mask=mask, other=0), e).to(tl.float32), mask=mask)


@jit
def swiglu(x, out, rows, width, BR: tl.constexpr, BC: tl.constexpr):
    """``silu(gate) * up``."""
    r, c, mask = f.tile(rows, width, BR, BC)
    gate = tl.load(x + r * 2 * width + c, mask=mask, other=0.0)
    up = tl.load(x + r * 2 * width + width + c, mask=mask, other=0.0)
    tl.store(out + r * width + c, (gate * f.sigmoid(gate)) * up, mask=mask)


@jit
def swiglu_backward(dy, x, dx, rows, width, BR: tl.constexpr, BC: tl.constexpr):
    """The gradients of gate and up."""
    r, c, mask = f.tile(rows, width, BR, BC)
    at = r * 2 * width + c
    gate, up = tl.load(x + at, mask=mask, other=0.0), tl.load(x + at + width, mask=mask, other=0.0)
    d = tl.load(dy + r * width + c, mask=mask, other=0.0)
    sigmoid = f.sigmoid(gate)
    silu = gate * sigmoid
    tl.store(dx + at, (d * up) * (sigmoid + silu * (1.0 - sigmoid)), mask=mask)
    tl.store(dx + at + width, d * silu, mask=mask)


@jit
def _cut_sigmoid(x):
    return tl.where(x < -f.LARGEST, 0.0, f.sigmoid(x))


@jit
def _activated(x, KIND: tl.constexpr):
    """An activation and its derivative."""
    if KIND == "gelu":
        z = tl.abs(x)
        exponential = f.exp((z * z) * -0.5)
        u = tl.div_rn(tl.full(x.shape, 1.0, tl.float32), z * 0.25 + 1.0)
        p = (((f.T9 * u + f.T8) * u + f.T7) * u + f.T6) * u + f.T5
        tail = exponential * (((((p * u + f.T4) * u + f.T3) * u + f.T2) * u + f.T1) * u + f.T0)
        y = tl.where(x > 0.0, x, 0.0) - z * tail
        slope = tl.where(x < 0.0, tail, 1.0 - tail) + x * (exponential * f.NORMAL_DENSITY)
    elif KIND == "silu":
        z = _cut_sigmoid(x)
        y = x * z
        slope = z + y * (1.0 - z)
    else:
        # The device's minimum and maximum drop NaNs, so one is put back.
        clamped = tl.where(x != x, x, tl.minimum(tl.maximum(x, -f.GELU_LARGEST), f.GELU_LARGEST))
        square = clamped * clamped
        z = _cut_sigmoid(clamped * (square * f.GELU_CUBIC + f.GELU_LINEAR))
        y = x * z
        slope = z + (y * (1.0 - z)) * (square * f.GELU_CUBIC_SLOPE + f.GELU_LINEAR)
    return y, slope


@jit
def activation(x, out, rows, columns, KIND: tl.constexpr, BR: tl.constexpr, BC: tl.constexpr):
    """An activation of every entry."""
    r, c, mask = f.tile(rows, columns, BR, BC)
    y, _ = _activated(tl.load(x + r * columns + c, mask=mask, other=0.0), KIND)
    tl.store(out + r * columns + c, y, mask=mask)


@jit
def activation_backward(dy, x, dx, rows, columns, KIND: tl.constexpr, BR: tl.constexpr, BC: tl.constexpr):
    """Its gradient."""
    r, c, mask = f.tile(rows, columns, BR, BC)
    _, slope = _activated(tl.load(x + r * columns + c, mask=mask, other=0.0), KIND)
    tl.store(dx + r * columns + c, tl.load(dy + r * columns + c, mask=mask, other=0.0) * slope, mask=mask)


@jit
def rotate(
    x, cosine, sine, out, rows, positions, total, heads, half,
    BR: tl.constexpr, BC: tl.constexpr,
):  # fmt: skip
    """Turn the first ``heads`` of ``total`` heads, copy the rest; a row is a head of a position."""
    r, c, mask = f.tile(rows, half, BR, BC)
    turned = (r % total) < heads
    at, table = r * 2 * half + c, ((r // total) % positions) * half + c
    first, second = tl.load(x + at, mask=mask, other=0.0), tl.load(x + at + half, mask=mask, other=0.0)
    co, si = tl.load(cosine + table, mask=mask, other=0.0), tl.load(sine + table, mask=mask, other=0.0)
    tl.store(out + at, tl.where(turned, first * co - second * si, first), mask=mask)
    tl.store(out + at + half, tl.where(turned, second * co + first * si, second), mask=mask)


@jit
def _scores(high, cross, right, a, at_high, at_cross, at_right, scale, mask):
    """Scaled scores, float32."""
    t = f.terms(high, cross, at_high, at_cross, mask)
    b = f.two(tl.load(right + at_right, mask=mask, other=0)) * f.PRODUCT_STEP
    return (t * (a * b)).to(tl.float32) * scale


@jit
def attention_weights(
    high, cross, left, right, weights, totals, scale, first,
    count, rows, positions, high_group, high_row, cross_group, cross_row,
    left_group, right_group, weights_group, totals_group, BR: tl.constexpr, BC: tl.constexpr,
):  # fmt: skip
    """Digits of the softmax numerators, and their sums; a row is a query."""
    n, exists = f.rows(count, BR)
    g, r = n // rows, n % rows
    place = (first + r) % positions
    a = f.two(tl.load(left + g * left_group + r, mask=exists, other=0))
    at_high, at_cross, at_right = g * high_group + r * high_row, g * cross_group + r * cross_row, g * right_group
    # Scores are computed twice, for their maximum and for their numerators: each is two loads and a few products.
    # NaNs are counted apart, because the device's maximum drops them.
    largest = tl.full((BR, 1), float("-inf"), tl.float32)
    nans = tl.zeros((BR, 1), tl.int32)
    for start in range(0, positions, BC):
        c, inside = f.columns(start, positions, BC)
        seen = exists & inside & (c <= place)
        s = _scores(high, cross, right, a, at_high + c, at_cross + c, at_right + c, scale, seen)
        nans = tl.maximum(nans, tl.max(tl.where(seen & (s != s), 1, 0), 1, keep_dims=True))
        largest = tl.maximum(largest, tl.max(tl.where(seen & (s == s), s, float("-inf")), 1, keep_dims=True))
    finite = (nans == 0) & (f.bits(largest) < f.INFINITY_BITS)
    total = tl.zeros((BR, 1), tl.int64)
    out = weights + g * weights_group + r * 2 * positions
    for start in range(0, positions, BC):
        c, inside = f.columns(start, positions, BC)
        seen = exists & inside & (c <= place) & finite
        s = _scores(high, cross, right, a, at_high + c, at_cross + c, at_right + c, scale, seen)
        # Unseen keys get digits of 0, because the product with the values takes all positions. Sums stay within 2**30.
        q = tl.where(seen, f.rint32(f.exp(tl.where(seen, s - largest, 0.0)) * 8192.0), 0)
        total += tl.sum(q.to(tl.int64), 1, keep_dims=True)
        digit = f.high(q)
        f.write(out + c, digit, exists & inside)
        f.write(out + positions + c, q - (digit << 7), exists & inside)
    tl.store(totals + g * totals_group + r, tl.where(finite, total.to(tl.float32), float("nan")), mask=exists)


@jit
def attention_output(
    high, cross, right, totals, out, rows, columns,
    high_group, high_row, cross_group, cross_row, right_group, totals_group,
    out_group, out_row, BR: tl.constexpr, BC: tl.constexpr,
):  # fmt: skip
    """Weighted means of values."""
    g, r, c, mask = f.group_tile(rows, columns, BR, BC)
    t = f.terms(high, cross, g * high_group + r * high_row + c, g * cross_group + r * cross_row + c, mask)
    b = f.two(tl.load(right + g * right_group + c, mask=c < columns, other=0)) * f.OPERAND_STEP
    total = tl.load(totals + g * totals_group + r, mask=r < rows, other=1.0).to(tl.float64)
    tl.store(out + g * out_group + r * out_row + c, ((t * b) / total).to(tl.float32), mask=mask)


@jit
def _score_gradients(
    high, cross, right, weights, a, inverse, delta, scale,
    at_high, at_cross, at_right, at_weights, positions, mask,
):  # fmt: skip
    # A weight of 0 gives +0, or NaN in a row without a total, whatever stands in the product.
    one = tl.full((1, 1), 1.0, tl.float32)
    dweights = _scores(high, cross, right, a, at_high, at_cross, at_right, one, mask)
    upper = tl.load(weights + at_weights, mask=mask, other=0).to(tl.float32)
    q = upper * 128.0 + tl.load(weights + at_weights + positions, mask=mask, other=0).to(tl.float32)
    return tl.where(q == 0.0, 0.0 * inverse, ((q * inverse) * (dweights - delta)) * scale)


@jit
def attention_gradient(
    high, cross, left, right, weights, totals, delta, out, exponents,
    scale, count, rows, positions, high_group, high_row, cross_group, cross_row,
    left_group, right_group, weights_group, totals_group, delta_group, out_group,
    exponents_group, BR: tl.constexpr, BC: tl.constexpr,
):  # fmt: skip
    """The gradient of the scores on row grids; a row is a query."""
    n, exists = f.rows(count, BR)
    g, r = n // rows, n % rows
    a = f.two(tl.load(left + g * left_group + r, mask=exists, other=0))
    one = tl.full((BR, 1), 1.0, tl.float32)
    inverse = tl.div_rn(one, tl.load(totals + g * totals_group + r, mask=exists, other=1.0))
    d = tl.load(delta + g * delta_group + r, mask=exists, other=0.0)
    at_high, at_cross, at_right = g * high_group + r * high_row, g * cross_group + r * cross_row, g * right_group
    at_weights = g * weights_group + r * 2 * positions
    largest = tl.zeros((BR, 1), tl.int32)
    for start in range(0, positions, BC):
        c, inside = f.columns(start, positions, BC)
        found = _score_gradients(
            high, cross, right, weights, a, inverse, d, scale,
            at_high + c, at_cross + c, at_right + c, at_weights + c, positions, exists & inside,
        )  # fmt: skip
        largest = tl.maximum(largest, tl.max(f.bits(found), 1, keep_dims=True))
    e = f.exponent(largest)
    tl.store(exponents + g * exponents_group + r, e, mask=exists)
    to = out + g * out_group + r * 2 * positions
    for start in range(0, positions, BC):
        c, inside = f.columns(start, positions, BC)
        found = _score_gradients(
            high, cross, right, weights, a, inverse, d, scale,
            at_high + c, at_cross + c, at_right + c, at_weights + c, positions, exists & inside,
        )  # fmt: skip
        q = f.operand(found, e)
        digit = f.high(q)
        f.write(to + c, digit, exists & inside)
        f.write(to + positions + c, q - (digit << 7), exists & inside)


@jit
def _dot(x, y, r, exists, columns, BR: tl.constexpr, BC: tl.constexpr):
    """float32 of the exact sums of products along rows."""
    largest = tl.zeros((BR, 1), tl.int32)
    for start in range(0, columns, BC):
        c, inside = f.columns(start, columns, BC)
        at, mask = r * columns + c, exists & inside
        p = tl.load(x + at, mask=mask, other=0.0) * tl.load(y + at, mask=mask, other=0.0)
        largest = tl.maximum(largest, tl.max(f.bits(p), 1, keep_dims=True))
    e = f.exponent(largest)
    total = tl.zeros((BR, 1), tl.int64)
    for start in range(0, columns, BC):
        c, inside = f.columns(start, columns, BC)
        at, mask = r * columns + c, exists & inside
        p = tl.load(x + at, mask=mask, other=0.0) * tl.load(y + at, mask=mask, other=0.0)
        total += tl.sum(f.on_grid(p, e, 30), 1, keep_dims=True)
    return f.back(total, e).to(tl.float32)


@jit
def row_dot(x, y, out, rows, columns, BR: tl.constexpr, BC: tl.constexpr):
    """The exact sums of products along rows."""
    r, exists = f.rows(rows, BR)
    tl.store(out + r, _dot(x, y, r, exists, columns, BR, BC), mask=exists)


@jit
def _largest(x, r, exists, columns, BR: tl.constexpr, BC: tl.constexpr):
    """The largest entries of rows, and which rows have one that is finite and no NaN (others get 0)."""
    largest = tl.full((BR, 1), float("-inf"), tl.float32)
    nans = tl.zeros((BR, 1), tl.int32)
    for start in range(0, columns, BC):
        c, inside = f.columns(start, columns, BC)
        v = tl.load(x + r * columns + c, mask=exists & inside, other=float("-inf"))
        nans = tl.maximum(nans, tl.max(tl.where(v != v, 1, 0), 1, keep_dims=True))
        largest = tl.maximum(largest, tl.max(tl.where(v == v, v, float("-inf")), 1, keep_dims=True))
    finite = (nans == 0) & (f.bits(largest) < f.INFINITY_BITS) & exists
    return tl.where(finite, largest, 0.0), finite


@jit
def _softmax_total(x, r, largest, finite, columns, BR: tl.constexpr, BC: tl.constexpr):
    """int64 sums of the softmax numerators on the grid 2**-30."""
    total = tl.zeros((BR, 1), tl.int64)
    for start in range(0, columns, BC):
        c, inside = f.columns(start, columns, BC)
        w = _weight(x + r * columns + c, largest, finite & inside)
        total += tl.sum(f.rint64(w.to(tl.float64) * 1073741824.0), 1, keep_dims=True)
    return total


@jit
def cross_entropy(
    logits, targets, losses, upper, lower, rows, columns,
    BR: tl.constexpr, BC: tl.constexpr,
):  # fmt: skip
    """Losses of rows, and three digits of their gradients on the grid 2**-20."""
    r, exists = f.rows(rows, BR)
    largest, finite = _largest(logits, r, exists, columns, BR, BC)
    total = _softmax_total(logits, r, largest, finite, columns, BR, BC)
    # A row that is not finite goes on with harmless numbers, and is made NaN where it is stored.
    sum64 = tl.where(finite, total.to(tl.float64) * f.SUM_STEP, 1.0)
    target = tl.load(targets + r, mask=exists, other=0)
    difference = tl.load(logits + r * columns + target, mask=finite, other=0.0) - largest
    loss = (f.log(sum64) - difference.to(tl.float64)).to(tl.float32)
    tl.store(losses + r, tl.where(finite, loss, float("nan")), mask=exists)
    inverse = tl.div_rn(tl.full((BR, 1), 1.0, tl.float32), sum64.to(tl.float32))
    for start in range(0, columns, BC):
        c, inside = f.columns(start, columns, BC)
        mask = exists & inside
        w = _weight(logits + r * columns + c, largest, finite & inside)
        q = f.rint32((w * inverse) * 1048576.0) - tl.where(c == target, 1048576, 0)
        high = f.high(q)
        top = f.high(high)
        at = r * 2 * columns + c
        f.write(upper + at, top, mask)
        f.write(upper + at + columns, high - (top << 7), mask)
        f.write(lower + at, high - (top << 7), mask)
        f.write(lower + at + columns, q - (high << 7), mask)


@jit
def _weight(logit, largest, mask):
    """Softmax numerators, 0 outside the mask."""
    return tl.where(mask, f.exp(tl.load(logit, mask=mask, other=0.0) - largest), 0.0)


@jit
def softmax(x, out, rows, columns, BR: tl.constexpr, BC: tl.constexpr):
    """Softmax of rows."""
    r, exists = f.rows(rows, BR)
    largest, finite = _largest(x, r, exists, columns, BR, BC)
    total = _softmax_total(x, r, largest, finite, columns, BR, BC)
    divisor = tl.where(finite, (total.to(tl.float64) * f.SUM_STEP).to(tl.float32), float("nan"))
    for start in range(0, columns, BC):
        c, inside = f.columns(start, columns, BC)
        w = _weight(x + r * columns + c, largest, finite & inside)
        tl.store(out + r * columns + c, tl.div_rn(w, tl.broadcast_to(divisor, w.shape)), mask=exists & inside)


@jit
def softmax_backward(dy, y, dx, rows, columns, BR: tl.constexpr, BC: tl.constexpr):
    """The gradient of ``softmax``."""
    r, exists = f.rows(rows, BR)
    total = _dot(y, dy, r, exists, columns, BR, BC)
    for start in range(0, columns, BC):
        c, inside = f.columns(start, columns, BC)
        at, mask = r * columns + c, exists & inside
        d = tl.load(dy + at, mask=mask, other=0.0) - total
        tl.store(dx + at, tl.load(y + at, mask=mask, other=0.0) * d, mask=mask)


@jit
def embedding_backward(dy, starts, order, largest, out, columns, BR: tl.constexpr, BC: tl.constexpr):
    """Sums of the rows of ``dy`` that belong to one row of ``out``: ``order[starts[row]:starts[row + 1]]``."""
    # A program has a row of the table, so that nothing is atomic and no table of int64 is needed; where its token
    # occurs is known from sorting. BR of those places at a time, in sums of their own that are joined at the end.
    across = tl.cdiv(columns, BC)
    row = (tl.program_id(0) // across).to(tl.int64)
    c = (tl.program_id(0) % across) * BC + tl.arange(0, BC)[None, :]
    e = f.exponent(tl.load(largest))
    total = tl.zeros((BR, BC), tl.int64)
    stop = tl.load(starts + row + 1)
    for start in range(tl.load(starts + row), stop, BR):
        n = start + tl.arange(0, BR)[:, None]
        i = tl.load(order + n, mask=n < stop, other=-1)
        v = tl.load(dy + i * columns + c, mask=(i >= 0) & (c < columns), other=0.0)
        total += f.on_grid(v, e, 30)
    found = f.back(tl.sum(total, 0, keep_dims=True), e).to(tl.float32)
    tl.store(out + row * columns + c, found, mask=c < columns)


@jit
def row_bits(x, out, rows, columns, BR: tl.constexpr, BC: tl.constexpr):
    """The largest bit pattern of each row."""
    r, exists = f.rows(rows, BR)
    largest = tl.zeros((BR, 1), tl.int32)
    for start in range(0, columns, BC):
        c, inside = f.columns(start, columns, BC)
        v = tl.load(x + r * columns + c, mask=exists & inside, other=0.0)
        largest = tl.maximum(largest, tl.max(f.bits(v), 1, keep_dims=True))
    tl.store(out + r, largest, mask=exists)


@jit
def add_to_grid(x, exponents, total, rows, columns, BR: tl.constexpr, BC: tl.constexpr):
    """Add to int32 or int64 ``total`` on row grids of 24 bits."""
    # Within 2**24 each: int32 has room for 127 of them.
    r, c, mask = f.tile(rows, columns, BR, BC)
    e = tl.load(exponents + r, mask=r < rows, other=0)
    q = f.on_grid(tl.load(x + r * columns + c, mask=mask, other=0.0), e, 24).to(tl.int32)
    at = total + r * columns + c
    tl.store(at, tl.load(at, mask=mask) + q, mask=mask)


@jit
def from_grid(total, exponents, out, rows, columns, count, BR: tl.constexpr, BC: tl.constexpr):
    """The mean of ``count`` addends."""
    r, c, mask = f.tile(rows, columns, BR, BC)
    back = f.two(tl.load(exponents + r, mask=r < rows, other=0)) * f.GRADIENT_STEP
    t = tl.load(total + r * columns + c, mask=mask, other=0).to(tl.float64) * back
    tl.store(out + r * columns + c, (t / tl.full((1, 1), count, tl.float64)).to(tl.float32), mask=mask)


@jit
def largest_bits(x, out, count, SQUARED: tl.constexpr, BLOCK: tl.constexpr):
    """Raise ``out`` to the largest bit pattern of ``x``, or of its squares."""
    i = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    v = tl.load(x + i, mask=i < count, other=0.0)
    tl.atomic_max(out, tl.max(f.bits(v * v if SQUARED else v), 0), sem="relaxed")


@jit
def square_sum(x, out, count, e, BLOCK: tl.constexpr):
    """Add ``rint(x * x * 2**(30 - e))`` to int64 ``out``."""
    i = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    v = tl.load(x + i, mask=i < count, other=0.0)
    tl.atomic_add(out, tl.sum(f.on_grid(v * v, tl.full((1,), e, tl.int32), 30), 0), sem="relaxed")


@jit
def adamw(
    parameter, gradient, first, second, count, clip, beta1, rest1, beta2,
    rest2, correction1, correction2, epsilon, rate, keep, BLOCK: tl.constexpr,
):  # fmt: skip
    """A step in place."""
    i = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    mask = i < count
    g = tl.load(gradient + i, mask=mask, other=0.0) * clip
    m = tl.load(first + i, mask=mask, other=0.0) * beta1 + g * rest1
    v = tl.load(second + i, mask=mask, other=0.0) * beta2 + (g * g) * rest2
    tl.store(first + i, m, mask=mask)
    tl.store(second + i, v, mask=mask)
    # `div_rn` wants tensors on both sides; adding the number to zeros makes it one and changes none of its bits.
    root = tl.sqrt_rn(tl.div_rn(v, tl.full((1,), 0.0, tl.float32) + correction2))
    update = tl.div_rn(tl.div_rn(m, tl.full((1,), 0.0, tl.float32) + correction1), root + epsilon)
    p = tl.load(parameter + i, mask=mask, other=0.0)
    tl.store(parameter + i, p * keep - update * rate, mask=mask)
