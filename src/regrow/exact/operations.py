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
HEAD_ENTRIES = 1 << 22
# Queries of a block of attention.
QUERY_BLOCK = 256


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


@dataclass(frozen=True)
class _Block:
    """Some queries at successive positions, and how many keys the last of them sees."""

    rows: slice
    keys: int


def _blocks(rows: int, positions: int) -> list[_Block]:
    """Blocks of queries; keys that no query of a block may see are never multiplied."""
    return [
        _Block(slice(start + at, start + min(positions, at + QUERY_BLOCK)), min(positions, at + QUERY_BLOCK))
        for start in range(0, rows, positions)
        for at in range(0, positions, QUERY_BLOCK)
    ]


class _Attention(Function):
    @staticmethod
    def forward(ctx: Any, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        ctx.backend = backend = current()
        batch, positions, _, width = q.shape
        queries, keys, values = (grouped(x, k.shape[2]) for x in (q, k, v))
        ctx.scale = 1.0 / width**0.5
        left, right = _split(backend, queries, LEFT), _split(backend, keys, RIGHT_TRANSPOSED)
        held = _split(backend, values, RIGHT)
        totals, out = torch.empty(queries.shape[:2], device=q.device), torch.empty_like(queries)
        weights = []
        for block in _blocks(queries.shape[1], positions):
            rows, seen = block.rows, right.rows(slice(block.keys))
            each = _empty_digits(backend, totals[:, rows], block.keys)
            for tile in backend.tiles(left.rows(rows), seen):
                at = tile.groups, tile.rows
                backend.kernels.attention_weights(
                    tile.high, tile.cross, left.exponents[:, rows][at], seen.exponents[tile.groups], ctx.scale,
                    rows.start % positions + tile.rows.start, each[at], totals[:, rows][at],
                )  # fmt: skip
            for tile in backend.tiles(_numerators(each, LEFT), held.rows(slice(block.keys))):
                at = tile.groups, tile.rows
                backend.kernels.attention_output(
                    tile.high, tile.cross, held.exponents[tile.groups], totals[:, rows][at], out[:, rows][at]
                )
            weights.append(each)
        ctx.save_for_backward(queries, keys, values, totals, out, *weights)
        return ungrouped(out, batch, positions)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        backend: Backend = ctx.backend
        queries, keys, values, totals, out, *weights = ctx.saved_tensors
        batch, positions = gradients[0].shape[:2]
        dout = grouped(gradients[0], keys.shape[0] // batch)
        blocks = _blocks(dout.shape[1], positions)
        dscores = _score_gradients(backend, blocks, dout, values, weights, totals, out, ctx.scale)
        held = _split(backend, keys, RIGHT)
        dq = [backend.matmul(d, held.rows(slice(b.keys))) for b, d in zip(blocks, dscores, strict=True)]
        # The grids of the rows are folded into the queries, so that one set of digits serves both products.
        folded = queries * power_of_two(torch.cat([d.exponents for d in dscores], 1)).to(torch.float32)[:, :, None]
        dk = _transposed_product(backend, blocks, [d.data for d in dscores], folded, positions)
        normal = dout * (torch.full_like(totals, 8192.0) / totals)[:, :, None]
        dv = _transposed_product(backend, blocks, weights, normal, positions)
        return tuple(ungrouped(x, batch, positions) for x in (torch.cat(dq, 1), dk, dv))  # type: ignore[return-value]


def _score_gradients(
    backend: Backend, blocks: list[_Block], dout: Tensor, values: Tensor, weights: list[Tensor], totals: Tensor,
    out: Tensor, scale: float,
) -> list[Digits]:  # fmt: skip
    """The gradient of the scores of each block, on row grids."""
    positions, width = values.shape[1:]
    delta = backend.kernels.row_dot(dout.view(-1, width), out.view(-1, width)).view(totals.shape)
    left, right = _split(backend, dout, LEFT), _split(backend, values, RIGHT_TRANSPOSED)
    found = []
    for block, each in zip(blocks, weights, strict=True):
        rows, seen = block.rows, right.rows(slice(block.keys))
        exponents = torch.empty(totals[:, rows].shape, dtype=torch.int32, device=dout.device)
        digits = Digits(torch.empty_like(each), exponents, LEFT)
        for tile in backend.tiles(left.rows(rows), seen):
            at = tile.groups, tile.rows
            backend.kernels.attention_gradient(
                tile.high, tile.cross, left.exponents[:, rows][at], seen.exponents[tile.groups], each[at],
                totals[:, rows][at], delta[:, rows][at], scale, rows.start % positions + tile.rows.start,
                digits.data[at], exponents[at],
            )  # fmt: skip
        found.append(digits)
    return found


def _transposed_product(
    backend: Backend, blocks: list[_Block], left: list[Tensor], x: Tensor, positions: int
) -> Tensor:
    """The transpose of blocks of digits on the grid 2**-13, times ``x`` ``(G, R, D)``, as float32 ``(G, T, D)``."""
    right = _split(backend, x, RIGHT_OF_TRANSPOSED)
    total = torch.zeros((x.shape[0], positions, x.shape[2]), dtype=torch.float64, device=x.device)
    for block, digits in zip(blocks, left, strict=True):
        for tile in backend.tiles(_numerators(digits, LEFT_TRANSPOSED), right.rows(block.rows)):
            part = tile.high.to(torch.float64) * 16384.0 + tile.cross.to(torch.float64) * 128.0
            total[tile.groups, tile.rows] += part
    return (total * (power_of_two(right.exponents) * 2.0 ** (-2 * OPERAND_BITS))[:, None, :]).to(torch.float32)


def _empty_digits(backend: Backend, totals: Tensor, columns: int) -> Tensor:
    return torch.empty((*totals.shape, 2, columns), dtype=backend.carrier.dtype, device=totals.device)


def _numerators(weights: Tensor, layout: Layout) -> Digits:
    """Digits as an operand whose grid is 2**-13 everywhere, which is exponent 0."""
    groups, rows, _, columns = weights.shape
    exponents = torch.zeros((groups, rows if layout.by_row else columns), dtype=torch.int32, device=weights.device)
    return Digits(weights, exponents, layout)


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

    def _accumulate(self, highest: Tensor, pairs: list[Tensor], right: Digits, total: Tensor) -> None:
        multiply = self.backend.carrier.multiply
        parts = multiply(highest[None], right.high), *(multiply(pair[None], right.both) for pair in pairs)
        top, middle, bottom = (part[0] for part in parts)
        self.backend.kernels.accumulate(top, middle, bottom, total)

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
