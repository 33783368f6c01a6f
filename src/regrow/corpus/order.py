"""The order in which training sees the tokens: a pure function of seed, epoch and index.

The training tokens are one long row, cut into windows: window ``w`` holds the tokens ``[w * context, w * context +
context + 1)``, the last of which is only predicted and is the first of the next window. Every epoch visits each window
once, in an order that nothing needs to store: a Feistel network permutes the numbers below a power of four, and a
result that is no window is permuted again until it is one (cycle walking), which leaves a permutation of the windows.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from regrow.corpus.mixing import GOLDEN, mix, mix_integer

_ROUNDS = 8


class Unit(NamedTuple):
    """Tokens ``[start, end)`` of the row, all of one document, by its place among the documents."""

    document: int
    start: int
    end: int

    @property
    def length(self) -> int:
        """How many."""
        return self.end - self.start


def windows(total_tokens: int, context: int) -> int:
    """How many windows a row of tokens makes."""
    return max(0, total_tokens - 1) // context


def window_at(seed: int, epoch: ArrayLike, index: ArrayLike, count: int) -> NDArray[np.int64]:
    """The window that epoch ``epoch`` (from 0) visits at place ``index`` (from 0), of ``count`` windows.

    ``epoch`` and ``index`` may be arrays that NumPy can broadcast; the result has their common shape.
    """
    epochs, places = np.broadcast_arrays(np.asarray(epoch, np.int64), np.asarray(index, np.int64))
    if count < 1 or np.any(places < 0) or np.any(places >= count):
        raise IndexError(f"places must be below the number of windows, {count}")
    flat, each = places.ravel().astype(np.uint64), epochs.ravel()
    half = (max(2, (count - 1).bit_length()) + 1) // 2
    for one in np.unique(each):
        keys, mine = _keys(seed, int(one)), np.flatnonzero(each == one)
        while mine.size:
            flat[mine] = _permute(flat[mine], keys, half)
            mine = mine[flat[mine] >= count]
    return flat.astype(np.int64).reshape(places.shape)


def place_of(seed: int, epoch: int, window: ArrayLike, count: int) -> NDArray[np.int64]:
    """At which place of an epoch (both from 0) windows are visited: what :func:`window_at` undoes."""
    flat = np.asarray(window, np.uint64).ravel().copy()
    if count < 1 or np.any(flat >= count):
        raise IndexError(f"windows must be below their number, {count}")
    half, keys, mine = (max(2, (count - 1).bit_length()) + 1) // 2, _keys(seed, epoch), np.arange(flat.size)
    while mine.size:
        flat[mine] = _permute_back(flat[mine], keys, half)
        mine = mine[flat[mine] >= count]
    return flat.astype(np.int64).reshape(np.shape(window))


def steps_of(seed: int, windows: ArrayLike, windows_per_step: int, count: int, steps: int) -> list[list[int]]:
    """The optimizer steps (from 1), up to a last one, that each of some windows is part of."""
    epochs = range(-(-steps * windows_per_step // max(1, count)))
    wanted = np.asarray(windows, np.int64).ravel()
    visited = [epoch * count + place_of(seed, epoch, wanted, count) for epoch in epochs] if wanted.size else []
    found = np.array(visited, np.int64).reshape(len(visited), wanted.size).T // windows_per_step + 1
    return [[step for step in row if step <= steps] for row in found.tolist()]


def step_windows(seed: int, step: int, windows_per_step: int, count: int) -> NDArray[np.int64]:
    """The windows of optimizer step ``step`` (from 1). Epochs follow without a gap, so a step may span two."""
    places = (step - 1) * windows_per_step + np.arange(windows_per_step, dtype=np.int64)
    return window_at(seed, places // max(1, count), places % max(1, count), count)


def units(window: int, context: int, ends: NDArray[np.int64]) -> list[Unit]:
    """The documents that a window's ``context + 1`` tokens come from.

    Args:
        window: its number.
        context: tokens in a window, without the one that is only predicted.
        ends: where each document's tokens end in the row; each begins where the one before ends.
    """
    first, last = window * context, (window + 1) * context + 1
    found = []
    for place in range(int(np.searchsorted(ends, first, side="right")), len(ends)):
        start = int(ends[place - 1]) if place else 0
        if start >= last:
            break
        found.append(Unit(place, max(first, start), min(last, int(ends[place]))))
    return found


def _keys(seed: int, epoch: int) -> list[np.uint64]:
    """One key for each round of the Feistel network."""
    state = mix_integer(mix_integer(seed + GOLDEN) + epoch)
    return [np.uint64(mix_integer(state + turn * GOLDEN)) for turn in range(1, _ROUNDS + 1)]


def _permute(value: NDArray[np.uint64], keys: list[np.uint64], half: int) -> NDArray[np.uint64]:
    """A permutation of the numbers below ``4**half``."""
    bits, mask = np.uint64(half), np.uint64((1 << half) - 1)
    left, right = value >> bits, value & mask
    for key in keys:
        left, right = right, left ^ (mix(right ^ key) & mask)
    return left << bits | right


def _permute_back(value: NDArray[np.uint64], keys: list[np.uint64], half: int) -> NDArray[np.uint64]:
    """What :func:`_permute` was given."""
    bits, mask = np.uint64(half), np.uint64((1 << half) - 1)
    left, right = value >> bits, value & mask
    for key in reversed(keys):
        left, right = right ^ (mix(left ^ key) & mask), left
    return left << bits | right
