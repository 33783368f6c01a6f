"""Sums of exponentials over rows of logits, in float64: what logarithms of probabilities are made of.

As in :mod:`regrow.exact.ordered`, a sum is taken in eight lanes, and so in one order that is part of the definition
(docs/arithmetic.md calls it `logprobs`). The exponential is :func:`regrow.exact.polynomials.exp64`, written out for
whole rows: a model has many tokens, and NumPy would go through memory thirty times.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import prange
from numpy.typing import NDArray

from regrow.exact import polynomials
from regrow.exact.definition import LANES
from regrow.exact.kernel import kernel, shared_kernel

_inline: Any = kernel(inline="always")
_helper: Any = kernel()
_parallel: Any = shared_kernel

_ROUND = 6755399441055744.0
"""Adding and subtracting 1.5 * 2^52 rounds a float64 of magnitude below 2^51 to the nearest even integer."""
_INVERSE_LN2 = polynomials.INVERSE_LN2_64
_HIGH, _LOW = polynomials.LN2_HIGH64, polynomials.LN2_LOW64
_C14, _C13, _C12, _C11, _C10, _C9, _C8, _C7, _C6, _C5, _C4, _C3, _C2, _C1, _C0 = polynomials.EXP64_COEFFICIENTS
_SMALLEST = polynomials.EXP64_SMALLEST
_PIECE = 1024
"""Columns whose exponentials stay in the first-level cache; a multiple of the lanes."""


@_inline
def _exp(x: Any) -> Any:
    k = (x * _INVERSE_LN2 + _ROUND) - _ROUND
    r = (x - k * _HIGH) - k * _LOW
    p = ((((_C14 * r + _C13) * r + _C12) * r + _C11) * r + _C10) * r + _C9
    p = ((((p * r + _C8) * r + _C7) * r + _C6) * r + _C5) * r + _C4
    p = (((p * r + _C3) * r + _C2) * r + _C1) * r + _C0
    return p * np.int64((np.int64(k) + 1023) << 52).view(np.float64)


@_parallel
def _kernel(logits: Any, largest: Any, out: Any) -> None:
    rows, columns = logits.shape
    for r in prange(rows):
        lanes, piece, top = np.zeros(LANES, np.float64), np.empty(_PIECE, np.float64), largest[r]
        for start in range(0, columns, _PIECE):
            width = min(_PIECE, columns - start)
            for c in range(width):
                piece[c] = _exp(max(np.float64(logits[r, start + c]) - top, _SMALLEST))
            for c in range(width, _PIECE):
                piece[c] = 0.0
            for c in range(0, width, LANES):
                for j in range(LANES):
                    lanes[j] += piece[c + j]
        out[r] = ((lanes[0] + lanes[4]) + (lanes[2] + lanes[6])) + ((lanes[1] + lanes[5]) + (lanes[3] + lanes[7]))


@_helper
def _exponentials(x: Any, out: Any) -> None:
    for i in range(len(x)):
        out[i] = _exp(max(x[i], _SMALLEST))


def exponentials(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """e to the power of each of ``(N,)``, none above 0; of one below -700, as if it were that."""
    out = np.empty(len(x))
    _exponentials(np.ascontiguousarray(x), out)
    out[np.isnan(x)] = np.nan  # what the larger one of that and a number is differs between processors
    return out


def exponential_sums(logits: NDArray[np.float32]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Of each row ``(R, V)`` the largest logit, and the sum of the exponentials of all, less the largest.

    A row whose largest is infinite or not a number has neither: both are NaN.
    """
    largest = logits.max(1).astype(np.float64)
    largest[~np.isfinite(largest)] = np.nan
    sums = np.full(len(logits), np.nan)
    there = np.flatnonzero(np.isfinite(largest))
    if len(there):
        found = np.empty(len(there))
        _kernel(np.ascontiguousarray(logits[there]), largest[there], found)
        sums[there] = found
    return largest, sums
