"""What is known of the items of benchmarks before any text is read: their words, and what of them is their own.

Words that many items of a benchmark have in common say nothing of a single one. So each word weighs one divided by the
square of the number of items that have the same four words in a row around it; words that nobody shares weigh one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from math import fsum
from typing import TYPE_CHECKING, Any

from regrow.corpus.mixing import mix
from regrow.corpus.normalise import normalise
from regrow.evidence.contamination.items import Benchmark, Item
from regrow.evidence.contamination.words import cut

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Hashes = NDArray[np.uint64]
    Integers = NDArray[np.int64]

SEED = 4
"""Words in a row that make a text worth a closer look; of what has but three, all three."""

RUN = 3
"""Words in a row that count as found; of what is shorter, all of it."""

SHARED = 32
"""Items that may have a seed in common: what more of them have tells them apart no more."""

_SHARE = 0.3  # of the words of an item that has to stand in seeds
_SLACK = 20  # words that may stand between those of an item, beside as many as it has
_OWN = 1.0  # words that have to be an item's own
_LOAD = 4  # places of a table for each key


@dataclass(frozen=True)
class Table:
    """Numbers by their keys, none of which is 0."""

    keys: NDArray[np.uint64]
    ids: NDArray[np.int32]

    @staticmethod
    def of(keys: Hashes) -> Table:
        """With the numbers 0, 1, ... for some keys."""
        import numpy as np

        from regrow.evidence.contamination.kernels import fill

        places = 1 << (max(16, _LOAD * len(keys)) - 1).bit_length()
        table = Table(np.zeros(places, np.uint64), np.zeros(places, np.int32))
        fill(keys, table.keys, table.ids)
        return table


@dataclass(frozen=True)
class Entry:
    """An item as it is searched for.

    Attributes:
        benchmark: its number.
        item: its number in the benchmark.
        words: those of the question, then those of each choice.
        question: how many of them are the question's.
        answer: the words of the answer.
        ids: of the words.
        pairs: of the pair that each word makes with the next; -1 where a question or choice ends.
        weights: of the words.
        run_keys: of the runs of its words, ascending.
        run_places: the first word of each.
        run_lengths: how many words each has.
    """

    benchmark: int
    item: int
    words: Hashes
    question: int
    answer: Hashes
    ids: Integers
    pairs: Integers
    weights: NDArray[np.float64]
    run_keys: Hashes
    run_places: Integers
    run_lengths: Integers

    @property
    def width(self) -> int:
        """Words of a text within which it has to stand."""
        return 2 * len(self.words) + _SLACK

    @cached_property
    def views(self) -> tuple[int, ...]:
        """How many words are looked at together: those of the question, and all; if enough of them are its own."""
        ends = dict.fromkeys((self.question, len(self.words)))
        return tuple(end for end in ends if fsum(self.weights[:end].tolist()) >= _OWN)


@dataclass(frozen=True)
class Index:
    """All items of some benchmarks.

    Attributes:
        benchmarks: the benchmarks.
        entries: their items, of equal ones the first.
        same: (benchmark, item) -> the number of its entry; of an item that cannot be searched for there is none.
        untold: (benchmark, item) -> why it cannot be searched for.
        words: table of their words.
        word_count: how many different ones there are.
        pairs: table of their neighbouring words.
        pair_count: how many different ones there are.
        seeds: table of their seeds.
        postings: where the entries of each seed begin in ``posted``.
        posted: entries.
        needs: of each entry, how many words of seeds make a text worth a closer look.
    """

    benchmarks: Sequence[Benchmark]
    entries: Sequence[Entry]
    same: dict[tuple[int, int], int]
    untold: dict[tuple[int, int], str]
    words: Table
    word_count: int
    pairs: Table
    pair_count: int
    seeds: Table
    postings: Integers
    posted: Integers
    needs: Integers

    @staticmethod
    def of(benchmarks: Sequence[Benchmark]) -> Index:
        """Of all items of some benchmarks."""
        drafts, same, untold = _drafts(benchmarks)
        flat = _Flat.of(drafts)
        return flat.index(benchmarks, drafts, same, untold)

    @cached_property
    def named(self) -> Mapping[int, Sequence[tuple[Benchmark, Item]]]:
        """Entry -> the items that it is, of one benchmark: those that say the same in other signs share one."""
        found: dict[int, list[tuple[Benchmark, Item]]] = {}
        for (number, place), entry in self.same.items():
            benchmark = self.benchmarks[number]
            found.setdefault(entry, []).append((benchmark, benchmark.items[place]))
        return found

    @property
    def reach(self) -> Integers:
        """Of each entry, how many words may lie between two of its seeds."""
        import numpy as np

        return np.array([entry.width for entry in self.entries], np.int64)


@dataclass(frozen=True)
class _Draft:
    """An item, cut into words: those of the question, and those of each choice that has any."""

    benchmark: int
    item: int
    segments: tuple[Hashes, ...]
    answer: Hashes


def _drafts(
    benchmarks: Sequence[Benchmark],
) -> tuple[list[_Draft], dict[tuple[int, int], int], dict[tuple[int, int], str]]:
    """The items that can be searched for, where they are, and why the others cannot be."""
    drafts: list[_Draft] = []
    same: dict[tuple[int, int], int] = {}
    untold: dict[tuple[int, int], str] = {}
    known: dict[tuple[Any, ...], int] = {}
    for number, benchmark in enumerate(benchmarks):
        for place, item in enumerate(benchmark.items):
            question, *choices = (cut(normalise(text)) for text in (item.question, *item.choices))
            segments = (question, *(words for words in choices if len(words)))
            if max(map(len, segments)) < RUN:
                untold[number, place] = "no words" if not any(map(len, segments)) else "too short"
                continue
            key = (number, question.tobytes(), *sorted(words.tobytes() for words in choices))
            same[number, place] = known.setdefault(key, len(drafts))
            if same[number, place] == len(drafts):
                drafts.append(_Draft(number, place, segments, cut(normalise(item.answer))))
    return drafts, same, untold


@dataclass(frozen=True)
class _Flat:
    """The words of all items in a row.

    Attributes:
        words: the words.
        entry: for each the number of its item.
        segment: for each the number of its question or choice, among all.
        starts: where items begin, and the end.
        borders: where questions and choices begin, and the end.
    """

    words: Hashes
    entry: Integers
    segment: Integers
    starts: Integers
    borders: Integers

    @staticmethod
    def of(drafts: Sequence[_Draft]) -> _Flat:
        import numpy as np

        sizes = np.array([len(words) for draft in drafts for words in draft.segments], np.int64)
        owner = np.repeat(np.arange(len(drafts)), [len(draft.segments) for draft in drafts])
        words = np.concatenate([np.empty(0, np.uint64), *chain(*(draft.segments for draft in drafts))])
        entry = np.repeat(owner, sizes)
        segment = np.repeat(np.arange(len(sizes)), sizes)
        starts = np.searchsorted(entry, np.arange(len(drafts) + 1))
        return _Flat(words, entry, segment, starts, np.concatenate([[0], np.cumsum(sizes)]))

    def in_a_row(self, count: int) -> Integers:
        """Where so many words of one question or choice begin."""
        import numpy as np

        last = max(0, len(self.words) - count + 1)
        return np.flatnonzero(self.segment[:last] == self.segment[count - 1 :][:last])

    def whole(self, most: int) -> Iterator[tuple[int, Integers]]:
        """Lengths, and where questions and choices begin that have so many words, if they have but a few."""
        import numpy as np

        sizes = np.diff(self.borders)
        for length in range(1, most + 1):
            yield length, self.borders[:-1][sizes == length]

    def shared(self, benchmark_of: Integers) -> Integers:
        """For each word, how many items of its benchmark have the same words in a row around it."""
        import numpy as np

        found = np.zeros(len(self.words), np.int64)
        for length, places in [(SEED, self.in_a_row(SEED)), *self.whole(SEED - 1)]:
            keys = mix(run_keys(self.words, places, length) + benchmark_of[self.entry[places]].astype(np.uint64))
            counts = _items_with(keys, self.entry[places])
            for k in range(length):
                np.maximum.at(found, places + k, counts)
        return found

    def index(
        self,
        benchmarks: Sequence[Benchmark],
        drafts: Sequence[_Draft],
        same: dict[tuple[int, int], int],
        untold: dict[tuple[int, int], str],
    ) -> Index:
        """The index of all items, of which some are found to have nothing of their own."""
        import numpy as np

        vocabulary, ids = np.unique(self.words, return_inverse=True)
        ids = ids.astype(np.int64)
        two = self.in_a_row(2)
        pair_keys, pair_ids = np.unique(_pair_keys(ids[two], ids[two + 1]), return_inverse=True)
        pair_at = np.full(len(self.words), -1, np.int64)
        pair_at[two] = pair_ids
        four = self.in_a_row(SEED)
        three = next(places for length, places in self.whole(RUN) if length == RUN)
        keys = np.concatenate(
            [_seed_keys(pair_at[four], pair_at[four + 2]), _seed_keys(pair_at[three], pair_at[three + 1], True)]
        )
        places = np.concatenate([four, three])
        lengths = np.repeat([SEED, RUN], [len(four), len(three)])
        rare = _items_with(keys, self.entry[places]) <= SHARED
        keys, places, lengths = keys[rare], places[rare], lengths[rare]
        seeded = np.zeros(len(self.words), np.bool_)
        for k in range(SEED):
            seeded[places[lengths > k] + k] = True
        seeds, seed_ids = np.unique(keys, return_inverse=True)
        posting, posted = _distinct(seed_ids, self.entry[places])
        shared = self.shared(np.array([draft.benchmark for draft in drafts], np.int64))
        weights = 1.0 / np.square(np.maximum(1, shared))
        entries = [*self._entries(drafts, ids, pair_at, weights)]
        needs = np.array([self._need(entry, number, seeded) for number, entry in enumerate(entries)], np.int64)
        kept = {place: number for place, number in same.items() if needs[number]}
        nothing = {place: "nothing of its own" for place, number in same.items() if not needs[number]}
        return Index(
            benchmarks,
            entries,
            kept,
            {**untold, **nothing},
            Table.of(vocabulary),
            len(vocabulary),
            Table.of(pair_keys),
            len(pair_keys),
            Table.of(seeds),
            np.searchsorted(posting, np.arange(len(seeds) + 1)),
            posted,
            needs,
        )

    def _entries(
        self, drafts: Sequence[_Draft], ids: Integers, pairs: Integers, weights: NDArray[np.float64]
    ) -> Iterator[Entry]:
        """All items as they are searched for."""
        import numpy as np

        keys, places, lengths = self._runs()
        borders = np.searchsorted(places, self.starts).tolist()
        for number, draft in enumerate(drafts):
            begin, end = self.starts[number], self.starts[number + 1]
            part, runs = slice(begin, end), slice(*borders[number : number + 2])
            order = np.lexsort((-places[runs], keys[runs]))
            yield Entry(
                draft.benchmark, draft.item, self.words[part], len(draft.segments[0]), draft.answer, ids[part],
                pairs[part], weights[part], keys[runs][order], places[runs][order] - begin, lengths[runs][order],
            )  # fmt: skip

    def _runs(self) -> tuple[Hashes, Integers, Integers]:
        """The runs of all items in the order of their places: their keys, their first words, and their lengths."""
        import numpy as np

        found = [(length, places) for length, places in self.whole(RUN - 1)] + [(RUN, self.in_a_row(RUN))]
        keys = np.concatenate([run_keys(self.words, places, length) for length, places in found])
        places = np.concatenate([places for _, places in found])
        lengths = np.repeat([length for length, _ in found], [len(places) for _, places in found])
        order = np.argsort(places, kind="stable")
        return keys[order], places[order], lengths[order]

    def _need(self, entry: Entry, number: int, seeded: NDArray[np.bool_]) -> int:
        """How many words of seeds make a text worth a closer look; 0 if nothing would."""
        part = seeded[self.starts[number] : self.starts[number + 1]]
        for view in entry.views:
            if reach := int(part[:view].sum()):
                return max(RUN, -int(-_SHARE * reach // 1))
        return 0


def run_keys(words: Hashes, places: Integers, length: int) -> Hashes:
    """One number for each of some runs of words."""
    import numpy as np

    value = np.full(len(places), length, np.uint64)
    for k in range(length):
        value = mix(value + words[places + k])
    return value


def _pair_keys(words: Integers, others: Integers) -> Hashes:
    import numpy as np

    return words.astype(np.uint64) << np.uint64(32) | (others.astype(np.uint64) + np.uint64(1))


def _seed_keys(pairs: Integers, others: Integers, three: bool = False) -> Hashes:
    import numpy as np

    keys = pairs.astype(np.uint64) << np.uint64(31) | (others.astype(np.uint64) + np.uint64(1))
    return keys | np.uint64(1 << 63) if three else keys


def _items_with(keys: Hashes, entries: Integers) -> Integers:
    """For each key, how many items have it."""
    import numpy as np

    if not len(keys):
        return np.empty(0, np.int64)
    _, ids = np.unique(keys, return_inverse=True)
    counts: Integers = np.bincount(_distinct(ids, entries)[0])[ids]
    return counts


def _distinct(ids: Integers, entries: Integers) -> tuple[Integers, Integers]:
    """The different pairs of a number and an entry, ascending."""
    import numpy as np

    width = int(entries.max(initial=0)) + 1
    found = np.unique(ids * width + entries)
    return found // width, found % width
