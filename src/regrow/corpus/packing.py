"""Which documents share a sequence where none may see another: a pure function of their lengths.

A conversation, or a pair of them, stays whole, so one that is longer than a sequence is left out. A text is cut into as
many pieces as it takes, each of which begins with the token that the one before ended with, as windows of a row of text
do.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from dataclasses import dataclass
from heapq import heappop, heappush

import numpy as np
from numpy.typing import NDArray

from regrow.corpus.order import Unit


@dataclass(frozen=True, eq=False)
class Packing:
    """The sequences of a row of tokens, in columns, as there may be millions.

    Attributes:
        documents: of each unit, sequence after sequence, in each in the order of the row: int64 ``(U,)``.
        starts: where each unit begins in the row: int64 ``(U,)``.
        ends: where it ends: int64 ``(U,)``.
        firsts: the place of the first unit of each sequence, and at last ``U``.
        left_out: the documents that no sequence has room for: int64.
    """

    documents: NDArray[np.int64]
    starts: NDArray[np.int64]
    ends: NDArray[np.int64]
    firsts: NDArray[np.int64]
    left_out: NDArray[np.int64]

    def __len__(self) -> int:
        """How many sequences there are."""
        return len(self.firsts) - 1

    def units(self, number: int) -> list[Unit]:
        """What a sequence holds, in the order of the row."""
        here = slice(*self.firsts[number : number + 2].tolist())
        return list(map(Unit, self.documents[here].tolist(), self.starts[here].tolist(), self.ends[here].tolist()))

    def having(self, start: int, stop: int) -> list[int]:
        """The sequences that have any of the tokens ``[start, stop)`` of the row."""
        units = np.flatnonzero((self.starts < stop) & (self.ends > start))
        found: list[int] = np.unique(np.searchsorted(self.firsts, units, "right") - 1).tolist()
        return found

    @staticmethod
    def of(
        ends: NDArray[np.int64], whole: NDArray[np.bool_], context: int, kept: NDArray[np.int64] | None = None
    ) -> Packing:
        """Pack documents into sequences of ``context`` tokens and one that is only predicted.

        The longest first, each into the fullest sequence that has room for it (best fit decreasing); of equals the
        first of the row, and the sequence that was begun first.

        Args:
            ends: where each document's tokens end in the row; each begins where the one before ends.
            whole: which of them are not cut.
            context: tokens of a sequence, without the one that is only predicted.
            kept: where those of its tokens end that are read; by default all are.
        """
        kept, starts = ends if kept is None else kept, np.concatenate(([0], ends[:-1]))
        left_out = whole & (kept - starts > context + 1)
        pieces = np.where(whole, ~left_out, -(-np.maximum(0, kept - 1 - starts) // context))
        documents = np.repeat(np.arange(len(ends)), pieces)
        piece = np.arange(len(documents)) - np.repeat(np.cumsum(pieces) - pieces, pieces)
        begin = starts[documents] + piece * context
        end = np.minimum(kept[documents], begin + context + 1)
        sequence = _best_fit(end - begin, context + 1)
        order = np.lexsort((begin, sequence))
        firsts = np.searchsorted(sequence[order], np.arange(sequence.max(initial=-1) + 2))
        return Packing(documents[order], begin[order], end[order], firsts, np.flatnonzero(left_out))


def _best_fit(lengths: NDArray[np.int64], room: int) -> NDArray[np.int64]:
    """The sequence, from 0, that each unit of some length goes to, if each sequence has so much room."""
    found = np.empty(len(lengths), np.int64)
    open_with: dict[int, list[int]] = {}  # how much is left -> the sequences, of which the first begun is taken
    rooms: list[int] = []  # what is left in any, in order
    begun = 0
    order = np.argsort(-lengths, kind="stable")
    for unit, length in zip(order.tolist(), lengths[order].tolist(), strict=True):
        place = bisect_left(rooms, length)
        if place == len(rooms):
            left, number = room, begun
            begun += 1
        else:
            left = rooms[place]
            number = heappop(open_with[left])
            if not open_with[left]:
                del rooms[place]
        found[unit] = number
        left -= length
        if left > 1:  # one token alone predicts nothing
            sequences = open_with.setdefault(left, [])
            if not sequences:
                insort(rooms, left)
            heappush(sequences, number)
    return found
