"""How often words would stand in a row by chance: what tells a short question from an ordinary phrase.

The words of a corpus, and the pairs of neighbours, are counted without those of the matches themselves. By the counts
a run of words is expected as often as its first word, times for each further one the share of pairs with it among
those that its neighbour begins (a chain of first order, smoothed by Dirichlet's rule towards the share of the word
among all). Only products and quotients are taken, so every machine has the same bits.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from regrow.evidence.contamination.index import Entry, Index

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Integers = NDArray[np.int64]

ENOUGH = 13
"""Words that are taken for more than chance, whatever they are."""

_PRIOR = 10.0  # pairs that a word is thought to begin before any is seen

Runs = Sequence[tuple[int, int]]


@dataclass(frozen=True)
class Chance:
    """What is known of the words and pairs that items have.

    Attributes:
        index: of the items.
        words: how often each is in the corpus, and how many words there are.
        pairs: how often each is in the corpus.
    """

    index: Index
    words: Integers
    pairs: Integers

    def without(self, entry: Entry, runs: Runs, times: int) -> None:
        """Leave a match out of what is known of the language."""
        import numpy as np

        for begin, end in runs:
            np.subtract.at(self.words, entry.ids[begin:end], times)
            pairs = entry.pairs[begin : end - 1]
            np.subtract.at(self.pairs, pairs[pairs >= 0], times)

    def expected(self, entry: Entry, runs: Runs) -> float:
        """How often the runs of an item that stand in a text would do so by chance, in all of the corpus."""
        total = max(1.0, float(self.words[-1]))
        found = 0.0
        for number, (begin, end) in enumerate(runs):
            first = max(1.0, float(self.words[entry.ids[begin]]))
            found = found * min(1.0, entry.width * first / total) if number else first
            for place in range(begin, end - 1):
                found *= self._follows(entry, place, total)
        return found

    def _follows(self, entry: Entry, place: int, total: float) -> float:
        """How likely a word of an item stands behind the one before it."""
        word, other, pair = int(entry.ids[place]), int(entry.ids[place + 1]), int(entry.pairs[place])
        share = (max(0.0, float(self.words[other])) + 1.0) / (total + 1.0)
        seen = max(0.0, float(self.pairs[pair])) if pair >= 0 else 0.0
        return (seen + _PRIOR * share) / (max(seen, float(self.words[word])) + _PRIOR)
