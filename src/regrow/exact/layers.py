"""Differentiable operations with exact sums, for models of your own; the decoder's are in ``operations``.

They follow the same rules: float32, non-contiguous tensors welcome, gradients of the exact formulas on grids of
their own, no second derivatives, NaN where a number that is not finite was met.

Example:
    >>> h = layer_norm(x, gain, bias)
    >>> h = x + linear(gelu(linear(h, up, up_bias)), down, down_bias)
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.autograd import Function

from regrow.exact import checks
from regrow.exact.definition import grid_sum
from regrow.exact.grid import PROBABILITY_BITS
from regrow.exact.operations import once
from regrow.exact.polynomials import exp64, log64, sin_cos64
from regrow.exact.selection import current


def _apply(function: Any, *arguments: Any) -> Tensor:
    y: Tensor = function.apply(*arguments)
    return y


class _LayerNorm(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, gain: Tensor, bias: Tensor, epsilon: float) -> Tensor:
        ctx.backend = current(x)
        y: Tensor
        y, mean, inverse = ctx.backend.kernels.layer_norm(x, gain, bias, epsilon)
        ctx.save_for_backward(x, gain, mean, inverse)
        return y

    @staticmethod
    @once
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        return *ctx.backend.kernels.layer_norm_backward(gradients[0], *ctx.saved_tensors), None


def layer_norm(x: Tensor, gain: Tensor, bias: Tensor | None = None, epsilon: float = 1e-5) -> Tensor:
    """Normalisation of the last axis to mean 0 and variance 1 (Ba et al., 2016).

    ``y = n gain + bias`` with ``d = x - mean(x)``, ``i = 1 / sqrt(mean(d**2) + epsilon)`` and ``n = d i``. Backward,
    with ``s = dy gain``: ``dx = i (s - mean(s) - n mean(s n))``; ``dgain`` and ``dbias`` are the sums over rows of
    ``dy n`` and ``dy``.

    Args:
        x: ``(..., C)``; squares of ``d`` must stay finite.
        gain: ``(C,)``.
        bias: ``(C,)``; none is as a bias of zeros.
        epsilon: at least 0.
    """
    bias = torch.zeros_like(gain) if bias is None and isinstance(gain, Tensor) else bias
    checks.floats("layer_norm", x=x, gain=gain, bias=bias)
    columns = checks.last("layer_norm", "x", x)
    for name, vector in (("gain", gain), ("bias", bias)):
        checks.shape("layer_norm", name, vector, (columns,), "it needs an entry for each column of `x`")
    epsilon = checks.number("layer_norm", "epsilon", epsilon)
    rows = x.reshape(-1, columns).contiguous()
    checks.addends("layer_norm", "x", x, max(rows.shape))
    return _apply(_LayerNorm, rows, gain.contiguous(), bias.contiguous(), epsilon).view(x.shape)


class _Softmax(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.backend = current(x)
        y: Tensor = ctx.backend.kernels.softmax(x)
        ctx.save_for_backward(y)
        return y

    @staticmethod
    @once
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        dx: Tensor = ctx.backend.kernels.softmax_backward(gradients[0], *ctx.saved_tensors)
        return dx


def softmax(x: Tensor) -> Tensor:
    """Softmax over the last axis of ``(..., C)``.

    ``y = w / sum(w)`` with ``w = exp(x - max(x))``, and backward ``dx = y (dy - sum(y dy))``. An entry of minus
    infinity gives 0; if every entry is, the row is NaN.
    """
    checks.floats("softmax", x=x)
    rows = x.reshape(-1, checks.last("softmax", "x", x)).contiguous()
    checks.addends("softmax", "x", x, rows.shape[1])
    return _apply(_Softmax, rows).view(x.shape)


class _Activation(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, kind: str) -> Tensor:
        ctx.backend, ctx.kind = current(x), kind
        ctx.save_for_backward(x)
        y: Tensor = ctx.backend.kernels.activation(x, kind)
        return y

    @staticmethod
    @once
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return ctx.backend.kernels.activation_backward(gradients[0], *ctx.saved_tensors, ctx.kind), None


def _activation(operation: str, x: Tensor, kind: str) -> Tensor:
    checks.floats(operation, x=x)
    columns = x.shape[-1] if x.dim() else 1
    return _apply(_Activation, x.reshape(-1, columns).contiguous(), kind).view(x.shape)


def silu(x: Tensor) -> Tensor:
    """``x z`` with ``z = sigmoid(x)``, of every entry. Backward: ``dx = dy (z + x z (1 - z))``."""
    return _activation("silu", x, "silu")


def gelu(x: Tensor, approximate: str = "none") -> Tensor:
    """``x`` times the normal distribution function (Hendrycks and Gimpel, 2016), of every entry.

    Backward: ``dx = dy (F(x) + x F'(x))``, F the function that stands for the distribution's.

    Args:
        x: of any shape.
        approximate: ``none``: the distribution function itself, ``(1 + erf(x / sqrt(2))) / 2``. ``tanh``, as in GPT-2:
            ``(1 + tanh(sqrt(2 / pi) (x + 0.044715 x**3))) / 2``.
    """
    if approximate not in ("none", "tanh"):
        raise checks.refused("gelu", "approximate", approximate, "it must be `none` or `tanh`")
    return _activation("gelu", x, "gelu_tanh" if approximate == "tanh" else "gelu")


class _CrossEntropy(Function):
    @staticmethod
    def forward(ctx: Any, logits: Tensor, targets: Tensor, ignored: int) -> Tensor:
        backend = current(logits)
        kept = targets != ignored
        known = torch.where(kept, targets, torch.zeros_like(targets))
        losses, upper, lower = backend.kernels.cross_entropy(logits, known, backend.gemm.dtype)
        losses = torch.where(kept, losses, torch.zeros_like(losses))
        count = kept.sum()
        if ctx.needs_input_grad[0]:
            ctx.save_for_backward(_logit_gradient(upper, lower, kept, losses, count))
        return (grid_sum(losses, 0) / count.to(torch.float64)).to(torch.float32)

    @staticmethod
    @once
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        return ctx.saved_tensors[0] * gradients[0], None, None


def _logit_gradient(upper: Tensor, lower: Tensor, kept: Tensor, losses: Tensor, count: Tensor) -> Tensor:
    """The gradient of the mean loss from the digits of the summed one's."""
    top, middle, bottom = (digit.to(torch.float32) for digit in (upper[:, 0], upper[:, 1], lower[:, 1]))
    integers = (top * 16384.0 + middle * 128.0) + bottom
    gradient = (integers * 2.0**-PROBABILITY_BITS) / count.to(torch.float32)
    gradient = torch.where(kept[:, None], gradient, torch.zeros_like(gradient))
    return torch.where((losses != losses)[:, None], torch.full_like(gradient, torch.nan), gradient)


def cross_entropy(logits: Tensor, targets: Tensor, ignore_index: int = -100) -> Tensor:
    """The mean of ``-log softmax(logits)[target]`` over the targets that are not ignored, a scalar.

    Backward: ``(softmax - onehot(target)) / N``, probabilities on a grid of 2**-20, and 0 for ignored targets. Behind a
    ``linear``, :func:`regrow.exact.linear_cross_entropy` is faster and keeps more of the small probabilities.

    Args:
        logits: ``(..., V)``; minus infinity for what cannot be.
        targets: int64 of the shape of ``logits`` without its last axis, within ``0..V - 1`` or ``ignore_index``.
        ignore_index: of targets that do not count. One at least must.
    """
    checks.floats("cross_entropy", logits=logits)
    columns = checks.last("cross_entropy", "logits", logits)
    checks.integer("cross_entropy", "ignore_index", ignore_index, -(1 << 63), (1 << 63) - 1)
    checks.identifiers("cross_entropy", "targets", targets, logits, columns, ignore_index)
    hint = "it needs an entry for each row of `logits`"
    checks.shape("cross_entropy", "targets", targets, tuple(logits.shape[:-1]), hint)
    checks.addends("cross_entropy", "logits", logits, max(columns, targets.numel()))
    if not bool((targets != ignore_index).any()):
        raise checks.refused("cross_entropy", "targets", targets, f"all of it is the ignored {ignore_index}")
    rows = logits.reshape(-1, columns).contiguous()
    return _apply(_CrossEntropy, rows, targets.reshape(-1).contiguous(), ignore_index)


def rotary_tables(positions: int, width: int, theta: float = 10000.0) -> tuple[Tensor, Tensor]:
    """Cosines and sines ``(positions, width / 2)`` for :func:`regrow.exact.operations.rotate`.

    As in Hugging Face's Llama the inverse frequencies and the angles are rounded to float32.

    Args:
        positions: how many, at most 2**20.
        width: of a head, even.
        theta: the base of the wavelengths, at least 1.
    """
    theta = checks.number("rotary_tables", "theta", theta, low=1.0)
    checks.integer("rotary_tables", "positions", positions, high=1 << 20)
    if checks.integer("rotary_tables", "width", width) % 2:
        raise checks.refused("rotary_tables", "width", width, "the width of a head must be even")
    exponents = np.arange(width // 2, dtype=np.float64) * 2.0 / width
    frequencies = exp64(-exponents * log64(np.array([theta]))).astype(np.float32)
    angles = np.arange(positions, dtype=np.float32)[:, None] * frequencies
    sine, cosine = sin_cos64(angles.astype(np.float64))
    return torch.from_numpy(cosine.astype(np.float32)), torch.from_numpy(sine.astype(np.float32))
