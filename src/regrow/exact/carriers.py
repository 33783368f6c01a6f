"""Carriers: the ordinary matrix products that multiply small integers exactly.

A carrier is a number format in which digits within -64..64 are handed to the machine's own product. As long as
the depth stays within its budget every partial sum is an exact integer, so library, order and thread count
cannot matter. Past the budget the depth is cut into blocks whose integers are added exactly in float64.

| carrier | digits as | accumulator | exact to depth |
|---|---|---|---|
| int8 | int8 | int32 | 2**18 |
| bf16 (CUDA only) | bfloat16 | float32, 24 bits | 4096 |
| float32 | float32 | float32, 24 bits | 4096 |
| float64 | float64 | float64, 53 bits | 2**38 |
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Carrier:
    """A way to multiply digits.

    Attributes:
        name: as in the table above, and in ``REGROW_CARRIER``.
        dtype: of the digits.
        depth: the largest depth of one product that is exact whatever the digits.
        product: ``(P, K) x (K, Q)`` or, batched, ``(G, P, K) x (G, K, Q)`` to integers of any dtype.
    """

    name: str
    dtype: torch.dtype
    depth: int
    product: Callable[[Tensor, Tensor], Tensor]

    def multiply(self, left: Tensor, right: Tensor) -> Tensor:
        """The exact integers of ``(G, P, K) x (G, K, Q)``, as ``(G, P, Q)``."""
        depth = left.shape[2]
        if depth <= self.depth:
            return self.product(left, right)
        total = torch.zeros((left.shape[0], left.shape[1], right.shape[2]), dtype=torch.float64, device=left.device)
        for start in range(0, depth, self.depth):
            stop = min(depth, start + self.depth)
            total += self.product(left[:, :, start:stop], right[:, start:stop])
        return total


def _int8(left: Tensor, right: Tensor) -> Tensor:
    if left.is_cuda:
        return _padded_int8(left, right)
    out = torch.empty((left.shape[0], left.shape[1], right.shape[2]), dtype=torch.int32, device=left.device)
    for group in range(left.shape[0]):
        torch._int_mm(left[group], right[group], out=out[group])
    return out


# What the CUDA library asks of int8 operands: so many rows of the left one, and multiples of this everywhere else.
_LEAST_ROWS = 32
_MULTIPLE = 16


def _padded_int8(left: Tensor, right: Tensor) -> Tensor:
    """The product on a CUDA device: rows of the left times columns of the right, each dense, padded with zeros."""
    groups, rows, columns = left.shape[0], left.shape[1], right.shape[2]
    left, right = _padded(left, max(rows, _LEAST_ROWS)), _padded(right.mT, -columns // _MULTIPLE * -_MULTIPLE)
    out = torch.empty((groups, left.shape[1], right.shape[1]), dtype=torch.int32, device=left.device)
    for group in range(groups):
        torch._int_mm(left[group], right[group].mT, out=out[group])
    return out[:, :rows, :columns]


def _padded(x: Tensor, rows: int) -> Tensor:
    """``(G, R, K)`` with K dense and a multiple of 16, and zeros below up to ``rows`` rows."""
    depth = -x.shape[2] // _MULTIPLE * -_MULTIPLE
    if x.shape[1:] != (rows, depth):
        return torch.nn.functional.pad(x, (0, depth - x.shape[2], 0, rows - x.shape[1]))
    aligned = x.data_ptr() % _MULTIPLE == 0 and all(stride % _MULTIPLE == 0 for stride in x.stride()[:2])
    return x if aligned and x.stride(2) == 1 else x.contiguous()


def _bf16(left: Tensor, right: Tensor) -> Tensor:
    return torch.bmm(left, right, out_dtype=torch.float32)


INT8 = Carrier("int8", torch.int8, 1 << 18, _int8)
BF16 = Carrier("bf16", torch.bfloat16, 1 << 12, _bf16)
FLOAT32 = Carrier("float32", torch.float32, 1 << 12, torch.bmm)
FLOAT64 = Carrier("float64", torch.float64, 1 << 38, torch.bmm)
CARRIERS = (INT8, FLOAT32, FLOAT64)
CUDA_CARRIERS = (INT8, BF16, FLOAT32, FLOAT64)
