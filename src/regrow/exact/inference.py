"""Products on a finer grid, for inference: as close to float32 as float32 implementations are to each other.

Operands are rounded to 20 bits below the exponent of their row or column. For a depth up to 2**13 the sum of their
products stays within 2**53, so one ordinary float64 product gives the exact integer; deeper sums are cut into blocks
added in the order of the depth. Slower than training's two digits, and as reproducible. Without gradients.

Known answers and docs/arithmetic.md call these operations ``fine_linear`` and ``fine_attention``.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from regrow.exact import definition
from regrow.exact.grid import NON_FINITE, SIGN_MASK, exponents, power_of_two
from regrow.exact.operations import grouped, ungrouped

GRID_BITS = 20
_DEPTH = 1 << 13


def _on_grid(x: Tensor, dim: int) -> tuple[Tensor, Tensor]:
    """Integers as float64, and the float64 powers of two that make them numbers; groups run along ``dim``."""
    e = exponents((x.contiguous().view(torch.int32) & SIGN_MASK).amax(dim, keepdim=True))
    scale = power_of_two(GRID_BITS - torch.where(e == NON_FINITE, 0, e))
    q = (x.to(torch.float64) * scale).round()
    return torch.where(e == NON_FINITE, torch.zeros_like(q), q), power_of_two(e) * 2.0**-GRID_BITS


def product(a: Tensor, b: Tensor) -> Tensor:
    """``a @ b`` as float32 for ``(G, P, K)`` and ``(G, K, Q)``, exact on grids of 20 bits."""
    left, left_scale = _on_grid(a, 2)
    right, right_scale = _on_grid(b, 1)
    total = torch.zeros((a.shape[0], a.shape[1], b.shape[2]), dtype=torch.float64, device=a.device)
    for start in range(0, a.shape[2], _DEPTH):
        total = total + torch.bmm(left[:, :, start : start + _DEPTH], right[:, start : start + _DEPTH])
    return (total * (left_scale * right_scale)).to(torch.float32)


def linear(x: Tensor, weight: Tensor) -> Tensor:
    """``x @ weight.T`` for float32 ``(..., K)`` and ``(N, K)``, as float32 ``(..., N)``."""
    y = product(x.reshape(1, -1, x.shape[-1]), weight.mT[None])
    return y.view(*x.shape[:-1], weight.shape[0])


def attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Causal softmax attention of float32; shapes as in :func:`regrow.exact.operations.attention`."""
    batch, positions, _, width = q.shape
    queries, keys, values = (grouped(x, k.shape[2]) for x in (q, k, v))
    scale = torch.full((), 1.0 / math.sqrt(width), dtype=torch.float32, device=q.device)
    scores = product(queries, keys.mT.contiguous()) * scale
    hidden = definition.hidden(0, scores.shape[1], scores.shape[2], scores.device)
    largest = scores.masked_fill(hidden, -torch.inf).amax(2, keepdim=True)
    weights = definition.exp(scores - largest).masked_fill(hidden, 0.0)
    totals = definition.grid_sum(weights, 2)
    out = product(weights, values).to(torch.float64) / totals[:, :, None]
    return ungrouped(out.to(torch.float32), batch, positions)
