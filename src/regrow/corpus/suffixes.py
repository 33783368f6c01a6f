"""Where any run of tokens stands: suffix arrays over the training row (Manber and Myers, 1993).

The row is cut into shards between documents, and each shard has the places of its tokens, sorted by what follows them.
What stands at many places is then one range of that table, which bisection finds. The row itself is not copied::

    index = Index.open(folder, row)
    index.count(tokens)  # of a run of tokens
    index.places([*ranges(index.find(tokens))])

Sorted by the numbers of tokens, not by bytes, so that the table is the same on every machine.
"""

from __future__ import annotations

import json
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from regrow.errors import StageError
from regrow.store.digest import canonical_json

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Row = NDArray[np.unsignedinteger]

FACTS = "index.json"
SHARD = 2**26
"""Tokens in a shard, about: what is sorted at once needs ten bytes of memory for each."""

_AT_ONCE = 32
"""Places of a large index that are read at the same time: a disk takes hardly longer for these than for one."""
_SMALL = 2**26
"""Bytes of a file that is read in when it is mapped, and not page by page where it is asked for."""

_PIECE = 2**22
_PAGE = 4096  # bytes that a disk gives at least
T = TypeVar("T")
R = TypeVar("R")
Range = tuple[int, int]
"""From where, and up to where, in the table of a shard."""


@dataclass(frozen=True)
class Shard:
    """The sorted places of a stretch of the row.

    Attributes:
        row: the tokens of the stretch.
        begin: where it begins in the whole row.
        places: uint32 ``(tokens,)``: places in ``row``, sorted by the tokens from there to the end of the stretch.
        heads: the first tokens of some of these places (:func:`regrow.corpus.kernels.headed`), so that most of a
            search reads neither ``places`` nor ``row``; none if it has no rows.
        starts: int64 ``(vocabulary + 1,)``: where the places of each token begin in ``places``.
    """

    row: Row
    begin: int
    places: NDArray[np.uint32]
    heads: Row
    starts: NDArray[np.int64]

    @property
    def end(self) -> int:
        """Where the stretch ends in the whole row."""
        return self.begin + len(self.row)

    def bucket(self, token: int) -> Range:
        """The range of all places of a token."""
        return int(self.starts[token]), int(self.starts[token + 1])

    def narrowed(self, within: Range, tokens: Sequence[int], skip: int) -> Range:
        """Of a range of places that are alike for ``skip`` tokens, that of those at which some follow."""
        import numpy as np

        from regrow.corpus.kernels import bisect

        wanted = np.array(tokens, np.int64)
        tables = self.row, self.places, self.heads
        low = bisect(*tables, *within, skip, wanted, False)
        return low, bisect(*tables, low, within[1], skip, wanted, True)

    def find(self, tokens: Sequence[int]) -> Range:
        """The range of the places at which tokens stand; it is empty if they stand nowhere."""
        within = self.bucket(tokens[0])
        return self.narrowed(within, tokens[1:], 1) if len(tokens) > 1 and within[0] < within[1] else within

    def following(self, within: Range, tokens: NDArray[np.int64], skip: int) -> list[tuple[int, Range]]:
        """Of a range of places that are alike for ``skip`` tokens those at which one of some tokens follows.

        Args:
            within: the range.
            tokens: that may follow, ascending.
            skip: how many are alike.

        Returns:
            the numbers of those that follow somewhere, in ``tokens``, and their ranges.
        """
        import numpy as np

        from regrow.corpus.kernels import following

        lows, highs = np.empty((2, len(tokens)), np.int64)
        following(self.row, self.places, self.heads, *within, skip, tokens, lows, highs)
        found = np.flatnonzero(lows < highs)
        return list(zip(found.tolist(), zip(lows[found].tolist(), highs[found].tolist(), strict=True), strict=True))


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

        Raises:
            StageError: if they are not those of the row.
        """
        import numpy as np

        before = np.concatenate(([0], np.cumsum([len(row) for row in rows], dtype=np.int64)))
        found = []
        for number, (begin, end) in enumerate(_facts(folder)):
            file = int(np.searchsorted(before, begin, side="right")) - 1
            stretch = rows[file][begin - int(before[file]) : end - int(before[file])]
            places, starts = _tables(folder, number)
            if not len(stretch) == end - begin == len(places):
                raise _damaged(folder / _places(number), "it is not as long as its stretch of the row")
            found.append(Shard(stretch, begin, places, _heads(folder, number, stretch), starts))
        if [0, *(one.end for one in found)] != [*(one.begin for one in found), int(before[-1])]:
            raise _damaged(folder / FACTS, "its shards are not stretches of the row that it is said to be of")
        return Index(tuple(found))

    @property
    def tokens(self) -> int:
        """In the row."""
        return sum(len(shard.row) for shard in self.shards)

    @property
    def vocabulary(self) -> int:
        """Number of tokens there are."""
        return len(self.shards[0].starts) - 1 if self.shards else 0

    def read(self, begin: int, end: int) -> Row:
        """The tokens of a range of the row that lies in one shard, as a document does."""
        shard = self.shards[bisect_right(self.shards, begin, key=lambda one: one.begin) - 1]
        return shard.row[begin - shard.begin : end - shard.begin]

    @cached_property
    def unigrams(self) -> NDArray[np.int64]:
        """How often each token stands in the row: int64 ``(vocabulary,)``."""
        import numpy as np

        return np.asarray(sum(np.diff(shard.starts) for shard in self.shards), np.int64)

    def find(self, tokens: Sequence[int]) -> list[Range]:
        """The ranges of the places at which tokens stand, one in each shard."""
        return self.find_all([tokens])[0]

    def find_all(self, runs: Sequence[Sequence[int]]) -> list[list[Range]]:
        """The same of several runs of tokens."""
        asked = [(shard, tokens) for tokens in runs for shard in self.shards]
        found = iter(self._together(lambda one: one[0].find(one[1]), asked))
        return [[*islice(found, len(self.shards))] for _ in runs]

    def count(self, tokens: Sequence[int]) -> int:
        """How often tokens stand together."""
        return sum(high - low for low, high in self.find(tokens))

    def longest(
        self, text: Sequence[int], heads: Sequence[int], begins: Sequence[int], ends: Sequence[int]
    ) -> list[int]:
        """How many tokens of a text, from some places on, stand together somewhere.

        Args:
            text: the tokens.
            heads: for each of the places the token to begin with, which may be another than the one there.
            begins: the places.
            ends: up to where to look.
        """
        import numpy as np

        from regrow.corpus.kernels import longest

        first, row, rest, end = (np.array(one, np.int64) for one in (heads, text, begins, ends))
        found = np.zeros((len(self.shards), len(heads)), np.int64)

        def look(one: tuple[int, slice]) -> None:
            shard, some = self.shards[one[0]], one[1]
            tables = shard.row, shard.places, shard.heads, shard.starts
            longest(*tables, first[some], row, rest[some] + 1, end[some], found[one])

        self._together(look, [(number, some) for number in range(len(found)) for some in self._cut(len(heads))])
        lengths: list[int] = found.max(axis=0, initial=0).tolist()
        return lengths

    def places(self, wanted: Sequence[tuple[int, int]]) -> list[int]:
        """Where in the whole row some places are: each is a shard, and a number in its table."""
        import numpy as np

        from regrow.corpus.kernels import taken

        found = np.zeros(len(wanted), np.int64)
        shards, numbers = np.array(wanted, np.int64).reshape(-1, 2).T.copy()

        def look(one: tuple[int, slice]) -> None:
            here = np.flatnonzero(shards[one[1]] == one[0]) + one[1].start
            taken(self.shards[one[0]].places, numbers[here], places := np.empty(len(here), np.int64))
            found[here] = places + self.shards[one[0]].begin

        self._together(look, [(number, some) for number in {*shards.tolist()} for some in self._cut(len(wanted))])
        places: list[int] = found.tolist()
        return places

    def passages(self, wanted: Sequence[Range]) -> list[Row]:
        """The tokens of some ranges of the row, each of which lies in one shard, read from the disk together."""
        import numpy as np

        from regrow.corpus.kernels import taken

        found = [self.read(*one) for one in wanted]

        def look(some: slice) -> None:
            for row in filter(len, found[some]):
                pages = np.append(np.arange(0, len(row), _PAGE // row.itemsize), len(row) - 1)
                taken(row, pages, np.empty(len(pages), np.int64))

        if self._is_large:
            self._together(look, self._cut(len(found)))
        return found

    @property
    def _is_large(self) -> bool:
        return self.tokens > _SMALL // 4

    def _cut(self, count: int) -> list[slice]:
        """So many things in pieces for :meth:`_together`."""
        size = max(1, -(-count // _AT_ONCE)) if self._is_large else max(1, count)
        return [slice(first, min(count, first + size)) for first in range(0, count, size)]

    def _together(self, look: Callable[[T], R], asked: Sequence[T]) -> list[R]:
        """Do some things, at the same time if the index is so large that they will wait for the disk."""
        if not self._is_large or len(asked) < 2:
            return [look(one) for one in asked]
        with ThreadPoolExecutor(min(_AT_ONCE, len(asked))) as pool:
            return [*pool.map(look, asked)]


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

    from regrow.corpus import kernels

    starts = np.zeros(vocabulary + 1, np.int64)
    for first in range(0, len(row), _PIECE):
        starts[1:] += np.bincount(row[first : first + _PIECE], minlength=vocabulary)
    starts = np.cumsum(starts)
    starts.astype("<i8").tofile(folder / _starts(number))
    places = sorted_places(row, starts)
    heads = np.empty((-(-len(places) // kernels.HEADED), kernels.HEAD), row.dtype)
    kernels.headed(row, places, heads)
    heads.tofile(folder / _heading(number))
    places.astype("<u4", copy=False).tofile(folder / _places(number))


def sorted_places(row: Row, starts: NDArray[np.int64]) -> NDArray[np.uint32]:
    """The places of a row, sorted by the tokens from there to its end.

    Args:
        row: the tokens, at least one, and fewer than 2**32.
        starts: ``(vocabulary + 1,)``: how many tokens are less than each, and all of them.
    """
    import numpy as np

    from regrow.corpus import kernels

    row = np.ascontiguousarray(row)
    places = np.empty(len(row), np.uint32)
    ends = np.empty(len(starts) - 1, np.int64)
    room = np.empty(len(row) // 2, np.uint32)
    found = room[len(room) - kernels.corners(row, room) :]
    if len(found) > 1:
        order, ranks = places[: len(found)], np.empty_like(found)  # what is sorted is read before it is written over
        kernels.sort_pieces(row, found, starts, places, ends)
        kernels.rank_pieces(row, found, places, places[len(row) // 2 :], order, ranks)
        kernels.refine(order, ranks)
        found = found[order]
    kernels.induce(row, found, starts, places, ends)
    return places


def describe(folder: Path, shards: Sequence[Range]) -> None:
    """Write what there is."""
    (folder / FACTS).write_bytes(canonical_json({"shards": [list(one) for one in shards]}) + b"\n")


def restore(folder: Path) -> None:
    """Write the row that the tables in a folder are of beside them: each place has the token whose range it is in."""
    import numpy as np

    for number, (begin, end) in enumerate(_facts(folder)):
        places, starts = _tables(folder, number)
        row = np.empty(end - begin, "<u2" if len(starts) <= 2**16 + 1 else "<u4")
        for first in range(0, len(places), _PIECE):
            piece = places[first : first + _PIECE]
            row[piece] = np.repeat(np.arange(len(starts) - 1), np.diff(starts.clip(first, first + len(piece))))
        row.tofile(folder / _row(number))


def restored_rows(folder: Path) -> list[Row]:
    """What :func:`restore` wrote, mapped from disk."""
    return [
        mapped(folder / _row(number), "<u2" if len(_tables(folder, number)[1]) <= 2**16 + 1 else "<u4")
        for number in range(len(_facts(folder)))
    ]


def mapped(path: Path, dtype: str, whole: bool = False) -> NDArray[Any]:
    """A file of numbers, mapped from disk: read here and there, or as a ``whole``, and at once if it is small."""
    import mmap

    import numpy as np

    if not (size := path.stat().st_size):
        return np.empty(0, dtype)
    found = np.memmap(path, dtype, "r")
    if hasattr(mmap, "MADV_RANDOM"):
        found._mmap.madvise(mmap.MADV_WILLNEED if whole or size <= _SMALL else mmap.MADV_RANDOM)  # type: ignore[attr-defined]
    return np.asarray(found)  # of which a part is had in a tenth of the time


def _heads(folder: Path, number: int, row: Row) -> Row:
    """The heads of a shard; none of an index that was made without them."""
    from regrow.corpus import kernels

    file = folder / _heading(number)
    if not file.is_file():
        return row[:0].reshape(0, kernels.HEAD)
    heads = mapped(file, row.dtype.str, whole=True)
    if len(heads) != -(-len(row) // kernels.HEADED) * kernels.HEAD:
        raise _damaged(file, "it does not tell of as many places as there are")
    return heads.reshape(-1, kernels.HEAD)


def _facts(folder: Path) -> list[Range]:
    """The shards, as the index tells."""
    try:
        return [(int(begin), int(end)) for begin, end in json.loads((folder / FACTS).read_text("utf-8"))["shards"]]
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise _damaged(folder / FACTS, str(error)) from error


def _tables(folder: Path, number: int) -> tuple[NDArray[np.uint32], NDArray[np.int64]]:
    """The sorted places of a shard, and where those of each token begin."""
    import numpy as np

    try:
        places, starts = mapped(folder / _places(number), "<u4"), np.fromfile(folder / _starts(number), "<i8")
    except (OSError, ValueError) as error:
        raise _damaged(folder, str(error)) from error
    if len(starts) < 2 or int(starts[-1]) != len(places):
        raise _damaged(folder / _starts(number), "it does not tell of as many places as there are")
    return places, starts


def _damaged(where: Path, why: str) -> StageError:
    hint = "`regrow store verify` finds what is damaged and removes it; then it is made again"
    return StageError("the index of the training text is damaged", where=str(where), why=why, hint=hint)


def _row(number: int) -> str:
    return f"row-{number:05}.bin"


def _places(number: int) -> str:
    return f"places-{number:05}.bin"


def _heading(number: int) -> str:
    return f"heads-{number:05}.bin"


def _starts(number: int) -> str:
    return f"starts-{number:05}.bin"


def ranges(found: Sequence[Range]) -> Iterator[tuple[int, int]]:
    """Shards, and places in their tables, one after the other."""
    for shard, (low, high) in enumerate(found):
        yield from ((shard, at) for at in range(low, high))
