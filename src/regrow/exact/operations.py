"""Differentiable operations with exact sums: the public face of ``regrow.exact``.

Each is a ``torch.autograd.Function`` over the kernels of the current backend, so they mix with ordinary modules
and optimizers. All tensors are float32 unless said otherwise. The gradients are those of the exact formulas,
computed on grids of their own.
"""

from __future__ import annotations

from dataclasses import dataclass
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


# Logits of a block of rows in the output layer: 4 MiB.
HEAD_ENTRIES = 1 << 20


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


def grouped(x: Tensor, groups: int) -> Tensor:
    """``(B, T, H, D)`` to ``(B * groups, H / groups * T, D)``: the heads of a group below each other."""
    batch, positions, heads, width = x.shape
    return x.transpose(1, 2).reshape(batch * groups, heads // groups * positions, width)


def ungrouped(x: Tensor, batch: int, positions: int) -> Tensor:
    """The inverse of :func:`grouped`."""
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
        queries, keys, values = (grouped(x, groups) for x in (q, k, v))
        scale = 1.0 / width**0.5
        left, right = _split(backend, queries, LEFT), _split(backend, keys, RIGHT_TRANSPOSED)
        weights = torch.empty(
            (*queries.shape[:2], 2, keys.shape[1]), dtype=backend.carrier.dtype, device=queries.device
        )
        totals = torch.empty(queries.shape[:2], device=queries.device)
        for tile in backend.tiles(left, right):
            at = tile.groups, tile.rows
            exponents = left.exponents[at], right.exponents[tile.groups]
            backend.kernels.attention_weights(
                tile.high, tile.cross, *exponents, scale, tile.rows.start, weights[at], totals[at]
            )
        out = _attention_output(backend, weights, totals, values)
        ctx.save_for_backward(queries, keys, values, weights, totals, out)
        ctx.scale = scale
        return ungrouped(out, batch, positions)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        backend: Backend = ctx.backend
        queries, keys, values, weights, totals, out = ctx.saved_tensors
        batch, positions = gradients[0].shape[:2]
        dout = grouped(gradients[0], keys.shape[0] // batch)
        width = out.shape[2]
        delta = backend.kernels.row_dot(dout.view(-1, width), out.view(-1, width)).view(totals.shape)
        left, right = _split(backend, dout, LEFT), _split(backend, values, RIGHT_TRANSPOSED)
        dscores = Digits(torch.empty_like(weights), torch.empty_like(totals, dtype=torch.int32), LEFT)
        for tile in backend.tiles(left, right):
            at = tile.groups, tile.rows
            exponents = left.exponents[at], right.exponents[tile.groups]
            backend.kernels.attention_gradient(
                tile.high, tile.cross, *exponents, weights[at], totals[at], delta[at], ctx.scale, tile.rows.start,
                dscores.data[at], dscores.exponents[at],
            )  # fmt: skip
        normal = dout * (torch.full_like(totals, 8192.0) / totals)[:, :, None]
        dv = backend.matmul(_numerators(weights, LEFT_TRANSPOSED), _split(backend, normal, RIGHT_OF_TRANSPOSED))
        dq = backend.matmul(dscores, _split(backend, keys, RIGHT))
        # The rows' grids are folded into the queries, so that one set of digits serves both products.
        columns = Digits(dscores.data, _zeros(dscores.data), LEFT_TRANSPOSED)
        dk = backend.matmul(columns, _split(backend, _by_row_exponents(queries, dscores.exponents), RIGHT_OF_TRANSPOSED))
        return tuple(ungrouped(x, batch, positions) for x in (dq, dk, dv))  # type: ignore[return-value]


def _zeros(data: Tensor) -> Tensor:
    return torch.zeros((data.shape[0], data.shape[3]), dtype=torch.int32, device=data.device)


def _numerators(weights: Tensor, layout: Layout) -> Digits:
    """Softmax numerators as an operand; their grid is 2**-13 everywhere, which is exponent 0."""
    groups, rows, _, columns = weights.shape
    exponents = torch.zeros((groups, rows if layout.by_row else columns), dtype=torch.int32, device=weights.device)
    return Digits(weights, exponents, layout)


def _attention_output(backend: Backend, weights: Tensor, totals: Tensor, values: Tensor) -> Tensor:
    right = _split(backend, values, RIGHT)
    out = torch.empty((*totals.shape, values.shape[2]), device=values.device)
    for tile in backend.tiles(_numerators(weights, LEFT), right):
        at = tile.groups, tile.rows
        backend.kernels.attention_output(tile.high, tile.cross, right.exponents[tile.groups], totals[at], out[at])
    return out


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
    """Losses and gradients together, some rows at a time, so that the logits never exist as a whole."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, targets: Tensor) -> Tensor:
        backend = current()
        left, right = _split(backend, x, LEFT), _split(backend, weight, RIGHT_TRANSPOSED)
        wanted = any(ctx.needs_input_grad)
        gradient = _HeadGradient.start(backend, x, weight) if wanted else None
        losses = torch.empty(x.shape[0], device=x.device)
        for rows in _row_blocks(x.shape[0], weight.shape[0]):
            logits = backend.matmul(left.rows(rows), right)[0]
            losses[rows], upper, lower = backend.kernels.cross_entropy(logits, targets[rows], backend.carrier.dtype)
            if gradient:
                gradient.add(rows, upper, lower)
        if gradient:
            ctx.save_for_backward(gradient.dx, gradient.dweight())
        return mean(losses)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, None]:
        dx, dweight = ctx.saved_tensors
        return dx * gradients[0], dweight * gradients[0], None


def _row_blocks(rows: int, columns: int) -> list[slice]:
    """Blocks of rows whose logits take a few megabytes."""
    height = max(64, HEAD_ENTRIES // columns)
    return [slice(start, min(rows, start + height)) for start in range(0, rows, height)]


@dataclass(frozen=True)
class _HeadGradient:
    """The gradient of the mean loss, summed exactly over blocks of rows.

    Attributes:
        weight: the output matrix on column grids.
        x: the inputs on column grids.
        dx: the gradient of the inputs, filled block by block.
        total: the exact integers of the gradient of the weights, float64.
        rows: over how many the loss is a mean.
    """

    backend: Backend
    weight: Digits
    x: Digits
    dx: Tensor
    total: Tensor
    rows: int

    @staticmethod
    def start(backend: Backend, x: Tensor, weight: Tensor) -> _HeadGradient:
        """Nothing added yet."""
        total = torch.zeros(weight.shape, dtype=torch.float64, device=x.device)
        operands = _split(backend, weight, RIGHT), _split(backend, x, RIGHT_OF_TRANSPOSED)
        return _HeadGradient(backend, *operands, torch.empty_like(x), total, x.shape[0])

    def add(self, rows: slice, upper: Tensor, lower: Tensor) -> None:
        """Take in a block's gradient digits, ``(R, 2, C)`` each."""
        count, _, columns = upper.shape
        flat = [d.view(count, 2 * columns) for d in (upper, lower)]
        block = torch.zeros((count, self.dx.shape[1]), dtype=torch.float64, device=self.dx.device)
        self._accumulate(upper[:, 0], flat, self.weight, block)
        self.dx[rows] = self.backend.kernels.round_total(block, self._scale(self.weight))
        turned = [d.view(2 * count, columns).mT for d in (upper, lower)]
        self._accumulate(upper[:, 0].mT, turned, self.x.rows(rows), self.total)

    def dweight(self) -> Tensor:
        """The gradient of the weights, rounded once."""
        return self.backend.kernels.round_total(self.total, self._scale(self.x))

    def _accumulate(self, top: Tensor, pairs: list[Tensor], right: Digits, total: Tensor) -> None:
        multiply = self.backend.carrier.multiply
        parts = multiply(top[None], right.high), *(multiply(pair[None], right.both) for pair in pairs)
        self.backend.kernels.accumulate(*(part[0] for part in parts), total)

    def _scale(self, right: Digits) -> Tensor:
        """What makes an exact integer a gradient of the mean loss."""
        count = torch.full((), self.rows, dtype=torch.float64, device=self.dx.device)
        return power_of_two(right.exponents[0]) * 2.0 ** -(OPERAND_BITS + PROBABILITY_BITS) / count


def linear_cross_entropy(x: Tensor, weight: Tensor, targets: Tensor) -> Tensor:
    """The mean of ``-log softmax(x @ weight.T)[target]`` over rows, a scalar.

    Args:
        x: ``(R, K)``.
        weight: ``(V, K)``.
        targets: int64 ``(R,)``.
    """
    loss: Tensor = _LinearCrossEntropy.apply(x, weight, targets)
    return loss


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
