"""The CPU kernels, compiled by Numba: the same bits as ``definition``, several operations to one pass over memory.

Numba compiles strict IEEE arithmetic unless told otherwise: nothing is reordered, nothing fused into an FMA. The
few loops that sum integers held in float64 say so and let the compiler reorder them, since those sums are exact.
Rounding to nearest even is ``(v + ROUND) - ROUND``, two IEEE additions that vectorise everywhere.

What shapes every kernel here: these operations do little for each number, so memory is what they wait for. A thread
takes whole rows and passes over each while it is in the first-level cache; inner loops run along a row, without a
branch, so that they vectorise. What is reduced over rows goes by blocks of rows, each with totals of its own that are
integers, so that neither locks nor an order of the blocks are needed.

The functions take and give torch tensors; the ``_kernel`` functions beneath take NumPy views of the same memory, often
twice, as float32 and as the int32 of their bits, because a maximum of integers vectorises and one of floats, which must
heed NaNs, does not. Compiled code is cached on disk by Numba.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from numba import prange
from torch import Tensor

from regrow.exact import polynomials
from regrow.exact.blend import Blend
from regrow.exact.coded_products import coded_product as coded_product
from regrow.exact.grid import Digits, Layout
from regrow.exact.kernel import kernel, shared_kernel
from regrow.exact.ordered import ordered_product as ordered_product
from regrow.exact.ordered_attention import ordered_attention as ordered_attention
from regrow.exact.rows import (
    column_scales,
    digits,
    dscores_row,
    exp,
    grid_exponent,
    largest_bits,
    largest_number,
    mean_row,
    power,
    power32,
    product_row,
    row_digits,
    to_grid,
    weights_row,
)
from regrow.exact.threads import THREADS

name = "numba"

F = np.float32
_ROUND = F(polynomials.ROUND32)
_LARGEST = F(polynomials.EXP_LARGEST)
_ONE = F(1.0)
_ZERO = F(0.0)
_T9, _T8, _T7, _T6, _T5, _T4, _T3, _T2, _T1, _T0 = (F(c) for c in polynomials.TAIL_COEFFICIENTS)
_NORMAL_DENSITY = F(polynomials.NORMAL_DENSITY)
_GELU_LINEAR = F(polynomials.GELU_LINEAR)
_GELU_CUBIC = F(polynomials.GELU_CUBIC)
_GELU_CUBIC_SLOPE = F(polynomials.GELU_CUBIC_SLOPE)
_GELU_LARGEST = F(polynomials.GELU_LARGEST)
_MASK = np.int32(0x7FFFFFFF)
_MIN_EXPONENT = np.int32(-100)
_NON_FINITE = np.int32(129)
# Leave to reorder additions, nothing else. Only where every partial sum in any order is an integer below 2**53: at most
# 2**22 addends (`checks.MOST_ADDENDS`) of at most 2**30 make 2**52.
_EXACT_SUM = {"reassoc"}

_parallel: Any = shared_kernel
_inline: Any = kernel(inline="always")


@_inline
def _places(group: Any, row: Any, rows: Any, stacked: bool) -> Any:
    """Where the two digit rows of a row lie in the digits seen as a matrix."""
    if stacked:
        return 2 * group * rows + row, (2 * group + 1) * rows + row
    return 2 * (group * rows + row), 2 * (group * rows + row) + 1


@_parallel
def _split_rows_kernel(x: Any, bits: Any, out: Any, exponents: Any, right: bool) -> None:
    # A row is read for its maximum and, still in the cache, again for its digits: one pass over memory.
    for i in prange(x.shape[0]):
        e = grid_exponent(largest_bits(bits[i]))
        exponents[i] = e
        if e == _NON_FINITE:
            out[2 * i] = 0
            out[2 * i + 1] = 0
        else:
            row_digits(x[i], power32(13 - e), out[2 * i], out[2 * i + 1], right)


@_parallel
def _split_columns_kernel(x: Any, bits: Any, out: Any, exponents: Any, right: bool, stacked: bool, block: int) -> None:
    groups, rows, columns = x.shape
    blocks = (rows + block - 1) // block
    # Down the columns, yet in the order of the memory: each block of rows has a row of maxima of its own. A maximum of
    # integers has no order, so the blocks may be joined in any.
    largest = np.zeros((groups, blocks, columns), np.int32)
    for i in prange(groups * blocks):
        g, b = i // blocks, i % blocks
        for r in range(b * block, min(rows, b * block + block)):
            for c in range(columns):
                largest[g, b, c] = max(largest[g, b, c], np.int32(bits[g, r, c] & _MASK))
    scale = np.empty((groups, columns), np.float32)
    for g in range(groups):
        for c in range(columns):
            m = np.int32(0)
            for b in range(blocks):
                m = max(m, largest[g, b, c])
            e = grid_exponent(m)
            exponents[g, c] = e
            # 13 - e is within -115..113, a normal float32. A column that is not finite gets 0 instead of a branch in
            # the loop below; what 0 times an infinity leaves there is cleared after it, which hardly ever has to be.
            scale[g, c] = _ZERO if e == _NON_FINITE else power32(13 - e)
    for i in prange(groups * blocks):
        g, b = i // blocks, i % blocks
        for r in range(b * block, min(rows, b * block + block)):
            first, second = _places(g, r, rows, stacked)
            # No view of a row is made, whose owners would be counted: that takes longer than a short row.
            for c in range(columns):
                high, low = digits(x[g, r, c], scale[g, c])
                out[first, c] = low if right else high
                out[second, c] = high if right else low


@_parallel
def _clear_non_finite_kernel(out: Any, exponents: Any) -> None:
    """Zero the digits of columns that hold a NaN or an infinity (a product with 0 may have been NaN)."""
    groups, columns = exponents.shape
    for i in prange(out.shape[0]):
        g = i // (out.shape[0] // groups)
        for c in range(columns):
            if exponents[g, c] == _NON_FINITE:
                out[i, c] = 0


def _numpy(x: Tensor) -> Any:
    return (x.detach() if x.requires_grad else x).numpy()


def _bits(x: Tensor) -> Any:
    return _numpy(x).view(np.int32)


def _block(rows: int) -> int:
    """Rows to a block: four blocks for each thread, so that none waits long for the last; but enough rows to a block
    that its totals, a row of them, are little beside it.
    """
    return max(16, -(-rows // (4 * THREADS.count())))


def split(x: Tensor, layout: Layout, dtype: torch.dtype) -> Digits:
    """See :func:`regrow.exact.definition.split`."""
    groups, rows, columns = x.shape
    x = x.contiguous()
    data = torch.empty(layout.shape(groups, rows, columns), dtype=dtype)
    e = torch.empty((groups, rows if layout.by_row else columns), dtype=torch.int32)
    given, out, grids = _numpy(x), _numpy(data).reshape(-1, columns), _numpy(e)
    if layout.by_row:
        flat = given.reshape(-1, columns)
        _split_rows_kernel(flat, flat.view(np.int32), out, grids.reshape(-1), layout.right)
    else:
        _split_columns_kernel(given, given.view(np.int32), out, grids, layout.right, layout.stacked, _block(rows))
        if (grids == _NON_FINITE).any():
            _clear_non_finite_kernel(out, grids)
    return Digits(data, e, layout)


@_parallel
def _combine_kernel(high: Any, cross: Any, left: Any, right: Any, out: Any) -> None:
    groups, rows, columns = high.shape
    scale = column_scales(right)
    for i in prange(groups * rows):
        g, r = i // rows, i % rows
        a = power(left[g, r])
        for c in range(columns):
            # Exact: digits are at most 2**6 and sums have at most 2**22 addends, so this is below 2**49. The product of
            # powers of two and the product with it are exact as well, and the conversion is the one rounding.
            total = np.float64(high[g, r, c]) * 16384.0 + np.float64(cross[g, r, c]) * 128.0
            out[g, r, c] = F(total * (a * scale[g, c]))


def combine(high: Tensor, cross: Tensor, left: Tensor, right: Tensor, out: Tensor) -> None:
    """See :func:`regrow.exact.definition.combine`."""
    _combine_kernel(*(_numpy(x) for x in (high, cross, left, right, out)))


@_parallel
def _accumulate_kernel(top: Any, middle: Any, bottom: Any, total: Any) -> None:
    rows, columns = top.shape
    for r in prange(rows):
        for c in range(columns):
            # Integers of 20 bits times such of 13, at most 2**19 of them (`operations.MOST_HEAD_ROWS`): within 2**53.
            high = np.float64(top[r, c]) * 2097152.0 + np.float64(middle[r, c]) * 16384.0
            total[r, c] += high + np.float64(bottom[r, c]) * 128.0


def accumulate(top: Tensor, middle: Tensor, bottom: Tensor, total: Tensor) -> None:
    """See :func:`regrow.exact.definition.accumulate`."""
    _accumulate_kernel(*(_numpy(x) for x in (top, middle, bottom, total)))


@_parallel
def _round_total_kernel(total: Any, scale: Any, out: Any) -> None:
    for r in prange(total.shape[0]):
        for c in range(total.shape[1]):
            out[r, c] = F(total[r, c] * scale[c])


def round_total(total: Tensor, scale: Tensor) -> Tensor:
    """See :func:`regrow.exact.definition.round_total`."""
    out = torch.empty(total.shape, dtype=torch.float32)
    _round_total_kernel(_numpy(total), _numpy(scale), _numpy(out))
    return out


@kernel(fastmath=_EXACT_SUM)
def _exact_row_sum(x: Any, scale: float) -> float:
    """The sum of ``rint(x * scale)`` over a float32 row."""
    total = 0.0
    for c in range(x.shape[0]):
        total += np.rint(np.float64(x[c]) * scale)
    return total


@kernel()
def _grid_sum_row(x: Any, bits: Any) -> float:
    e = grid_exponent(largest_bits(bits))
    if e == _NON_FINITE:
        return np.nan
    total: float = _exact_row_sum(x, to_grid(e))
    back: float = power(e) * 2.0**-30
    return total * back


@kernel()
def rms_norm_row(x: Any, gain: Any, epsilon: float, out: Any, out_bits: Any) -> Any:
    """See :func:`regrow.exact.definition.rms_norm`; gives the inverse root."""
    # The squares are kept where the result will be, so that no memory is asked for and the row stays in the cache.
    for c in range(x.shape[0]):
        out[c] = x[c] * x[c]
    mean = _grid_sum_row(out, out_bits) / np.float64(x.shape[0])
    i = F(1.0 / np.sqrt(mean + epsilon))
    for c in range(x.shape[0]):
        out[c] = (x[c] * i) * gain[c]
    return i


@_parallel
def _rms_norm_kernel(x: Any, gain: Any, epsilon: float, out: Any, out_bits: Any, inverse: Any) -> None:
    for r in prange(x.shape[0]):
        inverse[r] = rms_norm_row(x[r], gain, epsilon, out[r], out_bits[r])


def rms_norm(x: Tensor, gain: Tensor, epsilon: float) -> tuple[Tensor, Tensor]:
    """See :func:`regrow.exact.definition.rms_norm`."""
    out = torch.empty_like(x)
    inverse = torch.empty(x.shape[0], dtype=torch.float32)
    _rms_norm_kernel(_numpy(x), _numpy(gain), epsilon, _numpy(out), _bits(out), _numpy(inverse))
    return out, inverse


@kernel()
def _column_grids(largest: Any) -> Any:
    """What brings the entries of each column to its grid, and its sum back, from the largest bits in each block."""
    blocks, columns = largest.shape
    scale = np.empty(columns, np.float64)
    back = np.empty(columns, np.float64)
    for c in range(columns):
        m = np.int32(0)
        for b in range(blocks):
            m = max(m, largest[b, c])
        e = grid_exponent(m)
        scale[c] = 0.0 if e == _NON_FINITE else to_grid(e)
        back[c] = power(e) * 2.0**-30
    return scale, back


@kernel()
def _column_totals(sums: Any, back: Any, out: Any) -> None:
    """Add up the blocks' sums, which are integers: their order is of no account."""
    blocks, columns = sums.shape
    for c in range(columns):
        total = 0.0
        for b in range(blocks):
            total += sums[b, c]
        out[c] = F(total * back[c])


@_parallel
def _rms_norm_backward_kernel(
    dy: Any, x: Any, gain: Any, inverse: Any, dx: Any, dx_bits: Any, dgain: Any, block: int
) -> None:
    rows, columns = x.shape
    blocks = (rows + block - 1) // block
    changes = dgain.size > 0
    largest = np.zeros((blocks, columns), np.int32)
    # First pass: the rows' gradients, and on the way the largest addend of each gain's, which only the next pass can
    # put on its grid. `dx` is the room for both before it holds what it is for.
    for b in prange(blocks):
        for r in range(b * block, min(rows, b * block + block)):
            i = inverse[r]
            if changes:
                for c in range(columns):
                    normal = x[r, c] * i
                    dx[r, c] = dy[r, c] * normal
                for c in range(columns):
                    largest[b, c] = max(largest[b, c], np.int32(dx_bits[r, c] & _MASK))
            for c in range(columns):
                dx[r, c] = (dy[r, c] * gain[c]) * (x[r, c] * i)
            mean = F(_grid_sum_row(dx[r], dx_bits[r]) / np.float64(columns))
            for c in range(columns):
                dx[r, c] = i * (dy[r, c] * gain[c] - (x[r, c] * i) * mean)
    if not changes:
        return
    scale, back = _column_grids(largest)
    sums = np.zeros((blocks, columns), np.float64)
    # Second pass: the addends are computed again, which is cheaper than to write them and to read them.
    for b in prange(blocks):
        for r in range(b * block, min(rows, b * block + block)):
            for c in range(columns):
                sums[b, c] += np.rint(np.float64(dy[r, c] * (x[r, c] * inverse[r])) * scale[c])
    _column_totals(sums, back, dgain)


def rms_norm_backward(
    dy: Tensor, x: Tensor, gain: Tensor, inverse: Tensor, changes: bool = True
) -> tuple[Tensor, Tensor | None]:
    """See :func:`regrow.exact.definition.rms_norm_backward`."""
    dx, dgain = torch.empty_like(x), torch.empty_like(gain if changes else gain[:0])
    dy = dy.contiguous()
    arguments = (_numpy(dy), _numpy(x), _numpy(gain), _numpy(inverse), _numpy(dx), _bits(dx), _numpy(dgain))
    _rms_norm_backward_kernel(*arguments, _block(x.shape[0]))
    return dx, dgain if changes else None


@_parallel
def _swiglu_kernel(x: Any, out: Any) -> None:
    rows, width = out.shape
    for r in prange(rows):
        for c in range(width):
            gate = x[r, c]
            out[r, c] = (gate * (_ONE / (_ONE + exp(-gate)))) * x[r, width + c]


def swiglu(x: Tensor) -> Tensor:
    """See :func:`regrow.exact.definition.swiglu`."""
    out = torch.empty((x.shape[0], x.shape[1] // 2), dtype=torch.float32)
    _swiglu_kernel(_numpy(x), _numpy(out))
    return out


@_parallel
def _swiglu_backward_kernel(dy: Any, x: Any, dx: Any) -> None:
    rows, width = dy.shape
    for r in prange(rows):
        for c in range(width):
            gate, up, d = x[r, c], x[r, width + c], dy[r, c]
            sigmoid = _ONE / (_ONE + exp(-gate))
            silu = gate * sigmoid
            dx[r, c] = (d * up) * (sigmoid + silu * (_ONE - sigmoid))
            dx[r, width + c] = d * silu


def swiglu_backward(dy: Tensor, x: Tensor) -> Tensor:
    """See :func:`regrow.exact.definition.swiglu_backward`."""
    dx = torch.empty_like(x)
    _swiglu_backward_kernel(_numpy(dy.contiguous()), _numpy(x), _numpy(dx))
    return dx


@_parallel
def _layer_norm_kernel(
    x: Any, bits: Any, gain: Any, bias: Any, epsilon: float, out: Any, out_bits: Any, means: Any, inverse: Any
) -> None:
    rows, columns = x.shape
    for r in prange(rows):
        # Mean first and then the centred squares, not the difference of two sums, which would cancel.
        mean = _grid_sum_row(x[r], bits[r]) / np.float64(columns)
        means[r] = mean
        for c in range(columns):
            centred = F(np.float64(x[r, c]) - mean)
            out[r, c] = centred * centred
        variance = _grid_sum_row(out[r], out_bits[r]) / np.float64(columns)
        i = F(1.0 / np.sqrt(variance + epsilon))
        inverse[r] = i
        for c in range(columns):
            out[r, c] = (F(np.float64(x[r, c]) - mean) * i) * gain[c] + bias[c]


def layer_norm(x: Tensor, gain: Tensor, bias: Tensor, epsilon: float) -> tuple[Tensor, Tensor, Tensor]:
    """See :func:`regrow.exact.definition.layer_norm`."""
    out, mean = torch.empty_like(x), torch.empty(x.shape[0], dtype=torch.float64)
    inverse = torch.empty(x.shape[0], dtype=torch.float32)
    given = (_numpy(x), _bits(x), _numpy(gain), _numpy(bias), epsilon)
    _layer_norm_kernel(*given, _numpy(out), _bits(out), _numpy(mean), _numpy(inverse))
    return out, mean, inverse


@_parallel
def _layer_norm_backward_kernel(
    dy: Any, x: Any, gain: Any, means: Any, inverse: Any, dx: Any, dx_bits: Any, product: Any
) -> None:
    rows, columns = x.shape
    # `product` holds the addends of the gains' gradients, whose sums over rows are taken afterwards with those of the
    # biases. `dx` is the room for the addends of both of a row's means before it holds what it is for.
    for r in prange(rows):
        i, mean = inverse[r], means[r]
        for c in range(columns):
            dx[r, c] = dy[r, c] * gain[c]
        first = F(_grid_sum_row(dx[r], dx_bits[r]) / np.float64(columns))
        for c in range(columns):
            normal = F(np.float64(x[r, c]) - mean) * i
            product[r, c] = dy[r, c] * normal
            dx[r, c] = (dy[r, c] * gain[c]) * normal
        second = F(_grid_sum_row(dx[r], dx_bits[r]) / np.float64(columns))
        for c in range(columns):
            normal = F(np.float64(x[r, c]) - mean) * i
            dx[r, c] = i * ((dy[r, c] * gain[c] - first) - normal * second)


def layer_norm_backward(
    dy: Tensor, x: Tensor, gain: Tensor, mean: Tensor, inverse: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """See :func:`regrow.exact.definition.layer_norm_backward`."""
    dx, product = torch.empty_like(x), torch.empty_like(x)
    dy = dy.contiguous()
    given = (_numpy(t) for t in (dy, x, gain, mean, inverse))
    _layer_norm_backward_kernel(*given, _numpy(dx), _bits(dx), _numpy(product))
    return dx, column_sum(product), column_sum(dy)


@_parallel
def _column_sum_kernel(x: Any, bits: Any, out: Any, block: int) -> None:
    rows, columns = x.shape
    blocks = (rows + block - 1) // block
    # Two passes, because the grid of a column is known only when its largest entry is.
    largest = np.zeros((blocks, columns), np.int32)
    for b in prange(blocks):
        for r in range(b * block, min(rows, b * block + block)):
            for c in range(columns):
                largest[b, c] = max(largest[b, c], np.int32(bits[r, c] & _MASK))
    scale, back = _column_grids(largest)
    sums = np.zeros((blocks, columns), np.float64)
    for b in prange(blocks):
        for r in range(b * block, min(rows, b * block + block)):
            for c in range(columns):
                sums[b, c] += np.rint(np.float64(x[r, c]) * scale[c])
    _column_totals(sums, back, out)


def column_sum(x: Tensor) -> Tensor:
    """See :func:`regrow.exact.definition.column_sum`."""
    x = x.contiguous()
    out = torch.empty(x.shape[1], dtype=torch.float32)
    _column_sum_kernel(_numpy(x), _bits(x), _numpy(out), _block(x.shape[0]))
    return out


@_parallel
def _rotate_kernel(x: Any, cosine: Any, sine: Any, heads: int, out: Any) -> None:
    batch, positions, total, width = x.shape
    half = width // 2
    for i in prange(batch * positions):
        b, t = i // positions, i % positions
        for h in range(heads):
            for d in range(half):
                first, second = x[b, t, h, d], x[b, t, h, half + d]
                c, s = cosine[t, d], sine[t, d]
                out[b, t, h, d] = first * c - second * s
                out[b, t, h, half + d] = second * c + first * s
        for h in range(heads, total):
            for d in range(width):
                out[b, t, h, d] = x[b, t, h, d]


def rotate(x: Tensor, cosine: Tensor, sine: Tensor, heads: int) -> Tensor:
    """See :func:`regrow.exact.definition.rotate`."""
    x = x.contiguous()
    out = torch.empty_like(x)
    _rotate_kernel(_numpy(x), _numpy(cosine), _numpy(sine), heads, _numpy(out))
    return out


@_parallel
def _attention_weights_kernel(
    high: Any, cross: Any, left: Any, right: Any, weights: Any, totals: Any, scale: Any, start: Any
) -> None:
    groups, rows, positions = high.shape
    keys = column_scales(right)
    for i in prange(groups * rows):
        g, r = i // rows, i % rows
        # Scores of keys that the query may not see are not even computed; but their digits must be 0, because the
        # product with the values takes all positions.
        seen = (start + r) % positions + 1
        scores = np.empty(seen, np.float32)
        product_row(high[g, r], cross[g, r], power(left[g, r]), keys[g], scale, scores)
        largest = largest_number(scores)
        # The largest numerator is 1, so the total is within 2**13..2**30 for up to 2**17 keys, and never 0; in a row
        # that is not finite it is NaN, by which every result of the row becomes NaN.
        if not np.isfinite(largest):
            totals[g, r] = F(np.nan)
            weights[g, r] = 0
        else:
            totals[g, r] = F(weights_row(scores, largest, weights[g, r, 0], weights[g, r, 1]))
            weights[g, r, :, seen:] = 0


def attention_weights(
    high: Tensor, cross: Tensor, left: Tensor, right: Tensor, scale: float, first: int, weights: Tensor, totals: Tensor
) -> None:
    """See :func:`regrow.exact.definition.attention_weights`."""
    tensors = (_numpy(x) for x in (high, cross, left, right, weights, totals))
    _attention_weights_kernel(*tensors, F(scale), first)


@_parallel
def _attention_output_kernel(high: Any, cross: Any, right: Any, totals: Any, out: Any) -> None:
    groups, rows, _ = high.shape
    scales = column_scales(right)
    for i in prange(groups * rows):
        g, r = i // rows, i % rows
        mean_row(high[g, r], cross[g, r], scales[g], np.float64(totals[g, r]), out[g, r])


def attention_output(high: Tensor, cross: Tensor, right: Tensor, totals: Tensor, out: Tensor) -> None:
    """See :func:`regrow.exact.definition.attention_output`."""
    _attention_output_kernel(*(_numpy(x) for x in (high, cross, right, totals, out)))


@_parallel
def _attention_gradient_kernel(
    high: Any, cross: Any, left: Any, right: Any, weights: Any, totals: Any, delta: Any, out: Any, exponents: Any,
    scale: Any, start: Any,
) -> None:  # fmt: skip
    groups, rows, positions = high.shape
    values = column_scales(right)
    for i in prange(groups * rows):
        g, r = i // rows, i % rows
        seen = (start + r) % positions + 1
        row = np.empty(seen, np.float32)
        a, inverse = power(left[g, r]), _ONE / totals[g, r]  # one division for a row, as the definition has it
        first, second = weights[g, r, 0], weights[g, r, 1]
        product_row(high[g, r], cross[g, r], a, values[g], _ONE, row)
        dscores_row(row, first, second, inverse, delta[g, r], scale, row)
        e = grid_exponent(largest_bits(row.view(np.int32)))
        exponents[g, r] = e
        if e == _NON_FINITE:
            out[g, r] = 0
        else:
            row_digits(row, power32(13 - e), out[g, r, 0], out[g, r, 1], False)
            out[g, r, :, seen:] = 0


def attention_gradient(
    high: Tensor, cross: Tensor, left: Tensor, right: Tensor, weights: Tensor, totals: Tensor, delta: Tensor,
    scale: float, first: int, out: Tensor, out_exponents: Tensor,
) -> None:  # fmt: skip
    """See :func:`regrow.exact.definition.attention_gradient`."""
    tensors = (high, cross, left, right, weights, totals, delta, out, out_exponents)
    _attention_gradient_kernel(*(_numpy(x) for x in tensors), F(scale), first)


@_parallel
def _row_dot_kernel(x: Any, y: Any, product: Any, product_bits: Any, out: Any) -> None:
    for r in prange(x.shape[0]):
        for c in range(x.shape[1]):
            product[r, c] = x[r, c] * y[r, c]
        out[r] = F(_grid_sum_row(product[r], product_bits[r]))


def row_dot(x: Tensor, y: Tensor) -> Tensor:
    """See :func:`regrow.exact.definition.row_dot`."""
    product = torch.empty_like(x)
    out = torch.empty(x.shape[0], dtype=torch.float32)
    _row_dot_kernel(_numpy(x), _numpy(y), _numpy(product), _bits(product), _numpy(out))
    return out


@kernel(fastmath=_EXACT_SUM)
def _probability_total(weights: Any) -> float:
    total = 0.0
    for c in range(weights.shape[0]):
        total += np.rint(np.float64(weights[c]) * 1073741824.0)
    return total


@kernel()
def _row_exponentials(x: Any, largest: Any, out: Any) -> None:
    for c in range(x.shape[0]):
        out[c] = exp(x[c] - largest)


@kernel()
def _probability_digits(weights: Any, inverse: Any, top: Any, middle: Any, again: Any, low: Any) -> None:
    """Three digits of ``rint(weight * inverse * 2**20)``, the middle one twice.

    With the target's 2**20 taken off they are of integers within -2**20..2**20, so ``high`` is within 2**13 and
    ``upper`` within 64. The middle digit is there twice, because each of the two pairs of digits is an operand of its
    own in :meth:`regrow.exact.backend.Backend.add_deep`, of double depth and without a copy.
    """
    for c in range(weights.shape[0]):
        q = np.int32(((weights[c] * inverse) * F(1048576.0) + _ROUND) - _ROUND)
        high = np.int32((q + 64) >> 7)
        upper = np.int32((high + 64) >> 7)
        between = np.int8(high - (upper << 7))
        top[c] = np.int8(upper)
        middle[c] = between
        again[c] = between
        low[c] = np.int8(q - (high << 7))


@kernel()
def _target_digits(x: Any, less: int, t: int, upper: Any, lower: Any) -> None:
    """The digits of ``rint(x * 2**20) - less`` in one column of a row."""
    q = np.int32(np.int32((x * F(1048576.0) + _ROUND) - _ROUND) - less)
    high = np.int32((q + 64) >> 7)
    top = np.int32((high + 64) >> 7)
    upper[0, t] = top
    upper[1, t] = high - (top << 7)
    lower[0, t] = high - (top << 7)
    lower[1, t] = q - (high << 7)


@_parallel
def _cross_entropy_kernel(logits: Any, targets: Any, totals: Any, differences: Any, upper: Any, lower: Any) -> None:
    rows, columns = logits.shape
    for r in prange(rows):
        t = targets[r]
        largest = largest_number(logits[r])
        weights = np.empty(columns, np.float32)
        _row_exponentials(logits[r], largest, weights)
        total = _probability_total(weights) * 2.0**-30
        finite = np.isfinite(largest)
        totals[r] = total if finite else np.nan
        differences[r] = np.float64(logits[r, t] - largest)
        inverse = _ONE / F(total)
        if not finite:
            weights[:] = _ZERO
            inverse = _ZERO
        _probability_digits(weights, inverse, upper[r, 0], upper[r, 1], lower[r, 0], lower[r, 1])
        # The target's digits are written over: a comparison for each column would be a branch in the loop above.
        _target_digits(weights[t] * inverse, 1048576, t, upper[r], lower[r])


def cross_entropy(logits: Tensor, targets: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor, Tensor]:
    """See :func:`regrow.exact.definition.cross_entropy`."""
    # The logarithms are left to NumPy, of which the definition is made too: there is but one to a row.
    rows, columns = logits.shape
    totals, differences = np.empty(rows), np.empty(rows)
    upper, lower = (torch.empty((rows, 2, columns), dtype=dtype) for _ in range(2))
    _cross_entropy_kernel(_numpy(logits), _numpy(targets), totals, differences, _numpy(upper), _numpy(lower))
    finite = np.isfinite(totals)
    losses = np.where(finite, polynomials.log64(np.where(finite, totals, 1.0)) - differences, np.nan)
    return torch.from_numpy(losses.astype(np.float32)), upper, lower


@kernel()
def _cooled(x: Any, largest: Any, cool: Any, out: Any) -> None:
    for c in range(x.shape[0]):
        out[c] = (x[c] - largest) * cool


@kernel()
def _blended(theirs: Any, ours: Any, p: Any, q: Any, plain: Any, inverses: Any, shares: Any) -> None:
    """Turn a row's exponentials into the divergence's addends, in ``theirs``, and the gradient, in ``plain``."""
    for c in range(p.shape[0]):
        likely = p[c] * inverses[0]
        addend = likely * (theirs[c] - ours[c])
        theirs[c] = _ZERO if likely == _ZERO else addend
        plain[c] = (q[c] * inverses[1] - likely) * shares[1] + (plain[c] * inverses[2]) * shares[2]


@_parallel
def _distillation_kernel(
    logits: Any, teacher: Any, targets: Any, shares: Any, less: int, sums: Any, upper: Any, lower: Any
) -> None:
    """``shares`` is what the logits are multiplied by, and the divergence's and the cross-entropy's; ``sums`` takes for
    each row those of the teacher's exponentials, of ours and of ours at temperature 1, that of the divergence's
    addends, and the target's logit less the largest."""
    rows, columns = logits.shape
    for r in prange(rows):
        t = targets[r]
        largest, most = largest_number(logits[r]), largest_number(teacher[r])
        finite = np.isfinite(largest) and np.isfinite(most)
        x = np.empty((5, columns), np.float32)
        theirs, ours, p, q, plain = x[0], x[1], x[2], x[3], x[4]
        _cooled(teacher[r], most, shares[0], theirs)
        _cooled(logits[r], largest, shares[0], ours)
        _row_exponentials(theirs, _ZERO, p)
        _row_exponentials(ours, _ZERO, q)
        _row_exponentials(logits[r], largest, plain)
        inverses = np.empty(3, np.float32)
        for i in range(3):
            total = _probability_total(x[2 + i]) * 2.0**-30
            sums[r, i] = total if finite else np.nan
            inverses[i] = _ONE / F(total)
        _blended(theirs, ours, p, q, plain, inverses, shares)
        sums[r, 3] = _grid_sum_row(theirs, theirs.view(np.int32))
        sums[r, 4] = np.float64(logits[r, t] - largest)
        if not finite:
            plain[:] = _ZERO
        _probability_digits(plain, _ONE, upper[r, 0], upper[r, 1], lower[r, 0], lower[r, 1])
        _target_digits(plain[t], less, t, upper[r], lower[r])


def distillation(
    logits: Tensor, teacher: Tensor, targets: Tensor, blend: Blend, dtype: torch.dtype
) -> tuple[Tensor, Tensor, Tensor]:
    """See :func:`regrow.exact.definition.distillation`."""
    rows, columns = logits.shape
    sums, shares = np.empty((rows, 5)), np.array((blend.cool, blend.soft, blend.hard), np.float32)
    upper, lower = (torch.empty((rows, 2, columns), dtype=dtype) for _ in range(2))
    _distillation_kernel(
        _numpy(logits), _numpy(teacher), _numpy(targets), shares, blend.target, sums, _numpy(upper), _numpy(lower)
    )
    finite = np.isfinite(sums[:, 0])
    theirs, ours, plain = (polynomials.log64(np.where(finite, sums[:, i], 1.0)) for i in range(3))
    divergence, surprise = (ours - theirs) + sums[:, 3], plain - sums[:, 4]
    losses = np.where(finite, divergence * blend.divergence + surprise * blend.surprise, np.nan)
    return torch.from_numpy(losses.astype(np.float32)), upper, lower


@_parallel
def _softmax_kernel(x: Any, out: Any) -> None:
    rows, columns = x.shape
    for r in prange(rows):
        largest = largest_number(x[r])
        _row_exponentials(x[r], largest, out[r])
        total = F(_probability_total(out[r]) * 2.0**-30) if np.isfinite(largest) else F(np.nan)
        for c in range(columns):
            out[r, c] = out[r, c] / total


def softmax(x: Tensor) -> Tensor:
    """See :func:`regrow.exact.definition.softmax`."""
    out = torch.empty_like(x)
    _softmax_kernel(_numpy(x), _numpy(out))
    return out


@_parallel
def _softmax_backward_kernel(dy: Any, y: Any, dx: Any, dx_bits: Any) -> None:
    for r in prange(y.shape[0]):
        for c in range(y.shape[1]):
            dx[r, c] = y[r, c] * dy[r, c]
        total = F(_grid_sum_row(dx[r], dx_bits[r]))
        for c in range(y.shape[1]):
            dx[r, c] = y[r, c] * (dy[r, c] - total)


def softmax_backward(dy: Tensor, y: Tensor) -> Tensor:
    """See :func:`regrow.exact.definition.softmax_backward`."""
    dx = torch.empty_like(y)
    _softmax_backward_kernel(_numpy(dy.contiguous()), _numpy(y), _numpy(dx), _bits(dx))
    return dx


@_inline
def _cut_sigmoid(x: Any) -> Any:
    return _ZERO if x < -_LARGEST else _ONE / (_ONE + exp(-x))


@_inline
def _silu(x: Any) -> Any:
    """The value and the slope."""
    z = _cut_sigmoid(x)
    y = x * z
    return y, z + y * (_ONE - z)


@_inline
def _gelu_tanh(x: Any) -> Any:
    clamped = min(max(x, -_GELU_LARGEST), _GELU_LARGEST)
    square = clamped * clamped
    z = _cut_sigmoid(clamped * (square * _GELU_CUBIC + _GELU_LINEAR))
    y = x * z
    return y, z + (y * (_ONE - z)) * (square * _GELU_CUBIC_SLOPE + _GELU_LINEAR)


@_inline
def _gelu(x: Any) -> Any:
    z = abs(x)
    exponential = exp((z * z) * F(-0.5))
    u = _ONE / (z * F(0.25) + _ONE)
    p = (((_T9 * u + _T8) * u + _T7) * u + _T6) * u + _T5
    p = ((((p * u + _T4) * u + _T3) * u + _T2) * u + _T1) * u + _T0
    tail = exponential * p
    y = (x if x > _ZERO else _ZERO) - z * tail
    return y, (tail if x < _ZERO else _ONE - tail) + x * (exponential * _NORMAL_DENSITY)


_ACTIVATIONS = {"silu": 0, "gelu": 1, "gelu_tanh": 2}


@_parallel
def _activation_kernel(x: Any, out: Any, kind: int) -> None:
    # The kind is asked for outside of the loops over columns, so that each of them vectorises.
    for r in prange(x.shape[0]):
        if kind == 0:
            for c in range(x.shape[1]):
                out[r, c] = _silu(x[r, c])[0]
        elif kind == 1:
            for c in range(x.shape[1]):
                out[r, c] = _gelu(x[r, c])[0]
        else:
            for c in range(x.shape[1]):
                out[r, c] = _gelu_tanh(x[r, c])[0]


def activation(x: Tensor, kind: str) -> Tensor:
    """See :func:`regrow.exact.definition.activation`."""
    out = torch.empty_like(x)
    _activation_kernel(_numpy(x), _numpy(out), _ACTIVATIONS[kind])
    return out


@_parallel
def _activation_backward_kernel(dy: Any, x: Any, dx: Any, kind: int) -> None:
    for r in prange(x.shape[0]):
        if kind == 0:
            for c in range(x.shape[1]):
                dx[r, c] = dy[r, c] * _silu(x[r, c])[1]
        elif kind == 1:
            for c in range(x.shape[1]):
                dx[r, c] = dy[r, c] * _gelu(x[r, c])[1]
        else:
            for c in range(x.shape[1]):
                dx[r, c] = dy[r, c] * _gelu_tanh(x[r, c])[1]


def activation_backward(dy: Tensor, x: Tensor, kind: str) -> Tensor:
    """See :func:`regrow.exact.definition.activation_backward`."""
    dx = torch.empty_like(x)
    _activation_backward_kernel(_numpy(dy.contiguous()), _numpy(x), _numpy(dx), _ACTIVATIONS[kind])
    return dx


@_parallel
def _largest_bits_kernel(bits: Any, out: Any) -> None:
    for r in prange(bits.shape[0]):
        out[r] = max(out[r], largest_bits(bits[r]))


@_parallel
def _embedding_backward_kernel(dy: Any, starts: Any, order: Any, e: Any, out: Any) -> None:
    scale, back = to_grid(e), power(e) * 2.0**-30
    # By rows of the table, not of the gradients: so each total belongs to one thread, and nothing has to be atomic.
    # Where a token occurs is known from sorting them.
    for row in prange(out.shape[0]):
        total = np.zeros(out.shape[1], np.float64)
        for n in range(starts[row], starts[row + 1]):
            i = order[n]
            for c in range(out.shape[1]):
                total[c] += np.rint(np.float64(dy[i, c]) * scale)
        for c in range(out.shape[1]):
            out[row, c] = F(total[c] * back)


def embedding_backward(dy: Tensor, ids: Tensor, rows: int) -> Tensor:
    """See :func:`regrow.exact.definition.embedding_backward`."""
    dy = dy.contiguous()
    out = torch.empty((rows, dy.shape[1]), dtype=torch.float32)
    largest = np.zeros(dy.shape[0], np.int32)
    _largest_bits_kernel(_bits(dy), largest)
    e = np.int32(max((int(largest.max(initial=0)) >> 23) - 126, int(_MIN_EXPONENT)))
    if e == _NON_FINITE:
        return out.fill_(torch.nan)
    order = np.argsort(_numpy(ids), kind="stable")
    starts = np.searchsorted(_numpy(ids)[order], np.arange(rows + 1))
    _embedding_backward_kernel(_numpy(dy), starts, order, e, _numpy(out))
    return out


@_parallel
def _add_to_grid_kernel(gradient: Any, exponents: Any, total: Any) -> None:
    for r in prange(gradient.shape[0]):
        e = exponents[r]
        if e != _NON_FINITE:
            scale = power(24 - e)  # at most 2**124, short of the 129 that means NaN
            for c in range(gradient.shape[1]):
                # Within 2**24 each, so that int32 has room for 127 of them.
                total[r, c] += np.int32(np.rint(np.float64(gradient[r, c]) * scale))


@_parallel
def _raise_levels_kernel(rise: Any, total: Any, rest: Any) -> None:
    for r in prange(total.shape[0]):
        up = rise[r]
        if up > 0:
            for c in range(total.shape[1]):
                before, after = np.int64(total[r, c]), np.int64(0)
                for level in range(up, up + 25):
                    found = (before >> level) + rest[r, level - 1, c] if level <= 24 else np.int64(0)
                    if level == up:
                        after = found
                        total[r, c] = after
                    else:
                        rest[r, level - up - 1, c] = found - (after >> (level - up))


@_parallel
def _add_to_levels_kernel(x: Any, exponents: Any, total: Any, rest: Any) -> None:
    for r in prange(x.shape[0]):
        e = exponents[r]
        if e != _NON_FINITE:
            # By powers of two, of which every product is exact but those that are 0 on any of the grids.
            scale, half = power32(24 - e), F(0.5)
            y, before, after = np.empty_like(x[r]), np.empty_like(total[r]), np.empty_like(total[r])
            for c in range(x.shape[1]):
                y[c] = x[r, c] * scale
                before[c] = total[r, c]
                after[c] = before[c] + np.int32(np.rint(y[c]))
                total[r, c] = after[c]
            for level in range(24):
                for c in range(x.shape[1]):
                    y[c] *= half
                    before[c] >>= 1
                    after[c] >>= 1
                    rest[r, level, c] += np.int32(np.rint(y[c])) + before[c] - after[c]


@_parallel
def _from_grid_kernel(total: Any, exponents: Any, count: float, out: Any) -> None:
    for r in prange(total.shape[0]):
        back = power(exponents[r]) * 2.0**-24
        for c in range(total.shape[1]):
            out[r, c] = F((np.float64(total[r, c]) * back) / count)


@_parallel
def _on_grid_kernel(x: Any, bits: Any, out: Any) -> None:
    for r in prange(x.shape[0]):
        e = grid_exponent(largest_bits(bits[r]))
        if e == _NON_FINITE:
            out[r] = F(np.nan)
        else:
            # Both are normal, and integers up to 2**24 times them are float32, so that float32 is exact.
            scale, back = power32(24 - e), power32(e - 24)
            for c in range(x.shape[1]):
                # By way of int32, as the definition, in which there is no negative zero; a division by 1 is none.
                out[r, c] = F(np.int32(np.rint(x[r, c] * scale))) * back


def on_grid(x: Tensor) -> Tensor:
    """See :func:`regrow.exact.definition.on_grid`."""
    out = torch.empty_like(x)
    _on_grid_kernel(_numpy(x), _bits(x), _numpy(out))
    return out


def row_bits(x: Tensor) -> Tensor:
    """See :func:`regrow.exact.definition.row_bits`."""
    largest = torch.zeros(x.shape[0], dtype=torch.int32)
    _largest_bits_kernel(_bits(x), _numpy(largest))
    return largest


def add_to_grid(x: Tensor, e: Tensor, total: Tensor) -> None:
    """See :func:`regrow.exact.definition.add_to_grid`."""
    _add_to_grid_kernel(_numpy(x), _numpy(e), _numpy(total))


def raise_levels(rise: Tensor, total: Tensor, rest: Tensor) -> None:
    """See :func:`regrow.exact.definition.raise_levels`."""
    _raise_levels_kernel(_numpy(rise), _numpy(total), _numpy(rest))


def add_to_levels(x: Tensor, e: Tensor, total: Tensor, rest: Tensor) -> None:
    """See :func:`regrow.exact.definition.add_to_levels`."""
    _add_to_levels_kernel(_numpy(x), _numpy(e), _numpy(total), _numpy(rest))


def from_grid(total: Tensor, e: Tensor, count: int) -> Tensor:
    """See :func:`regrow.exact.definition.from_grid`."""
    out = torch.empty(total.shape, dtype=torch.float32)
    _from_grid_kernel(_numpy(total), _numpy(e), float(count), _numpy(out))
    return out


@_parallel
def _square_bits_kernel(x: Any, out: Any) -> None:
    for r in prange(x.shape[0]):
        largest = np.int32(0)
        for c in range(x.shape[1]):
            largest = max(largest, np.int32(np.float32(x[r, c] * x[r, c]).view(np.int32) & _MASK))
        out[r] = largest


# Squares that are added in float64 at a time: so many of at most 2**30 make 2**52. A row may hold more.
_SQUARES = 1 << 22


@kernel(fastmath=_EXACT_SUM)
def _exact_square_sum(x: Any, scale: float) -> float:
    total = 0.0
    for c in range(x.shape[0]):
        total += np.rint(np.float64(x[c] * x[c]) * scale)
    return total


@_parallel
def _square_sum_kernel(x: Any, scale: float, out: Any) -> None:
    for r in prange(x.shape[0]):
        total = np.int64(0)
        for start in range(0, x.shape[1], _SQUARES):
            total += np.int64(_exact_square_sum(x[r, start : start + _SQUARES], scale))
        out[r] = total


def square_bits(x: Tensor) -> int:
    """See :func:`regrow.exact.definition.square_bits`."""
    largest = np.zeros(x.shape[0], np.int32)
    _square_bits_kernel(_numpy(x), largest)
    return int(largest.max(initial=0))


def square_sum(x: Tensor, e: int) -> int:
    """See :func:`regrow.exact.definition.square_sum`."""
    sums = np.zeros(x.shape[0], np.int64)
    if e != _NON_FINITE:
        _square_sum_kernel(_numpy(x), math.ldexp(1.0, 30 - e), sums)
    return int(sums.sum())


@_parallel
def _adamw_kernel(p: Any, gradient: Any, first: Any, second: Any, k: Any) -> None:
    clip, beta1, rest1, beta2, rest2, correction1, correction2, epsilon, rate, keep = (
        k[0], k[1], k[2], k[3], k[4], k[5], k[6], k[7], k[8], k[9]
    )  # fmt: skip
    for r in prange(p.shape[0]):
        for c in range(p.shape[1]):
            g = gradient[r, c] * clip
            m = first[r, c] * beta1 + g * rest1
            v = second[r, c] * beta2 + (g * g) * rest2
            first[r, c] = m
            second[r, c] = v
            update = (m / correction1) / (np.sqrt(v / correction2) + epsilon)
            p[r, c] = p[r, c] * keep - update * rate


def adamw(parameter: Tensor, gradient: Tensor, first: Tensor, second: Tensor, constants: np.ndarray) -> None:
    """See :func:`regrow.exact.definition.adamw`."""
    _adamw_kernel(_numpy(parameter), _numpy(gradient), _numpy(first), _numpy(second), constants)
