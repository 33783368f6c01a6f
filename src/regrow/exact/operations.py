"""Differentiable operations with exact sums: the public face of ``regrow.exact``.

Each is a ``torch.autograd.Function`` over the kernels of the current backend, so they mix with ordinary modules
and optimizers. All tensors are float32 unless said otherwise. The gradients are those of the exact formulas,
computed on grids of their own.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function

from regrow.exact.backend import Backend, current
from regrow.exact.grid import (
    LEFT,
    LEFT_TRANSPOSED,
    OPERAND_BITS,
    PROBABILITY_BITS,
    RIGHT,
    RIGHT_OF_TRANSPOSED,
    RIGHT_TRANSPOSED,
    Digits,
    Layout,
    power_of_two,
)


def _split(backend: Backend, x: Tensor, layout: Layout) -> Digits:
    return backend.kernels.split(x if x.dim() == 3 else x[None], layout, backend.carrier.dtype)


class _Linear(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor) -> Tensor:
        ctx.backend = backend = current()
        ctx.save_for_backward(x, weight)
        return backend.matmul(_split(backend, x, LEFT), _split(backend, weight, RIGHT_TRANSPOSED))[0]

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, Tensor | None]:
        (dy,), (x, weight), backend = gradients, ctx.saved_tensors, ctx.backend
        dx = dweight = None
        if ctx.needs_input_grad[0]:
            dx = backend.matmul(_split(backend, dy, LEFT), _split(backend, weight, RIGHT))[0]
        if ctx.needs_input_grad[1]:
            dweight = backend.matmul(_split(backend, dy, LEFT_TRANSPOSED), _split(backend, x, RIGHT_OF_TRANSPOSED))[0]
        return dx, dweight


def linear(x: Tensor, weight: Tensor) -> Tensor:
    """``x @ weight.T`` for ``(..., K)`` and ``(N, K)``."""
    y: Tensor = _Linear.apply(x.reshape(-1, x.shape[-1]), weight)
    return y.view(*x.shape[:-1], weight.shape[0])


class _RMSNorm(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, gain: Tensor, epsilon: float) -> Tensor:
        ctx.backend = current()
        y, inverse = ctx.backend.kernels.rms_norm(x, gain, epsilon)
        ctx.save_for_backward(x, gain, inverse)
        return y

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, None]:
        dx, dgain = ctx.backend.kernels.rms_norm_backward(gradients[0], *ctx.saved_tensors)
        return dx, dgain, None


def rms_norm(x: Tensor, gain: Tensor, epsilon: float = 1e-5) -> Tensor:
    """Root-mean-square normalisation over the last axis (Zhang and Sennrich, 2019)."""
    y: Tensor = _RMSNorm.apply(x.reshape(-1, x.shape[-1]), gain, epsilon)
    return y.view(x.shape)


class _SwiGLU(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.backend = current()
        ctx.save_for_backward(x)
        return ctx.backend.kernels.swiglu(x)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        return ctx.backend.kernels.swiglu_backward(gradients[0], *ctx.saved_tensors)


def swiglu(x: Tensor) -> Tensor:
    """``silu(gate) * up`` where the last axis holds gate and up side by side (Shazeer, 2020)."""
    y: Tensor = _SwiGLU.apply(x.reshape(-1, x.shape[-1]))
    return y.view(*x.shape[:-1], x.shape[-1] // 2)


class _Rotate(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, cosine: Tensor, sine: Tensor, heads: int) -> Tensor:
        ctx.backend, ctx.heads = current(), heads
        ctx.save_for_backward(cosine, sine)
        return ctx.backend.kernels.rotate(x, cosine, sine, heads)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None, None]:
        cosine, sine = ctx.saved_tensors
        return ctx.backend.kernels.rotate(gradients[0], cosine, -sine, ctx.heads), None, None, None


def rotate(x: Tensor, cosine: Tensor, sine: Tensor, heads: int) -> Tensor:
    """Rotary position embedding (Su et al., 2021) of the first ``heads`` heads of ``(B, T, H, D)``.

    ``cosine`` and ``sine``: ``(T, D / 2)``. The remaining heads (the values) are passed through.
    """
    y: Tensor = _Rotate.apply(x, cosine, sine, heads)
    return y


def _grouped(x: Tensor, groups: int) -> Tensor:
    """``(B, T, H, D)`` to ``(B * groups, H / groups * T, D)``: the heads of a group below each other."""
    batch, positions, heads, width = x.shape
    return x.transpose(1, 2).reshape(batch * groups, heads // groups * positions, width)


def _ungrouped(x: Tensor, batch: int, positions: int) -> Tensor:
    """The inverse of :func:`_grouped`."""
    return x.view(batch, -1, positions, x.shape[2]).transpose(1, 2)


def _by_row_exponents(x: Tensor, exponents: Tensor) -> Tensor:
    """Rows of ``(G, R, C)`` times their powers of two, so that row grids fold into the other operand."""
    return x * power_of_two(exponents).to(torch.float32)[:, :, None]


class _Attention(Function):
    @staticmethod
    def forward(ctx: Any, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        ctx.backend = backend = current()
        batch, positions, _, width = q.shape
        groups = k.shape[2]
        queries, keys, values = (_grouped(x, groups) for x in (q, k, v))
        scale = 1.0 / width**0.5
        left, right = _split(backend, queries, LEFT), _split(backend, keys, RIGHT_TRANSPOSED)
        high, cross = backend.product(left, right)
        weights, totals = backend.kernels.attention_weights(
            high, cross, left.exponents, right.exponents, scale, backend.carrier.dtype
        )
        out = _attention_output(backend, weights, totals, values)
        ctx.save_for_backward(queries, keys, values, weights, totals, out)
        ctx.scale = scale
        return _ungrouped(out, batch, positions)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        backend: Backend = ctx.backend
        queries, keys, values, weights, totals, out = ctx.saved_tensors
        batch, positions = gradients[0].shape[:2]
        dout = _grouped(gradients[0], keys.shape[0] // batch)
        width = out.shape[2]
        delta = backend.kernels.row_dot(dout.view(-1, width), out.view(-1, width)).view(totals.shape)
        left, right = _split(backend, dout, LEFT), _split(backend, values, RIGHT_TRANSPOSED)
        high, cross = backend.product(left, right)
        dscores = backend.kernels.attention_gradient(
            high, cross, left.exponents, right.exponents, weights, totals, delta, ctx.scale
        )
        normal = dout * (torch.full_like(totals, 8192.0) / totals)[:, :, None]
        dv = backend.matmul(_numerators(weights, LEFT_TRANSPOSED), _split(backend, normal, RIGHT_OF_TRANSPOSED))
        dq = backend.matmul(dscores, _split(backend, keys, RIGHT))
        # The rows' grids are folded into the queries, so that one set of digits serves both products.
        columns = Digits(dscores.data, _zeros(dscores.data), LEFT_TRANSPOSED)
        dk = backend.matmul(columns, _split(backend, _by_row_exponents(queries, dscores.exponents), RIGHT_OF_TRANSPOSED))
        return tuple(_ungrouped(x, batch, positions) for x in (dq, dk, dv))  # type: ignore[return-value]


def _zeros(data: Tensor) -> Tensor:
    return torch.zeros((data.shape[0], data.shape[3]), dtype=torch.int32, device=data.device)


def _numerators(weights: Tensor, layout: Layout) -> Digits:
    """Softmax numerators as an operand; their grid is 2**-13 everywhere, which is exponent 0."""
    groups, rows, _, columns = weights.shape
    exponents = torch.zeros((groups, rows if layout.by_row else columns), dtype=torch.int32, device=weights.device)
    return Digits(weights, exponents, layout)


def _attention_output(backend: Backend, weights: Tensor, totals: Tensor, values: Tensor) -> Tensor:
    right = _split(backend, values, RIGHT)
    high, cross = backend.product(_numerators(weights, LEFT), right)
    return backend.kernels.attention_output(high, cross, right.exponents, totals)


def attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Causal softmax attention with grouped queries (Vaswani et al., 2017; Ainslie et al., 2023).

    Args:
        q: queries ``(B, T, H, D)``.
        k: keys ``(B, T, Hk, D)`` with ``H`` a multiple of ``Hk``.
        v: values, shaped as ``k``.

    Returns:
        ``(B, T, H, D)``; scores are scaled by ``D ** -0.5``.
    """
    out: Tensor = _Attention.apply(q, k, v)
    return out


class _Embedding(Function):
    @staticmethod
    def forward(ctx: Any, ids: Tensor, weight: Tensor) -> Tensor:
        ctx.backend, ctx.rows = current(), weight.shape[0]
        ctx.save_for_backward(ids)
        return weight.index_select(0, ids)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[None, Tensor]:
        return None, ctx.backend.kernels.embedding_backward(gradients[0], ctx.saved_tensors[0], ctx.rows)


def embedding(ids: Tensor, weight: Tensor) -> Tensor:
    """Rows of ``weight`` ``(V, C)`` by int64 ``ids`` of any shape."""
    y: Tensor = _Embedding.apply(ids.reshape(-1), weight)
    return y.view(*ids.shape, weight.shape[1])


class _LinearCrossEntropy(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, targets: Tensor) -> Tensor:
        backend = current()
        logits = backend.matmul(_split(backend, x, LEFT), _split(backend, weight, RIGHT_TRANSPOSED))[0]
        losses, upper, lower = backend.kernels.cross_entropy(logits, targets, backend.carrier.dtype)
        del logits
        ctx.backend = backend
        ctx.save_for_backward(x, weight, upper, lower)
        return losses

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, None]:
        """``losses`` must have been reduced by :func:`mean`: its gradient is one number for all rows."""
        backend: Backend = ctx.backend
        x, weight, upper, lower = ctx.saved_tensors
        each = gradients[0][:1].to(torch.float64)
        dx = _probabilities_times(backend, upper, lower, _split(backend, weight, RIGHT), each, False)
        dweight = _probabilities_times(backend, upper, lower, _split(backend, x, RIGHT_OF_TRANSPOSED), each, True)
        return dx, dweight, None


def _probabilities_times(
    backend: Backend, upper: Tensor, lower: Tensor, right: Digits, each: Tensor, transposed: bool
) -> Tensor:
    """Gradient digits (or their transpose) times an operand on column grids, each entry times ``each``."""
    rows, _, columns = upper.shape

    def pair(digits: Tensor) -> Tensor:
        return digits.view(2 * rows, columns).mT if transposed else digits.view(rows, 2 * columns)

    top = upper[:, 0].mT if transposed else upper[:, 0]
    multiply = backend.carrier.multiply
    parts = multiply(top[None], right.high), *(multiply(pair(d)[None], right.both) for d in (upper, lower))
    scale = power_of_two(right.exponents[0]) * 2.0 ** -(OPERAND_BITS + PROBABILITY_BITS) * each
    return backend.kernels.combine3(*parts, scale)[0]


def linear_cross_entropy(x: Tensor, weight: Tensor, targets: Tensor) -> Tensor:
    """The mean of ``-log softmax(x @ weight.T)[target]`` over rows, a scalar.

    Args:
        x: ``(R, K)``.
        weight: ``(V, K)``.
        targets: int64 ``(R,)``.
    """
    losses: Tensor = _LinearCrossEntropy.apply(x, weight, targets)
    return mean(losses)


class _Mean(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.count = x.shape[0]
        count = torch.full((), ctx.count, dtype=torch.float64, device=x.device)
        from regrow.exact.reference import grid_sum

        return (grid_sum(x, 0) / count).to(torch.float32)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        count = torch.full((), ctx.count, dtype=torch.float32, device=gradients[0].device)
        return (gradients[0] / count).expand(ctx.count)


def mean(x: Tensor) -> Tensor:
    """The mean of a vector, its sum exact."""
    y: Tensor = _Mean.apply(x)
    return y
