"""Which documents share a sequence where none may see another: a pure function of their lengths.

A conversation, or a pair of them, stays whole, so one that is longer than a sequence is left out. A text is cut into as
many pieces as it takes, each of which begins with the token that the one before ended with, as windows of a row of text
do.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from regrow.corpus.order import Unit


@dataclass(frozen=True)
class Packing:
    """The sequences of a row of tokens.

    Attributes:
        sequences: what each holds, in the order of the row.
        left_out: the documents that no sequence has room for.
    """

    sequences: tuple[tuple[Unit, ...], ...]
    left_out: tuple[int, ...]

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
        left_out = tuple(int(i) for i in np.flatnonzero(whole & (kept - starts > context + 1)))
        units = sorted(_units(starts, kept, whole, context), key=lambda unit: (-unit.length, unit.start))
        sequences: list[list[Unit]] = []
        rooms: list[tuple[int, int]] = []  # how much is left, and in which sequence, the fullest first
        for unit in units:
            place = bisect_left(rooms, (unit.length, 0))
            if place < len(rooms):
                room, number = rooms.pop(place)
            else:
                room, number = context + 1, len(sequences)
                sequences.append([])
            sequences[number].append(unit)
            if room - unit.length > 1:  # one token alone predicts nothing
                insort(rooms, (room - unit.length, number))
        return Packing(tuple(tuple(sorted(units, key=lambda unit: unit.start)) for units in sequences), left_out)


def _units(
    starts: NDArray[np.int64], ends: NDArray[np.int64], whole: NDArray[np.bool_], context: int
) -> Iterator[Unit]:
    for document, (start, end) in enumerate(zip(starts.tolist(), ends.tolist(), strict=True)):
        if not whole[document]:
            for at in range(start, end - 1, context):
                yield Unit(document, at, min(end, at + context + 1))
        elif end - start <= context + 1:
            yield Unit(document, start, end)
