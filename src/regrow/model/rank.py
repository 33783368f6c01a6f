"""The numerical rank of a change, up to a bound, with the same answer on every machine.

Rows and columns are added up, with signs, into a few buckets each, so that one pass over the matrices is enough; a
pivoted Gram-Schmidt process then takes the rank of what is in the buckets. A matrix of rank r keeps it if there are
clearly more buckets than r, whatever its entries, but for coincidence; more than its rank is never found. All sums are
float64, one after the other in a fixed order.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from regrow.exact.kernel import kernel
from regrow.exact.random import integers

MOST = 64
"""Ranks above it are not told apart."""

_BUCKETS = 2 * MOST
_TIMES = 4  # buckets that a row or column goes into: two of them may share some, and hardly all
_HALF_UNIT = 2.0**-24  # of a float32, relative
_MARGIN = 8.0  # products in float32 leave more than their rounding at the end


def rank(before: NDArray[np.float32], after: NDArray[np.float32]) -> int | None:
    """The rank of ``after - before``, float32 ``(m, n)``; None if it is more than :data:`MOST`.

    What rounding ``after`` to float32 alone would leave counts as nothing: half a unit of the last place of each number
    at most, eight times as much as is to be expected of that in a bucket.
    """
    rows, columns = after.shape
    buckets = np.zeros((_BUCKETS, columns))
    square = float(_add_rows(before, after, *_places("rows", rows), buckets))
    core = np.zeros((_BUCKETS, _BUCKETS))
    _add_columns(buckets, *_places("columns", columns), core)
    noise = _MARGIN * _TIMES * _HALF_UNIT * math.sqrt(square / (3.0 * _BUCKETS))
    found = int(_pivots(core, noise * noise, MOST))
    return found if found <= MOST else None


def _places(purpose: str, count: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """For each of so many rows or columns, the buckets it goes into, and with which sign."""
    drawn = integers(1, f"rank {purpose}", count * _TIMES).reshape(count, _TIMES)
    signs = np.where(drawn & np.uint64(1), 1.0, -1.0)
    return ((drawn >> np.uint64(1)) % np.uint64(_BUCKETS)).astype(np.int64), signs


@kernel(nogil=True)
def _add_rows(before: Any, after: Any, places: Any, signs: Any, out: Any) -> float:
    """Add each row of the change into its buckets; gives the sum of the squares of ``after``."""
    square = 0.0
    row = np.empty(after.shape[1])
    for i in range(after.shape[0]):
        for j in range(after.shape[1]):
            value = np.float64(after[i, j])
            row[j] = value - np.float64(before[i, j])
            square += value * value
        for k in range(places.shape[1]):
            place, sign = places[i, k], signs[i, k]
            for j in range(after.shape[1]):
                out[place, j] += sign * row[j]
    return square


@kernel(nogil=True)
def _add_columns(rows: Any, places: Any, signs: Any, out: Any) -> None:
    for i in range(rows.shape[0]):
        for j in range(rows.shape[1]):
            for k in range(places.shape[1]):
                out[i, places[j, k]] += signs[j, k] * rows[i, j]


@kernel(nogil=True)
def _pivots(x: Any, least: float, most: int) -> int:
    """How many columns, the longest first, are more than nothing once those before them are taken out; ``most + 1`` at
    most. Of equals, the first.
    """
    for step in range(min(most + 1, x.shape[1])):
        longest, pivot = -1.0, 0
        for j in range(x.shape[1]):
            square = 0.0
            for i in range(x.shape[0]):
                square += x[i, j] * x[i, j]
            if square > longest:
                longest, pivot = square, j
        if not longest > least:
            return step
        direction = x[:, pivot] / np.sqrt(longest)
        for j in range(x.shape[1]):
            for _ in range(2):  # once leaves a little behind
                along = 0.0
                for i in range(x.shape[0]):
                    along += direction[i] * x[i, j]
                for i in range(x.shape[0]):
                    x[i, j] -= along * direction[i]
    return most + 1
