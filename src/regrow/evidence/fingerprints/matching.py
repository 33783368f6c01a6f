"""Which windows of texts are in a list of fingerprints."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from regrow.evidence.fingerprints.lists import Fingerprints
from regrow.evidence.fingerprints.windows import WORDS, windows

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_SPARSE = 3  # bits more than it takes to number the rows: seven of eight other windows end at the table
_MOST = 26  # bits of the table: 64 MiB


@dataclass(frozen=True)
class Run:
    """Words of a text that stand one after another in a work.

    Attributes:
        text: the number of the text.
        work: the number of the work.
        start: the first word in the text.
        end: one past the last.
        windows: how many there are.
    """

    text: int
    work: int
    start: int
    end: int
    windows: int


class Matcher:
    """A list, with a table of the upper bits of its windows that most others are not in."""

    def __init__(self, prints: Fingerprints) -> None:
        import numpy as np

        self._prints = prints
        bits = min(_MOST, max(10, len(prints.hashes).bit_length() + _SPARSE))
        self._shift = np.uint64(64 - bits)
        self._table = np.zeros(1 << bits, np.bool_)
        for first in range(0, len(prints.hashes), 1 << 20):
            self._table[np.asarray(prints.hashes[first : first + (1 << 20)]) >> self._shift] = True

    def runs(self, texts: Sequence[str], seen: NDArray[np.bool_]) -> Iterator[Run]:
        """The runs that texts share with works, by text and place.

        Args:
            texts: that are looked through.
            seen: for each row of the list whether it was found; those that are, are noted.
        """
        import numpy as np

        if not len(self._prints.hashes):
            return
        found = []
        for some in windows(texts):
            near = np.flatnonzero(self._table[some.hashes >> self._shift])
            first = np.searchsorted(self._prints.hashes, some.hashes[near])
            last = np.searchsorted(self._prints.hashes, some.hashes[near], "right")
            times = last - first
            if not times.any():
                continue
            at = np.repeat(near, times)
            rows = np.arange(len(at)) - np.repeat(np.cumsum(times) - times, times) + np.repeat(first, times)
            seen[rows] = True
            found.append(np.column_stack([some.text[at], self._prints.work[rows].astype(np.int64), some.word[at]]))
        if found:
            yield from _joined(np.concatenate(found))


def _joined(found: NDArray[np.int64]) -> Iterator[Run]:
    """Windows (text, work, word) as runs: those that overlap are one."""
    import numpy as np

    found = found[np.lexsort((found[:, 2], found[:, 1], found[:, 0]))]
    apart = np.ones(len(found), np.bool_)
    same = (found[1:, :2] == found[:-1, :2]).all(1)
    apart[1:] = ~same | (found[1:, 2] - found[:-1, 2] >= WORDS)
    begins = np.flatnonzero(apart)
    ends = np.append(begins[1:], len(found))
    runs = [
        Run(int(text), int(work), int(word), int(found[end - 1, 2]) + WORDS, int(end - begin))
        for (text, work, word), begin, end in zip(found[begins].tolist(), begins, ends, strict=True)
    ]
    yield from sorted(runs, key=lambda run: (run.text, run.start, run.work))
