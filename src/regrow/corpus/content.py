"""The bytes of a file as they are needed: how it begins and ends, its lines one after another, or all of it."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import IO, Protocol, cast

from regrow.errors import StageError

HEAD = 1 << 16
"""Bytes that show what a file is whose name does not say it."""

_TAIL = 12  # bytes that show where a file ends
_CHUNK = 1 << 20
_LONGEST_LINE = 1 << 30  # bytes
_NEWLINE = b"\n"


class Readable(Protocol):
    """What bytes come from, perhaps once only."""

    def read(self, size: int = -1, /) -> bytes:
        """The next bytes, at most so many, and none at the end; or all that are left."""

    def seekable(self) -> bool:
        """Whether it is a file in which any place can be read."""


class Content:
    """A file that is read. What can be read once only is kept for those who need all of it, until :meth:`settle`.

    Args:
        file: at its beginning.
    """

    def __init__(self, file: Readable) -> None:
        self._file = file
        self.head = file.read(HEAD)
        self._kept: list[bytes] | None = None if file.seekable() else [self.head]
        self._data: bytes | None = None

    @staticmethod
    def of(data: bytes) -> Content:
        """Some bytes."""
        return Content(io.BytesIO(data))

    @property
    def ends(self) -> bytes:
        """Its beginning and its end, as far as they show what it is; all of it if it is short."""
        if not self.head.startswith(b"PAR"):  # for all else the beginning is enough
            return self.head
        file = self.opened()
        here = file.tell()
        file.seek(max(len(self.head), file.seek(0, io.SEEK_END) - _TAIL))
        ends = self.head + file.read()
        file.seek(here)
        return ends

    @property
    def size(self) -> int:
        """Its bytes."""
        if self._file.seekable():
            file = cast(IO[bytes], self._file)
            here = file.tell()
            size = file.seek(0, io.SEEK_END)
            file.seek(here)
            return size
        return len(self.data)

    @property
    def is_file(self) -> bool:
        """Whether any place in it can be read, as often as need be."""
        return self._file.seekable()

    @property
    def data(self) -> bytes:
        """All of it; of a file in which any place can be read it is read anew, and not kept."""
        if self._file.seekable():
            file = cast(IO[bytes], self._file)
            here = file.tell()
            file.seek(0)
            data = file.read()
            file.seek(here)
            return data
        if self._data is None:
            assert self._kept is not None, "what was read is gone"
            self._data = b"".join([*self._kept, self._file.read()])
            self._kept = [self._data]
        return self._data

    def opened(self) -> IO[bytes]:
        """It as a file in which any place can be read."""
        return cast(IO[bytes], self._file) if self._file.seekable() else io.BytesIO(self.data)

    def settle(self) -> None:
        """Keep nothing of what was read: nobody will ask for all of it."""
        self._kept = None

    def lines(self, start: int = 0) -> Iterator[tuple[int, bytes]]:
        """Its lines without the newlines that end them, and where each begins, from a place in its head on.

        They are told by the byte, so that this is for encodings in which no other character has it.

        Raises:
            StageError: if one is so long that what unpacks to it may be an attack.
        """
        parts: list[bytes] = []  # of a line that is longer than what was read at a time
        for chunk in self.chunks(start):
            first, *others = chunk.split(_NEWLINE)
            parts.append(first)
            if not self.is_file and len(parts) > 1 and sum(map(len, parts)) > _LONGEST_LINE:
                why = f"byte {start} is followed by more than {_LONGEST_LINE:,} in which none ends"
                hint = "unpack the file yourself and use `file:` if you trust it"
                raise StageError("a line is too long to be unpacked", why=why, hint=hint)
            if others:
                line = b"".join(parts)
                yield start, line
                start += len(line) + 1
                for line in others[:-1]:
                    yield start, line
                    start += len(line) + 1
                parts = [others[-1]]
        if line := b"".join(parts):
            yield start, line

    def chunks(self, start: int = 0) -> Iterator[bytes]:
        """Its bytes in pieces, from a place in its head on."""
        if self._data is not None:
            yield self._data[start:]
            return
        yield self.head[start:]
        while chunk := self._file.read(_CHUNK):
            if self._kept is not None:
                self._kept.append(chunk)
            yield chunk


class Kept:
    """A file that stays open: pyarrow closes what it has read."""

    closed = False

    def __init__(self, file: IO[bytes]) -> None:
        self.read, self.seek, self.tell = file.read, file.seek, file.tell

    def close(self) -> None:
        """Leave it to whoever opened it."""
