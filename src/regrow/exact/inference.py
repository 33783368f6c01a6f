"""Products for inference: of a row alone, in float64, and each sum in one order that is part of the definition.

So what a position gives does not depend on what comes after it, on what is computed beside it, or on how a text is cut
into pieces, and is closer to the real numbers than what float32 programs give. Without gradients. Where the tensors are
on a CUDA device, the definition's own operations compute there, which is slow: there are no kernels for it yet.

Known answers and docs/arithmetic.md call these operations ``ordered_linear`` and ``ordered_attention``.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from regrow.exact.coded import Coded, Stacked
from regrow.exact.selection import current


def linear(x: Tensor, weight: Tensor | Coded | Stacked, bias: Tensor | None = None) -> Tensor:
    """``x @ weight.T + bias`` for float32 ``(..., K)`` and ``(N, K)``, as float32 ``(..., N)``.

    Of bfloat16 or float16 weights, it is what the same numbers give as float32.
    """
    y = _product(x.reshape(-1, x.shape[-1]), weight).view(*x.shape[:-1], -1)
    return y if bias is None else y + bias


def _product(x: Tensor, weight: Tensor | Coded | Stacked) -> Tensor:
    kernels = current(x).kernels
    if isinstance(weight, Stacked):
        return torch.cat([kernels.coded_product(x, part) for part in weight.parts], 1)
    return kernels.coded_product(x, weight) if isinstance(weight, Coded) else kernels.ordered_product(x, weight)


def attention(q: Tensor, k: Tensor, v: Tensor, first: int = 0) -> Tensor:
    """Causal softmax attention of some positions to those up to them; see :func:`regrow.exact.operations.attention`.

    Args:
        q: float32 ``(B, T, H, D)``, from position ``first`` on.
        k: ``(B, G, S, D)`` of the positions from 0 on, S at least ``first + T``; G divides H.
        v: as ``k``.
        first: how many positions come before.

    Returns:
        ``(B, T, H, D)``.
    """
    batch, positions, heads, width = q.shape
    groups, share = k.shape[1], heads // k.shape[1]
    queries = q.view(batch, positions, groups, share, width).transpose(1, 2)
    found = current(q).kernels.ordered_attention(
        queries.reshape(batch * groups, -1, width), k.flatten(0, 1), v.flatten(0, 1), first, share,
        1.0 / math.sqrt(width),
    )  # fmt: skip
    return found.view(batch, groups, positions, share, width).transpose(1, 2).reshape(q.shape)
