"""Products with matrices of codes on CPUs, exact block by block; see :func:`regrow.exact.definition.coded_product`.

What is multiplied becomes records first, one for each block of a row: the digits of its integers, and what belongs to
all of it. A record is read for 16 or 32 rows of codes at a time, from the first- or second-level cache.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import torch
from numba import prange
from torch import Tensor

from regrow.exact.coded import SIDE, Coded, Layout
from regrow.exact.kernel import kernel, shared_kernel
from regrow.exact.microkernels import coded_vectors as vectors
from regrow.exact.microkernels.coded import DIGITS, MOST, NUMBERS, POWER, RECORD, WHOLE, Form, halves, least, tile
from regrow.exact.microkernels.coded_records import record as coded_record
from regrow.exact.microkernels.coded_tiles import BEYOND, tiles
from regrow.exact.microkernels.products import refusal

F = np.float32
_ROWS = 4  # of a tile, whose sums and codes stay in registers


def ways() -> list[str]:
    """The ways to multiply that there are here, the quickest first."""
    return [*(name for name in ("amx", "vnni", *vectors.WAYS) if not refusal(name)), "plain"]


@cache
def best() -> str:
    """The quickest way to multiply that there is here."""
    return ways()[0]


@cache
def product(layout: Layout, way: str) -> Product:
    """How rows are multiplied with matrices of a layout."""
    return Product(
        kernel()(_named(_recorder(layout, way), f"write_records.{layout.title}.{way}")),
        kernel()(_named(_multiplier(layout, way), f"multiply.{layout.title}.{way}")),
    )


@dataclass(frozen=True)
class Product:
    """What other kernels call.

    Attributes:
        write: of a row, its number, how many rows there are, and room for all records; writes its.
        multiply: of the number of a part, runs, the records of all rows and the result, float32; writes what
            :func:`spanned` says of the number.
    """

    write: Any
    multiply: Any


def _named(function: Callable[..., Any], name: str) -> Callable[..., Any]:
    # What is kept of compiled kernels has this name, and so is of one layout.
    function.__qualname__ = name
    return function


@kernel()
def parts(rows: int, groups: int) -> int:
    """In how many parts rows are multiplied with so many groups of 16 rows of codes."""
    return (rows + MOST - 1) // MOST * groups


@kernel()
def spanned(number: int, rows: int, groups: int) -> Any:
    """Of which rows a part is, the first and the one behind the last, and of which group."""
    first, stop = _stretch(number // groups, rows)
    return first, stop, number % groups


@kernel()
def _stretch(number: int, rows: int) -> Any:
    """So many rows at a time that their records stay in a cache while codes go by; about as many in each."""
    stretches = (rows + MOST - 1) // MOST
    return number * rows // stretches, (number + 1) * rows // stretches


@kernel()
def _place(row: int, rows: int, blocks: int) -> Any:
    """Where the record of a row's first block is, and how far from there that of the next."""
    # Records of a stretch lie together: where rows are a power of two, those of a block would share sets of the cache
    # with those of all others.
    first, stop = _stretch(((row + 1) * ((rows + MOST - 1) // MOST) - 1) // rows, rows)
    return first * blocks + row - first, stop - first


def records_of(rows: int, blocks: int) -> Any:
    """Room for the records of some rows, uint8."""
    return torch.empty(rows * blocks * (RECORD + NUMBERS) + BEYOND, dtype=torch.uint8).numpy()


def _recorder(layout: Layout, way: str) -> Any:
    own = Form.HALVES if halves(layout) and way == "amx" else Form.BYTES
    form = vectors.form(layout, way) if way in vectors.WAYS else own
    size, record, from_here = layout.block, coded_record(layout, form), least(form)

    def write(x: Any, row: int, rows: int, out: Any) -> None:
        blocks, many = x.shape[0] // size, np.int64(rows >= from_here)
        start = np.int64(out.ctypes.data)
        behind = start + blocks * rows * RECORD
        base, apart = _place(row, rows, blocks)
        for b in range(blocks):
            place, first = base + b * apart, np.int64(x.ctypes.data + 4 * b * size)
            record(first, start + place * RECORD, behind + place * NUMBERS, many)

    return write


def _multiplier(layout: Layout, way: str) -> Any:
    if way in vectors.WAYS:
        return _by_vectors(layout, way)
    return {"amx": _by_tiles, "vnni": _by_vnni, "plain": _plainly}[way](layout)


@kernel()
def _addresses(runs: Any, records: Any, out: Any, first: int, group: int) -> Any:
    """What tiles read: see :func:`regrow.exact.microkernels.coded.tile`."""
    rows, blocks, start = len(out), runs.shape[1], np.int64(records.ctypes.data)
    place, apart = _place(first, rows, blocks)
    behind = start + blocks * rows * RECORD + place * NUMBERS
    run = np.int64(runs.ctypes.data + group * runs.strides[0])
    return run, blocks, start + place * RECORD, apart * RECORD, behind


@kernel()
def _target(out: Any, first: int, group: int) -> Any:
    """Where tiles write, and how many bytes apart rows are there."""
    return np.int64(out.ctypes.data + first * out.strides[0] + group * 4 * SIDE), out.strides[0]


def _by_tiles(layout: Layout) -> Any:
    few, many = kernel()(_named(_by_vnni(layout), f"multiply.{layout.title}.vnni")), tiles(layout)
    from_here = least(Form.HALVES)

    def multiply(number: int, runs: Any, records: Any, out: Any) -> None:
        if len(out) < from_here:
            few(number, runs, records, out)
            return
        first, stop, g = spanned(number, len(out), len(runs))
        many(*_addresses(runs, records, out, first, g), stop - first, *_target(out, first, g))

    return multiply


def _by_vnni(layout: Layout) -> Any:
    single, several = tile(1, layout), tile(_ROWS, layout)

    def multiply(number: int, runs: Any, records: Any, out: Any) -> None:
        first, stop, g = spanned(number, len(out), len(runs))
        target, stride = _target(out, first, g)
        if stop - first == 1:
            single(*_addresses(runs, records, out, first, g), 1, target, stride)
            return
        for r in range(0, stop - first, _ROWS):
            several(*_addresses(runs, records, out, first + r, g), stop - first - r, target + r * stride, stride)

    return multiply


def _by_vectors(layout: Layout, way: str) -> Any:
    single, several = vectors.row(layout, way), vectors.rows(layout, way)

    def multiply(number: int, runs: Any, records: Any, out: Any) -> None:
        first, stop, g = spanned(number, len(out), len(runs))
        target, stride = _target(out, first, g)
        if stop - first == 1:
            single(*_addresses(runs, records, out, first, g), 1, target, stride)
        else:
            several(*_addresses(runs, records, out, first, g), stop - first, target, stride)

    return multiply


def _plainly(layout: Layout) -> Any:
    bits, block, zero, offset, codes = layout.bits, layout.block, layout.zero, layout.offset, layout.codes

    def multiply(number: int, runs: Any, records: Any, out: Any) -> None:
        first, stop, g = spanned(number, len(out), len(runs))
        blocks, rows = runs.shape[1], len(out)
        integers, sums, totals = np.empty(block, np.float64), np.empty(SIDE, np.float64), np.empty(SIDE, np.float64)
        for r in range(first, stop):
            totals[:] = 0.0
            base, apart = _place(r, rows, blocks)
            for b in range(blocks):
                run, place = runs[g, b], base + b * apart
                record, floats = records[place * RECORD : (place + 1) * RECORD].view(np.int8), run.view(np.float32)
                own = records[blocks * rows * RECORD + place * NUMBERS :][:NUMBERS].view(np.float64)
                for c in range(block):
                    upper = np.int32(record[c]) * 65536 + np.int32(record[DIGITS + c]) * 256
                    integers[c] = upper + np.int32(record[2 * DIGITS + c])
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
                    scale = np.float64(floats[codes // 4 + side]) * own[POWER // 8]
                    totals[side] = totals[side] + sums[side] * scale
                    if offset:
                        more = np.float64(floats[codes // 4 + SIDE + side]) * own[WHOLE // 8]
                        totals[side] = totals[side] + more
            for side in range(SIDE):
                out[r, g * SIDE + side] = F(totals[side])

    return multiply


@cache
def _kernel(layout: Layout, way: str) -> Any:
    of = product(layout, way)
    write, multiply = of.write, of.multiply

    def compute(x: Any, runs: Any, records: Any, out: Any) -> None:
        rows = x.shape[0]
        for r in prange(rows):
            write(x[r], r, rows, records)
        for i in prange(parts(rows, len(runs))):
            multiply(i, runs, records, out)

    return shared_kernel(_named(compute, f"coded_product.{layout.title}.{way}"))


def coded_product(x: Tensor, weight: Coded, way: str = "") -> Tensor:
    """See :func:`regrow.exact.definition.coded_product`; ``way`` is the quickest unless told."""
    x = x.contiguous()
    groups, blocks, _ = weight.runs.shape
    out = torch.empty((len(x), groups * SIDE))
    records = records_of(len(x), blocks)
    _kernel(weight.layout, way or best())(x.numpy(), weight.runs.numpy(), records, out.numpy())
    return out if out.shape[1] == weight.rows else out[:, : weight.rows].contiguous()
