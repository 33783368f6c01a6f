"""The layers of the decoder and their gradients, from docs/arithmetic.md alone. All arrays are float32."""

import numpy as np

from .arithmetic import (
    digit_product,
    exact,
    exp32,
    exponent,
    f32,
    f64,
    grid_sum,
    hexadecimal,
    log64,
    low,
    mean,
    on_grid,
    ordered_product,
    ordered_sum,
    product,
    turned,
    two,
)

ONE = f32(1)


def hexadecimals(text):
    """float32 constants."""
    return [f32(hexadecimal(word)) for word in text.split()]


def linear(x, w):
    """``x`` times the transpose of ``w``."""
    return product(x, turned(w))


def linear_backward(dy, x, w):
    """Gradients of ``x`` and ``w``."""
    return product(dy, w), product(turned(dy), x)


def low_rank(x, w, a, b):
    """``linear`` with two narrow matrices beside it; and what the gradient needs."""
    h = linear(x, a)
    return linear(x, w) + linear(h, b), h


def low_rank_backward(dy, x, w, a, b, h):
    """Gradients of ``x``, ``a`` and ``b``."""
    g = product(dy, b)
    return product(dy, w) + product(g, a), turned(over_rows(x, g)), over_rows(dy, h)


def over_rows(left, right):
    """The transpose of ``left`` times ``right``: the integers of the one's rows, their exponents with the other's."""
    e = exponent(left, 1)
    right = right * f32(two(e))
    f = exponent(right, 0)
    return f32(digit_product(turned(on_grid(left, e, 13)), on_grid(right, f, 13)) * (two(f) * 2.0**-26))


def rms_norm(x, gain, epsilon):
    """The result and the inverse roots, a column."""
    inverse = f32(1.0 / np.sqrt(grid_sum(x * x, 1) / f64(x.shape[1]) + epsilon))[:, None]
    return (x * inverse) * gain, inverse


def rms_norm_backward(dy, x, gain, inverse):
    """Gradients of ``x`` and ``gain``."""
    n, s = x * inverse, dy * gain
    c = f32(grid_sum(s * n, 1) / f64(x.shape[1]))[:, None]
    return inverse * (s - n * c), f32(grid_sum(dy * n, 0))


def swiglu(x):
    """Gate and up side by side in ``x``."""
    a, b = np.split(x, 2, 1)
    return (a * (ONE / (ONE + exp32(-a)))) * b


def swiglu_backward(dy, x):
    """The gradient of ``x``."""
    a, b = np.split(x, 2, 1)
    z = ONE / (ONE + exp32(-a))
    t = a * z
    return np.concatenate(((dy * b) * (z + t * (ONE - z)), dy * t), 1)


def rotate(x, cosine, sine):
    """Turn all heads of ``(B, T, H, D)``."""
    u, v = np.split(x, 2, 3)
    c, s = cosine[:, None], sine[:, None]
    return np.concatenate((u * c - v * s, v * c + u * s), 3)


def grouped(x, groups):
    """``(B, T, H, D)`` to ``(B, groups, H / groups * T, D)``: heads that share a key head below each other."""
    batch, width = x.shape[0], x.shape[3]
    return x.transpose(0, 2, 1, 3).reshape(batch, groups, -1, width)


def ungrouped(x, positions):
    """The inverse."""
    batch, _, _, width = x.shape
    return x.reshape(batch, -1, positions, width).transpose(0, 2, 1, 3)


def hidden(rows, positions):
    """Which keys each row may not see."""
    return np.arange(positions) > np.arange(rows)[:, None] % positions


def root(width):
    """The scale of the scores."""
    return f32(1.0 / np.sqrt(f64(width)))


def attention(q, k, v):
    """The result, and what the gradient needs."""
    positions, groups, width = q.shape[1], k.shape[2], q.shape[3]
    q, k, v = (grouped(x, groups) for x in (q, k, v))
    scores = product(q, turned(k)) * root(width)
    unseen = hidden(*scores.shape[2:])
    largest = np.where(unseen, f32(-np.inf), scores).max(3, keepdims=True)
    known = np.isfinite(largest)
    w = exp32(np.where(unseen | ~known, f32(0), scores - largest))
    n = np.where(unseen | ~known, 0.0, np.rint(w * f32(8192))).astype(f64)
    t = np.where(known, f32(n.sum(3, keepdims=True)), f32(np.nan))
    e = exponent(v, 2)
    y = f32((digit_product(n, on_grid(v, e, 13)) * (two(e) * 2.0**-13)) / t.astype(f64))
    return ungrouped(y, positions), (q, k, v, n, t, y)


def attention_backward(dy, kept):
    """Gradients of queries, keys and values."""
    q, k, v, n, t, y = kept
    positions, groups = k.shape[2], k.shape[1]
    dy = grouped(dy, groups)
    g = product(dy, turned(v))
    delta = f32(grid_sum(dy * y, 3))[..., None]
    ds = np.where(n == 0, f32(0), ((f32(n) * (ONE / t)) * (g - delta)) * root(q.shape[3]))
    ds = np.where(np.isnan(t), f32(np.nan), ds)
    e = exponent(ds, 3)
    rows = on_grid(ds, e, 13)
    f = exponent(k, 2)
    dq = f32(digit_product(rows, on_grid(k, f, 13)) * (two(e) * two(f) * 2.0**-26))
    dk = columns_product(rows, q * f32(two(e)))
    dv = columns_product(n, dy * (f32(8192) / t))
    return tuple(ungrouped(x, positions) for x in (dq, dk, dv))


def columns_product(n, x):
    """The transpose of integers on the grid 2**-13, times ``x``."""
    e = exponent(x, 2)
    return f32(digit_product(turned(n), on_grid(x, e, 13)) * (two(e) * 2.0**-26))


def ordered_attention(q, k, v, first=0):
    """Attention of inference: of queries ``(B, T, H, D)`` from a position on to all keys up to their own."""
    share, y = q.shape[2] // k.shape[2], np.empty_like(q)
    for b, t, h in np.ndindex(q.shape[:3]):
        seen = first + t + 1
        keys, values = k[b, :seen, h // share], v[b, :seen, h // share].astype(f64)
        scores = ordered_product(q[b, t, h][None], turned(keys))[0] * root(q.shape[3])
        p = exp32(scores - scores.max()).astype(f64)
        y[b, t, h] = f32(ordered_sum(p[:, None] * values) / ordered_sum(p))
    return y


def row_losses(logits, targets):
    """The loss of each row, and the integers of the gradient of their sum."""
    rows = np.arange(len(targets))
    largest = logits.max(1, keepdims=True)
    likely, total = probabilities(logits - largest)
    losses = f32(log64(total) - (logits[rows, targets] - largest[:, 0]).astype(f64))
    q = np.rint(likely * f32(2.0**20)).astype(f64)
    q[rows, targets] -= 2.0**20
    known = np.isfinite(largest[:, 0]) & ~np.isnan(logits).any(1)
    return np.where(known, losses, f32(np.nan)), np.where(known[:, None], q, 0.0)


def linear_distillation(x, w, targets, X, W, temperature, share, top, dy=ONE):
    """The mean loss of the output layer and of the divergence from a teacher, and the gradients of ``x`` and ``w``."""
    z, t = linear(x, w), linear(X, W)
    if 0 < top < t.shape[1]:
        ranks = np.argsort(np.argsort(-t, axis=1, kind="stable"), axis=1)
        t = np.where(ranks < top, t, f32(-np.inf))
    rest = 1.0 - share
    steepness = share * temperature + rest
    k, a, h = f32(1.0 / temperature), f32(share * temperature / steepness), f32(rest / steepness)
    rows, m, n = np.arange(len(targets)), z.max(1, keepdims=True), t.max(1, keepdims=True)
    y, u = (z - m) * k, (t - n) * k
    (q, our_total), (p, their_total), (plain, total) = probabilities(y), probabilities(u), probabilities(z - m)
    with np.errstate(invalid="ignore"):
        addends = np.where(p == 0, f32(0), p * (u - y))
    divergence = (log64(our_total) - log64(their_total)) + grid_sum(addends, 1)
    surprise = log64(total) - (z[rows, targets] - m[:, 0]).astype(f64)
    losses = f32(divergence * (share * (temperature * temperature)) + surprise * rest)
    known = np.isfinite(m[:, 0]) & np.isfinite(n[:, 0]) & ~np.isnan(z).any(1) & ~np.isnan(t).any(1)
    q = np.where(known[:, None], np.rint(f32(2.0**20) * ((q - p) * a + plain * h)).astype(f64), 0.0)
    q[rows, targets] -= np.rint(f64(h) * 2.0**20)
    return head(np.where(known, losses, f32(np.nan)), q, x, w, f64(len(targets)) / steepness, dy)


def probabilities(x):
    """Softmax of rows whose largest entry is 0, and the sums of their exponentials."""
    weights = exp32(x)
    total = np.rint(weights.astype(f64) * 2.0**30).astype(np.int64).sum(1).astype(f64) * 2.0**-30
    return weights * (ONE / f32(total))[:, None], total


def head(losses, q, x, w, count, dy):
    """The mean of losses, and the gradients of ``x`` and ``w`` from the integers of the logits' gradient."""
    e, f = exponent(w, 0), exponent(x, 0)
    dx = f32(three_digit_product(q, on_grid(w, e, 13)) * ((two(e) * 2.0**-33) / count))
    dw = f32(three_digit_product(turned(q), on_grid(x, f, 13)) * ((two(f) * 2.0**-33) / count))
    dx = np.where(np.isfinite(losses)[:, None], dx, f32(np.nan))
    dw = np.where(np.isfinite(losses).all(), dw, f32(np.nan))
    return mean(losses), dx * dy, dw * dy


def linear_cross_entropy(x, w, targets, dy=ONE):
    """The mean loss of the output layer, and the gradients of ``x`` and ``w``."""
    losses, q = row_losses(linear(x, w), targets)
    return head(losses, q, x, w, f64(len(targets)), dy)


def three_digit_product(q, m):
    """``sum(q m)`` without the products of lowest digits."""
    return exact(q, m) - exact(low(q), low(m))


def embedding_backward(dy, ids, rows):
    """The gradient of the embedding."""
    e = exponent(dy)
    total = np.zeros((rows, dy.shape[1]), np.int64)
    np.add.at(total, ids, on_grid(dy, e, 30).astype(np.int64))
    return f32(total.astype(f64) * (two(e) * 2.0**-30))
