"""Linear layers whose operands lie on grids of one, two or three digits, in plain torch: what a digit is worth.

This is a model of the arithmetic, not the arithmetic: the sums are float32's, and attention is left as it is.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function

BITS = {"one digit": 6, "two digits": 13, "three digits": 20}


def on_grid(x: Tensor, bits: int, axis: int) -> Tensor:
    """``x`` rounded to the grid ``2**(e - bits)`` of each row (``axis`` 1) or column (0), ``max|x| < 2**e``."""
    largest = x.abs().amax(axis, keepdim=True).clamp_min(2.0**-100)
    step = torch.exp2(torch.frexp(largest).exponent.float() - bits)
    return torch.round(x / step) * step


class _GridLinear(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bits: int) -> Tensor:
        ctx.bits = bits
        ctx.save_for_backward(x, weight)
        return on_grid(x, bits, 1) @ on_grid(weight, bits, 1).T

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, None]:
        (dy,), (x, weight), bits = gradients, ctx.saved_tensors, ctx.bits
        dx = on_grid(dy, bits, 1) @ on_grid(weight, bits, 0)
        return dx, on_grid(dy, bits, 0).T @ on_grid(x, bits, 0), None


def linear(bits: int) -> Callable[[Tensor, Tensor], Tensor]:
    """A linear layer of that many bits, for :class:`plain.PlainDecoder`."""

    def apply(x: Tensor, weight: Tensor) -> Tensor:
        once: Any = _GridLinear.apply  # has no types
        y: Tensor = once(x.reshape(-1, x.shape[-1]), weight, bits)
        return y.view(*x.shape[:-1], weight.shape[0])

    return apply
