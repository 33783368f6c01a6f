"""The packed products: operands are brought into tiles once, multiplied block by block, and finished in the cache.

A block is 32 x 32 sums: four tiles of AMX, so that each tile that is loaded is multiplied twice, and 4 KiB, so that the
two or three parts of a block are still in the first-level cache when they are rounded. Operands come as addresses and
strides of their planes of digits, so that views of any kind are one kind of argument, and a kernel is compiled once.
Plane 0 holds the highest digits. The right operand has one plane or two, the left one as many, or three.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import prange

from regrow.exact.kernel import kernel, shared_kernel, thread_id
from regrow.exact.microkernels.instructions import (
    STEP,
    add_block,
    add_deep_block,
    add_rounded_block,
    end_streams,
    round_block,
    round_block_float32,
    stream_block,
    subtract_columns,
)
from regrow.exact.microkernels.packing import SIDE, pack_numbers, pack_pair
from regrow.exact.microkernels.units import call
from regrow.exact.rows import exponent_range, float32_epilogue_is_exact, power, power32

F = np.float32

# What becomes of a block: integers as they are; rounded to float32; that and then added to others; added to float64
# integers; or, of three parts, multiplied by a number for each column and rounded.
INTEGERS, ROUNDED, SUMMED, ADDED, SCALED = 0, 1, 2, 3, 4

_parallel: Any = shared_kernel
_helper: Any = kernel()


@_parallel
def pack_right(
    unit: Any, planes: Any, places: Any, strides: Any, numbers: Any, by_row: bool, groups: int, count: int, outer: int,
    depth: int, shift: int, exponents: Any, packed: Any, offsets: Any,
) -> None:  # fmt: skip
    """Bring a right operand into panels.

    Args:
        unit: the addresses of what will multiply.
        planes: the addresses of the planes; 0 where there is none.
        places: where in a panel they go, in multiples of a plane; of these three and how many a panel has.
        strides: from group to group, outer to outer, and along the depth.
        numbers: the operand itself, ``(groups, rows, columns)``, if its digits are to be made here; or empty.
        by_row: whether rows of the numbers have a grid each, or columns.
        groups: how many products.
        count: of planes.
        outer: columns of the product.
        depth: what is summed over.
        shift: what the unit has added to left digits.
        exponents: ``(groups, outer)``, takes the grids of the numbers.
        packed: int8, takes ``(groups, panels, planes of a panel, steps)`` of ``STEP`` bytes.
        offsets: int32 ``(groups * panels, count, 32)``, or empty for a unit that needs none: those of each plane.
    """
    panels, steps = (outer + SIDE - 1) // SIDE, (depth + 63) // 64
    pairs, size = (panels + 1) // 2, steps * STEP
    full = places[3] * size
    # Each pair of panels is written by one thread, once for all rows of the left operand that will be multiplied by it.
    for i in prange(groups * pairs):
        g, panel = i // pairs, i % pairs * 2
        wide = min(2 * SIDE, outer - SIDE * panel)
        start = packed.ctypes.data + (g * panels + panel) * full
        if numbers.size:
            pack_numbers(
                numbers[g], by_row, SIDE * panel, wide, depth, exponents[g], places, size, full, start, True
            )  # fmt: skip
        else:
            for p in range(count):
                source = planes[p] + g * strides[0] + SIDE * panel * strides[1]
                pack_pair(source, strides[1], strides[2], wide, depth, start + places[p] * size, full, True)
        for n in range((wide + SIDE - 1) // SIDE):
            if offsets.size:
                for p in range(count):
                    sums = offsets[g * panels + panel + n, p]
                    sums[:] = 0
                    subtract_columns(start + n * full + places[p] * size, steps, shift, sums.ctypes.data)
            call(unit.finish_right, (start + n * full, count, steps))


@_helper
def _copy(source: Any, target: Any) -> None:
    """Copy the rows and columns that both matrices have."""
    for y in range(min(source.shape[0], target.shape[0])):
        for x in range(min(source.shape[1], target.shape[1])):
            target[y, x] = source[y, x]


@_helper
def _sum(source: Any, target: Any) -> None:
    """Add the rows and columns that both matrices have."""
    for y in range(min(source.shape[0], target.shape[0])):
        for x in range(min(source.shape[1], target.shape[1])):
            target[y, x] += source[y, x]


@_helper
def _round(
    sums: Any, short: bool, rows: Any, rows32: Any, columns: Any, columns32: Any, target: Any, edge: Any, more: bool,
    streamed: bool,
) -> None:  # fmt: skip
    """Write a block of the product as float32, by way of a full one where it lies at an edge or is ``streamed``; or add
    ``more``.
    """
    high, cross, out, stride = sums[0].ctypes.data, sums[1].ctypes.data, target.ctypes.data, target.strides[0]
    full = target.shape[0] == SIDE and target.shape[1] == SIDE
    # The instructions write blocks without asking for bounds, so those at an edge are written aside and copied.
    if more or streamed or not full:
        out, stride = edge.ctypes.data, edge.strides[0]
    if short:
        round_block_float32(high, cross, rows32.ctypes.data, columns32.ctypes.data, out, stride)
    else:
        round_block(high, cross, rows.ctypes.data, columns.ctypes.data, out, stride)
    if more and full:
        add_rounded_block(edge.ctypes.data, target.ctypes.data, target.strides[0])
    elif more:
        _sum(edge, target)
    elif streamed and full:
        stream_block(edge.ctypes.data, target.ctypes.data, target.strides[0])
    elif not full:
        _copy(edge, target)


@_helper
def _add(sums: Any, target: Any, edge: Any) -> None:
    """Add a block of the product to float64, likewise."""
    high, cross, out, stride = sums[0].ctypes.data, sums[1].ctypes.data, target.ctypes.data, target.strides[0]
    full = target.shape[0] == SIDE and target.shape[1] == SIDE
    if not full:
        _copy(target, edge)
        out, stride = edge.ctypes.data, edge.strides[0]
    if sums.shape[0] == 2:
        add_block(high, cross, out, stride)
    else:
        add_deep_block(high, cross, sums[2].ctypes.data, out, stride)
    if not full:
        _copy(edge, target)


@_helper
def _scale(sums: Any, factors: Any, target: Any) -> None:
    """Write the sum of three parts, each column times its factor; see :func:`regrow.exact.definition.round_total`."""
    for y in range(target.shape[0]):
        for x in range(target.shape[1]):
            # Exact, as `accumulate` in `compiled` says.
            total = np.float64(sums[0, y, x]) * 2097152.0 + np.float64(sums[1, y, x]) * 16384.0
            target[y, x] = F((total + np.float64(sums[2, y, x]) * 128.0) * factors[x])


@_parallel
def multiply(
    unit: Any, planes: Any, places: Any, strides: Any, numbers: Any, by_row: bool, groups: int, counts: Any, outer: int,
    columns: int, depth: int, chunk: int, streamed: bool, packed: Any, offsets: Any, scratch: Any, blocks: Any,
    kind: int, left: Any, right: Any, factors: Any, integers: Any, floats: Any, doubles: Any,
) -> None:  # fmt: skip
    """Multiply a left operand by packed panels.

    Args:
        unit: what multiplies, :class:`regrow.exact.microkernels.units.Addresses`.
        planes: of the left operand, as in :func:`pack_right`; so are places, strides, numbers, groups and depth.
        places: see ``planes``.
        strides: see ``planes``.
        numbers: see ``planes``.
        by_row: see ``planes``.
        groups: see ``planes``.
        counts: how many planes the left operand has, and for how many a panel of the right one has room.
        outer: rows of the product.
        columns: of the product.
        depth: see ``planes``.
        chunk: rows that a thread takes at a time, a multiple of 32.
        streamed: whether blocks of float32 are written past the cache; rows begin at its lines then.
        packed: the right operand, from :func:`pack_right`.
        offsets: its offsets by part, ``(groups * panels, parts, 32)``, or empty.
        scratch: int8 ``(threads, S)``, where S takes ``(chunk / 32, planes of a panel, steps)`` of ``STEP`` bytes.
        blocks: int32 ``(threads, parts, 32, 32)``.
        kind: what is written: ``INTEGERS``, ``ROUNDED``, ``SUMMED``, ``ADDED`` or ``SCALED``.
        left: exponents ``(groups, outer)``, if rounded; takes those of the numbers.
        right: exponents ``(groups, columns)``, if rounded.
        factors: float64 ``(columns,)``, if scaled.
        integers: int32 ``(groups, outer, columns)``.
        floats: float32 ``(groups, outer, columns)``.
        doubles: float64 ``(groups, at least outer, columns)``.
    """
    panels, chunks, steps = (columns + SIDE - 1) // SIDE, (outer + chunk - 1) // chunk, (depth + 63) // 64
    size = steps * STEP
    full, rounded = places[3] * size, kind in (ROUNDED, SUMMED)
    # The loops are those of Goto and van de Geijn (2008), and the left operand is what stays in the second-level cache:
    # a thread packs a chunk of its rows once, and takes one panel of the right operand after the other through all
    # blocks of the chunk; a block goes through the whole depth in the unit's registers.
    for i in prange(groups * chunks):
        g, first = i // chunks, i % chunks * chunk
        last = min(outer, first + chunk)
        heights = (last - first + SIDE - 1) // SIDE
        thread = thread_id()
        panels_of_left, sums = scratch[thread].ctypes.data, blocks[thread]
        for h in range(0, heights, 2):
            row, here = first + SIDE * h, panels_of_left + h * full
            wide = min(2 * SIDE, last - row)
            if numbers.size:
                pack_numbers(numbers[g], by_row, row, wide, depth, left[g], places, size, full, here, False)
            else:
                for p in range(counts[0]):
                    source = planes[p] + g * strides[0] + row * strides[1]
                    pack_pair(source, strides[1], strides[2], wide, depth, here + places[p] * size, full, False)
        for h in range(heights):
            call(unit.finish_left, (panels_of_left + h * full, counts[0], steps))
        # Asked once for a chunk and not for each block, in which it would be taken again for every panel.
        short = rounded and float32_epilogue_is_exact(
            depth, exponent_range(left[g], first, last), exponent_range(right[g], 0, columns)
        )
        rows, rows32 = np.zeros(chunk, np.float64), np.zeros(chunk, np.float32)
        scales, scales32 = np.zeros(SIDE, np.float64), np.zeros(SIDE, np.float32)
        edge, edge64 = np.zeros((SIDE, SIDE), np.float32), np.zeros((SIDE, SIDE), np.float64)
        if rounded:
            for y in range(last - first):
                rows[y] = power(left[g, first + y]) * 2.0**-26
                rows32[y] = power32(left[g, first + y]) if short else F(0.0)
        # Here, since which thread has a chunk is not known before; it costs nothing beside a chunk.
        call(unit.begin, (unit.settings,))
        for n in range(panels):
            there = packed.ctypes.data + (g * panels + n) * counts[1] * size
            offset = offsets[g * panels + n].ctypes.data if offsets.size else 0
            x = SIDE * n
            wide = min(SIDE, columns - x)
            if rounded:
                for c in range(wide):
                    scales[c] = power(right[g, x + c])
                    scales32[c] = power32(right[g, x + c] - 19) if short else F(0.0)
            for h in range(heights):
                here, y = panels_of_left + h * full, first + SIDE * h
                high = min(SIDE, last - y)
                out, stride = sums.ctypes.data, 4 * SIDE
                if kind == INTEGERS and high == SIDE and wide == SIDE:
                    out, stride = integers[g, y:, x:].ctypes.data, 4 * columns
                call(unit.block, (here, there, counts[0], steps, offset, out, 4 * SIDE * SIDE, stride))
                if rounded:
                    span = slice(SIDE * h, SIDE * h + SIDE)
                    target = floats[g, y : y + high, x : x + wide]
                    _round(
                        sums, short, rows[span], rows32[span], scales, scales32, target, edge, kind == SUMMED, streamed
                    )
                elif kind == ADDED:
                    _add(sums, doubles[g, y : y + high, x : x + wide], edge64)
                elif kind == SCALED:
                    _scale(sums, factors[x : x + wide], floats[g, y : y + high, x : x + wide])
                elif high < SIDE or wide < SIDE:
                    _copy(sums[0], integers[g, y : y + high, x : x + wide])
        call(unit.end, ())
        if streamed:
            end_streams()
