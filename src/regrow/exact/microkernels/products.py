"""Integer GEMM backends over the microkernels: int8 digits, multiplied by AMX or AVX512-VNNI without torch.

A library's product packs its operands at every call and gives back int32 matrices, which then have to be read again
to be rounded. Here each operand is packed once for all parts of a product, and the parts are rounded while they are
in the first-level cache.
"""

from __future__ import annotations

import ctypes
import platform
from functools import cache
from typing import Any

import numpy as np
import torch
from numba.core.registry import cpu_target
from torch import Tensor

from regrow.exact.gemm import GemmBackend
from regrow.exact.grid import LEFT, Block, Digits
from regrow.exact.microkernels import attention, kernels
from regrow.exact.microkernels.instructions import AMX, STEP, VNNI
from regrow.exact.threads import THREADS

_FEATURES = {
    "amx": ("avx512f", "avx512bw", "avx512vbmi", "amx-tile", "amx-int8"),
    "vnni": ("avx512f", "avx512bw", "avx512vnni"),
}
# Linux gives a process the registers of AMX when it asks: arch_prctl(ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA). It is
# asked when a process first looks for a way to multiply, and changes nothing for whoever does not use them.
_ARCH_PRCTL, _REQUEST, _TILE_DATA = 158, 0x1023, 18
# Bytes of the left operand that a thread keeps packed at a time, about half of its second-level cache; and rows: more
# rows of a wide product are on more pages than the first-level cache of addresses holds.
_CHUNK_BYTES, _CHUNK_ROWS = 1 << 20, 64
# So many digits multiplied take as long as a byte to go through, or longer.
_DIGITS_TO_BYTE = 64
# Sums that are added up anyway are cut at this depth, so that a block's panels fit that cache too.
_DEPTH = 4096


@cache
def refusal(name: str) -> str:
    """Why a unit, ``amx`` or ``vnni``, is not to be had here, or an empty string."""
    if platform.machine() not in ("x86_64", "AMD64"):
        return "it is an instruction of x86-64 processors"
    # What Numba compiles for, which NUMBA_CPU_NAME can make less than the processor has.
    there = cpu_target.target_context.codegen().magic_tuple()[2].split(",")
    if missing := [feature for feature in _FEATURES[name] if f"+{feature}" not in there]:
        return f"the processor, or what Numba compiles for, lacks {', '.join(missing)}"
    if name == "amx" and (platform.system() != "Linux" or ctypes.CDLL(None).syscall(_ARCH_PRCTL, _REQUEST, _TILE_DATA)):
        return "the system does not give its registers to this process"
    return ""


class MicrokernelProducts:
    """Products of operands with all their digits; see :class:`regrow.exact.gemm.FusedProducts`."""

    def __init__(self, unit: Any, shift: int) -> None:
        self._unit, self._shift = unit, shift

    def integers(self, left: Tensor, right: Tensor) -> Tensor:
        """int32 ``(G, P, K) x (G, K, Q)``."""
        return self._multiply([left], [right.mT], kernels.INTEGERS)[0]

    def matmul(self, left: Digits, right: Digits, onto: Tensor | None = None) -> Tensor:
        """See :meth:`regrow.exact.backend.Backend.matmul`."""
        # Two digits each give the parts HH and HL + LH; LL is left out, by definition.
        kind = kernels.ROUNDED if onto is None else kernels.SUMMED
        exponents = left.exponents.contiguous(), right.exponents.contiguous()
        return self._multiply(left.planes, right.planes, kind, *exponents, onto)

    def accumulate(self, left: list[Tensor], right: Digits, total: Tensor) -> None:
        """Add the exact integers of two or three planes ``(G, P, K)``, the highest first, to float64
        ``(G, P or more, Q)``.
        """
        for start in range(0, right.depth, _DEPTH):
            some = slice(start, start + _DEPTH)
            self._multiply(
                [x[:, :, some] for x in left], [x[:, :, some] for x in right.planes], kernels.ADDED, given=total
            )

    def attend(
        self, block: Block, queries: Digits, keys: Digits, values: Digits, scale: float, weights: Tensor,
        totals: Tensor, out: Tensor,
    ) -> None:  # fmt: skip
        """See :meth:`regrow.exact.backend.Backend.attend`."""
        key_panels, value_panels = (self._pack(x.planes, 2) for x in (keys, values))
        threads = _attention_threads(weights, queries.depth)
        attention.attend(
            *self._rows(block, queries), *key_panels, *value_panels, *_exponents(queries, keys, values),
            np.float32(scale), *_attention_buffers(threads, queries.depth, block.keys), weights.numpy(), totals.numpy(),
            out.numpy(), threads=threads,
        )  # fmt: skip

    def attend_backward(
        self, block: Block, gradients: Digits, values: Digits, keys: Digits, scale: float, weights: Tensor,
        totals: Tensor, delta: Tensor, out: Tensor,
    ) -> Digits:  # fmt: skip
        """See :meth:`regrow.exact.backend.Backend.attend_backward`."""
        value_panels, key_panels = (self._pack(x.planes, 2) for x in (values, keys))
        digits = Digits(torch.empty_like(weights), torch.empty(weights.shape[:2], dtype=torch.int32), LEFT)
        threads = _attention_threads(weights, gradients.depth)
        attention.attend_backward(
            *self._rows(block, gradients), *value_panels, *key_panels, *_exponents(gradients, values, keys),
            np.float32(scale), *_attention_buffers(threads, gradients.depth, block.keys), weights.numpy(),
            totals.numpy(), delta.numpy(), digits.data.numpy(), digits.exponents.numpy(), out.numpy(), threads=threads,
        )  # fmt: skip
        return digits

    def _rows(self, block: Block, operand: Digits) -> tuple[Any, ...]:
        """The rows of a block, as kernels of attention take them."""
        high, low = operand.planes
        strides = high.stride(0), high.stride(1), low.data_ptr() - high.data_ptr()
        return self._unit, self._shift, block.rows.start, block.first, high.data_ptr(), strides, operand.depth

    def _multiply(
        self,
        left: list[Tensor],
        right: list[Tensor],
        kind: int,
        rows: Tensor | None = None,
        columns: Tensor | None = None,
        given: Tensor | None = None,
    ) -> Tensor:
        """Planes ``(G, P, K)`` and ``(G, Q, K)`` to what ``kind`` says."""
        groups, outer, depth = left[0].shape
        wide, parts, size = right[0].shape[1], len(left), -(-depth // 64) * STEP
        packed, offsets = self._pack(right, parts)
        threads = THREADS.worth(groups * outer * wide * depth * parts // _DIGITS_TO_BYTE)
        chunk = _chunk(groups, outer, parts * depth, threads)
        shape = groups, outer, wide
        integers = torch.empty((parts, *shape) if kind == kernels.INTEGERS else (0,) * 4, dtype=torch.int32)
        floats = torch.empty(shape if kind == kernels.ROUNDED else (0,) * 3, dtype=torch.float32)
        doubles = torch.empty((0,) * 3, dtype=torch.float64)
        if given is not None:
            floats, doubles = (given, doubles) if kind == kernels.SUMMED else (floats, given)
        none = torch.empty((0, 0), dtype=torch.int32)
        scratch = _buffer(threads, chunk // kernels.SIDE * parts * size)
        blocks = _buffer(threads, parts, kernels.SIDE, kernels.SIDE, dtype=torch.int32)
        kernels.multiply(
            self._unit, *_addresses(left), groups, (parts, len(right)), outer, wide, depth, chunk, self._shift,
            packed, offsets, scratch, blocks, kind,
            (none if rows is None else rows).numpy(), (none if columns is None else columns).numpy(),
            integers.numpy(), floats.numpy(), doubles.numpy(), threads=threads,
        )  # fmt: skip
        return given if given is not None else floats if kind == kernels.ROUNDED else integers

    def _pack(self, right: list[Tensor], parts: int) -> tuple[Any, Any]:
        """The panels of a right operand, and the offsets of the parts if the unit asks for such."""
        groups, outer, depth = right[0].shape
        panels = -(-outer // kernels.SIDE)
        packed = _buffer(groups * panels * len(right) * -(-depth // 64) * STEP)
        columns = (groups * panels, len(right), kernels.SIDE) if self._shift else (0, 0, 0)
        offsets = torch.empty(columns, dtype=torch.int32)
        threads = THREADS.worth(packed.nbytes)
        kernels.pack_right(
            *_addresses(right), groups, len(right), outer, depth, packed, offsets.numpy(), threads=threads
        )
        if self._shift and parts > 1:
            # The first part is of the highest digits alone, the others are of both; all left planes are shifted.
            both = offsets.sum(1, keepdim=True, dtype=torch.int32)
            offsets = torch.cat([offsets[:, :1], *[both] * (parts - 1)], 1)
        return packed, offsets.numpy()


def _addresses(planes: list[Tensor]) -> tuple[tuple[int, int, int], tuple[int, int, int]]:
    """Addresses and strides, as kernels take them."""
    first, second, third = (plane.data_ptr() for plane in (planes * 3)[:3])
    groups, outer, depth = planes[0].stride()
    return (first, second, third), (groups, outer, depth)


def _chunk(groups: int, outer: int, bytes_of_row: int, threads: int) -> int:
    """Rows to a chunk, a multiple of a block's: as many as the cache holds packed, because a chunk goes over the whole
    right operand, which so is read from memory as often as there are chunks; but something for every thread.
    """
    rows = min(_CHUNK_ROWS, _CHUNK_BYTES // bytes_of_row, -(-outer * groups // threads))
    return max(1, -(-rows // kernels.SIDE)) * kernels.SIDE


def _buffer(*shape: int, dtype: torch.dtype = torch.int8) -> Any:
    """Memory for kernels. It is torch's, which begins at a cache line: a tile whose rows lie across two lines each
    takes three and a half times as long to load, and NumPy's memory need not.
    """
    return torch.empty(shape, dtype=dtype).numpy()


def _exponents(*operands: Digits) -> tuple[Any, ...]:
    return tuple(operand.exponents.contiguous().numpy() for operand in operands)


def _attention_threads(weights: Tensor, width: int) -> int:
    """How many threads attention is worth, whose digits of weights these are: float32 scores, and two products."""
    return THREADS.worth(2 * weights.numel() + weights.numel() * width // _DIGITS_TO_BYTE)


def _attention_buffers(threads: int, width: int, keys: int) -> tuple[Any, Any, Any]:
    """Each thread's panel, parts of scores, and parts of output."""
    side = kernels.SIDE
    panel = _buffer(threads, 2 * max(-(-width // 64), -(-keys // 64)) * STEP)
    sums = _buffer(threads, 2, side, -(-keys // side) * side, dtype=torch.int32)
    return panel, sums, _buffer(threads, 2, side, side, dtype=torch.int32)


def _gemm(name: str, unit: Any, shift: int) -> GemmBackend:
    # The widest part of a product, HL + LH, has two products of at most 2**12 for each of the depth: 2**17 * 2 * 2**12
    # is 2**30, within int32. VNNI's shifted digits reach 2**13 on the way and may wrap around, which integers modulo
    # 2**32 survive: its instruction does not saturate, and what is added for the shift is taken off by the offsets.
    products = MicrokernelProducts(unit, shift)
    return GemmBackend(name, torch.int8, 1 << 17, products.integers, products)


GEMM_BACKENDS = (_gemm("amx", AMX, 0), _gemm("vnni", VNNI, 64))
