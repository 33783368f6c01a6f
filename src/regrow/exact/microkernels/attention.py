"""Attention over the packed products: 32 queries at a time, from scores to output without leaving the cache.

What the separate kernels of :mod:`regrow.exact.compiled` do to whole tiles is done here to the rows of one block, with
the same functions. Digits that the backward pass needs are written on the way. Keys that no query of a block may see
are not multiplied. It is the tiling of FlashAttention (Dao et al., 2022), over queries only: a row's maximum and total
are of all its keys at once, as in the definition, so its scores are held in full, 256 KiB for 32 queries of 1024 keys.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import prange

from regrow.exact.grid import NON_FINITE
from regrow.exact.kernel import kernel, shared_kernel, thread_id
from regrow.exact.microkernels.instructions import STEP
from regrow.exact.microkernels.packing import SIDE, pack_pair, pack_panel
from regrow.exact.microkernels.units import call
from regrow.exact.rows import (
    column_scales,
    column_scales_float32,
    dscores_row,
    exponent_range,
    float32_epilogue_is_exact,
    grid_exponent,
    largest_bits,
    largest_number,
    mean_row,
    power,
    power32,
    product_row,
    product_row_float32,
    row_digits,
    weights_row,
)

F = np.float32

_parallel: Any = shared_kernel
_helper: Any = kernel()


@_helper
def _block(unit: Any, here: int, panels: Any, offsets: Any, number: int, deep: int, sums: Any, x: int) -> None:
    """Both parts of a panel and one of the right operand's, to the columns of ``sums`` from ``x`` on."""
    there, stride = panels.ctypes.data + number * panels.shape[1], 4 * sums.shape[2]
    offset = offsets[number].ctypes.data if offsets.size else 0
    call(unit.block, (here, there, 2, deep, offset, sums.ctypes.data + 4 * x, stride * sums.shape[1], stride))


@_helper
def _pack_rows(
    unit: Any, places: Any, source: int, plane: int, stride: int, rows: int, depth: int, target: Any
) -> None:  # fmt: skip
    """A panel of two planes of rows, as a left operand."""
    steps = (depth + 63) // 64
    for p in range(2):
        pack_panel(source + p * plane, stride, 1, rows, depth, target.ctypes.data + places[p] * steps * STEP, False)
    call(unit.finish_left, (target.ctypes.data, 2, steps))


@_helper
def _score_products(
    unit: Any, places: Any, source: int, strides: Any, count: int, width: int, panels: Any, offsets: Any, first: int,
    stop: int, mine: Any, sums: Any,
) -> None:  # fmt: skip
    """Make the unit ready, and multiply ``count`` rows by the right operand's panels from ``first`` to ``stop``."""
    _pack_rows(unit, places, source, strides[2], strides[1], count, width, mine)
    call(unit.begin, (unit.settings,))  # by each block of queries, since which thread has it is not known before
    for n in range(first, stop):
        _block(unit, mine.ctypes.data, panels, offsets, n, (width + 63) // 64, sums, SIDE * (n - first))


@_helper
def _row(short: bool, parts: Any, r: int, e: int, columns: Any, columns32: Any, scale: Any, out: Any) -> None:
    """``scale`` times row ``r`` of the products, whose exponent is ``e``."""
    if short:
        product_row_float32(parts[0, r], parts[1, r], power32(e), columns32, scale, out)
    else:
        product_row(parts[0, r], parts[1, r], power(e), columns, scale, out)


@_parallel
def attend(
    unit: Any, places: Any, start: int, first: int, queries: int, query_strides: Any, width: int, keys: Any,
    key_offsets: Any, values: Any, value_offsets: Any, left: Any, right: Any, held: Any, scale: Any, scratch: Any,
    sums: Any, products: Any, weights: Any, totals: Any, out: Any,
) -> None:  # fmt: skip
    """Attention of some rows of queries, all of one sequence; see the three kernels of attention in ``definition``.

    Args:
        unit: what multiplies, :class:`regrow.exact.microkernels.units.Addresses`.
        places: of the planes in a panel of a left operand, as in :func:`regrow.exact.microkernels.kernels.multiply`.
        start: the first of the rows.
        first: its position.
        queries: the address of the queries' high digits, on row grids.
        query_strides: from group to group, row to row, and from high to low digits.
        width: of a head, D.
        keys: the panels of keys from :func:`regrow.exact.microkernels.kernels.pack_right`, over D.
        key_offsets: theirs, by part.
        values: the panels of values, over the keys.
        value_offsets: theirs, by part.
        left: exponents of all queries ``(G, R)``.
        right: exponents of the keys ``(G, K)``.
        held: exponents of the values ``(G, D)``.
        scale: of the scores, float32.
        scratch: int8 ``(threads, S)`` for a panel over D, and then for one over the keys.
        sums: int32 ``(threads, 2, 32, K)``, K rounded up to blocks.
        products: int32 ``(threads, 2, 32, 32)``.
        weights: takes the digits of the rows, int8 ``(G, rows, 2, K)``.
        totals: of all rows ``(G, R)``.
        out: of all rows ``(G, R, D)``.
    """
    groups, rows, _, seen = weights.shape
    panels, key_panels, value_panels = (rows + SIDE - 1) // SIDE, (seen + SIDE - 1) // SIDE, (width + SIDE - 1) // SIDE
    deep = (seen + 63) // 64
    scales, value_scales, scales32 = column_scales(right), column_scales(held), column_scales_float32(right)
    for i in prange(groups * panels):
        g, y = i // panels, i % panels * SIDE
        count = min(SIDE, rows - y)
        thread = thread_id()
        mine, parts, product = scratch[thread], sums[thread], products[thread]
        short = float32_epilogue_is_exact(
            width, exponent_range(left[g], start + y, start + y + count), exponent_range(right[g], 0, seen)
        )
        # Scores of 32 queries, up to the panel in which the last of them has its last key.
        source = queries + g * query_strides[0] + (start + y) * query_strides[1]
        before, reach = g * key_panels, min(key_panels, (first + y + count + SIDE - 1) // SIDE)
        _score_products(
            unit, places, source, query_strides, count, width, keys, key_offsets, before, before + reach, mine, parts
        )
        # Row by row, from integers to digits, while the integers are in the cache. What a query may not see is not
        # read; its digits are 0, because the product with the values takes all keys.
        scores = np.empty(seen, np.float32)
        for r in range(count):
            row, last = start + y + r, first + y + r + 1
            _row(short, parts, r, left[g, row], scales[g], scales32[g], scale, scores[:last])
            largest = largest_number(scores[:last])
            if np.isfinite(largest):
                digits = weights[g, y + r]
                totals[g, row] = F(weights_row(scores[:last], largest, digits[0], digits[1]))
                digits[:, last:] = 0
            else:
                totals[g, row] = F(np.nan)
                weights[g, y + r] = 0
        # The digits just written are the left operand of the second product, in the room of the queries' panel.
        _pack_rows(unit, places, weights[g, y].ctypes.data, seen, 2 * seen, count, seen, mine)
        for n in range(value_panels):
            _block(unit, mine.ctypes.data, values, value_offsets, g * value_panels + n, deep, product, 0)
            wide = min(SIDE, width - SIDE * n)
            for r in range(count):
                row, span = start + y + r, slice(SIDE * n, SIDE * n + wide)
                mean_row(
                    product[0, r], product[1, r], value_scales[g, span], np.float64(totals[g, row]), out[g, row, span]
                )
        call(unit.end, ())


@_parallel
def attend_backward(
    unit: Any, places: Any, start: int, first: int, gradients: int, gradient_strides: Any, width: int, values: Any,
    value_offsets: Any, keys: Any, key_offsets: Any, left: Any, right: Any, held: Any, scale: Any, scratch: Any,
    sums: Any, products: Any, weights: Any, totals: Any, delta: Any, digits: Any, exponents: Any, out: Any,
) -> None:  # fmt: skip
    """The gradients of the scores of some rows, as digits, and of their queries.

    Args as in :func:`attend`, with the gradients of the output in place of queries, the panels of values, over D, in
    place of keys, those of keys, over the keys, in place of values; and:

        delta: sums of output gradient times output of all rows ``(G, R)``.
        digits: takes those of the rows, int8 ``(G, rows, 2, K)``.
        exponents: takes theirs ``(G, rows)``.
        out: the gradients of all queries ``(G, R, D)``.
    """
    groups, rows, _, seen = weights.shape
    panels, key_panels, width_panels = (rows + SIDE - 1) // SIDE, (seen + SIDE - 1) // SIDE, (width + SIDE - 1) // SIDE
    deep = (seen + 63) // 64
    scales, key_scales, scales32 = column_scales(right), column_scales(held), column_scales_float32(right)
    for i in prange(groups * panels):
        g, y = i // panels, i % panels * SIDE
        count = min(SIDE, rows - y)
        thread = thread_id()
        mine, parts, product = scratch[thread], sums[thread], products[thread]
        short = float32_epilogue_is_exact(
            width, exponent_range(left[g], start + y, start + y + count), exponent_range(right[g], 0, seen)
        )
        source = gradients + g * gradient_strides[0] + (start + y) * gradient_strides[1]
        before, reach = g * key_panels, min(key_panels, (first + y + count + SIDE - 1) // SIDE)
        _score_products(
            unit, places, source, gradient_strides, count, width, values, value_offsets, before, before + reach, mine,
            parts,
        )  # fmt: skip
        # Likewise: products of gradients and values to gradients of scores, and these to digits on a grid for each row.
        found, one = np.empty(seen, np.float32), F(1.0)
        for r in range(count):
            row, last = start + y + r, first + y + r + 1
            _row(short, parts, r, left[g, row], scales[g], scales32[g], one, found[:last])
            high, low = weights[g, y + r, 0], weights[g, y + r, 1]
            dscores_row(found[:last], high, low, one / totals[g, row], delta[g, row], scale, found[:last])
            e = grid_exponent(largest_bits(found[:last].view(np.int32)))
            exponents[g, y + r] = e
            if e == NON_FINITE:
                digits[g, y + r] = 0
            else:
                row_digits(found[:last], power32(13 - e), digits[g, y + r, 0], digits[g, y + r, 1], False)
                digits[g, y + r, :, last:] = 0
        # Rounded in float64 always: exponents of the rows are new, so that what holds for all of them is not known.
        _pack_rows(unit, places, digits[g, y].ctypes.data, seen, 2 * seen, count, seen, mine)
        for n in range(width_panels):
            _block(unit, mine.ctypes.data, keys, key_offsets, g * width_panels + n, deep, product, 0)
            wide = min(SIDE, width - SIDE * n)
            for r in range(count):
                span = slice(SIDE * n, SIDE * n + wide)
                a, found_row = power(exponents[g, y + r]), out[g, start + y + r, span]
                product_row(product[0, r], product[1, r], a, key_scales[g, span], one, found_row)
        call(unit.end, ())


@_helper
def _gather(parts: Any, total: Any) -> None:
    """Add both parts of a block to those of others."""
    for p in range(2):
        for y in range(SIDE):
            for x in range(SIDE):
                total[p, y, x] += parts[p, y, x]


@_parallel
def over_queries(
    unit: Any, places: Any, full: int, held: int, blocks: Any, exponents: Any, scratch: Any, products: Any,
    totals: Any, out: Any,
) -> None:  # fmt: skip
    """The transpose of the digits of several blocks of queries, on the grid ``2**-13``, times a number for each query.

    Args:
        unit: what multiplies.
        places: of the planes in a panel of a left operand.
        full: how many planes such a panel has room for.
        held: how many one of a right operand has.
        blocks: int64, for each block: the address of its digits ``(G, rows, 2, keys)``; their strides from group to
            group, row to row, and from high to low digits; rows; keys; the addresses of the right operand's panels over
            these rows and of their offsets, or 0; and the position after that of its last query.
        exponents: of the right operand ``(G, D)``.
        scratch: int8 ``(threads, S)`` for two panels over the rows of a block.
        products: int32 ``(threads, 2, 32, 32)``.
        totals: int32 ``(threads, 2, panels over D, 2, 32, 32)``.
        out: float32 ``(G, K, D)``.
    """
    groups, keys, width = out.shape
    pairs, width_panels, scales = (
        (keys + 2 * SIDE - 1) // (2 * SIDE),
        (width + SIDE - 1) // SIDE,
        column_scales(exponents),
    )
    for i in prange(groups * pairs):
        g, first = i // pairs, i % pairs * 2 * SIDE
        thread = thread_id()
        mine, product, total = scratch[thread].ctypes.data, products[thread], totals[thread]
        total[:] = 0
        call(unit.begin, (unit.settings,))
        for b in range(blocks.shape[0]):
            rows, seen = blocks[b, 4], blocks[b, 5]
            # Queries before a key have no weight for it: what they would add is 0.
            if first < seen and first < blocks[b, 8]:
                steps, wide = (rows + 63) // 64, min(2 * SIDE, seen - first)
                size = steps * STEP
                for p in range(2):
                    source = blocks[b, 0] + g * blocks[b, 1] + p * blocks[b, 3] + first
                    pack_pair(source, 1, blocks[b, 2], wide, rows, mine + places[p] * size, full * size, False)
                for h in range((wide + SIDE - 1) // SIDE):
                    here = mine + h * full * size
                    call(unit.finish_left, (here, 2, steps))
                    for n in range(width_panels):
                        number = g * width_panels + n
                        there = blocks[b, 6] + number * held * size
                        offset = blocks[b, 7] + number * 8 * SIDE if blocks[b, 7] else 0
                        call(
                            unit.block, (here, there, 2, steps, offset, product.ctypes.data, 4 * SIDE * SIDE, 4 * SIDE)
                        )
                        _gather(product, total[h, n])
        call(unit.end, ())
        for r in range(min(2 * SIDE, keys - first)):
            h, y = r // SIDE, r % SIDE
            for n in range(width_panels):
                span = slice(SIDE * n, min(width, SIDE * n + SIDE))
                row = out[g, first + r, span]
                product_row(total[h, n, 0, y], total[h, n, 1, y], 1.0, scales[g, span], F(1.0), row)
