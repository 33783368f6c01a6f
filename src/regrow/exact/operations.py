"""Differentiable operations with exact sums: those of the decoder; :mod:`regrow.exact.layers` has the others.

Each is a ``torch.autograd.Function`` over the kernels of the current backend, so they mix with ordinary modules
and optimizers. All tensors are float32 unless said otherwise. The gradients are those of the exact formulas,
computed on grids of their own; they have no second derivatives.

Letters in docstrings: B sequences, T positions, H heads, D width of a head, R rows, K depth, C and N columns,
V vocabulary. Arguments that cannot be taken are an :class:`regrow.exact.checks.ArgumentError`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any, TypeVar, cast

import torch
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from regrow.exact import checks, constant
from regrow.exact.backend import Backend, block_divisor, device_scale, numerators
from regrow.exact.blend import Blend
from regrow.exact.definition import grid_sum
from regrow.exact.gemm import Packed, WholeProducts
from regrow.exact.grid import (
    LEFT,
    LEFT_TRANSPOSED,
    OPERAND_BITS,
    PROBABILITY_BITS,
    RIGHT,
    RIGHT_OF_TRANSPOSED,
    RIGHT_TRANSPOSED,
    Block,
    Digits,
    Layout,
    Numbers,
    power_of_two,
    power_of_two_float32,
)
from regrow.exact.selection import current

# Logits of a block of rows in the output layer: 16 MiB, on a CPU; but at least so many rows, or the half of them, which
# are the depth of the product that gives the matrix's gradient.
HEAD_ENTRIES = 1 << 22
HEAD_ROWS = 1024
# Rows of the output matrix whose gradient is summed at a time in float64: those of one block stay in the cache.
HEAD_TOTALS = 1 << 12
# Queries of a block of attention, or the half of them. Smaller blocks skip more keys that no query may see, larger ones
# make better products.
QUERY_BLOCK = 512
# Numerators of 13 bits add up within int32 for so many keys.
MOST_POSITIONS = 1 << 17
# Gradients of 20 bits times operands of 13 add up within float64 for so many rows.
MOST_HEAD_ROWS = 1 << 19

# Whether the backward pass that runs leaves what it used for another one (`retain_graph`), which it might where torch
# does not tell.
_graph_is_kept: Any = getattr(torch._C._autograd, "_get_current_graph_task_keep_graph", lambda: True)

Backward = TypeVar("Backward", bound=Callable[..., Any])


def once(backward: Backward) -> Backward:
    """Refuse second derivatives: gradients are made by kernels that autograd does not see, so they would be wrong."""
    return cast(Backward, once_differentiable(backward))


def _split(backend: Backend, x: Tensor, layout: Layout) -> Digits:
    """The digits of an operand; those of a constant are made once."""
    dtype = backend.gemm.dtype
    return constant.kept(x, dtype, (layout, dtype), lambda: backend.kernels.split(_matrices(x), layout, dtype))


def _operand(backend: Backend, x: Tensor, layout: Layout) -> Digits | Numbers:
    """A left operand of one rounded product."""
    return backend.operand(_matrices(x), layout)


def _factor(backend: Backend, x: Tensor, layout: Layout) -> Digits | Numbers | Packed:
    """A right operand of rounded products, as they take it; likewise."""
    if backend.gemm.fused is None and backend.gemm.whole is None:
        return _split(backend, x, layout)
    key = layout, str(backend)
    return constant.kept(x, backend.gemm.dtype, key, lambda: backend.packed(_operand(backend, x, layout)))


def _matrices(x: Tensor) -> Tensor:
    """float32 ``(G, R, C)`` of what is to be brought to grids: one group, if it is a matrix."""
    if torch.is_autocast_enabled(x.device.type):
        raise checks.ArgumentError(
            "exact products cannot be taken under `torch.autocast`",
            why="it would round their integers to fewer bits",
            hint="leave autocast out, or wrap these calls in `torch.autocast(..., enabled=False)`",
        )
    return (x if x.dim() == 3 else x[None]).to(torch.float32)


class _Linear(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor) -> Tensor:
        ctx.backend = backend = current(x)
        moves, changes = ctx.needs_input_grad
        ctx.save_for_backward(x if changes else None, weight if moves else None)
        return backend.matmul(_operand(backend, x, LEFT), _factor(backend, weight, RIGHT_TRANSPOSED))[0]

    @staticmethod
    @once
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, Tensor | None]:
        (dy,), (x, weight), backend = gradients, ctx.saved_tensors, ctx.backend
        dx = dweight = None
        if ctx.needs_input_grad[0]:
            dx = backend.matmul(_operand(backend, dy, LEFT), _factor(backend, weight, RIGHT))[0]
        if ctx.needs_input_grad[1]:
            left = _operand(backend, dy, LEFT_TRANSPOSED)
            dweight = backend.matmul(left, _factor(backend, x, RIGHT_OF_TRANSPOSED))[0]
        return dx, dweight


class _Bias(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, bias: Tensor) -> Tensor:
        ctx.backend = current(x)
        return x + bias

    @staticmethod
    @once
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor]:
        return gradients[0], ctx.backend.kernels.column_sum(gradients[0])


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """``x @ weight.T + bias``.

    Backward: ``dx = dy @ weight``, ``dweight = dy.T @ x``, and ``dbias`` is the sum of ``dy`` over rows.

    Args:
        x: ``(..., K)``.
        weight: ``(N, K)``; bfloat16 or float16 too, if it needs no gradient.
        bias: ``(N,)``, added in float32 to the rounded product.
    """
    checks.floats("linear", x=x, weight=weight, shorter=("weight",))
    hint = "its last axis must be as long as that of `x`"
    checks.shape("linear", "weight", weight, (None, checks.last("linear", "x", x)), hint)
    rows = x.reshape(-1, x.shape[-1])
    checks.addends("linear", "x", x, max(*rows.shape, weight.shape[0]))
    y: Tensor = _Linear.apply(rows, weight)
    if bias is not None:
        checks.floats("linear", x=x, bias=bias)
        checks.shape("linear", "bias", bias, (weight.shape[0],), "it needs an entry for each row of `weight`")
        y = _Bias.apply(y, bias)
    return y.view(*x.shape[:-1], weight.shape[0])


class _LowRank(Function):
    """Digits of rows are made once for all products: where a sum runs over rows, their grids are folded into the other
    operand, a narrow one.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, a: Tensor, b: Tensor) -> Tensor:
        ctx.backend = backend = current(x)
        matrices = (_factor(backend, matrix, RIGHT_TRANSPOSED) for matrix in (weight, a, b))
        y, narrow, rows = backend.low_rank(_matrices(x), *matrices)
        ctx.save_for_backward(rows.data.to(torch.int8), rows.exponents, narrow[0], weight, a, b)
        return y[0]

    @staticmethod
    @once
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, None, Tensor, Tensor]:
        backend: Backend = ctx.backend
        data, exponents, narrow, weight, a, b = ctx.saved_tensors
        dx, back = None, _factor(backend, b, RIGHT)
        if ctx.needs_input_grad[0]:
            wide, into = _factor(backend, weight, RIGHT), _factor(backend, a, RIGHT)
            found, dnarrow, rows = backend.low_rank(_matrices(gradients[0]), wide, back, into)
            dx = found[0]
        else:
            rows = _split(backend, gradients[0], LEFT)
            dnarrow = backend.matmul(rows, back)
        seen = Digits(data.to(backend.gemm.dtype), exponents, LEFT)
        return dx, None, _over_rows(backend, seen, dnarrow[0]).mT, _over_rows(backend, rows, narrow)


def _over_rows(backend: Backend, left: Digits, x: Tensor) -> Tensor:
    """The transpose of an operand on row grids times ``x`` ``(R, N)``."""
    folded = x * power_of_two_float32(left.exponents[0])[:, None]
    return backend.matmul(numerators(left.data, LEFT_TRANSPOSED), _factor(backend, folded, RIGHT_OF_TRANSPOSED))[0]


def low_rank(x: Tensor, weight: Tensor, a: Tensor, b: Tensor, bias: Tensor | None = None) -> Tensor:
    """``x @ weight.T + (x @ a.T) @ b.T + bias``: a frozen matrix with two narrow ones beside it (Hu et al., 2021).

    Each product is rounded to float32, and so are the sums of them. Backward, with ``g = dy @ b``: ``dx = dy @ weight +
    g @ a``, ``da = g.T @ x`` and ``db = dy.T @ (x @ a.T)``.

    Args:
        x: ``(..., K)``.
        weight: ``(N, K)``; it gets no gradient, and may be bfloat16 or float16.
        a: ``(R, K)``.
        b: ``(N, R)``.
        bias: ``(N,)``.
    """
    checks.floats("low_rank", x=x, weight=weight, a=a, b=b, shorter=("weight",))
    hint = "its last axis must be as long as that of `x`"
    for name, matrix in (("weight", weight), ("a", a)):
        checks.shape("low_rank", name, matrix, (None, checks.last("low_rank", "x", x)), hint)
    checks.shape("low_rank", "b", b, (weight.shape[0], a.shape[0]), "rows as `weight`, columns as `a` has rows")
    if weight.requires_grad:
        raise checks.refused("low_rank", "weight", weight, "it is frozen", "train `a` and `b` alone")
    rows = x.reshape(-1, x.shape[-1])
    checks.addends("low_rank", "x", x, max(*rows.shape, weight.shape[0]))
    y: Tensor = _LowRank.apply(rows, weight, a, b)
    if bias is not None:
        checks.floats("low_rank", x=x, bias=bias)
        checks.shape("low_rank", "bias", bias, (weight.shape[0],), "it needs an entry for each row of `weight`")
        y = _Bias.apply(y, bias)
    return y.view(*x.shape[:-1], weight.shape[0])


class _RMSNorm(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, gain: Tensor, epsilon: float) -> Tensor:
        ctx.backend = current(x)
        y, inverse = ctx.backend.kernels.rms_norm(x, gain, epsilon)
        ctx.save_for_backward(x, gain, inverse)
        return y

    @staticmethod
    @once
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor | None, None]:
        given = gradients[0], *ctx.saved_tensors
        dx, dgain = ctx.backend.kernels.rms_norm_backward(*given, changes=ctx.needs_input_grad[1])
        return dx, dgain, None


def rms_norm(x: Tensor, gain: Tensor, epsilon: float = 1e-5) -> Tensor:
    """Root-mean-square normalisation over the last axis (Zhang and Sennrich, 2019).

    ``y = x i gain`` with ``i = 1 / sqrt(mean(x**2) + epsilon)``. Backward, with ``n = x i`` and ``s = dy gain``:
    ``dx = i (s - n mean(s n))``, and ``dgain`` is the sum of ``dy n`` over rows.

    Args:
        x: ``(..., C)``; squares must stay finite.
        gain: ``(C,)``.
        epsilon: at least 0.
    """
    checks.floats("rms_norm", x=x, gain=gain)
    checks.shape(
        "rms_norm", "gain", gain, (checks.last("rms_norm", "x", x),), "it needs an entry for each column of `x`"
    )
    epsilon = checks.number("rms_norm", "epsilon", epsilon)
    rows = x.reshape(-1, x.shape[-1]).contiguous()
    checks.addends("rms_norm", "x", x, max(rows.shape))
    y: Tensor = _RMSNorm.apply(rows, gain.contiguous(), epsilon)
    return y.view(x.shape)


class _SwiGLU(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.backend = current(x)
        ctx.save_for_backward(x)
        return ctx.backend.kernels.swiglu(x)

    @staticmethod
    @once
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        return ctx.backend.kernels.swiglu_backward(gradients[0], *ctx.saved_tensors)


def swiglu(x: Tensor) -> Tensor:
    """``silu(gate) * up`` where the last axis holds gate and up side by side (Shazeer, 2020).

    Backward, with ``z = sigmoid(gate)``: ``dgate = dy up (z + gate z (1 - z))`` and ``dup = dy gate z``.

    Args:
        x: ``(..., 2 F)``.

    Returns:
        ``(..., F)``.
    """
    checks.floats("swiglu", x=x)
    if checks.last("swiglu", "x", x) % 2:
        raise checks.refused("swiglu", "x", x, "its last axis must hold two halves of one length")
    y: Tensor = _SwiGLU.apply(x.reshape(-1, x.shape[-1]).contiguous())
    return y.view(*x.shape[:-1], x.shape[-1] // 2)


class _Rotate(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, cosine: Tensor, sine: Tensor, heads: int) -> Tensor:
        ctx.backend, ctx.heads = current(x), heads
        ctx.save_for_backward(cosine, sine)
        return ctx.backend.kernels.rotate(x, cosine, sine, heads)

    @staticmethod
    @once
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None, None]:
        cosine, sine = ctx.saved_tensors
        return ctx.backend.kernels.rotate(gradients[0], cosine, -sine, ctx.heads), None, None, None


def rotate(x: Tensor, cosine: Tensor, sine: Tensor, heads: int) -> Tensor:
    """Rotary position embedding (Su et al., 2021) of the first ``heads`` heads of ``(B, T, H, D)``.

    The first half of a head holds first coordinates, the second half second ones. Backward turns back.

    Args:
        x: ``(B, T, H, D)``, D even.
        cosine: ``(T, D / 2)``; see :func:`regrow.exact.layers.rotary_tables`.
        sine: as ``cosine``.
        heads: how many are turned; the rest (the values) are passed through.
    """
    checks.floats("rotate", x=x, cosine=cosine, sine=sine)
    checks.shape("rotate", "x", x, (None, None, None, None), "its axes are batch, positions, heads, width")
    if x.shape[3] % 2:
        raise checks.refused("rotate", "x", x, "the width of a head must be even")
    for name, table in (("cosine", cosine), ("sine", sine)):
        hint = "it needs a row for each position of `x` and a column for each pair"
        checks.shape("rotate", name, table, (x.shape[1], x.shape[3] // 2), hint)
    checks.integer("rotate", "heads", heads, 0, x.shape[2])
    y: Tensor = _Rotate.apply(x, cosine, sine, heads)
    return y


def grouped(x: Tensor, groups: int) -> Tensor:
    """``(B, T, H, D)`` to ``(B * groups, H / groups * T, D)``: the heads of a group below each other."""
    batch, positions, heads, width = x.shape
    return x.transpose(1, 2).reshape(batch * groups, heads // groups * positions, width)


def ungrouped(x: Tensor, batch: int, positions: int) -> Tensor:
    """The inverse of :func:`grouped`."""
    return x.view(batch, -1, positions, x.shape[2]).transpose(1, 2)


def _blocks(backend: Backend, x: Tensor, positions: int) -> list[Block]:
    """Blocks of the rows of ``(G, R, D)``; keys that no query of a block may see are never multiplied."""
    size = QUERY_BLOCK // block_divisor(backend, x)
    return [
        Block(slice(start + at, start + min(positions, at + size)), at, min(positions, at + size))
        for start in range(0, x.shape[1], positions)
        for at in range(0, positions, size)
    ]


def _parts(backend: Backend, operand: Digits) -> Callable[[int], Digits | Packed]:
    """The first so many rows of an operand, once for all blocks that ask for as many: those of each head of a group."""
    return cache(lambda count: backend.packed(operand.rows(slice(count)), count, operand.data.shape[-1]))


class _Attention(Function):
    @staticmethod
    def forward(ctx: Any, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        ctx.backend = backend = current(q)
        batch, positions, _, width = q.shape
        queries, keys, values = (grouped(x, k.shape[2]) for x in (q, k, v))
        ctx.scale = 1.0 / math.sqrt(width)
        left, right = _split(backend, queries, LEFT), _split(backend, keys, RIGHT_TRANSPOSED)
        held = _split(backend, values, RIGHT)
        totals, out = torch.empty(queries.shape[:2], dtype=torch.float32, device=q.device), torch.empty_like(queries)
        seen, means = _parts(backend, right), _parts(backend, held)
        weights = []
        for block in _blocks(backend, queries, positions):
            shape = totals.shape[0], block.rows.stop - block.rows.start, 2, block.keys
            digits = torch.empty(shape, dtype=backend.gemm.dtype, device=q.device)
            backend.attend(block, left, seen(block.keys), means(block.keys), ctx.scale, digits, totals, out)
            weights.append(digits.to(torch.int8))  # what is kept, whatever multiplied them
        ctx.save_for_backward(queries, keys, values, totals, out, *weights)
        return ungrouped(out, batch, positions)

    @staticmethod
    @once
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        backend: Backend = ctx.backend
        queries, keys, values, totals, out, *kept = ctx.saved_tensors
        weights = [digits.to(backend.gemm.dtype) for digits in kept]
        batch, positions, _, width = gradients[0].shape
        dout = grouped(gradients[0], keys.shape[0] // batch)
        delta = backend.kernels.row_dot(dout.reshape(-1, width), out.reshape(-1, width)).view(totals.shape)
        left, right = _split(backend, dout, LEFT), _split(backend, values, RIGHT_TRANSPOSED)
        held, dq = _split(backend, keys, RIGHT), torch.empty_like(queries)
        blocks = _blocks(backend, dout, positions)
        seen, means = _parts(backend, right), _parts(backend, held)
        dscores = []
        for block, digits in zip(blocks, weights, strict=True):
            parts = seen(block.keys), means(block.keys)
            dscores.append(backend.attend_backward(block, left, *parts, ctx.scale, digits, totals, delta, dq))
        # The grids of the rows are folded into the queries, so that one set of digits serves both products.
        folded = queries * power_of_two_float32(torch.cat([d.exponents for d in dscores], 1))[:, :, None]
        dk = backend.over_queries(blocks, [d.data for d in dscores], _split(backend, folded, RIGHT_OF_TRANSPOSED))
        normal = dout * (torch.full_like(totals, 8192.0) / totals)[:, :, None]
        dv = backend.over_queries(blocks, weights, _split(backend, normal, RIGHT_OF_TRANSPOSED))
        return tuple(ungrouped(x, batch, positions) for x in (dq, dk, dv))  # type: ignore[return-value]


class _WholeAttention(Function):
    """Where the GEMM backend computes attention as a whole: weights are not kept, and made anew backwards."""

    @staticmethod
    def forward(ctx: Any, whole: WholeProducts, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        batch, positions, _, width = q.shape
        ctx.whole, ctx.scale = whole, 1.0 / math.sqrt(width)
        queries, keys, values = (_matrices(grouped(x, k.shape[2])) for x in (q, k, v))
        found = whole.attention(queries, keys, values, ctx.scale)
        ctx.save_for_backward(queries, keys, values, *found)
        return ungrouped(found[0], batch, positions)

    @staticmethod
    @once
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        q, k, v, *found = ctx.saved_tensors
        batch, positions, *_ = gradients[0].shape
        dout = grouped(gradients[0], k.shape[0] // batch)
        made = ctx.whole.attention_backward(dout, q, k, v, tuple(found), ctx.scale)
        return None, *(ungrouped(x, batch, positions) for x in made)


def attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Causal softmax attention (Vaswani et al., 2017), with grouped queries (Ainslie et al., 2023) if ``G < H``.

    Query ``t`` sees keys ``0..t``; scores are scaled by ``D ** -0.5``. With ``p`` the weights and ``g = dy @ v.T``,
    backward is ``ds = p (g - sum(dy y)) D ** -0.5``, ``dq = ds @ k``, ``dk = ds.T @ q`` and ``dv = p.T @ dy``.

    Args:
        q: ``(B, T, H, D)``.
        k: ``(B, T, G, D)`` where G divides H: query head ``h`` uses key head ``h // (H / G)``.
        v: as ``k``.

    Returns:
        ``(B, T, H, D)``.
    """
    checks.floats("attention", q=q, k=k, v=v)
    checks.shape("attention", "q", q, (None, None, None, None), "its axes are batch, positions, heads, width")
    batch, positions, heads, width = q.shape
    for name, x in (("k", k), ("v", v)):
        checks.shape("attention", name, x, (batch, positions, None if x is k else k.shape[2], width), "to go with `q`")
    if heads % k.shape[2]:
        raise checks.refused("attention", "k", k, f"its heads do not divide the {heads} heads of `q`")
    checks.addends("attention", "q", q, positions, MOST_POSITIONS)
    rows = heads // k.shape[2] * positions
    checks.addends("attention", "q", q, max(width, rows))
    whole = current(q).whole(rows, width)
    out: Tensor = (
        _WholeAttention.apply(whole, q, k, v) if whole and whole.takes(rows, width) else _Attention.apply(q, k, v)
    )
    return out


class _Embedding(Function):
    @staticmethod
    def forward(ctx: Any, ids: Tensor, weight: Tensor) -> Tensor:
        ctx.backend, ctx.rows = current(weight), weight.shape[0]
        ctx.save_for_backward(ids)
        return weight.index_select(0, ids).to(torch.float32)

    @staticmethod
    @once
    def backward(ctx: Any, *gradients: Tensor) -> tuple[None, Tensor]:
        return None, ctx.backend.kernels.embedding_backward(gradients[0], ctx.saved_tensors[0], ctx.rows)


def embedding(ids: Tensor, weight: Tensor) -> Tensor:
    """Rows of a table.

    Backward: a row of ``dweight`` is the sum of the gradients of the places where it went.

    Args:
        ids: int64 of any shape, within ``0..V - 1``.
        weight: ``(V, C)``; bfloat16 or float16 too, if it needs no gradient.

    Returns:
        float32 ``(*ids.shape, C)``.
    """
    checks.floats("embedding", weight=weight, shorter=("weight",))
    checks.shape("embedding", "weight", weight, (None, None))
    checks.identifiers("embedding", "ids", ids, weight, weight.shape[0])
    checks.addends("embedding", "ids", ids, ids.numel())
    y: Tensor = _Embedding.apply(ids.reshape(-1).contiguous(), weight)
    return y.view(*ids.shape, weight.shape[1])


class _GroupSums(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, ids: Tensor, groups: int) -> Tensor:
        ctx.save_for_backward(ids)
        return current(x).kernels.embedding_backward(x[:, None], ids, groups)[:, 0]

    @staticmethod
    @once
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        return gradients[0].index_select(0, ctx.saved_tensors[0]), None, None


def group_sums(x: Tensor, ids: Tensor, groups: int) -> Tensor:
    """The sums of the entries of a vector by the group that each is in, exact on one grid: an embedding backwards.

    Backward: ``dx = dy[ids]``.

    Args:
        x: ``(R,)``.
        ids: int64 ``(R,)``, within ``0..groups - 1``.
        groups: how many.

    Returns:
        ``(groups,)``; 0 for a group that nothing is in.
    """
    checks.floats("group_sums", x=x)
    checks.shape("group_sums", "x", x, (None,), "flatten it with `x.reshape(-1)`")
    checks.identifiers("group_sums", "ids", ids, x, groups)
    checks.shape("group_sums", "ids", ids, tuple(x.shape), "it needs an entry for each of `x`")
    checks.addends("group_sums", "x", x, x.shape[0])
    y: Tensor = _GroupSums.apply(x.contiguous(), ids.contiguous(), groups)
    return y


HeadLosses = Callable[[slice, Tensor], tuple[Tensor, Tensor, Tensor]]
"""Rows and their logits to losses and gradient digits, as the kernel ``cross_entropy`` gives them."""


def _head_height(backend: Backend, x: Tensor, weight: Tensor) -> int:
    """How many rows at a time."""
    return max(HEAD_ROWS // block_divisor(backend, x), HEAD_ENTRIES * device_scale(x) // weight.shape[0])


def _head_blocks(
    backend: Backend, x: Tensor, weight: Tensor, of: HeadLosses
) -> Iterator[tuple[slice, Tensor, Tensor, Tensor]]:
    """Some rows at a time, with their losses and gradient digits, so that the logits never exist as a whole."""
    left, right = _operand(backend, x, LEFT), _factor(backend, weight, RIGHT_TRANSPOSED)
    for rows in _row_blocks(x.shape[0], _head_height(backend, x, weight)):
        yield rows, *of(rows, backend.matmul(left.rows(rows), right)[0])


def _head_loss(ctx: Any, backend: Backend, x: Tensor, weight: Tensor, of: HeadLosses, steepness: float = 1.0) -> Tensor:
    """Losses and gradients together."""
    moves, changes = ctx.needs_input_grad[:2]
    height, start = _head_height(backend, x, weight), _HeadGradient.start
    gradient = start(backend, x, weight, steepness, moves, changes, height) if moves or changes else None
    losses = torch.empty(x.shape[0], dtype=torch.float32, device=x.device)
    for rows, some, upper, lower in _head_blocks(backend, x, weight, of):
        losses[rows] = some
        if gradient:
            gradient.add(rows, upper, lower)
    if gradient:
        dx, dweight = gradient.dx, gradient.dweight
        finite = losses.isfinite()
        if not bool(finite.all()):  # the digits of a row that is not finite are those of its target alone
            if dx is not None:
                dx[~finite] = torch.nan
            if dweight is not None:
                dweight.fill_(torch.nan)
        ctx.save_for_backward(dx, dweight)
    return mean(losses)


class _LinearCrossEntropy(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, targets: Tensor) -> Tensor:
        backend = current(x)

        def of(rows: slice, logits: Tensor) -> tuple[Tensor, Tensor, Tensor]:
            return backend.kernels.cross_entropy(logits, targets[rows], backend.gemm.dtype)

        return _head_loss(ctx, backend, x, weight, of)

    @staticmethod
    @once
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        dx, dweight = _times(ctx.saved_tensors, gradients[0])
        return dx, dweight, None


class _LinearLogProbabilities(Function):
    """What each row's gradient is to be multiplied by is known in the end only, so logits are made once more for it."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, targets: Tensor) -> Tensor:
        backend = current(x)

        def of(rows: slice, logits: Tensor) -> tuple[Tensor, Tensor, Tensor]:
            return backend.kernels.cross_entropy(logits, targets[rows], backend.gemm.dtype)

        ctx.backend, ctx.of = backend, of
        found = torch.empty(x.shape[0], dtype=torch.float32, device=x.device)
        for rows, losses, _, _ in _head_blocks(backend, x, weight, of):
            found[rows] = -losses
        ctx.save_for_backward(x, weight, found)
        return found

    @staticmethod
    @once
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        backend, (x, weight, found) = ctx.backend, ctx.saved_tensors
        # The digits are the gradients of losses, and in a row that is not finite those of its target alone.
        factors = torch.where(found.isfinite(), -gradients[0], torch.nan)[:, None]
        # Of their sum: as steep as the mean of so many.
        moves, changes = ctx.needs_input_grad[:2]
        height = _head_height(backend, x, weight)
        gradient = _HeadGradient.start(backend, x * factors, weight, float(x.shape[0]), moves, changes, height)
        for rows, _, upper, lower in _head_blocks(backend, x, weight, ctx.of):
            gradient.add(rows, upper, lower)
        return None if gradient.dx is None else gradient.dx * factors, gradient.dweight, None


def linear_log_probabilities(x: Tensor, weight: Tensor, targets: Tensor) -> Tensor:
    """``log softmax(x @ weight.T)[target]`` of each row.

    As in :func:`linear_cross_entropy` the logits never exist as a whole; backward computes them again. Backward, with
    ``g = onehot(target) - softmax``: ``dx = dy (g @ weight)`` and ``dweight = g.T @ (dy x)``.

    Args:
        x: ``(R, K)``.
        weight: ``(V, K)``; bfloat16 or float16 too, if it needs no gradient.
        targets: int64 ``(R,)``, within ``0..V - 1``.

    Returns:
        ``(R,)``.
    """
    name = "linear_log_probabilities"
    checks.floats(name, x=x, weight=weight, shorter=("weight",))
    checks.shape(name, "x", x, (None, None), "flatten all axes but the last")
    checks.shape(name, "weight", weight, (None, x.shape[1]), "its last axis must be as long as that of `x`")
    checks.identifiers(name, "targets", targets, weight, weight.shape[0])
    checks.shape(name, "targets", targets, (x.shape[0],), "it needs an entry for each row")
    checks.addends(name, "x", x, x.shape[0], MOST_HEAD_ROWS)
    checks.addends(name, "weight", weight, max(weight.shape))
    found: Tensor = _LinearLogProbabilities.apply(x.contiguous(), weight, targets.contiguous())
    return found


class _LinearDistillation(Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, targets: Tensor, teacher: tuple[Tensor, Tensor], blend: Blend, top: int
    ) -> Tensor:
        backend, (states, matrix) = current(x), teacher
        left, right = _operand(backend, states, LEFT), _factor(backend, matrix, RIGHT_TRANSPOSED)

        def of(rows: slice, logits: Tensor) -> tuple[Tensor, Tensor, Tensor]:
            likely = _most_likely(backend.matmul(left.rows(rows), right)[0], top)
            return backend.kernels.distillation(logits, likely, targets[rows], blend, backend.gemm.dtype)

        return _head_loss(ctx, backend, x, weight, of, blend.steepness)

    @staticmethod
    @once
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        dx, dweight = _times(ctx.saved_tensors, gradients[0])
        return dx, dweight, None, None, None, None


def _most_likely(logits: Tensor, top: int) -> Tensor:
    """The largest logits of each row, and minus infinity for the rest; of equal ones the first. 0 keeps them all."""
    if not 0 < top < logits.shape[1]:
        return logits
    least = logits.topk(top, dim=1).values.amin(1, keepdim=True)
    above, equal = logits > least, logits == least
    room = top - above.sum(1, keepdim=True)
    kept = above | (equal & (equal.cumsum(1) <= room))
    return logits.masked_fill(~kept, -torch.inf)


def _times(made: tuple[Tensor | None, ...], factor: Tensor) -> tuple[Tensor | None, ...]:
    """Gradients of a loss, times that of the loss itself: what whoever asks may add to in place. Who may ask again gets
    new tensors, all others those that were made.
    """
    if _graph_is_kept():
        return tuple(None if one is None else one * factor for one in made)
    if float(factor) != 1.0:
        for one in made:
            if one is not None:
                one.mul_(factor)
    return made


def _row_blocks(rows: int, height: int) -> list[slice]:
    return [slice(start, min(rows, start + height)) for start in range(0, rows, height)]


@dataclass(frozen=True)
class _HeadGradient:
    """The gradient of the mean loss, summed exactly over blocks of rows; of what is asked for alone.

    Attributes:
        weight: the output matrix on column grids.
        x: the inputs on column grids.
        dx: the gradient of the inputs, filled block by block.
        dweight: the gradient of the weights, filled with the last block.
        total: its exact integers, float64; None if there is but one block.
        count: over how many rows the loss is a mean, divided by what the digits' gradient is to be multiplied by.
    """

    backend: Backend
    weight: Digits | None
    x: Digits | None
    dx: Tensor | None
    dweight: Tensor | None
    total: Tensor | None
    count: float

    @staticmethod
    def start(
        backend: Backend, x: Tensor, weight: Tensor, steepness: float, moves: bool, changes: bool, height: int
    ) -> _HeadGradient:
        """Nothing added yet, of the gradient of ``x`` if it ``moves``, and of the weights if they are to ``change``.
        Blocks have at most ``height`` rows.
        """
        several = changes and x.shape[0] > height
        return _HeadGradient(
            backend,
            _split(backend, weight, RIGHT) if moves else None,
            _split(backend, x, RIGHT_OF_TRANSPOSED) if changes else None,
            torch.empty_like(x) if moves else None,
            torch.empty(weight.shape, dtype=torch.float32, device=x.device) if changes else None,
            torch.zeros(weight.shape, dtype=torch.float64, device=x.device) if several else None,
            x.shape[0] / steepness,
        )

    def add(self, rows: slice, upper: Tensor, lower: Tensor) -> None:
        """Take in a block's gradient digits, ``(R, 2, C)`` each."""
        if self.weight is not None and self.dx is not None:
            block = torch.zeros((len(upper), self.dx.shape[1]), dtype=torch.float64, device=self.dx.device)
            self.backend.add_deep(upper, lower, self.weight, block)
            self.dx[rows] = self.backend.kernels.round_total(block, self._scale(self.weight))
        if self.x is not None and self.dweight is not None:
            for some in _row_blocks(len(self.dweight), HEAD_TOTALS * device_scale(self.dweight)):
                self._add_to_weights(some, rows, self.x, self.dweight[some], upper[..., some], lower[..., some])

    def _add_to_weights(
        self, some: slice, rows: slice, x: Digits, dweight: Tensor, upper: Tensor, lower: Tensor
    ) -> None:
        """Take in what a block adds to some rows of the weights' gradient, and round them with the last block."""
        if self.total is None:
            self.backend.deep(upper, lower, x.rows(rows), self._scale(x), dweight)
            return
        self.backend.add_deep(upper, lower, x.rows(rows), self.total[some])
        if rows.stop == x.data.shape[1]:
            dweight.copy_(self.backend.kernels.round_total(self.total[some], self._scale(x)))

    def _scale(self, right: Digits) -> Tensor:
        """What makes an exact integer a gradient of the mean loss."""
        count = torch.full((), self.count, dtype=torch.float64, device=right.exponents.device)
        return power_of_two(right.exponents[0]) * 2.0 ** -(OPERAND_BITS + PROBABILITY_BITS) / count


def linear_cross_entropy(x: Tensor, weight: Tensor, targets: Tensor) -> Tensor:
    """The mean of ``-log softmax(x @ weight.T)[target]`` over rows, a scalar.

    The logits never exist as a whole, and their gradient has three digits, so that improbable tokens are still
    pushed down; prefer it to ``cross_entropy(linear(x, weight), targets)``, which gives the same loss. Backward:
    ``g = (softmax - onehot(target)) / R``, ``dx = g @ weight`` and ``dweight = g.T @ x``.

    Args:
        x: ``(..., K)``.
        weight: ``(V, K)``; bfloat16 or float16 too, if it needs no gradient.
        targets: int64 of the shape of ``x`` without its last axis, within ``0..V - 1``.
    """
    checks.floats("linear_cross_entropy", x=x, weight=weight, shorter=("weight",))
    hint = "its last axis must be as long as that of `x`"
    checks.shape("linear_cross_entropy", "weight", weight, (None, checks.last("linear_cross_entropy", "x", x)), hint)
    checks.identifiers("linear_cross_entropy", "targets", targets, weight, weight.shape[0])
    checks.shape("linear_cross_entropy", "targets", targets, tuple(x.shape[:-1]), "it needs an entry for each row")
    checks.addends("linear_cross_entropy", "x", x, targets.numel(), MOST_HEAD_ROWS)
    checks.addends("linear_cross_entropy", "weight", weight, max(weight.shape))
    rows = x.reshape(-1, x.shape[-1]).contiguous()
    loss: Tensor = _LinearCrossEntropy.apply(rows, weight, targets.reshape(-1).contiguous())
    return loss


def linear_distillation(
    x: Tensor,
    weight: Tensor,
    targets: Tensor,
    teacher: tuple[Tensor, Tensor],
    temperature: float = 1.0,
    share: float = 0.5,
    top: int = 0,
) -> Tensor:
    """The mean over rows of ``share * temperature**2 * KL(p || q) + (1 - share) * -log softmax(z)[target]``, a scalar.

    ``z = x @ weight.T`` are the student's logits, ``t`` the teacher's, ``q = softmax(z / temperature)`` and ``p =
    softmax(t / temperature)`` (Hinton et al., 2015, whose convention the square is). As in
    :func:`linear_cross_entropy` neither the student's logits nor the teacher's ever exist as a whole. Backward: ``g =
    (share * temperature * (q - p) + (1 - share) * (softmax(z) - onehot(target))) / R``, ``dx = g @ weight`` and
    ``dweight = g.T @ x``; the teacher has no gradient.

    Args:
        x: ``(..., K)``.
        weight: ``(V, K)``; bfloat16 or float16 too, if it needs no gradient.
        targets: int64 of the shape of ``x`` without its last axis, within ``0..V - 1``.
        teacher: what its output matrix reads, ``(..., L)``, and that matrix, ``(V, L)``, likewise.
        temperature: above 0.
        share: of the divergence, 0 to 1.
        top: how many of the teacher's largest logits are kept, of equal ones the first; the rest have ``p = 0``. 0
            keeps all.
    """
    name, (states, matrix) = "linear_distillation", teacher
    checks.floats(name, x=x, weight=weight, states=states, matrix=matrix, shorter=("weight", "matrix"))
    hint = "its last axis must be as long as that of `x`"
    checks.shape(name, "weight", weight, (None, checks.last(name, "x", x)), hint)
    checks.identifiers(name, "targets", targets, weight, weight.shape[0])
    checks.shape(name, "targets", targets, tuple(x.shape[:-1]), "it needs an entry for each row")
    checks.shape(name, "states", states, (*x.shape[:-1], None), "it needs a row for each row of `x`")
    columns = checks.last(name, "states", states)
    checks.shape(name, "matrix", matrix, (weight.shape[0], columns), "it needs a row for each row of `weight`")
    checks.addends(name, "x", x, targets.numel(), MOST_HEAD_ROWS)
    checks.addends(name, "weight", weight, max(weight.shape))
    checks.addends(name, "matrix", matrix, max(matrix.shape))
    checks.integer(name, "top", top, 0, (1 << 31) - 1)
    blend = Blend(checks.number(name, "temperature", temperature, 2.0**-20), checks.number(name, "share", share))
    if blend.share > 1.0:
        raise checks.refused(name, "share", share, "it must be at most 1")
    # A matrix that stays is left the tensor it is, with which its digits are kept.
    matrix = matrix.detach() if matrix.requires_grad else matrix
    rows, read = (y.reshape(-1, y.shape[-1]).contiguous() for y in (x, states.detach()))
    loss: Tensor = _LinearDistillation.apply(rows, weight, targets.reshape(-1).contiguous(), (read, matrix), blend, top)
    return loss


class _Mean(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.count = x.shape[0]
        count = torch.full((), ctx.count, dtype=torch.float64, device=x.device)
        return (grid_sum(x, 0) / count).to(torch.float32)

    @staticmethod
    @once
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        count = torch.full((), ctx.count, dtype=torch.float32, device=gradients[0].device)
        return (gradients[0] / count).expand(ctx.count)


def mean(x: Tensor) -> Tensor:
    """The mean of a vector, its sum exact. Backward: ``dy / N`` everywhere."""
    checks.floats("mean", x=x)
    checks.shape("mean", "x", x, (None,), "flatten it with `x.reshape(-1)`")
    checks.addends("mean", "x", x, x.shape[0])
    y: Tensor = _Mean.apply(x)
    return y
