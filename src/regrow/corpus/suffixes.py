"""Where any run of tokens stands: suffix arrays over the training row (Manber and Myers, 1993), built by libdivsufsort.

The row is cut into shards between documents, and each shard has the places of its tokens, sorted by what follows them.
What stands at many places is then one range of that table, which bisection finds. The row itself is not copied::

    index = Index.open(folder, row)
    index.count(tokens)  # of a run of tokens
    [index.place(shard, at) for shard, (low, high) in enumerate(index.find(tokens)) for at in range(low, high)]

Sorted by the numbers of tokens, not by bytes, so that the table is the same on every machine.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from regrow.store.digest import canonical_json

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Row = NDArray[np.unsignedinteger]

FACTS = "index.json"
SHARD = 2**25
"""Tokens in a shard, about: what is sorted at once needs twelve bytes of memory for each."""

_AHEAD = 16
Range = tuple[int, int]
"""From where, and up to where, in the table of a shard."""


@dataclass(frozen=True)
class Shard:
    """The sorted places of a stretch of the row.

    Attributes:
        row: the tokens of the stretch.
        begin: where it begins in the whole row.
        places: uint32 ``(tokens,)``: places in ``row``, sorted by the tokens from there to the end of the stretch.
        starts: int64 ``(vocabulary + 1,)``: where the places of each token begin in ``places``.
    """

    row: Row
    begin: int
    places: NDArray[np.uint32]
    starts: NDArray[np.int64]

    def bucket(self, token: int) -> Range:
        """The range of all places of a token."""
        return int(self.starts[token]), int(self.starts[token + 1])

    def narrowed(self, within: Range, tokens: Sequence[int], skip: int) -> Range:
        """Of a range of places that are alike for ``skip`` tokens, that of those at which some follow."""
        wanted = list(tokens)
        low = self._bisect(within, wanted, skip, after=False)
        return low, self._bisect((low, within[1]), wanted, skip, after=True)

    def find(self, tokens: Sequence[int]) -> Range:
        """The range of the places at which tokens stand; it is empty if they stand nowhere."""
        within = self.bucket(tokens[0])
        return self.narrowed(within, tokens[1:], 1) if len(tokens) > 1 and within[0] < within[1] else within

    def longest(self, tokens: Sequence[int]) -> int:
        """How many of the first of some tokens stand together somewhere."""
        within = self.bucket(tokens[0])
        if within[0] == within[1]:
            return 0
        at = self._bisect(within, list(tokens[1:]), 1, after=False)
        neighbours = (one for one in (at - 1, at) if within[0] <= one < within[1])
        return max(1 + self._alike(one, tokens[1:]) for one in neighbours)

    def tokens(self, at: int, skip: int, count: int) -> list[int]:
        """The tokens at a place of the table, ``skip`` tokens on."""
        place = int(self.places[at]) + skip
        found: list[int] = self.row[place : place + count].tolist()
        return found

    def _bisect(self, within: Range, tokens: list[int], skip: int, *, after: bool) -> int:
        """The first place in a range whose tokens are not less than some; or are greater, if ``after``."""
        low, high = within
        while low < high:
            middle = (low + high) // 2
            there = self.tokens(middle, skip, len(tokens))
            if there < tokens or (after and there == tokens):
                low = middle + 1
            else:
                high = middle
        return low

    def _alike(self, at: int, tokens: Sequence[int]) -> int:
        """How many tokens are the same from a place on, the first one left out."""
        there = self.tokens(at, 1, len(tokens))
        return next((n for n, (one, other) in enumerate(zip(there, tokens, strict=False)) if one != other), len(there))


@dataclass(frozen=True)
class Index:
    """The artifact ``index``, beside the row that it is of.

    Attributes:
        shards: in the order of the row.
    """

    shards: tuple[Shard, ...]

    @staticmethod
    def open(folder: Path, rows: Sequence[Row]) -> Index:
        """Map the tables in a folder from disk.

        Args:
            folder: the artifact.
            rows: the files of the row, mapped, one after the other.
        """
        import numpy as np

        facts = json.loads((folder / FACTS).read_text("utf-8"))
        before = np.concatenate(([0], np.cumsum([len(row) for row in rows], dtype=np.int64)))
        found = []
        for number, (begin, end) in enumerate(facts["shards"]):
            file = int(np.searchsorted(before, begin, side="right")) - 1
            stretch = rows[file][begin - int(before[file]) : end - int(before[file])]
            places = np.memmap(folder / _places(number), np.dtype("<u4"), "r")
            starts = np.fromfile(folder / _starts(number), np.dtype("<i8"))
            found.append(Shard(stretch, begin, places, starts))
        return Index(tuple(found))

    @property
    def tokens(self) -> int:
        """In the row."""
        return sum(len(shard.row) for shard in self.shards)

    @cached_property
    def unigrams(self) -> NDArray[np.int64]:
        """How often each token stands in the row: int64 ``(vocabulary,)``."""
        import numpy as np

        return np.asarray(sum(np.diff(shard.starts) for shard in self.shards), np.int64)

    def find(self, tokens: Sequence[int]) -> list[Range]:
        """The ranges of the places at which tokens stand, one in each shard."""
        return [shard.find(tokens) for shard in self.shards]

    def count(self, tokens: Sequence[int]) -> int:
        """How often tokens stand together."""
        return sum(high - low for low, high in self.find(tokens))

    def longest(self, tokens: Sequence[int]) -> int:
        """How many of the first of some tokens stand together somewhere."""
        return max((shard.longest(tokens) for shard in self.shards), default=0)

    def place(self, shard: int, at: int) -> int:
        """Where in the whole row a place of a shard's table is."""
        one = self.shards[shard]
        return one.begin + int(one.places[at])


def stretches(ends: NDArray[np.int64], most: int = SHARD) -> list[Range]:
    """The row cut between documents into stretches of at most so many tokens, or of one longer document.

    Args:
        ends: where each document ends in the row.
        most: tokens in a stretch.
    """
    import numpy as np

    found, begin = [], 0
    while begin < (whole := int(ends[-1]) if len(ends) else 0):
        last = max(int(np.searchsorted(ends, begin + most, side="right")) - 1, 0)
        end = int(ends[last]) if int(ends[last]) > begin else int(ends[np.searchsorted(ends, begin, side="right")])
        found.append((begin, min(end, whole)))
        begin = end
    return found


def build(folder: Path, row: Row, begin: int, number: int, vocabulary: int) -> None:
    """Write the tables of a shard.

    Args:
        folder: where.
        row: the tokens of the stretch.
        begin: where it begins in the whole row.
        number: of the shard.
        vocabulary: number of tokens there are.
    """
    import numpy as np
    from pydivsufsort import divsufsort

    width = row.dtype.itemsize
    # Big-endian, so that the order of bytes is the order of tokens.
    sorted_bytes: NDArray[Any] = divsufsort(row.astype(row.dtype.newbyteorder(">")).view(np.uint8))
    counts = np.zeros(vocabulary, np.int64)
    with (folder / _places(number)).open("wb") as file:
        for first in range(0, len(sorted_bytes), 2**22):
            part = sorted_bytes[first : first + 2**22]
            file.write((part[part % width == 0] // width).astype("<u4").tobytes())
    for first in range(0, len(row), 2**22):
        counts += np.bincount(row[first : first + 2**22], minlength=vocabulary)
    np.concatenate(([0], np.cumsum(counts))).astype("<i8").tofile(folder / _starts(number))


def describe(folder: Path, shards: Sequence[Range]) -> None:
    """Write what there is."""
    (folder / FACTS).write_bytes(canonical_json({"shards": [list(one) for one in shards]}) + b"\n")


def _places(number: int) -> str:
    return f"places-{number:05}.bin"


def _starts(number: int) -> str:
    return f"starts-{number:05}.bin"


def ranges(found: Sequence[Range]) -> Iterator[tuple[int, int]]:
    """Shards, and places in their tables, one after the other."""
    for shard, (low, high) in enumerate(found):
        yield from ((shard, at) for at in range(low, high))
