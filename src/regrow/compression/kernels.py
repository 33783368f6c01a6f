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

from regrow.exact.kernel import kernel, shared_kernel

_BLOCK = 64
_ROWS = 16
_TILE = 256
SEGMENT = 128
"""Columns of a row among which the share of unstructured pruning holds."""

_helper: Any = kernel(nogil=True)


@_helper
def _add_rows(out: Any, start: int, stop: int, factors: Any, matrix: Any, first: int, count: int, sign: float) -> None:
    """Add ``sign * factors[i] * matrix[first + i, c]`` to ``out[c]``, one i after the other."""
    whole = count // 4 * 4
    for i in range(0, whole, 4):
        a, b, c, d = sign * factors[i], sign * factors[i + 1], sign * factors[i + 2], sign * factors[i + 3]
        for j in range(start, stop):
            x = out[j] + a * matrix[first + i, j]
            x = x + b * matrix[first + i + 1, j]
            x = x + c * matrix[first + i + 2, j]
            out[j] = x + d * matrix[first + i + 3, j]
    for i in range(whole, count):
        a = sign * factors[i]
        for j in range(start, stop):
            out[j] = out[j] + a * matrix[first + i, j]


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
        for i in range(begin, end):
            for j in range(begin, i + 1):
                x = a[i, j]
                for k in range(begin, j):
                    x = x - a[i, k] * a[j, k]
                if i > j:
                    a[i, j] = x / a[j, j]
                elif x > 0.0 and x < np.inf:
                    a[i, i] = np.sqrt(x)
                else:
                    failed[0] = 1
                    return
        for i in prange(end, size):
            for j in range(begin, end):
                x = a[i, j]
                for k in range(begin, j):
                    x = x - a[i, k] * a[j, k]
                a[i, j] = x / a[j, j]
                panel[j - begin, i] = a[i, j]
        rest = size - end
        for p in prange((rest + 1) // 2):  # a long row and a short one, so that threads have equal work
            _add_rows(a[end + p], end, end + p + 1, a[end + p, begin:end], panel, 0, end - begin, -1.0)
            other = size - 1 - p
            if other > end + p:
                _add_rows(a[other], end, other + 1, a[other, begin:end], panel, 0, end - begin, -1.0)


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
        for j in range(c + 1, end):
            s[j] = s[j] + d * m[c, j]


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
                    _add_rows(s[r - first], tile, min(size, tile + _TILE), delta[r - first], m, begin, end - begin, 1.0)


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
        for j in range(c + 1, end):
            ahead[j - begin] = ahead[j - begin] + (w[c] - x) * m[c, j]
    _least(scores, count, drop)
    for c in range(begin, end):
        out[c] = 0.0 if drop[c - begin] else w[c] + s[c] / m[c, c]
        delta[c - begin] = w[c] - out[c]
        for j in range(c + 1, last):
            s[j] = s[j] + delta[c - begin] * m[c, j]


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
                    _add_rows(s[r - first], tile, min(size, tile + _TILE), delta[r - first], m, begin, end - begin, 1.0)
