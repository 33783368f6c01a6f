"""The exchange: each task of a phase sends rows to tasks of the next, and those read them sorted.

A row is a few 64-bit numbers. What a task sends lies in one file: at its top where the rows for each destination begin
and their CRC-32, then the rows themselves, one destination after the other. A destination reads three numbers and its
own rows from each file, and merges what all have sent. What it sees is a set of rows in ascending order, so it depends
on the rows alone and not on how many tasks there were to send them. No side holds much: what is to be sent is sorted
and put aside when it reaches :data:`HELD` bytes, and both sides merge sorted rows block by block.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile
from typing import TYPE_CHECKING, BinaryIO
from zlib import crc32

from regrow.errors import StageError
from regrow.recipe.kind import Files

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import ArrayLike, NDArray

    Rows = NDArray[np.uint64]

HELD = 1 << 25
"""Bytes of rows that a sender, or whoever merges, has in memory at a time; sorting takes some times as much."""

_LEAST = 1 << 12  # bytes that are read at a time of one among many
_NUMBER, _SIZE = "<u8", 8


def spread(hashes: NDArray[np.uint64], destinations: int) -> NDArray[np.uint16]:
    """The destination of each of some even 64-bit hashes: as many ranges of them as there are destinations.

    So what one destination gets is smaller than what the next one gets, and all of them in their order are sorted.
    """
    import numpy as np

    return ((hashes >> np.uint64(32)) * np.uint64(destinations) >> np.uint64(32)).astype(np.uint16)


@dataclass(frozen=True)
class Exchange:
    """What the tasks of one phase send to those of another.

    Attributes:
        name: of the file in the folder of the task that sends.
        width: numbers in a row.
        sorted: whether rows are a set, which arrives in ascending order; otherwise those of each sender arrive as they
            were sent, one sender after the other.
    """

    name: str
    width: int
    sorted: bool = True

    @contextmanager
    def sender(self, folder: Path, destinations: int) -> Iterator[Sender]:
        """Somebody to give rows to; at the end of the block they are on their way.

        Args:
            folder: of the task.
            destinations: how many there are, up to 65,536.
        """
        with TemporaryFile(dir=folder) as aside:
            sender = Sender(self, destinations, aside)
            yield sender
            sender.write(folder / self.name)

    def received(self, files: Files, folders: Sequence[Path], destination: int) -> Iterator[Rows]:
        """Block by block what was sent to a destination.

        Args:
            files: how to get at them.
            folders: of the tasks that have sent.
            destination: which one, from 0.

        Raises:
            StageError: if a file is damaged.
        """
        segments = [self._segment(files, folder / self.name, destination) for folder in folders]
        return self.together([segment for segment in segments if segment.rows])

    def together(self, segments: Sequence[Segment]) -> Iterator[Rows]:
        """The rows of some segments."""
        return (_merged if self.sorted else _one_after_the_other)(segments, self.width)

    def _segment(self, files: Files, path: Path, destination: int) -> Segment:
        import numpy as np

        size = self.width * _SIZE

        def read(start: int, length: int) -> bytes:
            data = files.read(path, start, length)
            if len(data) != length:
                raise StageError(
                    f"{path.name} is damaged",
                    where=str(path),
                    why=f"of {length:,} bytes from {start:,} on there are {len(data):,}",
                )
            return data

        begin, sent, end = np.frombuffer(read(2 * destination * _SIZE, 3 * _SIZE), _NUMBER).tolist()
        count, odd = divmod(end - begin, size)
        if odd or count < 0:
            raise StageError(f"{path.name} is damaged", where=str(path), why=f"no rows are from {begin:,} to {end:,}")
        found = 0

        def rows(first: int, wanted: int) -> Rows:
            nonlocal found
            data = read(begin + first * size, wanted * size)
            found = crc32(data, found)  # rows are read once, in their order
            if first + wanted == count and found != sent:
                why = f"what is from {begin:,} to {end:,} is not what was sent"
                raise StageError(f"{path.name} is damaged", where=str(path), why=why)
            return self.parsed(data)

        return Segment(count, rows)

    def parsed(self, data: bytes) -> Rows:
        """Rows from their bytes."""
        import numpy as np

        return np.frombuffer(data, _NUMBER).astype(np.uint64, copy=False).reshape(-1, self.width)


@dataclass(frozen=True)
class Segment:
    """Rows that somebody has, to be read some at a time; where they are sorted, no row is there twice.

    Attributes:
        rows: how many.
        read: (first, count) -> some of them; all are read once, from the first to the last.
    """

    rows: int
    read: Callable[[int, int], Rows]


class Sender:
    """Takes rows for destinations."""

    def __init__(self, exchange: Exchange, destinations: int, aside: BinaryIO) -> None:
        self._exchange, self._destinations, self._aside = exchange, destinations, aside
        self._held: list[tuple[NDArray[np.uint16], Rows]] = []
        self._bytes = 0
        # For each lot that was put aside: where its rows for each destination begin in that file, in rows.
        self._lots: list[NDArray[np.int64]] = []

    def put(self, destinations: ArrayLike, rows: Rows) -> None:
        """Send rows.

        Args:
            destinations: of each row, or one of all.
            rows: what is sent.
        """
        import numpy as np

        if len(rows):
            self._held.append((np.broadcast_to(np.asarray(destinations, np.uint16), len(rows)), rows))
            self._bytes += rows.nbytes
        if self._bytes >= HELD:
            self._put_aside()

    def write(self, path: Path) -> None:
        """Write the file, all at once or not at all."""
        import numpy as np

        last, bounds = self._in_order()
        counts = np.zeros(self._destinations + 1, np.int64)
        checks = np.zeros(self._destinations + 1, np.uint64)
        whole = path.with_name(f"{path.name}.part")
        with whole.open("wb") as file:
            top = (2 * len(counts) - 1) * _SIZE
            file.write(bytes(top))
            for destination in range(self._destinations):
                segments = [self._lot(lot, destination) for lot in self._lots]
                segments.append(_part(last, bounds[destination], bounds[destination + 1]))
                for rows in self._exchange.together([segment for segment in segments if segment.rows]):
                    data = rows.astype(_NUMBER, copy=False).tobytes()
                    file.write(data)
                    checks[destination] = crc32(data, int(checks[destination]))
                    counts[destination + 1] += len(rows)
            file.seek(0)
            begins = (top + np.cumsum(counts) * self._exchange.width * _SIZE).astype(np.uint64)
            file.write(np.column_stack([begins, checks]).astype(_NUMBER).tobytes()[:top])
        whole.replace(path)

    def _in_order(self) -> tuple[Rows, NDArray[np.int64]]:
        """What is held, one destination after the other, and where each begins."""
        import numpy as np

        held, self._held, self._bytes = self._held, [], 0
        width = self._exchange.width
        rows = np.concatenate([np.empty((0, width), np.uint64), *(rows for _, rows in held)])
        destinations = np.concatenate([np.empty(0, np.uint16), *(each for each, _ in held)])
        del held
        keys = rows.T[::-1] if self._exchange.sorted else ()
        order = np.lexsort((*keys, destinations))
        rows, destinations = rows[order], destinations[order]
        if self._exchange.sorted:
            new = _differs(rows)
            new[1:] |= destinations[1:] != destinations[:-1]
            if not new.all():
                rows, destinations = rows[new], destinations[new]
        return rows, np.searchsorted(destinations, np.arange(self._destinations + 1)).astype(np.int64)

    def _put_aside(self) -> None:
        begin = int(self._lots[-1][-1]) if self._lots else 0
        rows, bounds = self._in_order()
        self._aside.write(rows.tobytes())
        self._lots.append(begin + bounds)

    def _lot(self, lot: NDArray[np.int64], destination: int) -> Segment:
        import numpy as np

        begin, end = lot[destination : destination + 2].tolist()
        size = self._exchange.width * _SIZE

        def read(first: int, rows: int) -> Rows:
            self._aside.flush()
            data = os.pread(self._aside.fileno(), rows * size, (begin + first) * size)
            return np.frombuffer(data, np.uint64).reshape(-1, self._exchange.width)

        return Segment(end - begin, read)


def _part(rows: Rows, begin: int, end: int) -> Segment:
    return Segment(int(end - begin), lambda first, count: rows[begin + first : begin + first + count])


def _merged(segments: Sequence[Segment], width: int) -> Iterator[Rows]:
    """All rows in ascending order, those that are there several times once, in blocks.

    Each turn tops up what is held of every segment. Rows up to the least of the last ones held, of segments that have
    more to come, cannot be preceded by any that is still to come.
    """
    import numpy as np

    size = width * _SIZE
    block = max(1, max(_LEAST, HELD // max(1, len(segments))) // size)
    waiting = [(segment, 0, np.empty((0, width), np.uint64)) for segment in segments]
    while waiting:
        held = []
        for segment, taken, rows in waiting:
            more = min(block - len(rows), segment.rows - taken)
            held.append((segment, taken + more, np.concatenate([rows, segment.read(taken, more)]) if more else rows))
        lasts = [tuple(rows[-1].tolist()) for segment, taken, rows in held if taken < segment.rows]
        bound = min(lasts, default=None)
        cuts = [len(rows) if bound is None else _up_to(rows, bound) for _, _, rows in held]
        rows = np.concatenate([rows[:cut] for (_, _, rows), cut in zip(held, cuts, strict=True)])
        if len(held) > 1:
            rows = rows[np.lexsort(rows.T[::-1])]
            rows = rows[_differs(rows)]
        yield rows
        waiting = [
            (segment, taken, rows[cut:])
            for (segment, taken, rows), cut in zip(held, cuts, strict=True)
            if cut < len(rows) or taken < segment.rows
        ]


def _one_after_the_other(segments: Sequence[Segment], width: int) -> Iterator[Rows]:
    most = HELD // (width * _SIZE)
    for segment in segments:
        for first in range(0, segment.rows, most):
            yield segment.read(first, min(most, segment.rows - first))


def _up_to(rows: Rows, bound: tuple[int, ...]) -> int:
    """How many of some sorted rows are not above a bound."""
    import numpy as np

    begin, end = 0, len(rows)
    for column, number in zip(rows.T, bound, strict=True):
        among = column[begin:end]
        begin, end = (begin + int(np.searchsorted(among, np.uint64(number), side)) for side in ("left", "right"))
    return end


def _differs(rows: Rows) -> NDArray[np.bool_]:
    """For each row whether it is unlike the one before."""
    import numpy as np

    new = np.ones(len(rows), np.bool_)
    new[1:] = (rows[1:] != rows[:-1]).any(axis=1)
    return new
