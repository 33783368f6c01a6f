"""Searching texts for the items of benchmarks: cheaply for where one may be, then word by word for what is there."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from regrow.evidence.contamination.index import Index
from regrow.evidence.contamination.words import characters, placed

if TYPE_CHECKING:
    import numpy as np
    import pyarrow
    from numpy.typing import NDArray

_ROOM = 1 << 16  # words that are cut at a time, and stretches that are found
_LONG = 16  # bytes of a word, more than enough
_MARGIN = 1 << 8
_SHOWN = 300  # bytes of matched text


@dataclass(frozen=True)
class Match:
    """An item, or a part of one, in a text.

    Attributes:
        text: the number of the text.
        entry: the number of the item's entry.
        start: the first byte of the stretch in the text.
        end: one past the last.
        coverage: the share of the words of the item that stand there, of the view in which it is the largest; the
            smaller of that of all words alike, and that by weights.
        choices: whether most words of the choices stand there, too.
        runs: which words of the item those are: where runs of them begin and end.
        times: in how many stretches of the text it may be.
        longest: words of the longest run that item and text have in a row.
        answer: whether the answer stands behind it, in a row, and not only as one of the choices.
        words: the longest run as it stands in the text.
    """

    text: int
    entry: int
    start: int
    end: int
    coverage: float
    choices: bool
    runs: tuple[tuple[int, int], ...]
    times: int
    longest: int
    answer: bool
    words: str


class Search:
    """Goes through texts, and counts what of the items' words there is anywhere.

    Args:
        index: of the items.
        least: coverage of a match.
    """

    def __init__(self, index: Index, least: float) -> None:
        import numpy as np

        self.index, self._least = index, least
        self.word_counts = np.zeros(index.word_count + 1, np.int64)
        self.pair_counts = np.zeros(index.pair_count + 1, np.int64)
        count = len(index.entries)
        self._reach = index.reach
        self._state = np.full((count, 10), -1, np.int64)
        self._touched = np.empty(count, np.int64)
        self._found = np.empty((max(_ROOM, 2 * count), 5), np.int64)
        self._room = np.empty(_ROOM, np.uint64), np.empty(_ROOM, np.int64), np.empty(_ROOM, np.int64)

    def through(self, texts: pyarrow.Array | Sequence[str]) -> Iterator[Match]:
        """What is found in some texts, in their order."""
        data, bounds = _units(texts)
        for stretch in self._stretches(data, bounds):
            if found := self._compared(data, bounds[stretch[0] : stretch[0] + 2].tolist(), *stretch):
                yield found

    def _stretches(self, data: NDArray[np.uint8], bounds: NDArray[np.int64]) -> Iterator[tuple[int, ...]]:
        """Where an item may be: the text, the entry, the first byte and the end, and in how many stretches."""
        from regrow.evidence.contamination.kernels import scan

        index, known = self.index, characters()
        self._state[:, 0] = -1
        text = 0
        while text < len(bounds) - 1:
            count, text = scan(
                data, bounds, text, known.kinds, known.small, *self._room,
                index.words.keys, index.words.ids, self.word_counts,
                index.pairs.keys, index.pairs.ids, self.pair_counts,
                index.seeds.keys, index.seeds.ids, index.postings, index.posted,
                index.needs, self._reach, self._state, self._touched, self._found,
            )  # fmt: skip
            found = self._found[:count]
            for row in found.tolist():
                yield tuple(row)

    def _compared(
        self, data: NDArray[np.uint8], bounds: Sequence[int], text: int, number: int, first: int, last: int, times: int
    ) -> Match | None:
        """What of an item there is around a stretch, if it is enough."""
        import numpy as np

        from regrow.evidence.contamination.kernels import compare, share

        entry = self.index.entries[number]
        margin = _LONG * len(entry.words) + _MARGIN
        words, starts, ends = placed(
            data, _character(data, max(bounds[0], first - margin)), min(bounds[1], last + margin)
        )
        covered = np.zeros(len(entry.words), np.uint8)
        keys, places, lengths = entry.run_keys, entry.run_places, entry.run_lengths
        begin, end, longest, _, at = compare(words, keys, places, lengths, entry.width, covered)
        best = max(share(covered, entry.weights, end) for end in entry.views)
        if best < self._least:
            return None
        choices = 2 * int(covered[entry.question :].sum()) > len(covered) - entry.question
        shown = data[starts[at] : min(ends[at + longest - 1], starts[at] + _SHOWN)].tobytes().decode("utf-8", "ignore")
        return Match(
            text,
            number,
            int(starts[begin]) - bounds[0],
            int(ends[end - 1]) - bounds[0],
            best,
            choices,
            _runs(covered),
            times,
            longest,
            not choices and _stands(entry.answer, words[begin:]),
            shown,
        )


def _units(texts: pyarrow.Array | Sequence[str]) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """The bytes of all texts, and where each begins."""
    import numpy as np
    import pyarrow as pa

    array = texts if isinstance(texts, pa.Array) else pa.array(texts, pa.large_string())
    array = array.cast(pa.large_string())
    _, offsets, data = array.buffers()
    bounds = np.frombuffer(offsets, np.int64, len(array) + 1, 8 * array.offset)
    units = np.frombuffer(data, np.uint8) if data is not None else np.empty(0, np.uint8)
    return units, bounds.copy()


def _character(data: NDArray[np.uint8], at: int) -> int:
    """The first character from a byte on."""
    while at < len(data) and data[at] & 0xC0 == 0x80:
        at += 1
    return at


def _runs(covered: NDArray[np.uint8]) -> tuple[tuple[int, int], ...]:
    import numpy as np

    changes = np.flatnonzero(np.diff(np.concatenate([[0], covered, [0]]).astype(np.int8)))
    return tuple((begin, end) for begin, end in zip(changes[::2].tolist(), changes[1::2].tolist(), strict=True))


def _stands(wanted: NDArray[np.uint64], words: NDArray[np.uint64]) -> bool:
    """Whether some words stand in a row among others."""
    import numpy as np

    if not len(wanted) or len(wanted) > len(words):
        return False
    places = np.flatnonzero(words[: len(words) - len(wanted) + 1] == wanted[0])
    return any(bool((words[place : place + len(wanted)] == wanted).all()) for place in places.tolist())
