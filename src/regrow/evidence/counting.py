"""The two loops over all words that telling prose from other text takes, compiled by Numba; they count, and no more."""

from __future__ import annotations

from typing import Any

import numpy as np

from regrow.exact.kernel import kernel

_kernel: Any = kernel(nogil=True)
_helper: Any = kernel(nogil=True)
_MIX = np.uint64(0x9E3779B97F4A7C15)
_FEWEST = 2  # words of a run


@_kernel
def totals(codes: Any, ends: Any, table: Any, out: Any) -> None:
    """Add up what holds of each word.

    Args:
        codes: which word each one is, ``(words,)``.
        ends: where the words of each text end, after a zero, ``(texts + 1,)``.
        table: what holds of each different word, ``(different words, columns)``.
        out: zeros, ``(texts, columns)``.
    """
    for text in range(out.shape[0]):
        for word in range(ends[text], ends[text + 1]):
            code = codes[word]
            for column in range(out.shape[1]):
                out[text, column] += table[code, column]


@_helper
def _mixed(number: Any) -> Any:
    """A number that looks like a random one, different for different ones."""
    mixed = np.uint64(number) * _MIX + np.uint64(1)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    return mixed ^ (mixed >> np.uint64(27))


@_helper
def _slot(table: Any, runs: Any, run: Any, mask: Any) -> Any:
    """Where the first run that is like one stands in a table, or would stand."""
    slot = np.int64((run ^ (run >> np.uint64(32))) & np.uint64(mask))
    while table[slot] >= 0 and runs[table[slot]] != run:
        slot = (slot + 1) & mask
    return slot


@_kernel
def repeats(codes: Any, sizes: Any, ends: Any, characters: Any, top: Any, again: Any, out: Any) -> None:
    """Tell which texts say the same runs of words again and again.

    A run of n words that stands twice begins with a run of n - 1 words that does, so each length looks only at places
    that were found for the one before. Runs are known by 64 bits of a hash.

    Args:
        codes: which word each one is, ``(words,)``.
        sizes: the characters of each different word.
        ends: where the words of each text end, after a zero, ``(texts + 1,)``.
        characters: of each text.
        top: for n from 2 on, of how much of a text the run of n words that is most frequent may make up no more.
        again: for each n, how much may stand in runs that stood there before.
        out: False, ``(2, texts)``: which texts break the first, and which the second.
    """
    most = 0
    for text in range(len(characters)):
        most = max(most, ends[text + 1] - ends[text])
    room = 4
    while room < 2 * most:
        room *= 2
    table = np.empty(room, np.int32)
    places, firsts, counts = np.empty(most, np.int32), np.empty(most, np.int32), np.empty(most, np.int32)
    runs, reach = np.empty(most, np.uint64), np.zeros(most + 1, np.int32)
    for text in range(len(characters)):
        begin, count = ends[text], ends[text + 1] - ends[text]
        for place in range(count):
            reach[place + 1] = reach[place] + sizes[codes[begin + place]]
            places[place], runs[place] = place, _mixed(codes[begin + place])
        left = count
        for n in range(_FEWEST, _FEWEST + len(top)):
            while left and places[left - 1] + n > count:
                left -= 1
            mask = 4
            while mask < 2 * left:
                mask *= 2
            table[:mask] = -1
            mask -= 1
            best = size = covered = last = np.int64(0)
            for i in range(left):
                at = np.int64(places[i])
                runs[i] = runs[i] * _MIX + _mixed(codes[begin + at + n - 1])
                slot = _slot(table, runs, runs[i], mask)
                length = np.int64(reach[at + n]) - reach[at]
                if table[slot] < 0:
                    table[slot] = firsts[i] = i
                    counts[i] = 1
                else:
                    first = firsts[i] = table[slot]
                    counts[first] += 1
                    covered += np.int64(reach[at + n]) - reach[max(at, last)]
                    last = at + n
                    if counts[first] > best or (counts[first] == best and length > size):
                        best, size = np.int64(counts[first]), length
            out[0, text] |= best * (size + n - 1) > top[n - _FEWEST] * characters[text]
            out[1, text] |= covered > again[n - _FEWEST] * characters[text]
            kept = 0
            for i in range(left):
                if counts[firsts[i]] > 1:
                    places[kept], runs[kept] = places[i], runs[i]
                    kept += 1
            left = kept
