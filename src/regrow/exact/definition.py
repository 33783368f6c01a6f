"""The definition: every kernel in plain torch operations that IEEE 754 fixes, on any device.

Slow and readable. Every other backend must give the same bits; the tests compare them on random, extreme and
adversarial inputs. Only operations whose bits are the same on every device are used: ``+ - * /`` on tensors,
NumPy's square root, ``round``, comparison, max, casts, bit operations, gathers, and sums of integers (in int64, or in
float64 below 2**53). The tests hold a list and fail when another operation is reached.

Shapes are named by their letters: G groups (batch times key-value heads), R rows, C columns, T positions.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from regrow.exact import polynomials
from regrow.exact.blend import Blend
from regrow.exact.coded import Coded
from regrow.exact.grid import (
    CODED_BITS,
    DIGIT_BITS,
    GRADIENT_BITS,
    HALF_DIGIT,
    LEFT,
    NON_FINITE,
    OPERAND_BITS,
    PROBABILITY_BITS,
    SIGN_MASK,
    SUM_BITS,
    Digits,
    Layout,
    exponents,
    power_of_two,
    to_grid,
)

name = "reference"  # what users call it, in REGROW_BACKEND and `use`

LANES = 8  # of an ordered sum
# Sums of an ordered product that are taken at once: 256 MiB of lanes.
_ORDERED_ENTRIES = 1 << 22


def exp(x: Tensor) -> Tensor:
    """e to the power of float32 of any shape; 0 below -87, and arguments above 88 count as 88."""
    clamped = x.clamp(polynomials.EXP_SMALLEST, polynomials.EXP_LARGEST)
    k = (clamped * polynomials.EXP_INVERSE_LN2).round()
    r = (clamped - k * polynomials.EXP_LN2_HIGH) - k * polynomials.EXP_LN2_LOW
    c2, c3, c4, c5, c6 = polynomials.EXP_COEFFICIENTS
    p = (((r * c6 + c5) * r + c4) * r + c3) * r + c2
    y = ((r * r) * p + r) + 1.0
    scale = ((k.to(torch.int32) + 127) << 23).view(torch.float32)
    return torch.where(x < polynomials.EXP_SMALLEST, torch.zeros_like(x), y * scale)


def log(x: Tensor) -> Tensor:
    """Natural logarithm of positive float64, on the host."""
    return torch.from_numpy(polynomials.log64(x.cpu().numpy())).to(x.device)


def sqrt(x: Tensor) -> Tensor:
    """The correctly rounded square root, on the host: torch's own is off by a bit in up to one case of six on CPUs."""
    return torch.from_numpy(np.sqrt(x.cpu().numpy())).to(x.device)


def _magnitude_bits(x: Tensor) -> Tensor:
    return x.contiguous().view(torch.int32) & SIGN_MASK


def _digits(q: Tensor) -> tuple[Tensor, Tensor]:
    high = (q + HALF_DIGIT) >> DIGIT_BITS
    return high, q - (high << DIGIT_BITS)


def _pack(q: Tensor, layout: Layout, dtype: torch.dtype) -> Tensor:
    high, low = _digits(q)
    return torch.stack((low, high) if layout.right else (high, low), dim=1 if layout.stacked else 2).to(dtype)


def split(x: Tensor, layout: Layout, dtype: torch.dtype) -> Digits:
    """Put each row (or column) of float32 ``(G, R, C)`` on its own grid and write two digits of ``dtype``."""
    e = exponents(_magnitude_bits(x).amax(2 if layout.by_row else 1))
    # A group with a NaN or an infinity has no digits, only its exponent: the product is NaN by that alone.
    scale = power_of_two(OPERAND_BITS - torch.where(e == NON_FINITE, 0, e)).to(torch.float32)
    scale = torch.where(e == NON_FINITE, torch.zeros_like(scale), scale)
    scaled = x * (scale[:, :, None] if layout.by_row else scale[:, None, :])
    q = scaled.nan_to_num(0.0, 0.0, 0.0).round().to(torch.int32)
    return Digits(_pack(q, layout, dtype), e, layout)


def _terms(high: Tensor, cross: Tensor) -> Tensor:
    """The exact integer ``2**14 HH + 2**7 (HL + LH)`` in float64."""
    return high.to(torch.float64) * 16384.0 + cross.to(torch.float64) * 128.0


def combine(high: Tensor, cross: Tensor, left: Tensor, right: Tensor, out: Tensor) -> None:
    """Write the product, float32 ``(G, P, Q)``, rounded once, from its exact parts and the operands' exponents."""
    scale = power_of_two(left)[:, :, None] * power_of_two(right)[:, None, :] * 2.0 ** (-2 * OPERAND_BITS)
    out.copy_((_terms(high, cross) * scale).to(torch.float32))


def accumulate(top: Tensor, middle: Tensor, bottom: Tensor, total: Tensor) -> None:
    """Add the exact integers ``2**21 top + 2**14 middle + 2**7 bottom`` to float64 ``total``, all ``(P, Q)``."""
    total.add_(top.to(torch.float64) * 2097152.0)
    total.add_(middle.to(torch.float64) * 16384.0)
    total.add_(bottom.to(torch.float64) * 128.0)


def round_total(total: Tensor, scale: Tensor) -> Tensor:
    """``float32(total * scale)`` for float64 ``(P, Q)`` and ``(Q,)``."""
    return (total * scale).to(torch.float32)


def grid_sum(x: Tensor, dim: int) -> Tensor:
    """The sum of float32 over ``dim`` on its grid, exact, as float64; NaN if an addend is not finite."""
    e = exponents(_magnitude_bits(x).amax(dim, keepdim=True))
    q = (x.to(torch.float64) * to_grid(e, SUM_BITS)).nan_to_num(0.0, 0.0, 0.0).round().to(torch.int64)
    return (q.sum(dim, keepdim=True).to(torch.float64) * (power_of_two(e) * 2.0**-SUM_BITS)).squeeze(dim)


def rms_norm(x: Tensor, gain: Tensor, epsilon: float) -> tuple[Tensor, Tensor]:
    """Root-mean-square normalisation of rows ``(R, C)`` (Zhang and Sennrich, 2019).

    Returns:
        the result, and the inverse roots ``(R,)``, both float32.
    """
    count = torch.full((), x.shape[1], dtype=torch.float64, device=x.device)
    mean = grid_sum(x * x, 1) / count
    inverse = (torch.ones_like(mean) / sqrt(mean + epsilon)).to(torch.float32)
    return (x * inverse[:, None]) * gain, inverse


def rms_norm_backward(
    dy: Tensor, x: Tensor, gain: Tensor, inverse: Tensor, changes: bool = True
) -> tuple[Tensor, Tensor | None]:
    """Gradients of :func:`rms_norm` for ``x`` and, if it ``changes``, for ``gain``."""
    count = torch.full((), x.shape[1], dtype=torch.float64, device=x.device)
    normal = x * inverse[:, None]
    scaled = dy * gain
    mean = (grid_sum(scaled * normal, 1) / count).to(torch.float32)
    dx = inverse[:, None] * (scaled - normal * mean[:, None])
    return dx, grid_sum(dy * normal, 0).to(torch.float32) if changes else None


def _sigmoid(x: Tensor) -> Tensor:
    one = torch.ones_like(x)
    return one / (one + exp(-x))


def swiglu(x: Tensor) -> Tensor:
    """``silu(gate) * up`` for float32 rows ``(R, 2F)`` that hold gate and up side by side (Shazeer, 2020)."""
    gate, up = x.chunk(2, dim=1)
    return (gate * _sigmoid(gate)) * up


def swiglu_backward(dy: Tensor, x: Tensor) -> Tensor:
    """Gradient of :func:`swiglu`."""
    gate, up = x.chunk(2, dim=1)
    sigmoid = _sigmoid(gate)
    silu = gate * sigmoid
    dgate = (dy * up) * (sigmoid + silu * (torch.ones_like(sigmoid) - sigmoid))
    return torch.cat((dgate, dy * silu), dim=1)


def layer_norm(x: Tensor, gain: Tensor, bias: Tensor, epsilon: float) -> tuple[Tensor, Tensor, Tensor]:
    """Normalisation of rows ``(R, C)`` to mean 0 and variance 1, then gain and bias ``(C,)`` (Ba et al., 2016).

    Returns:
        the result; the means, float64 ``(R,)``; and the inverse deviations, float32 ``(R,)``.
    """
    count = torch.full((), x.shape[1], dtype=torch.float64, device=x.device)
    mean = grid_sum(x, 1) / count
    centred = _centred(x, mean)
    variance = grid_sum(centred * centred, 1) / count
    inverse = (torch.ones_like(variance) / sqrt(variance + epsilon)).to(torch.float32)
    return (centred * inverse[:, None]) * gain + bias, mean, inverse


def _centred(x: Tensor, mean: Tensor) -> Tensor:
    """``float32(x - mean)``, the difference in float64."""
    return (x.to(torch.float64) - mean[:, None]).to(torch.float32)


def layer_norm_backward(
    dy: Tensor, x: Tensor, gain: Tensor, mean: Tensor, inverse: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of :func:`layer_norm` for ``x``, ``gain`` and ``bias``."""
    count = torch.full((), x.shape[1], dtype=torch.float64, device=x.device)
    normal = _centred(x, mean) * inverse[:, None]
    scaled = dy * gain
    first = (grid_sum(scaled, 1) / count).to(torch.float32)
    second = (grid_sum(scaled * normal, 1) / count).to(torch.float32)
    dx = inverse[:, None] * ((scaled - first[:, None]) - normal * second[:, None])
    return dx, column_sum(dy * normal), column_sum(dy)


def column_sum(x: Tensor) -> Tensor:
    """The exact sums over R of float32 ``(R, C)``, each column on its grid, as float32 ``(C,)``."""
    return grid_sum(x, 0).to(torch.float32)


def softmax(x: Tensor) -> Tensor:
    """Softmax of rows ``(R, C)``; minus infinity counts as 0, a row with a NaN or without a largest number is NaN."""
    largest = x.amax(1, keepdim=True)
    weights = exp(x - largest)
    total = (weights.to(torch.float64) * 2.0**SUM_BITS).nan_to_num(0.0).round().to(torch.int64).sum(1, keepdim=True)
    y = weights / (total.to(torch.float64) * 2.0**-SUM_BITS).to(torch.float32)
    return torch.where(largest.isfinite(), y, torch.full_like(y, torch.nan))


def softmax_backward(dy: Tensor, y: Tensor) -> Tensor:
    """Gradient of :func:`softmax` from its result."""
    return y * (dy - row_dot(y, dy)[:, None])


def _activated(x: Tensor, kind: str) -> tuple[Tensor, Tensor]:
    """An activation and its derivative."""
    if kind == "gelu":
        return _gelu(x)
    one = torch.ones_like(x)
    if kind == "silu":
        z = _cut_sigmoid(x)
        y = x * z
        return y, z + y * (one - z)
    clamped = x.clamp(-polynomials.GELU_LARGEST, polynomials.GELU_LARGEST)
    square = clamped * clamped
    z = _cut_sigmoid(clamped * (square * polynomials.GELU_CUBIC + polynomials.GELU_LINEAR))
    y = x * z
    return y, z + (y * (one - z)) * (square * polynomials.GELU_CUBIC_SLOPE + polynomials.GELU_LINEAR)


def _cut_sigmoid(x: Tensor) -> Tensor:
    """The logistic function, and 0 where :func:`exp` of ``-x`` is at its largest."""
    return torch.where(x < -polynomials.EXP_LARGEST, torch.zeros_like(x), _sigmoid(x))


def _gelu(x: Tensor) -> tuple[Tensor, Tensor]:
    """``x`` times the normal distribution function, through its tail, which keeps small results accurate."""
    z, zero, one = x.abs(), torch.zeros_like(x), torch.ones_like(x)
    exponential = exp((z * z) * -0.5)
    u = one / (z * 0.25 + 1.0)
    p = torch.full_like(x, polynomials.TAIL_COEFFICIENTS[0])
    for coefficient in polynomials.TAIL_COEFFICIENTS[1:]:
        p = p * u + coefficient
    tail = exponential * p
    y = torch.where(x > 0.0, x, zero) - z * tail
    return y, torch.where(x < 0.0, tail, one - tail) + x * (exponential * polynomials.NORMAL_DENSITY)


def activation(x: Tensor, kind: str) -> Tensor:
    """``silu``, ``gelu`` or ``gelu_tanh`` (Hendrycks and Gimpel, 2016) of every entry of float32 ``(R, C)``."""
    return _activated(x, kind)[0]


def activation_backward(dy: Tensor, x: Tensor, kind: str) -> Tensor:
    """Gradient of :func:`activation`."""
    return dy * _activated(x, kind)[1]


def rotate(x: Tensor, cosine: Tensor, sine: Tensor, heads: int) -> Tensor:
    """Rotary position embedding (Su et al., 2021) of the first ``heads`` heads of ``(B, T, H, D)``; the rest is copied.

    ``cosine`` and ``sine`` are ``(T, D / 2)``; pass ``-sine`` for the inverse. The two halves of a head are the
    two coordinates (the layout of Hugging Face's Llama).
    """
    first, second = x[:, :, :heads].chunk(2, dim=3)
    c, s = cosine[:, None, :], sine[:, None, :]
    turned = torch.cat((first * c - second * s, second * c + first * s), dim=3)
    return torch.cat((turned, x[:, :, heads:]), dim=2)


def hidden(first: int, rows: int, positions: int, device: torch.device) -> Tensor:
    """Which keys each query may not see: query ``r`` stands at position ``(first + r) % positions``."""
    at = (torch.arange(rows, device=device) + first) % positions
    return torch.arange(positions, device=device)[None, :] > at[:, None]


def attention_weights(
    high: Tensor, cross: Tensor, left: Tensor, right: Tensor, scale: float, first: int, weights: Tensor, totals: Tensor
) -> None:
    """Causal softmax numerators on the grid 2**-13 from the parts of the product of queries and keys.

    Rows are queries: row ``r`` is at position ``(first + r) % T``. Writes the digits ``(G, R, 2, T)``, high
    first, of ``rint(exp(s - max s) * 2**13)``, and their exact row sums ``(G, R)`` as float32.
    """
    scores = torch.empty(high.shape, dtype=torch.float32, device=high.device)
    combine(high, cross, left, right, scores)
    scores = scores * torch.full((), scale, dtype=torch.float32, device=high.device)
    unseen = hidden(first, scores.shape[1], scores.shape[2], scores.device)
    largest = scores.masked_fill(unseen, -torch.inf).amax(2, keepdim=True)
    numerators = exp(scores - largest).masked_fill(unseen, 0.0)
    q = (numerators * 8192.0).nan_to_num(0.0, 0.0, 0.0).round().to(torch.int32)
    sums = q.sum(2, dtype=torch.int64).to(torch.float32)
    totals.copy_(torch.where(largest[:, :, 0].isfinite(), sums, torch.full_like(sums, torch.nan)))
    weights.copy_(_pack(q, LEFT, weights.dtype))


def attention_output(high: Tensor, cross: Tensor, right: Tensor, totals: Tensor, out: Tensor) -> None:
    """Write weighted means of values, float32 ``(G, R, D)``, from the parts of the product of weights and values."""
    scale = power_of_two(right)[:, None, :] * 2.0**-OPERAND_BITS
    out.copy_(((_terms(high, cross) * scale) / totals.to(torch.float64)[:, :, None]).to(torch.float32))


def attention_gradient(
    high: Tensor, cross: Tensor, left: Tensor, right: Tensor, weights: Tensor, totals: Tensor, delta: Tensor,
    scale: float, first: int, out: Tensor, out_exponents: Tensor,
) -> None:  # fmt: skip
    """Write the gradient of the scores, on row grids, from the parts of the product of output gradients and values.

    ``delta`` is ``(G, R)``: the sum over D of output gradient times output. ``weights`` are the digits of
    :func:`attention_weights`; ``out`` has their shape. ``first`` as there.
    """
    dweights = torch.empty(high.shape, dtype=torch.float32, device=high.device)
    combine(high, cross, left, right, dweights)
    q = weights[:, :, 0].to(torch.float32) * 128.0 + weights[:, :, 1].to(torch.float32)
    inverse = (torch.ones_like(totals) / totals)[:, :, None]
    dscores = (q * inverse * (dweights - delta[:, :, None])) * torch.full(
        (), scale, dtype=torch.float32, device=q.device
    )
    # A masked entry is +0 whatever stands in dweights, so that a NaN there cannot leak and a sign cannot differ. But it
    # is NaN in a row without a total, none of whose weights is known.
    digits = split(torch.where(q == 0.0, torch.zeros_like(q) * inverse, dscores), LEFT, weights.dtype)
    out.copy_(digits.data)
    out_exponents.copy_(digits.exponents)


def row_dot(x: Tensor, y: Tensor) -> Tensor:
    """The exact sums over C of the float32 products of ``(R, C)`` with ``(R, C)``, as float32 ``(R,)``."""
    return grid_sum(x * y, 1).to(torch.float32)


def cross_entropy(logits: Tensor, targets: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor, Tensor]:
    """Losses and gradient digits of softmax cross-entropy.

    Args:
        logits: float32 ``(R, C)``.
        targets: int64 ``(R,)``.
        dtype: of the digits.

    Returns:
        losses float32 ``(R,)``; the upper two and the lower two, each ``(R, 2, C)``, of the three digits of
        ``rint(softmax * 2**20) - 2**20 [target]``, the gradient of the summed loss on the grid 2**-20.
    """
    largest = logits.amax(1, keepdim=True)
    finite = largest[:, 0].isfinite()
    probabilities, total = _probabilities(logits - largest)
    losses = (log(torch.where(finite, total, torch.ones_like(total))) - _at(targets, logits, largest)).to(torch.float32)
    losses = torch.where(finite, losses, torch.full_like(losses, torch.nan))
    return losses, *_probability_digits(probabilities, _hot(logits, targets) << PROBABILITY_BITS, dtype)


def _probabilities(x: Tensor) -> tuple[Tensor, Tensor]:
    """The softmax of rows whose largest entry is 0, and the float64 sum of their exponentials."""
    weights = exp(x)
    total = (weights.to(torch.float64) * 2.0**SUM_BITS).round().to(torch.int64).sum(1).to(
        torch.float64
    ) * 2.0**-SUM_BITS
    total32 = total.to(torch.float32)
    return weights * (torch.ones_like(total32) / total32)[:, None], total


def _at(targets: Tensor, logits: Tensor, largest: Tensor) -> Tensor:
    return (logits.gather(1, targets[:, None])[:, 0] - largest[:, 0]).to(torch.float64)


def _hot(logits: Tensor, targets: Tensor) -> Tensor:
    """1 at each row's target, int32."""
    columns = torch.arange(logits.shape[1], device=logits.device)
    return (columns[None, :] == targets[:, None]).to(torch.int32)


def _probability_digits(x: Tensor, less: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """The three digits of ``rint(x * 2**20) - less``, the middle one twice."""
    q = (x * 2.0**PROBABILITY_BITS).nan_to_num(0.0, 0.0, 0.0).round().to(torch.int32) - less
    upper, lowest = _digits(q)
    top, middle = _digits(upper)
    return torch.stack((top, middle), dim=1).to(dtype), torch.stack((middle, lowest), dim=1).to(dtype)


def distillation(
    logits: Tensor, teacher: Tensor, targets: Tensor, blend: Blend, dtype: torch.dtype
) -> tuple[Tensor, Tensor, Tensor]:
    """Losses and gradient digits of a teacher's divergence, mixed with cross-entropy (Hinton et al., 2015).

    Args:
        logits: float32 ``(R, C)``.
        teacher: its logits, likewise; minus infinity for what is left out.
        targets: int64 ``(R,)``.
        blend: the temperature, and how much of each.
        dtype: of the digits.

    Returns:
        losses float32 ``(R,)``, and digits as :func:`cross_entropy` gives: of the gradient divided by
        :attr:`Blend.steepness`, on the grid 2**-20.
    """
    cool, soft, hard = (
        torch.full((), c, dtype=torch.float32, device=logits.device) for c in (blend.cool, blend.soft, blend.hard)
    )
    largest, most = logits.amax(1, keepdim=True), teacher.amax(1, keepdim=True)
    finite = (largest.isfinite() & most.isfinite())[:, 0]
    ours, theirs = (logits - largest) * cool, (teacher - most) * cool
    q, our_total = _probabilities(ours)
    p, their_total = _probabilities(theirs)
    plain, total = _probabilities(logits - largest)
    terms = torch.where(p == 0.0, torch.zeros_like(p), p * (theirs - ours))
    safe = [torch.where(finite, x, torch.ones_like(x)) for x in (our_total, their_total, total)]
    divergence = (log(safe[0]) - log(safe[1])) + grid_sum(terms, 1)
    surprise = log(safe[2]) - _at(targets, logits, largest)
    losses = (divergence * blend.divergence + surprise * blend.surprise).to(torch.float32)
    losses = torch.where(finite, losses, torch.full_like(losses, torch.nan))
    mixed = torch.where(finite[:, None], (q - p) * soft + plain * hard, torch.zeros_like(q))
    return losses, *_probability_digits(mixed, _hot(logits, targets) * blend.target, dtype)


def embedding_backward(dy: Tensor, ids: Tensor, rows: int) -> Tensor:
    """Sum of the rows of ``dy`` ``(N, C)`` by ``ids`` ``(N,)`` into ``(rows, C)``, exact on one grid."""
    e = exponents(_magnitude_bits(dy).max())
    q = (dy.to(torch.float64) * to_grid(e, SUM_BITS)).nan_to_num(0.0, 0.0, 0.0).round().to(torch.int64)
    total = torch.zeros((rows, dy.shape[1]), dtype=torch.int64, device=dy.device).index_add_(0, ids, q)
    return (total.to(torch.float64) * (power_of_two(e) * 2.0**-SUM_BITS)).to(torch.float32)


def row_bits(x: Tensor) -> Tensor:
    """The largest float32 bit pattern, without its sign, of each row of ``(R, C)``, int32 ``(R,)``."""
    return _magnitude_bits(x).amax(1)


def add_to_grid(x: Tensor, e: Tensor, total: Tensor) -> None:
    """Add ``rint(x * 2**(24 - e))`` to integers ``total``; ``x`` is float32 ``(R, C)``, ``e`` the rows' exponents."""
    q = (x.to(torch.float64) * to_grid(e, GRADIENT_BITS)[:, None]).nan_to_num(0.0, 0.0, 0.0).round()
    total.add_(q.to(total.dtype))


def raise_levels(rise: Tensor, total: Tensor, rest: Tensor) -> None:
    """Let each row's sums be those on the grid of an exponent that is higher by int32 ``rise`` ``(R,)``, in place.

    ``total`` and ``rest`` are as in :func:`add_to_levels`. Beyond the highest level every addend is 0.
    """
    before = total.clone()

    def on(level: Tensor) -> Tensor:
        within = level.clamp(max=GRADIENT_BITS)
        place = (within - 1).clamp(min=0).to(torch.int64)[:, None, None].expand(-1, 1, total.shape[1])
        found = (before >> within[:, None]) + torch.where((level > 0)[:, None], rest.gather(1, place)[:, 0], 0)
        return found * (level <= GRADIENT_BITS)[:, None]

    total.copy_(on(rise))
    for level in range(1, GRADIENT_BITS + 1):
        rest[:, level - 1] = on(rise + level) - (total >> level)


def add_to_levels(x: Tensor, e: Tensor, total: Tensor, rest: Tensor) -> None:
    """Add ``x`` to the sums on the grids of exponents ``e``, ``e + 1``, and so on up to ``e + 24``.

    Args:
        x: float32 ``(R, C)``.
        e: int32 ``(R,)``, of which ``max|x| < 2**e``.
        total: int32 or int64 ``(R, C)``, the sum on the first of these grids.
        rest: int8 or int16 ``(R, 24, C)``: by how much the sum on each of the others is more than ``total >> 1``,
            ``total >> 2``, and so on.
    """
    before = total.clone()
    add_to_grid(x, e, total)
    for level in range(1, GRADIENT_BITS + 1):
        part = torch.zeros_like(total)
        add_to_grid(x, e + level, part)
        rest[:, level - 1] += (part + (before >> level) - (total >> level)).to(rest.dtype)


def from_grid(total: Tensor, e: Tensor, count: int) -> Tensor:
    """``float32(total * 2**(e - 24) / count)``: the mean of ``count`` addends that were added to the grid."""
    scaled = total.to(torch.float64) * (power_of_two(e) * 2.0**-GRADIENT_BITS)[:, None]
    return (scaled / torch.full((), count, dtype=torch.float64, device=total.device)).to(torch.float32)


def on_grid(x: Tensor) -> Tensor:
    """The mean of a single gradient ``(R, C)``: it rounded to the grids of its rows."""
    e = exponents(row_bits(x))
    total = torch.zeros(x.shape, dtype=torch.int32, device=x.device)
    add_to_grid(x, e, total)
    return from_grid(total, e, 1)


def square_bits(x: Tensor) -> int:
    """The largest float32 bit pattern of the squares of ``(R, C)``."""
    return int(_magnitude_bits(x * x).max()) if x.numel() else 0


def square_sum(x: Tensor, e: int) -> int:
    """The exact sum of ``rint(x * x * 2**(30 - e))``, each square rounded to float32; 0 for NON_FINITE."""
    if e == NON_FINITE:
        return 0
    scale = to_grid(torch.tensor(e, device=x.device), SUM_BITS)
    return int(((x * x).to(torch.float64) * scale).round().to(torch.int64).sum())


def adamw(parameter: Tensor, gradient: Tensor, first: Tensor, second: Tensor, constants: np.ndarray) -> None:
    """One AdamW step in place, float32 (Loshchilov and Hutter, 2019, with decoupled decay).

    ``constants`` are the ten float32 numbers of :meth:`regrow.exact.optimizer.AdamW.constants`, in its order.
    """
    clip, beta1, rest1, beta2, rest2, correction1, correction2, epsilon, rate, keep = (
        torch.full((), float(c), dtype=torch.float32, device=parameter.device) for c in constants
    )
    g = gradient * clip
    first.copy_(first * beta1 + g * rest1)
    second.copy_(second * beta2 + (g * g) * rest2)
    update = (first / correction1) / (sqrt(second / correction2) + epsilon)
    parameter.copy_(parameter * keep - update * rate)


def _joined(lanes: Tensor) -> Tensor:
    """The sum of the lanes, which are the last axis: the upper half added to the lower one, until one is left."""
    width = LANES
    while width > 1:
        width //= 2
        lanes = lanes[..., :width] + lanes[..., width:]
    return lanes[..., 0]


def ordered_product(x: Tensor, weight: Tensor) -> Tensor:
    """``x @ weight.T`` for float32 ``(R, K)`` and ``(N, K)``, in float64 and rounded once, as float32 ``(R, N)``.

    Eight lanes: lane ``j`` adds the products at ``j``, ``j + 8``, ... of the depth, in this order, to 0.
    """
    height = max(1, _ORDERED_ENTRIES // weight.shape[0])
    return torch.cat([_ordered_rows(rows, weight) for rows in x.split(height)])


def _ordered_rows(x: Tensor, weight: Tensor) -> Tensor:
    left, right = x.to(torch.float64)[:, None], weight.to(torch.float64)[None]
    lanes = torch.zeros((x.shape[0], weight.shape[0], LANES), dtype=torch.float64, device=x.device)
    for start in range(0, x.shape[1], LANES):
        products = left[..., start : start + LANES] * right[..., start : start + LANES]
        some = lanes[..., : products.shape[2]]
        some.copy_(some + products)
    return _joined(lanes).to(torch.float32)


def coded_product(x: Tensor, weight: Coded) -> Tensor:
    """``x @ weight.T`` for float32 ``(R, K)`` and codes of ``(N, K)``, as float32 ``(R, N)``.

    Each block of a row of ``x`` is put on a grid of its own. Its products with codes are integers, whose sum is exact;
    the blocks' sums, times the scales, are added from the first to the last in float64, and rounded once.
    """
    block = weight.layout.block
    blocks = x.reshape(x.shape[0], -1, block)
    e = exponents(_magnitude_bits(blocks).amax(2))
    # Not finite: the integers are 0, and the power of two is NaN, which makes the sum NaN.
    up = power_of_two(CODED_BITS - torch.where(e == NON_FINITE, 0, e))
    n = (blocks.to(torch.float64) * up[:, :, None]).round()
    n = torch.where((e == NON_FINITE)[:, :, None], torch.zeros_like(n), n).to(torch.int64)
    down = power_of_two(e) * 2.0**-CODED_BITS
    codes = weight.integers().to(torch.int64).view(weight.rows, -1, block)
    scales, offsets = weight.scales().to(torch.float64), weight.offsets()
    total = torch.zeros((x.shape[0], weight.rows), dtype=torch.float64, device=x.device)
    for b in range(n.shape[1]):
        sums = (n[:, None, b] * codes[None, :, b]).sum(2).to(torch.float64)
        total = total + sums * (scales[None, :, b] * down[:, b, None])
        if offsets is not None:
            whole = n[:, b].sum(1).to(torch.float64) * down[:, b]
            total = total + offsets[None, :, b].to(torch.float64) * whole[:, None]
    return total.to(torch.float32)


def ordered_attention(q: Tensor, k: Tensor, v: Tensor, first: int, share: int, scale: float) -> Tensor:
    """Causal softmax attention whose sums are ordered: a query's depend on nothing but the keys that it sees.

    Args:
        q: float32 ``(G, R, D)``; ``share`` rows for each position, from position ``first`` on.
        k: ``(G, T, D)`` for the positions from 0 on, as far as a query sees at least.
        v: as ``k``.
        first: the position of the first query.
        share: how many queries of a position share a key.
        scale: of the scores.
    """
    scores = torch.stack([ordered_product(a, b) for a, b in zip(q, k, strict=True)])
    scores = scores * torch.full((), scale, dtype=torch.float32, device=q.device)
    positions = torch.arange(first, first + q.shape[1] // share, device=q.device)
    at = positions[:, None].expand(-1, share).reshape(-1)
    unseen = torch.arange(k.shape[1], device=q.device)[None, :] > at[:, None]
    largest = scores.masked_fill(unseen, -torch.inf).amax(2, keepdim=True)
    weights = exp(scores - largest).masked_fill(unseen, 0.0).to(torch.float64)
    totals = torch.zeros((*weights.shape[:2], LANES), dtype=torch.float64, device=q.device)
    sums = torch.zeros((*q.shape, LANES), dtype=torch.float64, device=q.device)
    for key in range(k.shape[1]):
        lane, weight = key % LANES, weights[:, :, key]
        # What a query does not see adds 0, whatever it is: 0 times an infinity would not be.
        product = (weight[:, :, None] * v[:, None, key].to(torch.float64)).masked_fill(unseen[:, key, None], 0.0)
        totals[..., lane] = totals[..., lane] + weight
        sums[..., lane] = sums[..., lane] + product
    return (_joined(sums) / _joined(totals)[:, :, None]).to(torch.float32)
