"""Integer GEMM backends: the ordinary matrix products that multiply small integers exactly.

An integer GEMM backend is a number format in which digits within -64..64 are handed to the machine's own product. As
long as the depth stays within its budget every partial sum is an exact integer, so library, order and thread count
cannot matter. Past the budget the depth is cut into blocks whose integers are added exactly in float64.

| backend | digits as | accumulator | exact to depth |
|---|---|---|---|
| int8 | int8 | int32 | 2**18 |
| bf16 (CUDA only) | bfloat16 | float32, 24 bits | 4096 |
| triton8 (CUDA only) | int8 | int32 | 2**17 |
| triton16 (CUDA only) | bfloat16 | float32, and int32 for each 2048 | 2**17 |
| float32 | float32 | float32, 24 bits | 4096 |
| float64 | float64 | float64, 53 bits | 2**38 |
| amx, vnni, avxvnni, avx512, avx2; smmla, sdot, neon on Arm (CPU only) | int8 | int32 | 2**17 |

A budget is the accumulator's largest integer over 64 * 64, the largest product of two digits, or less. The last row's
are not torch's but ours, in :mod:`regrow.exact.microkernels`, and multiply operands with all their digits in one pass.
So do those of Triton, in :mod:`regrow.exact.gpu.products`, which make the digits on the way.
:mod:`regrow.exact.registry` says which of them this machine has.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from regrow.exact.grid import Block, Digits, Layout, Numbers


@dataclass(frozen=True)
class Packed:
    """A right operand as fused products multiply by it, made once for several products.

    Attributes:
        exponents: int32 ``(groups, columns)``.
        depth: how many products a sum has.
        panels: what its digits became; of use to none but whoever made them.
    """

    exponents: Tensor
    depth: int
    panels: Any


class FusedProducts(Protocol):
    """Products of operands with all their digits, packed once and rounded block by block, instead of one GEMM for each
    pair of digits and a pass over its integers.
    """

    def pack(self, right: Digits | Numbers) -> Packed:
        """A right operand for several products."""

    def matmul(
        self, left: Digits | Numbers, right: Digits | Numbers | Packed, onto: Tensor | None = None
    ) -> Tensor:  # fmt: skip
        """See :meth:`regrow.exact.backend.Backend.matmul`."""

    def low_rank(
        self, x: Tensor, wide: Digits | Numbers | Packed, first: Digits | Numbers | Packed,
        second: Digits | Numbers | Packed,
    ) -> tuple[Tensor, Tensor, Digits]:  # fmt: skip
        """See :meth:`regrow.exact.backend.Backend.low_rank`."""

    def accumulate(self, left: list[Tensor], right: Digits, total: Tensor) -> None:
        """Add the exact integers of two or three planes ``(G, P, K)``, the highest first, to float64
        ``(G, P or more, Q)``.
        """

    def scaled(self, left: list[Tensor], right: Digits, factors: Tensor, out: Tensor) -> None:
        """The exact integers of three planes ``(G, P, K)``, the highest first, each column times its factor, float64
        ``(Q,)``, and rounded to float32 ``(G, P, Q)``.
        """

    def attend(
        self, block: Block, queries: Digits, keys: Digits | Packed, values: Digits | Packed, scale: float,
        weights: Tensor, totals: Tensor, out: Tensor,
    ) -> None:  # fmt: skip
        """See :meth:`regrow.exact.backend.Backend.attend`."""

    def attend_backward(
        self, block: Block, gradients: Digits, values: Digits | Packed, keys: Digits | Packed, scale: float,
        weights: Tensor, totals: Tensor, delta: Tensor, out: Tensor,
    ) -> Digits:  # fmt: skip
        """See :meth:`regrow.exact.backend.Backend.attend_backward`."""

    def over_queries(self, blocks: list[Block], weights: list[Tensor], right: Digits) -> Tensor:
        """See :meth:`regrow.exact.backend.Backend.over_queries`."""


class WholeProducts(Protocol):
    """Products of float32 matrices whose digits are made where they are multiplied, and attention as a whole: of what
    is between queries, keys, values and outputs nothing is kept that grows with the square of the positions.
    """

    def operand(self, x: Tensor, layout: Layout) -> Numbers:
        """A matrix ``(G, R, C)`` as products take it."""

    def matmul(self, left: Digits | Numbers, right: Digits | Numbers, onto: Tensor | None = None) -> Tensor:
        """See :meth:`regrow.exact.backend.Backend.matmul`."""

    def accumulate(self, left: list[Tensor], right: Digits, total: Tensor) -> None:
        """As :meth:`FusedProducts.accumulate`."""

    def takes(self, rows: int, width: int) -> bool:
        """Whether attention has room for so many queries of a group, and heads so wide."""

    def attention(self, q: Tensor, k: Tensor, v: Tensor, scale: float) -> tuple[Tensor, Tensor, Tensor]:
        """Causal attention of ``(G, R, D)`` queries, the heads of a group below each other, over ``(G, T, D)`` keys and
        values.

        Returns:
            outputs ``(G, R, D)``, largest scores and sums of numerators ``(G, R)``.
        """

    def attention_backward(
        self, dy: Tensor, q: Tensor, k: Tensor, v: Tensor, found: tuple[Tensor, Tensor, Tensor], scale: float
    ) -> tuple[Tensor, Tensor, Tensor]:
        """The gradients of queries, keys and values from that of the outputs and what :meth:`attention` found."""


@dataclass(frozen=True)
class GemmBackend:
    """A way to multiply matrices of digits exactly.

    Attributes:
        name: as in the table above, and in ``REGROW_GEMM``.
        dtype: of the digits.
        depth: the largest depth of one product that is exact whatever the digits.
        product: ``(G, P, K) x (G, K, Q)`` to integers of any dtype.
        fused: products of operands with all their digits, if it has such.
        whole: products that make digits on the way, and attention as a whole, if it has such.
    """

    name: str
    dtype: torch.dtype
    depth: int
    product: Callable[[Tensor, Tensor], Tensor]
    fused: FusedProducts | None = None
    whole: WholeProducts | None = None

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
        return padded_int8(left, right)
    out = torch.empty((left.shape[0], left.shape[1], right.shape[2]), dtype=torch.int32, device=left.device)
    for group in range(left.shape[0]):
        torch._int_mm(_strided(left[group]), _strided(right[group]), out=out[group])
    return out


def _strided(x: Tensor) -> Tensor:
    """The matrix with a row's length as its stride where an axis is of length one: torch 2.13 reads other memory there
    if the stride is another one, which means the same."""
    return x.contiguous().view(-1).view(x.shape) if 1 in x.shape else x


# What the CUDA library asks of int8 operands: so many rows of the left one, and multiples of this everywhere else.
_LEAST_ROWS = 32
_MULTIPLE = 16


def padded_int8(left: Tensor, right: Tensor) -> Tensor:
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


INT8 = GemmBackend("int8", torch.int8, 1 << 18, _int8)
BF16 = GemmBackend("bf16", torch.bfloat16, 1 << 12, _bf16)
FLOAT32 = GemmBackend("float32", torch.float32, 1 << 12, torch.bmm)
FLOAT64 = GemmBackend("float64", torch.float64, 1 << 38, torch.bmm)
CPU_GEMM_BACKENDS = (INT8, FLOAT32, FLOAT64)
CUDA_GEMM_BACKENDS = (INT8, BF16, FLOAT32, FLOAT64)
