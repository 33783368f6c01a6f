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

from regrow.exact.grid import NON_FINITE
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
from regrow.exact.rows import (
    exponent_range,
    float32_epilogue_is_exact,
    grid_exponent,
    largest_bits,
    power,
    power32,
    row_digits,
)

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
def _row_scales(exponents: Any, first: int, last: int, short: bool, rows: Any, rows32: Any) -> None:
    """What the exponents of some rows make of integers, as the one way of rounding takes it and as the other."""
    for y in range(last - first):
        rows[y] = power(exponents[first + y]) * 2.0**-26
        rows32[y] = power32(exponents[first + y]) if short else F(0.0)


@_helper
def _column_scales(exponents: Any, first: int, wide: int, short: bool, columns: Any, columns32: Any) -> None:
    """The same of the columns of a panel."""
    for c in range(wide):
        columns[c] = power(exponents[first + c])
        columns32[c] = power32(exponents[first + c] - 19) if short else F(0.0)


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
            _row_scales(left[g], first, last, short, rows, rows32)
        # Here, since which thread has a chunk is not known before; it costs nothing beside a chunk.
        call(unit.begin, (unit.settings,))
        for n in range(panels):
            there = packed.ctypes.data + (g * panels + n) * counts[1] * size
            offset = offsets[g * panels + n].ctypes.data if offsets.size else 0
            x = SIDE * n
            wide = min(SIDE, columns - x)
            if rounded:
                _column_scales(right[g], x, wide, short, scales, scales32)
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


@_parallel
def low_rank(
    unit: Any, places: Any, held: int, x: Any, wide: Any, wide_offsets: Any, first: Any, first_offsets: Any,
    second: Any, second_offsets: Any, columns: Any, middles: Any, others: Any, chunk: int, streamed: bool,
    scratch: Any, blocks: Any, digits: Any, exponents: Any, narrow: Any, out: Any,
) -> None:  # fmt: skip
    """A product, and what a narrow one of the same rows gives when it is multiplied once more, added to it.

    Digits of the rows are made once, and a block is added to while it is in the cache.

    Args:
        unit: what multiplies, :class:`regrow.exact.microkernels.units.Addresses`.
        places: of the planes in a panel of a left operand, and how many it has.
        held: how many one of a right operand has.
        x: the left operand, float32 ``(R, K)``.
        wide: panels of the matrix ``(K, Q)``, from :func:`pack_right`.
        wide_offsets: theirs, by part.
        first: those of the narrow one, ``(K, N)``.
        first_offsets: theirs.
        second: those of the one that its product is multiplied by, ``(N, Q)``.
        second_offsets: theirs.
        columns: exponents of the matrix ``(Q,)``.
        middles: of the narrow one ``(N,)``.
        others: of the second ``(Q,)``.
        chunk: rows that a thread takes at a time, a multiple of 32.
        streamed: as in :func:`multiply`.
        scratch: int8 ``(threads, S)``, where S takes panels of a chunk over K, and over N.
        blocks: int32 ``(threads, 2, 32, 32)``.
        digits: takes those of ``x``, int8 ``(R, 2, K)``.
        exponents: takes its grids ``(R,)``.
        narrow: takes the narrow product, float32 ``(R, N)``.
        out: takes the sum of the others, float32 ``(R, Q)``.
    """
    (count, depth), (_, rank), (_, width) = x.shape, narrow.shape, out.shape
    steps, few = (depth + 63) // 64, (rank + 63) // 64
    size, small = steps * STEP, few * STEP
    full, thin, bits = places[3] * size, places[3] * small, x.view(np.int32)
    finer = np.empty(count, np.int32)
    for i in prange((count + chunk - 1) // chunk):
        start = i * chunk
        last = min(count, start + chunk)
        heights = (last - start + SIDE - 1) // SIDE
        thread = thread_id()
        panels, sums = scratch[thread].ctypes.data, blocks[thread]
        thins = panels + heights * full
        for r in range(start, last):
            e = grid_exponent(largest_bits(bits[r]))
            exponents[r] = e
            if e == NON_FINITE:
                digits[r] = 0
            else:
                row_digits(x[r], power32(13 - e), digits[r, 0], digits[r, 1], False)
        for h in range(0, heights, 2):
            row = start + SIDE * h
            for p in range(2):
                source = digits.ctypes.data + (2 * row + p) * depth
                target = panels + h * full + places[p] * size
                pack_pair(source, 2 * depth, 1, min(2 * SIDE, last - row), depth, target, full, False)
        for h in range(heights):
            call(unit.finish_left, (panels + h * full, 2, steps))
        call(unit.begin, (unit.settings,))
        rows, rows32 = np.zeros(chunk, np.float64), np.zeros(chunk, np.float32)
        more, more32 = np.zeros(chunk, np.float64), np.zeros(chunk, np.float32)
        scales, scales32 = np.zeros(SIDE, np.float64), np.zeros(SIDE, np.float32)
        others64, others32 = np.zeros(SIDE, np.float64), np.zeros(SIDE, np.float32)
        joint, edge = np.zeros((SIDE, SIDE), np.float32), np.zeros((SIDE, SIDE), np.float32)
        given = exponent_range(exponents, start, last)
        short = float32_epilogue_is_exact(depth, given, exponent_range(middles, 0, rank))
        _row_scales(exponents, start, last, short, rows, rows32)
        for n in range((rank + SIDE - 1) // SIDE):
            column, there = SIDE * n, first.ctypes.data + n * held * size
            across = min(SIDE, rank - column)
            offset = first_offsets[n].ctypes.data if first_offsets.size else 0
            _column_scales(middles, column, across, short, scales, scales32)
            for h in range(heights):
                y, span = start + SIDE * h, slice(SIDE * h, SIDE * h + SIDE)
                call(
                    unit.block,
                    (panels + h * full, there, 2, steps, offset, sums.ctypes.data, 4 * SIDE * SIDE, 4 * SIDE),
                )
                target = narrow[y : min(last, y + SIDE), column : column + across]
                _round(sums, short, rows[span], rows32[span], scales, scales32, target, edge, False, False)
        for h in range(0, heights, 2):
            row = start + SIDE * h
            pack_numbers(
                narrow, True, row, min(2 * SIDE, last - row), rank, finer, places, small, thin, thins + h * thin, False
            )  # fmt: skip
        for h in range(heights):
            call(unit.finish_left, (thins + h * thin, 2, few))
        short = float32_epilogue_is_exact(depth, given, exponent_range(columns, 0, width))
        short_too = float32_epilogue_is_exact(
            rank, exponent_range(finer, start, last), exponent_range(others, 0, width)
        )
        _row_scales(exponents, start, last, short, rows, rows32)
        _row_scales(finer, start, last, short_too, more, more32)
        for n in range((width + SIDE - 1) // SIDE):
            column = SIDE * n
            across = min(SIDE, width - column)
            offset = wide_offsets[n].ctypes.data if wide_offsets.size else 0
            offset_too = second_offsets[n].ctypes.data if second_offsets.size else 0
            there, there_too = wide.ctypes.data + n * held * size, second.ctypes.data + n * held * small
            _column_scales(columns, column, across, short, scales, scales32)
            _column_scales(others, column, across, short_too, others64, others32)
            for h in range(heights):
                y, span = start + SIDE * h, slice(SIDE * h, SIDE * h + SIDE)
                here, where = panels + h * full, sums.ctypes.data
                call(unit.block, (here, there, 2, steps, offset, where, 4 * SIDE * SIDE, 4 * SIDE))
                _round(sums, short, rows[span], rows32[span], scales, scales32, joint, edge, False, False)
                here = thins + h * thin
                if few == 1:
                    call(unit.shallow, (here, there_too, (rank + 7) // 8, offset_too, where, 4 * SIDE * SIDE, 4 * SIDE))
                else:
                    call(unit.block, (here, there_too, 2, few, offset_too, where, 4 * SIDE * SIDE, 4 * SIDE))
                _round(sums, short_too, more[span], more32[span], others64, others32, joint, edge, True, False)
                target = out[y : min(last, y + SIDE), column : column + across]
                if streamed and target.shape[0] == SIDE and across == SIDE:
                    stream_block(joint.ctypes.data, target.ctypes.data, target.strides[0])
                else:
                    _copy(joint, target)
        call(unit.end, ())
        if streamed:
            end_streams()


# Digits that are looked at together, and columns of such that a thread takes.
_TOGETHER, _STRIPE = 64, 512


@_helper
def _any(x: Any) -> Any:
    """Whether a digit is not 0."""
    found = np.int8(0)
    for c in range(x.shape[0]):
        found |= x[c]
    return found != 0


@_helper
def _add_row(digit: int, high: Any, low: Any, total: Any) -> None:
    """Add ``2**14 t (2**7 h + l)``."""
    for c in range(total.shape[0]):
        product = np.int32(digit) * (np.int32(128) * np.int32(high[c]) + np.int32(low[c]))
        total[c] += np.float64(product) * 16384.0


@_helper
def _add_rare(row: Any, number: int, begin: int, across: bool, high: Any, low: Any, total: Any) -> None:
    """What some digits of one row give, from column ``begin`` on."""
    for start in range(0, row.shape[0], _TOGETHER):
        some = row[start : start + _TOGETHER]
        if _any(some):
            for c in range(some.shape[0]):
                if some[c] != 0:
                    place = begin + start + c
                    p = place if across else number
                    k = number if across else place
                    _add_row(some[c], high[k], low[k], total[p])


@_parallel
def add_rare(digits: Any, across: bool, high: Any, low: Any, total: Any) -> None:
    """Add what the highest of three digits gives, of which few are not 0.

    Args:
        digits: int8 ``(P, K)``, or ``(K, P)`` if ``across``; dense along the last axis.
        across: which.
        high: of the right operand, int8 ``(K, Q)``.
        low: the same.
        total: float64 ``(P, Q)``.
    """
    # A thread has sums of its own: rows of the digits, or columns of all of them.
    rows, columns = digits.shape
    if across:
        for i in prange((columns + _STRIPE - 1) // _STRIPE):
            start = np.int64(i) * _STRIPE
            for r in range(rows):
                _add_rare(digits[r, start : start + _STRIPE], r, start, True, high, low, total)
    else:
        for r in prange(rows):
            _add_rare(digits[r], np.int64(r), 0, False, high, low, total)
