"""Where a text follows a known one: the longest way through both that only goes forward."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

_REPEATS = 64  # a shingle that the input has more often says nothing of its place
_JUNCTION = 1  # shingles that a way must gain to be worth a jump


@dataclass(frozen=True)
class Run:
    """Shingles of the input that are shingles of the known text, one after another.

    Attributes:
        start: index of the first in the input.
        place: of its first word in the known text.
        length: how many shingles.
    """

    start: int
    place: int
    length: int


def usable(hashes: Sequence[int]) -> frozenset[int]:
    """The shingles of an input that can be aligned; it bounds the work whatever the input repeats."""
    return frozenset(hash for hash, count in Counter(hashes).items() if count <= _REPEATS)


def align(
    hashes: Sequence[int], known: Mapping[int, Sequence[int]], words: int, usable: frozenset[int], start: int, end: int
) -> list[Run]:
    """The best way through shingles ``start`` to ``end`` of the input and the places of a known text of ``words``."""
    runs = _runs(hashes, known, usable, start, end)
    if not runs:
        return []
    best = _Best(words)
    total = [0] * len(runs)
    before = [-1] * len(runs)
    by_end = sorted(range(len(runs)), key=lambda k: runs[k].start + runs[k].length)
    ended = 0
    for k, run in enumerate(runs):  # in the order of their starts
        while ended < len(by_end) and runs[by_end[ended]].start + runs[by_end[ended]].length <= run.start:
            done = runs[by_end[ended]]
            best.put(done.place + done.length, total[by_end[ended]], by_end[ended])
            ended += 1
        value, before[k] = best.until(run.place)
        total[k] = value + run.length - _JUNCTION
    k = max(range(len(runs)), key=lambda k: (total[k], -runs[k].start))
    way = []
    while k >= 0:
        way.append(runs[k])
        k = before[k]
    return way[::-1]


def _runs(
    hashes: Sequence[int], known: Mapping[int, Sequence[int]], usable: frozenset[int], start: int, end: int
) -> list[Run]:
    """All runs that can be made no longer, in the order of their starts."""
    runs: list[Run] = []
    open_runs: dict[int, int] = {}  # the place that would go on -> where the run began
    for i in range(start, end + 1):
        hash = hashes[i] if i < end else None
        places = known.get(hash, ()) if hash is not None and hash in usable else ()
        going = {place: open_runs.pop(place, i) for place in places}
        runs += (Run(began, place - (i - began), i - began) for place, began in open_runs.items())
        open_runs = {place + 1: began for place, began in going.items()}
    return sorted(runs, key=lambda run: (run.start, run.place))


class _Best:
    """The best total among the runs that end at or before a place (a Fenwick tree of maxima)."""

    def __init__(self, places: int) -> None:
        self._tree: list[tuple[int, int]] = [(0, -1)] * (places + 2)

    def put(self, place: int, total: int, run: int) -> None:
        """Note a run that ends at a place."""
        i = place + 1
        while i < len(self._tree):
            if total > self._tree[i][0]:
                self._tree[i] = (total, run)
            i += i & -i

    def until(self, place: int) -> tuple[int, int]:
        """The best total, and its run or -1."""
        best = (0, -1)
        i = place + 1
        while i > 0:
            if self._tree[i][0] > best[0]:
                best = self._tree[i]
            i -= i & -i
        return best
