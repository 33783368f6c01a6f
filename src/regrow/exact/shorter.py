"""Matrices in numbers of 16 bits: what nobody learns may be one, in half the memory, and gives the same bits.

float32 has all numbers of the shorter types, so that one of these matrices stands for a matrix of float32. It becomes
that where its digits are made, or its rows are looked up.
"""

from __future__ import annotations

import torch
from torch import Tensor

SHORTER = (torch.bfloat16, torch.float16)
"""What matrices may be besides float32 that no gradient is asked of."""


def shortened(x: Tensor) -> Tensor:
    """A float32 tensor in the first shorter type that has every one of its numbers; or as it is, if none has."""
    return next((short for short in map(x.to, SHORTER) if torch.equal(short.to(torch.float32), x)), x)
