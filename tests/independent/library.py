"""Layers, initial values and the optimizer of the library, from docs/arithmetic.md alone."""

import numpy as np

from .arithmetic import exp32, f32, f64, grid_sum, horner, integers, mean, normals, uniforms
from .layers import ONE, hexadecimals, row_losses
from .training import clip_factor, update


def row_means(x):
    """``S`` over the entries of rows by their number, a column of float64."""
    return (grid_sum(x, 1) / f64(x.shape[1]))[:, None]


def layer_norm(x, gain, bias, epsilon):
    """The result, the normalised rows and the inverse deviations."""
    d = f32(x.astype(f64) - row_means(x))
    inverse = f32(1.0 / np.sqrt(row_means(d * d) + epsilon))
    n = d * inverse
    return n * gain + bias, n, inverse


def layer_norm_backward(dy, gain, n, inverse):
    """Gradients of ``x``, ``gain`` and ``bias``."""
    s = dy * gain
    dx = inverse * ((s - f32(row_means(s))) - n * f32(row_means(s * n)))
    return dx, f32(grid_sum(dy * n, 0)), f32(grid_sum(dy, 0))


def softmax(x):
    """Of each row."""
    largest = x.max(1, keepdims=True)
    w = exp32(x - largest)
    total = np.rint(w.astype(f64) * 2.0**30).astype(np.int64).sum(1, keepdims=True)
    return np.where(np.isfinite(largest), w / f32(total.astype(f64) * 2.0**-30), f32(np.nan))


def softmax_backward(dy, y):
    """The gradient of ``x``."""
    return y * (dy - f32(grid_sum(y * dy, 1))[:, None])


def sigmoid(x):
    """The logistic function."""
    return np.where(x < f32(-88), f32(0), ONE / (ONE + exp32(-x)))


def silu(x):
    """The result and its slope."""
    z = sigmoid(x)
    y = x * z
    return y, z + y * (ONE - z)


TAIL = hexadecimals(
    "0x1.1c324p-5 -0x1.9a060ap-3 0x1.9e2788p-2 -0x1.625b04p-2 0x1.428564p-2 -0x1.aa7a8p-6 0x1.fa0078p-4 0x1.82a262p-4 "
    "0x1.9ac0ap-4 -0x1.98b9fap-16"
)
(DENSITY,) = hexadecimals("0x1.988454p-2")


def gelu(x):
    """The result and its slope."""
    z = np.abs(x)
    exponential = exp32((z * z) * f32(-0.5))
    tail = exponential * horner(ONE / (z * f32(0.25) + ONE), TAIL)
    y = np.maximum(x, f32(0)) - z * tail
    return y, np.where(x < 0, tail, ONE - tail) + x * (exponential * DENSITY)


LINEAR, CUBIC, SLOPE = hexadecimals("0x1.988454p+0 0x1.2444f2p-4 0x1.b6676cp-3")


def gelu_by_tanh(x):
    """The result and its slope."""
    c = np.minimum(np.maximum(x, f32(-16)), f32(16))
    square = c * c
    z = sigmoid(c * (square * CUBIC + LINEAR))
    y = x * z
    return y, z + (y * (ONE - z)) * (square * SLOPE + LINEAR)


def mean_backward(dy, x):
    """The gradient of a mean."""
    return np.full(len(x), dy / f32(len(x)))


def cross_entropy(logits, targets, ignore_index, dy):
    """The mean loss over the targets that are not ignored, and the gradient of the logits."""
    targets = np.array(targets)
    kept = targets != ignore_index
    losses, q = row_losses(logits[kept], targets[kept])
    gradient = np.zeros_like(logits)
    gradient[kept] = np.where(np.isnan(losses)[:, None], f32(np.nan), (f32(q) * f32(2.0**-20)) / f32(len(losses)))
    return mean(losses), gradient * dy


def normal(shape, seed, purpose, mean, deviation):
    """Initial values."""
    return f32(normals(seed, purpose, shape[0] * shape[1]) * deviation + mean).reshape(shape)


def uniform(shape, seed, purpose, low, high):
    """Initial values."""
    return f32(uniforms(seed, purpose, shape[0] * shape[1]) * (high - low) + low).reshape(shape)


def permutation(count, seed, purpose):
    """Numbers in an order of chance."""
    keys = integers(seed, purpose, count)
    return sorted(range(count), key=lambda i: (keys[i], i))


def adamw(p, gradients, lr, betas, eps, weight_decay):
    """A parameter and its moments after as many steps as there are gradients."""
    m, v = np.zeros_like(p), np.zeros_like(p)
    for step, g in enumerate(gradients, 1):
        p, m, v = update(step, lr, 1.0 - lr * weight_decay, betas, eps, p, g, m, v)
    return p, m, v


def clip(gradients, limit):
    """The norm there was, and what becomes of the gradients."""
    length = 0.0
    for g in gradients:
        length += float(grid_sum(np.ravel(g * g), 0))
    length = float(np.sqrt(length))
    return length, [g * f32(clip_factor(length, limit)) for g in gradients]
