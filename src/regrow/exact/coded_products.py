"""Products with matrices of codes on CPUs, exact block by block; see :func:`regrow.exact.definition.coded_product`.

What is multiplied becomes records first, one for each block of a row: the three digits of its integers, and what
belongs to all of it. A record is read for 16 rows of codes at a time, from the first-level cache.
"""

from __future__ import annotations

import platform
from functools import cache
from typing import Any

import numpy as np
import torch
from llvmlite import binding
from numba import prange
from torch import Tensor

from regrow.exact import polynomials
from regrow.exact.coded import SIDE, Coded, Layout
from regrow.exact.grid import CODED_BITS
from regrow.exact.kernel import kernel, shared_kernel
from regrow.exact.microkernels.coded import DIGITS, LOWER, POWER, RECORD, UPPER, WHOLE, tile
from regrow.exact.rows import grid_exponent, largest_bits, power, power32

F = np.float32
_ROUND = F(polynomials.ROUND32)
_NON_FINITE = np.int32(129)
_ROWS = 4  # of a tile, whose sums and codes stay in registers
_INPUTS = 64  # rows whose records a thread goes through for the codes that it has in its cache

_host: Any = binding
_VNNI = bool(_host.get_host_cpu_features().get("avx512vnni")) and platform.machine() in ("x86_64", "AMD64")


@kernel()
def write_records(x: Any, bits: Any, block: int, zero: int, out: Any) -> None:
    """The records of a row, uint8 ``(blocks, 128)``."""
    digits, ints, doubles = out.view(np.int8), out.view(np.int32), out.view(np.float64)
    for b in range(out.shape[0]):
        start = b * block
        e = grid_exponent(largest_bits(bits[start : start + block]))
        finite = e != _NON_FINITE
        scale = power32(np.int32(CODED_BITS) - e) if finite else F(0.0)
        upper, lower = np.int32(0), np.int32(0)
        for c in range(block):
            n = np.int32((x[start + c] * scale + _ROUND) - _ROUND) if finite else np.int32(0)
            low = np.int32(((n + 128) & 255) - 128)
            rest = np.int32((n - low) >> 8)
            middle = np.int32(((rest + 128) & 255) - 128)
            digits[b, c] = (rest - middle) >> 8
            digits[b, DIGITS + c] = middle
            digits[b, 2 * DIGITS + c] = low
            upper += rest
            lower += low
        two = power(e) * 2.0**-CODED_BITS
        doubles[b, POWER // 8] = two
        doubles[b, WHOLE // 8] = (np.float64(upper) * 256.0 + np.float64(lower)) * two
        ints[b, UPPER // 4] = -zero * upper
        ints[b, LOWER // 4] = -zero * lower


def _made(layout: Layout) -> Any:
    single, several = tile(1, layout), tile(_ROWS, layout)
    block, zero = layout.block, layout.zero

    def product(x: Any, bits: Any, runs: Any, records: Any, out: Any) -> None:
        rows, groups = x.shape[0], runs.shape[0]
        for r in prange(rows):
            write_records(x[r], bits[r], block, zero, records[r])
        apart, stride, blocks = records.strides[0], out.strides[0], runs.shape[1]
        step = 1 if rows == 1 else _ROWS
        stretches = (rows + _INPUTS - 1) // _INPUTS
        for i in prange(groups * stretches):
            g, first = i // stretches, i % stretches * _INPUTS
            stop = min(rows, first + _INPUTS)
            run = np.int64(runs.ctypes.data + g * runs.strides[0])
            for r in range(first, stop, step):
                row = np.int64(records.ctypes.data + r * apart)
                target = np.int64(out.ctypes.data + g * SIDE * 4 + r * stride)
                if step == 1:
                    single(run, blocks, row, apart, 1, target, stride)
                else:
                    several(run, blocks, row, apart, stop - r, target, stride)

    # What is kept of compiled kernels has this name, and so is of one layout.
    product.__qualname__ = f"coded_product_{layout.bits}_{block}_{zero}_{int(layout.offset)}"
    return product


@cache
def _kernel(layout: Layout) -> Any:
    return shared_kernel(_made(layout))


def coded_product(x: Tensor, weight: Coded) -> Tensor:
    """See :func:`regrow.exact.definition.coded_product`."""
    x = x.contiguous()
    groups, blocks, _ = weight.runs.shape
    records = torch.empty((len(x), blocks, RECORD), dtype=torch.uint8)
    out = torch.empty((len(x), groups * SIDE))
    given = x.numpy()
    _kernel(weight.layout)(given, given.view(np.int32), weight.runs.numpy(), records.numpy(), out.numpy())
    return out if out.shape[1] == weight.rows else out[:, : weight.rows].contiguous()
