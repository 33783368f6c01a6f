"""Bringing operands into the tiles that units multiply: digits as they are, or numbers whose digits are made here.

A panel is a block's share of an operand: 32 rows of a left one, or 32 columns of a right one, over the depth. Two are
made at a time.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from regrow.exact.grid import NON_FINITE
from regrow.exact.kernel import kernel
from regrow.exact.microkernels.instructions import (
    STEP,
    TILE,
    clear_tile,
    copy_tile,
    interleave_tile,
    interleave_tiles,
    largest_of_columns,
    load_byte,
    split_by_column,
    split_by_row,
    store_byte,
    transpose_tile,
)
from regrow.exact.rows import grid_exponent, largest_bits, power32

F = np.float32
SIDE = 32  # of a block
_SQUARE = 2 * SIDE  # numbers are split so many by so many
_MASK = np.int32(0x7FFFFFFF)

_helper: Any = kernel()


@_helper
def _pack_tile(source: int, outer_stride: int, depth_stride: int, target: int, right: bool) -> None:
    """A tile of 16 columns or rows times 64 of depth; one of the strides is 1."""
    # The two units want of a right operand four digits of the depth side by side, for each column; of a left one rows
    # as they are. Dense along the depth, that is a transpose of words of four bytes; dense across it, an interleaving.
    if depth_stride == 1:
        if right:
            transpose_tile(source, outer_stride, target)
        else:
            copy_tile(source, outer_stride, target)
    else:
        interleave_tile(source, depth_stride, target)
        if not right:
            transpose_tile(target, 64, target)


@_helper
def _pack_edge(
    source: int, outer_stride: int, depth_stride: int, outer: int, depth: int, target: int, right: bool
) -> None:  # fmt: skip
    """A tile that is not full: zeros beyond what there is, which add nothing to a sum."""
    # Byte by byte and slow, but only where an operand ends; and nothing is read beyond its end, where no memory may be.
    clear_tile(target)
    for o in range(outer):
        for k in range(depth):
            place = k // 4 * 64 + 4 * o + k % 4 if right else 64 * o + k
            store_byte(load_byte(source + o * outer_stride + k * depth_stride), target + place)


@_helper
def pack_panel(
    source: int, outer_stride: int, depth_stride: int, outer: int, depth: int, target: int, right: bool
) -> None:  # fmt: skip
    """A block's share of one plane, step by step."""
    for step in range((depth + 63) // 64):
        long = min(64, depth - 64 * step)
        for half in range(2):
            wide = min(16, outer - 16 * half)
            place = target + step * STEP + half * TILE
            at = source + 16 * half * outer_stride + 64 * step * depth_stride
            if wide == 16 and long == 64 and (depth_stride == 1 or outer_stride == 1):
                _pack_tile(at, outer_stride, depth_stride, place, right)
            else:
                _pack_edge(at, outer_stride, depth_stride, wide, long, place, right)


@_helper
def pack_pair(
    source: int, outer_stride: int, depth_stride: int, outer: int, depth: int, target: int, apart: int, right: bool
) -> None:  # fmt: skip
    """The shares of two blocks, whose panels lie ``apart``, or of one if ``outer`` is 32 or less."""
    # Two at a time, because across the depth the bytes of two blocks are a line of the cache, which is read once so.
    if outer < 2 * SIDE or outer_stride != 1 or depth_stride == 1:
        pack_panel(source, outer_stride, depth_stride, min(SIDE, outer), depth, target, right)
        if outer > SIDE:
            beyond = source + SIDE * outer_stride
            pack_panel(beyond, outer_stride, depth_stride, outer - SIDE, depth, target + apart, right)
        return
    for step in range((depth + 63) // 64):
        long, at = min(64, depth - 64 * step), source + 64 * step * depth_stride
        if long == 64:
            interleave_tiles(at, depth_stride, target + step * STEP, apart)
        for tile in range(4):
            place = target + tile // 2 * apart + step * STEP + tile % 2 * TILE
            if long < 64:
                _pack_edge(at + 16 * tile, 1, depth_stride, 16, long, place, right)
            elif not right:
                transpose_tile(place, 64, place)


@_helper
def _scale(bits: Any, exponents: Any, place: int) -> Any:
    """Note the exponent of a group whose largest bit pattern is known; gives what brings its numbers to the grid."""
    e = grid_exponent(bits)
    exponents[place] = e
    # 13 - e is within -115..113, a normal float32. What becomes of a group that is not finite does not matter, since
    # the power of two that its products are multiplied by is NaN.
    return F(0.0) if e == NON_FINITE else power32(13 - e)


@_helper
def _largest_by_column(x: Any, first: int, outer: int, depth: int, largest: Any) -> None:
    """The largest bit pattern of each of some columns."""
    if outer == _SQUARE:
        largest_of_columns(x[0, first:].ctypes.data, x.strides[0], depth, largest.ctypes.data)
        return
    bits = x.view(np.int32)
    for k in range(depth):
        for o in range(outer):
            largest[o] = max(largest[o], np.int32(bits[k, first + o] & _MASK))


@_helper
def _square(x: Any, row: int, column: int, rows: int, columns: int, edge: Any) -> Any:
    """The address and the stride of a square of numbers; one that is not full is filled up with zeros, in ``edge``."""
    if rows == _SQUARE and columns == _SQUARE:
        return x[row, column:].ctypes.data, x.strides[0]
    edge[:] = F(0.0)
    for r in range(rows):
        for c in range(columns):
            edge[r, c] = x[row + r, column + c]
    return edge.ctypes.data, edge.strides[0]


@_helper
def pack_numbers(
    x: Any, by_row: bool, first: int, outer: int, depth: int, exponents: Any, places: Any, size: int, apart: int,
    target: int, right: bool,
) -> None:  # fmt: skip
    """One panel or two of both digits of an operand, each row or column on its grid.

    The numbers are read twice, first for the grids and then for the digits; but they come from memory once, since those
    of two panels have room in the second-level cache.

    Args:
        x: the operand ``(R, C)``.
        by_row: whether its rows have a grid each, and the sums run along them; or its columns.
        first: row or column.
        outer: how many of them, 64 at most.
        depth: what is summed over.
        exponents: takes the grids, of all rows or columns.
        places: of the planes in a panel, in multiples of ``size``.
        size: of a plane.
        apart: how far two panels are apart.
        target: the address of the first.
        right: whether this is a right operand.
    """
    scales, edge = np.zeros(_SQUARE, np.float32), np.empty((_SQUARE, _SQUARE), np.float32)
    if by_row:
        bits = x.view(np.int32)
        for o in range(outer):
            scales[o] = _scale(largest_bits(bits[first + o]), exponents, first + o)
    else:
        largest = np.zeros(_SQUARE, np.int32)
        _largest_by_column(x, first, outer, depth, largest)
        for o in range(outer):
            scales[o] = _scale(largest[o], exponents, first + o)
    room = np.empty(2 * _SQUARE * _SQUARE + _SQUARE, np.int8)
    panels = SIDE if outer <= SIDE else _SQUARE
    for step in range((depth + _SQUARE - 1) // _SQUARE):
        long, there = min(_SQUARE, depth - _SQUARE * step), target + step * STEP
        # Asked for here, since Numba gives memory back after the last use of its name.
        digits = room.ctypes.data + -room.ctypes.data % _SQUARE
        if by_row:
            source, stride = _square(x, first, _SQUARE * step, outer, long, edge)
            split_by_row(source, stride, scales.ctypes.data, digits)
        else:
            source, stride = _square(x, _SQUARE * step, first, long, outer, edge)
            split_by_column(source, stride, scales.ctypes.data, digits)
        along, across = (1, _SQUARE) if by_row else (_SQUARE, 1)
        for p in range(2):
            plane = digits + p * _SQUARE * _SQUARE
            pack_pair(plane, across, along, panels, _SQUARE, there + places[p] * size, apart, right)
