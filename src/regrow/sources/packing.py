"""How bytes are packed, told from the bytes themselves: names are often wrong."""

from __future__ import annotations

import bz2
import codecs
import gzip
import io
import lzma
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import IO, Any

HEAD = 512
"""As many bytes from the beginning tell what a file is."""

_CHUNK = 1 << 20


class _Unpacked:
    """A packed file as a stream in which tarfile can look: on, and back by what was read last."""

    def __init__(self, file: IO[bytes], begin: Callable[[IO[bytes]], Any]) -> None:
        self._file, self._open = file, begin
        self._begin()

    def _begin(self) -> None:
        self._file.seek(0)
        self._stream = self._open(self._file)
        self._at, self._last, self._again = 0, b"", b""

    def __enter__(self) -> _Unpacked:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def tell(self) -> int:
        """How many bytes lie behind."""
        return self._at

    def read(self, size: int) -> bytes:
        """The next bytes; fewer only at the end."""
        data, self._again = self._again[:size], self._again[size:]
        if len(data) < size:
            data += self._stream.read(size - len(data))
        self._at += len(data)
        self._last = data
        return data

    def seek(self, place: int) -> int:
        """Go to a place."""
        back = self._at - place
        if 0 < back <= len(self._last):
            self._again = self._last[-back:] + self._again
            self._at, self._last = place, self._last[:-back]
        elif back > 0:
            self._begin()
        while self._at < place and self.read(min(_CHUNK, place - self._at)):
            pass
        return self._at


class _Kept:
    """A file that stays open: pyarrow closes what it has read."""

    closed = False

    def __init__(self, file: IO[bytes]) -> None:
        self.read = file.read

    def close(self) -> None:
        """Leave it to whoever opened it."""


class _Streams(io.RawIOBase):
    """Streams of xz or bzip2, one after another, perhaps with zeros between them.

    Python's own readers take whatever is no stream for the end, and pass over those that follow it.
    """

    def __init__(self, file: IO[bytes], begin: Callable[[], Any]) -> None:
        self._file, self._begin = file, begin
        self._unpacker = begin()

    def readable(self) -> bool:
        """It is."""
        return True

    def readinto(self, buffer: Any) -> int:
        """The next bytes, none at the end."""
        data = b""
        while not data and (packed := self._packed()) is not None:
            data = self._unpacker.decompress(packed, len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def _packed(self) -> bytes | None:
        """What is to be unpacked next; None behind the last stream."""
        if not self._unpacker.eof:
            if not self._unpacker.needs_input:
                return b""
            if not (packed := self._file.read(_CHUNK)):
                raise EOFError("it ends before its end is marked")
            return packed
        packed = self._unpacker.unused_data.lstrip(b"\0")
        while not packed and (more := self._file.read(_CHUNK)):
            packed = more.lstrip(b"\0")
        if not packed:
            return None
        self._unpacker = self._begin()
        return packed


def _zstd(file: IO[bytes]) -> Any:
    """Zstandard, which pyarrow unpacks."""
    import pyarrow as pa

    return pa.CompressedInputStream(pa.PythonFile(_Kept(file), mode="r"), "zstd")


def _xz(file: IO[bytes]) -> Any:
    return io.BufferedReader(_Streams(file, partial(lzma.LZMADecompressor, lzma.FORMAT_XZ)))


def _bzip2(file: IO[bytes]) -> Any:
    return io.BufferedReader(_Streams(file, bz2.BZ2Decompressor))


_OPENERS: tuple[tuple[re.Pattern[bytes], Callable[[Any], Any]], ...] = (
    (re.compile(rb"\x1f\x8b\x08"), gzip.open),
    # a block, or the end of a file without any
    (re.compile(rb"BZh[1-9](?:1AY&SY|\x17rE8P\x90)"), partial(_Unpacked, begin=_bzip2)),
    (re.compile(rb"\xfd7zXZ\x00"), partial(_Unpacked, begin=_xz)),
    # a frame, or one that is to be skipped
    (re.compile(rb"\x28\xb5\x2f\xfd|[\x50-\x5f]\x2a\x4d\x18"), partial(_Unpacked, begin=_zstd)),
)
_OTHERS = (
    ("7-Zip", re.compile(rb"7z\xbc\xaf\x27\x1c"), re.compile(r"\.7z")),
    ("RAR", re.compile(rb"Rar!\x1a\x07"), re.compile(r"\.rar")),
    ("LZ4", re.compile(rb"\x04\x22\x4d\x18|\x02\x21\x4c\x18"), re.compile(r"\.lz4")),
    ("compress", re.compile(rb"\x1f[\x9d\xa0]"), re.compile(r"\.Z")),
    ("lzip", re.compile(rb"LZIP[\x00\x01]"), re.compile(r"\.lz")),
    ("LZMA", re.compile(rb"\x5d\x00\x00[\x00-\xff]{2}\xff{8}"), re.compile(r"\.lzma")),
    ("lzop", re.compile(rb"\x89LZO\x00"), re.compile(r"\.lzo")),
    ("Snappy", re.compile(rb"\xff\x06\x00\x00sNaPpY"), re.compile(r"\.(?:sz|snappy)")),
    ("Brotli", re.compile(rb"(?!)"), re.compile(r"\.br")),  # nothing marks it
)


def is_compressed(head: bytes) -> bool:
    """Whether bytes that begin so can be unpacked here."""
    return any(magic.match(head) for magic, _ in _OPENERS)


def unknown_packing(name: str, head: bytes | None) -> str:
    """With what a file is packed that cannot be unpacked here; nothing if it is not.

    Args:
        name: what it is called.
        head: how it begins; its name counts only if that is no text, since ``poem.br`` may be in Breton. None to go by
            the name alone.
    """
    end = "" if head is not None and _is_text(head) else name[name.rfind(".") :]
    told = (what for what, magic, suffix in _OTHERS if suffix.fullmatch(end) or (head and magic.match(head)))
    return next(told, "")


def _is_text(head: bytes) -> bool:
    try:
        codecs.getincrementaldecoder("utf-8")().decode(head)  # the last character may be cut
    except UnicodeDecodeError:
        return False
    return b"\0" not in head


@contextmanager
def unpacked(file: IO[bytes]) -> Iterator[IO[bytes]]:
    """The bytes of a file from its beginning, unpacked if they are packed."""
    file.seek(0)
    head = file.read(HEAD)
    file.seek(0)
    opener = next((how for magic, how in _OPENERS if magic.match(head)), None)
    if opener is None:
        yield file
    else:
        with opener(file) as stream:
            yield stream
