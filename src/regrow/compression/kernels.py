"""The loops of quantising and pruning, compiled by Numba. Every sum has one order, whatever threads share the rows.

H is the Gram matrix of what a matrix W reads, and ``H = M M^T`` with M upper triangular. Changing a row w of W into q
changes the outputs by ``||(w - q) M||**2`` in all, whose term for a column c holds no column after it: going through
the columns in their order, each can be chosen so that its own term is as small as can be, given those before. That is
GPTQ (Frantar et al., 2023), which is usually written with the inverse of H; it is the same (Chen et al., 2025: Babai's
nearest plane), and this way nothing has to be inverted.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import prange

from regrow.exact import rows
from regrow.exact.kernel import kernel, shared_kernel

_BLOCK = 64
_ROWS = 16
_TILE = 256
SEGMENT = 128
"""Columns of a row among which the share of unstructured pruning holds."""

_helper: Any = kernel(nogil=True)


_row_digits: Any = rows.row_digits


@shared_kernel
def digits(x: Any, scale: Any, out: Any) -> None:
    """Two digits of ``rint(x * scale)``, the high one first; ``(R, 2, K)`` for float32 ``(R, K)``."""
    for r in prange(x.shape[0]):
        _row_digits(x[r], scale, out[r, 0], out[r, 1], False)


@_helper
def _add(out: Any, factor: float, row: Any) -> None:
    """Add ``factor * row`` to ``out``."""
    for j in range(out.shape[0]):
        out[j] = out[j] + factor * row[j]


@_helper
def _add_rows(out: Any, factors: Any, matrix: Any, first: int, start: int) -> None:
    """Add ``factors[i] * matrix[first + i]`` from column ``start`` on to ``out``, one i after the other."""
    # Rows are cut before the loop: from 0 to a length Numba knows that no place is counted from the end.
    stop, count = start + out.shape[0], factors.shape[0]
    whole = count // 4 * 4
    for i in range(0, whole, 4):
        f, g, h, k = factors[i], factors[i + 1], factors[i + 2], factors[i + 3]
        a, b = matrix[first + i][start:stop], matrix[first + i + 1][start:stop]
        c, d = matrix[first + i + 2][start:stop], matrix[first + i + 3][start:stop]
        for j in range(out.shape[0]):
            out[j] = (((out[j] + f * a[j]) + g * b[j]) + h * c[j]) + k * d[j]
    for i in range(whole, count):
        _add(out, factors[i], matrix[first + i][start:stop])


@shared_kernel
def factor(a: Any, panel: Any, failed: Any) -> None:
    """Cholesky's factor of a symmetric matrix in place, below and on the diagonal; each entry's terms in their order.

    Args:
        a: float64 ``(K, K)``.
        panel: float64 ``(64, K)``, to work in.
        failed: int64 ``(1,)``: 1 if the matrix is not positive definite, which ends it.
    """
    size = a.shape[0]
    for begin in range(0, size, _BLOCK):
        end = min(begin + _BLOCK, size)
        for k in range(begin, end):
            if not 0.0 < a[k, k] < np.inf:
                failed[0] = 1
                return
            a[k, k] = np.sqrt(a[k, k])
            for i in range(k + 1, end):
                a[i, k] = a[i, k] / a[k, k]
                panel[k - begin, i] = a[i, k]
            for i in range(k + 1, end):
                _add(a[i][k + 1 : i + 1], -a[i, k], panel[k - begin][k + 1 : i + 1])
        for i in prange(end, size):
            for k in range(begin, end):
                a[i, k] = a[i, k] / a[k, k]
                panel[k - begin, i] = a[i, k]
                _add(a[i][k + 1 : end], -a[i, k], panel[k - begin][k + 1 : end])
        for p in prange((size - end + 1) // 2):  # a short row and a long one, so that threads have equal work
            short, long = end + p, size - 1 - p
            _add_rows(a[short][end : short + 1], -a[short][begin:end], panel, 0, end)
            if short < long:
                _add_rows(a[long][end : long + 1], -a[long][begin:end], panel, 0, end)


@_helper
def _quantise_block(w: Any, m: Any, s: Any, delta: Any, scales: Any, groups: Any, begin: int, end: int, bounds: Any,
                    out: Any) -> None:  # fmt: skip
    """The columns ``begin..end`` of a row; what they move is added to the sums of those that follow among them."""
    for c in range(begin, end):
        scale = scales[groups[c]]
        code = 0.0
        if w[c] != 0.0 and scale > 0.0:
            code = min(max(np.rint((w[c] + s[c] / m[c, c]) / scale), bounds[0]), bounds[1])
        out[c] = np.int8(code)
        d = w[c] - code * scale
        delta[c - begin] = d
        _add(s[c + 1 : end], d, m[c][c + 1 : end])


@shared_kernel
def quantise(weights: Any, m: Any, scales: Any, groups: Any, bounds: Any, out: Any) -> None:
    """Integers for the rows of a matrix whose columns are in the order in which they are gone through.

    Args:
        weights: float64 ``(R, K)``. What is 0 stays 0.
        m: float64 ``(K, K)``, upper triangular.
        scales: float64 ``(R, groups)``.
        groups: int64 ``(K,)``: the group of each column.
        bounds: float64 ``(2,)``: the smallest integer and the largest.
        out: int8 ``(R, K)``.
    """
    rows, size = weights.shape
    for part in prange((rows + _ROWS - 1) // _ROWS):
        first, last = part * _ROWS, min(rows, (part + 1) * _ROWS)
        s = np.zeros((_ROWS, size))
        delta = np.zeros((_ROWS, _BLOCK))
        for begin in range(0, size, _BLOCK):
            end = min(begin + _BLOCK, size)
            for r in range(first, last):
                _quantise_block(
                    weights[r], m, s[r - first], delta[r - first], scales[r], groups, begin, end, bounds, out[r]
                )
            for tile in range(end, size, _TILE):
                for r in range(first, last):
                    moved = delta[r - first][: end - begin]
                    _add_rows(s[r - first][tile : min(size, tile + _TILE)], moved, m, begin, tile)


@_helper
def _least(scores: Any, count: int, drop: Any) -> None:
    """Mark the ``count`` lowest scores; of equal ones the later."""
    drop[:] = False
    for _ in range(count):
        best = -1
        for c in range(scores.shape[0]):
            if not drop[c] and (best < 0 or scores[c] <= scores[best]):
                best = c
        drop[best] = True


@_helper
def _prune_segment(w: Any, m: Any, s: Any, delta: Any, begin: int, end: int, last: int, count: int, drop: Any,
                   out: Any) -> None:  # fmt: skip
    """Choose what to drop of the columns ``begin..end``, and what the others become; as :func:`_quantise_block`."""
    ahead = s[begin:end].copy()
    scores = np.empty(end - begin)
    for c in range(begin, end):  # as if nothing was dropped
        x = w[c] + ahead[c - begin] / m[c, c]
        scores[c - begin] = (x * m[c, c]) * (x * m[c, c])
        _add(ahead[c + 1 - begin :], w[c] - x, m[c][c + 1 : end])
    _least(scores, count, drop)
    for c in range(begin, end):
        out[c] = 0.0 if drop[c - begin] else w[c] + s[c] / m[c, c]
        delta[c - begin] = w[c] - out[c]
        _add(s[c + 1 : last], delta[c - begin], m[c][c + 1 : last])


@shared_kernel
def prune(weights: Any, m: Any, segment: int, share: Any, out: Any) -> None:
    """Drop a share of each segment of a row and have the rest make up for it (SparseGPT: Frantar and Alistarh, 2023).

    Args:
        weights: float64 ``(R, K)``.
        m: float64 ``(K, K)``, upper triangular.
        segment: columns among which the share is dropped, at most 128 and a divisor of it.
        share: float64 ``(1,)``, of a segment, rounded down to whole columns.
        out: float64 ``(R, K)``.
    """
    rows, size = weights.shape
    for part in prange((rows + _ROWS - 1) // _ROWS):
        first, last = part * _ROWS, min(rows, (part + 1) * _ROWS)
        s = np.zeros((_ROWS, size))
        delta = np.zeros((_ROWS, SEGMENT))
        drop = np.zeros(SEGMENT, np.bool_)
        for begin in range(0, size, SEGMENT):
            end = min(begin + SEGMENT, size)
            for r in range(first, last):
                for start in range(begin, end, segment):
                    stop = min(start + segment, end)
                    _prune_segment(
                        weights[r], m, s[r - first], delta[r - first, start - begin :], start, stop, end,
                        int((stop - start) * share[0]), drop[: stop - start], out[r],
                    )  # fmt: skip
            for tile in range(end, size, _TILE):
                for r in range(first, last):
                    moved = delta[r - first][: end - begin]
                    _add_rows(s[r - first][tile : min(size, tile + _TILE)], moved, m, begin, tile)
