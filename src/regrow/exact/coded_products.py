"""Products with matrices of codes on CPUs, exact block by block; see :func:`regrow.exact.definition.coded_product`.

What is multiplied becomes records first, one for each block of a row: the three digits of its integers, and what
belongs to all of it. A record is read for 16 rows of codes at a time, from the first-level cache.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import torch
from numba import prange
from torch import Tensor

from regrow.exact import polynomials
from regrow.exact.coded import SIDE, Coded, Layout
from regrow.exact.grid import CODED_BITS
from regrow.exact.kernel import kernel, shared_kernel
from regrow.exact.microkernels.coded import DIGITS, LOWER, POWER, RECORD, UPPER, WHOLE, tile
from regrow.exact.microkernels.coded_tiles import MOST, tiles
from regrow.exact.microkernels.products import refusal
from regrow.exact.rows import grid_exponent, largest_bits, power, power32

F = np.float32
_ROUND = F(polynomials.ROUND32)
_NON_FINITE = np.int32(129)
_ROWS = 4  # of a tile, whose sums and codes stay in registers

_BY_TILES = 16  # rows from which on tiles are quicker


@cache
def best() -> str:
    """The quickest way to multiply that there is here."""
    return next((name for name in ("amx", "vnni") if not refusal(name)), "plain")


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


@cache
def group_product(layout: Layout, way: str) -> Any:
    """What multiplies rows, as records, with 16 rows of codes, and writes float32 ``(rows, 16)``."""
    made = {"amx": _by_tiles, "vnni": _by_vnni, "plain": _plainly}[way](layout)
    # What is kept of compiled kernels has this name, and so is of one layout.
    made.__qualname__ = f"group_product.{layout.title}.{way}"
    return kernel()(made)


def _by_tiles(layout: Layout) -> Any:
    few, many = group_product(layout, "vnni"), tiles(layout)

    def product(runs: Any, records: Any, out: Any) -> None:
        rows, apart, stride, blocks = len(records), records.strides[0], out.strides[0], runs.shape[0]
        if rows < _BY_TILES:
            few(runs, records, out)
            return
        run = np.int64(runs.ctypes.data)
        for r in range(0, rows, MOST):
            row, target = np.int64(records.ctypes.data + r * apart), np.int64(out.ctypes.data + r * stride)
            many(run, blocks, row, apart, min(rows - r, MOST), target, stride)

    return product


def _by_vnni(layout: Layout) -> Any:
    single, several = tile(1, layout), tile(_ROWS, layout)

    def product(runs: Any, records: Any, out: Any) -> None:
        rows, apart, stride, blocks = len(records), records.strides[0], out.strides[0], runs.shape[0]
        run = np.int64(runs.ctypes.data)
        if rows == 1:
            single(run, blocks, np.int64(records.ctypes.data), apart, 1, np.int64(out.ctypes.data), stride)
            return
        for r in range(0, rows, _ROWS):
            row, target = np.int64(records.ctypes.data + r * apart), np.int64(out.ctypes.data + r * stride)
            several(run, blocks, row, apart, rows - r, target, stride)

    return product


def _plainly(layout: Layout) -> Any:
    bits, block, zero, offset, codes = layout.bits, layout.block, layout.zero, layout.offset, layout.codes

    def product(runs: Any, records: Any, out: Any) -> None:
        integers, sums, totals = np.empty(block, np.float64), np.empty(SIDE, np.float64), np.empty(SIDE, np.float64)
        for r in range(len(records)):
            totals[:] = 0.0
            for b in range(len(runs)):
                record, run = records[r, b], runs[b]
                digits, doubles, floats = record.view(np.int8), record.view(np.float64), run.view(np.float32)
                for c in range(block):
                    upper = np.int32(digits[c]) * 65536 + np.int32(digits[DIGITS + c]) * 256
                    integers[c] = upper + np.int32(digits[2 * DIGITS + c])
                # Integers of 23 bits times such of 9, 32 of them: exact in any order.
                sums[:] = 0.0
                for c in range(block):
                    shift = 4 if bits == 4 and c >= block // 2 else 0
                    place = c - block // 2 if shift else c
                    for side in range(SIDE):
                        code = np.int32(run[place // 4 * 4 * SIDE + 4 * side + place % 4])
                        code = (code >> shift) & 15 if bits == 4 else code
                        sums[side] += np.float64(code - zero) * integers[c]
                for side in range(SIDE):
                    scale = np.float64(floats[codes // 4 + side]) * doubles[POWER // 8]
                    totals[side] = totals[side] + sums[side] * scale
                    if offset:
                        more = np.float64(floats[codes // 4 + SIDE + side]) * doubles[WHOLE // 8]
                        totals[side] = totals[side] + more
            for side in range(SIDE):
                out[r, side] = F(totals[side])

    return product


@cache
def _kernel(layout: Layout, way: str) -> Any:
    multiply, block, zero = group_product(layout, way), layout.block, layout.zero

    def product(x: Any, bits: Any, runs: Any, records: Any, out: Any) -> None:
        rows = x.shape[0]
        for r in prange(rows):
            write_records(x[r], bits[r], block, zero, records[r])
        # So many rows at a time that their records stay in a cache while codes go by.
        groups, stretches = runs.shape[0], (rows + MOST - 1) // MOST
        for i in prange(groups * stretches):
            g, first = i % groups, i // groups * MOST
            target = out[first : first + MOST, g * SIDE : (g + 1) * SIDE]
            multiply(runs[g], records[first : first + MOST], target)

    product.__qualname__ = f"coded_product.{layout.title}.{way}"
    return shared_kernel(product)


def coded_product(x: Tensor, weight: Coded) -> Tensor:
    """See :func:`regrow.exact.definition.coded_product`."""
    x = x.contiguous()
    groups, blocks, _ = weight.runs.shape
    records = torch.empty((len(x), blocks, RECORD), dtype=torch.uint8)
    out = torch.empty((len(x), groups * SIDE))
    given = x.numpy()
    _kernel(weight.layout, best())(given, given.view(np.int32), weight.runs.numpy(), records.numpy(), out.numpy())
    return out if out.shape[1] == weight.rows else out[:, : weight.rows].contiguous()
