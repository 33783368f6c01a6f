"""Reading archives member by member in memory: nothing is ever written where an archive says."""

from __future__ import annotations

import bz2
import gzip
import lzma
import re
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from regrow.errors import InputError

_TAR = re.compile(r"\.(tar|tar\.gz|tgz|tar\.bz2|tbz2?|tar\.xz|txz)$", re.IGNORECASE)
_ZIP = re.compile(r"\.(zip|whl|egg)$", re.IGNORECASE)
_PACKED = re.compile(r"\.(gz|bz2|xz)$", re.IGNORECASE)
_CHUNK = 1 << 20
_UNREADABLE = (
    tarfile.TarError, zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, OSError, NotImplementedError,
    RuntimeError, ValueError, OverflowError,
)  # fmt: skip


@dataclass(frozen=True)
class Limits:
    """What an archive may hold. Beyond it, it is taken for an attack.

    Attributes:
        member: bytes of a file.
        total: bytes of all files.
        members: number of entries.
        names: characters of all names.
        header: bytes that describe an entry of a tar file, and as many that describe all of them.
    """

    member: int = 1 << 30
    total: int = 1 << 35
    members: int = 1_000_000
    names: int = 1 << 27
    header: int = 1 << 20


@dataclass(frozen=True)
class Member:
    """A file in an archive."""

    path: str
    data: bytes


@dataclass(frozen=True)
class Refused:
    """An entry of an archive that is not read, and why."""

    path: str
    reason: str


def is_archive(name: str) -> bool:
    """Whether a file of this name is one to look inside."""
    return any(kind.search(name) for kind in (_TAR, _ZIP, _PACKED))


def members(
    path: Path, name: str, wanted: Callable[[str], bool], limits: Limits | None = None
) -> Iterator[Member | Refused]:
    """The wanted files of an archive, in its order.

    Args:
        path: the archive.
        name: what it is called, which decides how it is read.
        wanted: told a path, says whether to read it.
        limits: what it may hold.

    Raises:
        InputError: if it is damaged or exceeds the limits.
    """
    limits = limits or Limits()
    seen: set[str] = set()
    with _faults_named(name):
        entries = _zip if _ZIP.search(name) else _tar if _TAR.search(name) else _packed
        for entry in entries(path, name, wanted, limits):
            if entry.path in seen:
                yield Refused(entry.path, "a second entry of that name")
            else:
                seen.add(entry.path)
                yield entry


def _tar(path: Path, name: str, wanted: Callable[[str], bool], limits: Limits) -> Iterator[Member | Refused]:
    budget = _Budget(name, limits)
    with _unpacked(path) as unpacked:
        stream = _Metered(unpacked, limits.header)
        for archive, entry in _tar_entries(stream, limits):
            budget.spend(entry.size, entry.name)
            if entry.isdir() or not wanted(entry.name):
                continue
            trouble = _trouble(entry.name) or ("" if entry.isreg() else _KINDS.get(entry.type, "not a plain file"))
            if trouble:
                yield Refused(entry.name, trouble)
                continue
            stream.left = entry.size
            file = archive.extractfile(entry)
            data = _read(file, limits.member) if file else b""
            if len(data) != entry.size:
                raise EOFError(f"{entry.name} is cut short")
            yield Member(entry.name, data)


def _tar_entries(stream: _Metered, limits: Limits) -> Iterator[tuple[tarfile.TarFile, tarfile.TarInfo]]:
    """The entries of a tar file, whose names are UTF-8 whatever the locale says; other bytes become surrogates."""
    file: Any = stream
    with tarfile.open(fileobj=file, mode="r:", encoding="utf-8", errors="surrogateescape") as archive:
        while entry := archive.next():
            archive.members = []  # type: ignore[attr-defined]  # or all headers are kept until the end
            if sum(len(key) + len(value) for key, value in archive.pax_headers.items()) > limits.header:
                raise OverflowError(f"what it says of all its files has more than {limits.header} bytes")
            yield archive, entry
            stream.left = limits.header
    if stream.last.strip(b"\0"):  # tarfile takes whatever is not a header for the end
        raise tarfile.ReadError("after some entries comes what is neither another nor the end")


def _zip(path: Path, name: str, wanted: Callable[[str], bool], limits: Limits) -> Iterator[Member | Refused]:
    with zipfile.ZipFile(path) as archive:
        budget = _Budget(name, limits)
        for entry in archive.infolist():
            inside = entry.orig_filename  # `filename` is another in newer versions of Python if there are two
            budget.spend(entry.file_size, inside)
            if inside.endswith("/") or not wanted(inside):
                continue
            kind = entry.external_attr >> 28
            trouble = _trouble(inside) or ("" if kind in (0, 0o10) else _MODES.get(kind, "not a plain file"))
            if trouble or entry.flag_bits & 1:
                yield Refused(inside, trouble or "encrypted")
                continue
            with archive.open(entry) as file:
                yield Member(inside, _read(file, limits.member))


def _packed(path: Path, name: str, wanted: Callable[[str], bool], limits: Limits) -> Iterator[Member | Refused]:
    """A single compressed file, which is called what the archive is without its last suffix."""
    inside = _PACKED.sub("", name).rpartition("/")[2]
    if wanted(inside):
        with _unpacked(path) as stream:
            yield Member(inside, _read(stream, limits.member))


@contextmanager
def _unpacked(path: Path) -> Iterator[IO[bytes]]:
    """The bytes of a file, decompressed if they look compressed, whatever its name says."""
    with path.open("rb") as file:
        head = file.read(6)
        file.seek(0)
        opener: Callable[[Any], Any] | None = next(
            (how for magic, how in _MAGIC.items() if head.startswith(magic)), None
        )
        if opener is None:
            yield file
        else:
            with opener(file) as stream:
                yield stream


_MAGIC: dict[bytes, Callable[[Any], Any]] = {b"\x1f\x8b": gzip.open, b"BZh": bz2.open, b"\xfd7zXZ\x00": lzma.open}
_KINDS = {
    tarfile.SYMTYPE: "a symbolic link",
    tarfile.LNKTYPE: "a hard link",
    tarfile.CHRTYPE: "a device",
    tarfile.BLKTYPE: "a device",
    tarfile.FIFOTYPE: "a pipe",
}
_MODES = {0o12: "a symbolic link", 0o2: "a device", 0o6: "a device", 0o1: "a pipe"}


class _Budget:
    """Counts what an archive claims to hold."""

    def __init__(self, name: str, limits: Limits) -> None:
        self._name, self._limits = name, limits
        self._bytes = self._entries = self._characters = 0

    def spend(self, size: int, name: str) -> None:
        """Take one more entry into account."""
        self._bytes += size
        self._characters += len(name)
        self._entries += 1
        if (
            size < 0
            or size > self._limits.member
            or self._bytes > self._limits.total
            or self._entries > self._limits.members
            or self._characters > self._limits.names
        ):
            raise InputError(
                f"`{self._name}` holds more than an archive may",
                why=f"entry {self._entries} makes it {self._bytes} bytes unpacked, and {self._characters} "
                "characters of names",
                hint="unpack it yourself and use `file:` if you trust it",
            )


class _Metered:
    """The stream of a tar file, of which ``left`` bytes may be read: tarfile takes headers of any size into memory.

    ``last`` is what was read last.
    """

    def __init__(self, stream: IO[bytes], left: int) -> None:
        self._stream, self.left, self.last = stream, left, b""
        self.seek, self.tell = stream.seek, stream.tell

    def read(self, size: int) -> bytes:
        """The next bytes; a damaged header may ask for fewer than none, which would be all of them."""
        if not 0 <= size <= self.left:
            raise OverflowError("what it says of a file is too long")
        self.left -= size
        self.last = self._stream.read(size)
        return self.last


def _read(file: IO[bytes], most: int) -> bytes:
    """All of a file, a bit at a time, so that a lie about its size costs nothing."""
    parts: list[bytes] = []
    size = 0
    while part := file.read(_CHUNK):
        parts.append(part)
        size += len(part)
        if size > most:
            raise OverflowError(f"a file in it has more than {most} bytes")
    return b"".join(parts)


def _trouble(path: str) -> str:
    """What is wrong with a path, if anything. Names end up in locators and reports."""
    if path.startswith(("/", "\\")) or re.match("[A-Za-z]:", path):
        return "an absolute path"
    if ".." in re.split(r"[/\\]", path):
        return "a path that leaves the archive"
    if re.search("[\x00-\x1f\x7f\\\\\ud800-\udfff]", path):
        return "an unusable name"
    return ""


@contextmanager
def _faults_named(name: str) -> Iterator[None]:
    try:
        yield
    except _UNREADABLE as error:
        raise InputError(
            f"`{name}` cannot be read",
            why=f"{type(error).__name__}: {error}",
            hint="it is damaged, or not the kind of archive its name says",
        ) from error
