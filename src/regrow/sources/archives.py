"""Reading archives member by member: nothing is ever written where an archive says."""

from __future__ import annotations

import io
import lzma
import os
import re
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from regrow.errors import InputError
from regrow.sources.packing import HEAD, is_compressed, unpacked

_TAR = re.compile(r"\.(tar|tar\.gz|tgz|tar\.bz2|tbz2?|tar\.xz|txz|tar\.zst|tzst)$", re.IGNORECASE)
_ZIP = re.compile(r"\.(zip|whl|egg)$", re.IGNORECASE)
_PACKED = re.compile(r"\.(gz|bz2|xz|zst)$", re.IGNORECASE)
_DEB = re.compile(r"\.u?deb$", re.IGNORECASE)
_ZIPPED = (b"PK\x03\x04", b"PK\x05\x06")
_AR = b"!<arch>\n"
_DEBIAN = _AR + b"debian-binary"
_TARRED = slice(257, 262)  # bytes that are `ustar`
_CHUNK = 1 << 20
_HELD = 1 << 26  # bytes of a file that are unpacked before anybody sees it, so that a damaged one is none
_AFTER = 1 << 15  # blocks behind the end of a tar file that are looked at; programs write a few hundred at most
_WINDOW = "requires too much memory"  # as Zstandard puts it
_UNREADABLE = (
    tarfile.TarError, zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, OSError, NotImplementedError,
    RuntimeError, ValueError, OverflowError,
)  # fmt: skip


def _largest_file() -> int:
    """A gibibyte, or an eighth of the memory: a file is read whole, and takes several times as much as text."""
    try:
        return max(1 << 30, os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 8)
    except (AttributeError, OSError, ValueError):  # not on every system
        return 1 << 30


@dataclass(frozen=True)
class Limits:
    """What an archive may hold, with the archives in it. Beyond it, it is taken for an attack.

    Attributes:
        member: bytes of a file that is read as a whole; it depends on the machine, so a file beyond it has to be an
            error. One that is read as a stream may have more.
        nested: bytes of an archive in it that no pattern names.
        total: bytes of all files.
        members: number of entries.
        names: characters of all names.
        header: bytes that describe an entry of a tar file, and as many that describe all of them.
    """

    member: int = field(default_factory=_largest_file)
    nested: int = 1 << 30
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


class Large:
    """A file in an archive that is read as a stream, before the next one is asked for.

    Args:
        path: what it is called.
        held: its beginning.
        rest: what comes behind it.
        archive: what the archive is called.
        budget: what the archive may hold.
        size: bytes of the file as far as they are accounted for already; None for one that does not tell.
    """

    def __init__(self, path: str, held: bytes, rest: IO[bytes], archive: str, budget: Budget, size: int | None) -> None:
        self.path = path
        self._held = io.BytesIO(held)
        self._rest, self._archive, self._budget, self._size = rest, archive, budget, size
        self._at = len(held)

    def peek(self, size: int) -> bytes:
        """How it begins, as long as nothing was read."""
        return bytes(self._held.getbuffer()[:size])

    def seekable(self) -> bool:
        """It is not."""
        return False

    def read(self, size: int = -1) -> bytes:
        """The next bytes, at most so many, and none at the end; or all that are left.

        Raises:
            TooLargeError: if they are more than this machine reads at once.
            InputError: if the archive is damaged, or holds more than it may.
        """
        if size < 0:
            found = io.BytesIO()  # gives its bytes away without a copy
            while part := self.read(_CHUNK):
                found.write(part)
                if found.tell() > self._budget.limits.member:
                    raise self._budget.too_large(self.path)
            return found.getvalue()
        if part := self._held.read(size):
            return part
        self._held = io.BytesIO()
        with _faults_named(self._archive):
            part = self._rest.read(size)
            if not part and self._size not in (None, self._at):
                raise EOFError(f"{self.path} is cut short")
        self._at += len(part)
        if self._size is None:
            self._budget.grow(len(part))
        return part

    def drain(self) -> None:
        """Read what nobody asked for: the archive may be damaged there, or hold too much."""
        while self.read(_CHUNK):
            pass


Wanted = Callable[[str, int], bool]


class TooLargeError(InputError):
    """A file in an archive is larger than this machine reads at once."""


class Budget:
    """Counts what an archive, and those in it, claim to hold.

    Args:
        name: of the outermost one.
        limits: of all together.
    """

    def __init__(self, name: str, limits: Limits | None = None) -> None:
        self.limits = limits or Limits()
        self._name = name
        self._bytes = self._entries = self._characters = 0

    def spend(self, size: int, name: str) -> None:
        """Take one more entry into account.

        Args:
            size: its bytes.
            name: what it is called.

        Raises:
            InputError: if that is too much.
        """
        self._characters += len(name)
        self._entries += 1
        self.grow(size)

    def grow(self, size: int) -> None:
        """Take more bytes of an entry into account.

        Raises:
            InputError: if that is too much.
        """
        self._bytes += size
        limits = self.limits
        if size < 0 or self._bytes > limits.total or self._entries > limits.members or self._characters > limits.names:
            raise self.exceeded(
                f"entry {self._entries} makes it {self._bytes} bytes unpacked, and {self._characters} "
                "characters of names",
            )

    def too_large(self, name: str) -> InputError:
        """The error for a file that is too large."""
        return self.exceeded(f"`{name}` has more than {self.limits.member} bytes unpacked", TooLargeError)

    def exceeded(self, why: str, kind: type[InputError] = InputError) -> InputError:
        """The error for an archive that is too large."""
        return kind(
            f"`{self._name}` holds more than an archive may",
            why=why,
            hint="if you trust it, unpack it yourself, and name the folder",
        )


def is_archive(name: str, head: bytes = b"") -> bool:
    """Whether a file is one to look inside, by its name or by its first bytes."""
    plain_name = "." not in name.rpartition("/")[2]
    named = any(kind.search(name) for kind in (_TAR, _ZIP, _PACKED, _DEB))
    return named or is_compressed(head) or head.startswith(_DEBIAN) or (plain_name and head.startswith(_ZIPPED))


def members(
    path: Path, name: str, wanted: Callable[[str], bool], limits: Limits | None = None
) -> Iterator[Member | Refused]:
    """The wanted files of an archive as a whole, in its order; see :func:`entries`."""
    with path.open("rb") as file:
        for entry in entries(file, name, lambda path, _: wanted(path), Budget(name, limits)):
            yield Member(entry.path, entry.read()) if isinstance(entry, Large) else entry


def entries(file: IO[bytes], name: str, wanted: Wanted, budget: Budget) -> Iterator[Member | Large | Refused]:
    """The wanted files of an archive, in its order. Their paths begin neither with ``./`` nor twice with a slash.

    Args:
        file: the archive.
        name: what it is called.
        wanted: told a path and how many bytes it has, as far as that is known, says whether to read it.
        budget: what it may hold.

    Raises:
        InputError: if it is damaged or exceeds the limits, which are the same everywhere but that of a file as a whole.
    """
    seen: set[str] = set()
    with _faults_named(name):
        for entry in _entries(file, name, wanted, budget):
            if entry.path in seen:
                yield Refused(entry.path, "a second entry of that name")
            else:
                seen.add(entry.path)
                yield entry
            if isinstance(entry, Large):
                entry.drain()


def _entries(file: IO[bytes], name: str, wanted: Wanted, budget: Budget) -> Iterator[Member | Large | Refused]:
    """What the bytes say counts, then what the name says."""
    file.seek(0)
    head = file.read(HEAD)
    if head.startswith(_ZIPPED) or (_ZIP.search(name) and not is_compressed(head)):
        yield from _zip(file, name, wanted, budget)
        return
    if head.startswith(_DEBIAN) or (_DEB.search(name) and not is_compressed(head)):
        with unpacked(_debian_data(file)) as stream:
            yield from _tar(stream, name, wanted, budget)
        return
    with unpacked(file) as stream:
        is_tar = bool(_TAR.search(name)) or stream.read(HEAD)[_TARRED] == b"ustar"
        stream.seek(0)
        yield from _tar(stream, name, wanted, budget) if is_tar else _packed(stream, name, wanted, budget)


def _tar(unpacked: IO[bytes], name: str, wanted: Wanted, budget: Budget) -> Iterator[Member | Large | Refused]:
    limits = budget.limits
    stream = _Metered(unpacked, limits.header)
    for archive, entry in _tar_entries(stream, limits):
        inside = _plain(entry.name)
        read = not entry.isdir() and wanted(inside, entry.size)
        budget.spend(entry.size, inside)
        if not read:
            continue
        trouble = _trouble(inside) or ("" if entry.isreg() else _KINDS.get(entry.type, "not a plain file"))
        if trouble:
            yield Refused(inside, trouble)
            continue
        stream.left = entry.size
        yield _begun(inside, archive.extractfile(entry) or io.BytesIO(), name, budget, entry.size)


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
    _require_the_last(stream.rest)


def _require_the_last(rest: IO[bytes]) -> None:
    """Raise if another archive follows the end of one, which tarfile and tar alike would leave out without a word."""
    for _ in range(_AFTER):
        block = rest.read(tarfile.BLOCKSIZE)
        if block.strip(b"\0"):
            try:
                tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
            except tarfile.HeaderError:
                return  # old programs leave there what they had in memory
            raise tarfile.ReadError("another archive follows its end; `tar --ignore-zeros` unpacks both")
        if not block:
            return


def _zip(file: IO[bytes], called: str, wanted: Wanted, budget: Budget) -> Iterator[Member | Large | Refused]:
    with zipfile.ZipFile(file) as archive:
        for entry in archive.infolist():
            # `filename` is another in newer versions of Python if there are two
            name = entry.orig_filename
            inside = _plain(name)
            read = not name.endswith("/") and wanted(inside, entry.file_size)
            budget.spend(entry.file_size, inside)
            if not read:
                continue
            kind = entry.external_attr >> 28
            trouble = _trouble(inside) or ("" if kind in (0, 0o10) else _MODES.get(kind, "not a plain file"))
            if trouble or entry.flag_bits & 1:
                yield Refused(inside, trouble or "encrypted")
                continue
            with archive.open(entry) as content:
                yield _begun(inside, content, called, budget, entry.file_size)


def _debian_data(file: IO[bytes]) -> IO[bytes]:
    """The tar file in a package of Debian that holds what it installs, perhaps packed: see deb(5)."""
    file.seek(0)
    if file.read(len(_AR)) != _AR:
        raise ValueError("it does not begin as packages of Debian do")
    place = len(_AR)
    while header := file.read(60):
        if len(header) < 60 or header[58:] != b"`\n" or not (size := header[48:58].strip()).isdigit():
            raise ValueError("a member in it has no proper header")
        place += len(header)
        if header[:16].rstrip(b" /").startswith(b"data.tar"):
            return io.BufferedReader(_Section(file, place, int(size)))
        place += int(size) + int(size) % 2
        file.seek(place)
    raise EOFError("it has no `data.tar`")


class _Section(io.RawIOBase):
    """Some bytes of a file as a file of their own."""

    def __init__(self, file: IO[bytes], begin: int, size: int) -> None:
        self._file, self._begin, self._size, self._at = file, begin, size, 0

    def readable(self) -> bool:
        """It is."""
        return True

    def seekable(self) -> bool:
        """It is."""
        return True

    def seek(self, place: int, whence: int = io.SEEK_SET) -> int:
        """Go to a place."""
        self._at = place + {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        return self._at

    def readinto(self, buffer: Any) -> int:
        """The next bytes, none at the end."""
        self._file.seek(self._begin + self._at)
        data = self._file.read(max(0, min(len(buffer), self._size - self._at)))
        if not data and self._at < self._size:
            raise EOFError("it is cut short")
        buffer[: len(data)] = data
        self._at += len(data)
        return len(data)


def _packed(stream: IO[bytes], name: str, wanted: Wanted, budget: Budget) -> Iterator[Member | Large | Refused]:
    """A single compressed file, which is called what the archive is without its last suffix."""
    inside = _PACKED.sub("", name.rpartition("/")[2])
    if wanted(inside, 0):
        budget.spend(0, inside)
        yield _begun(inside, stream, name, budget, None)


def _begun(path: str, file: IO[bytes], archive: str, budget: Budget, size: int | None) -> Member | Large:
    """A file in an archive: all of it, or as a stream if it is large. A lie about its size costs nothing.

    Args:
        path: what it is called.
        file: its bytes.
        archive: what the archive is called.
        budget: what the archive may hold.
        size: bytes of the file, if it tells; they are accounted for.
    """
    held = io.BytesIO()  # gives its bytes away without a copy
    while (part := file.read(_CHUNK)) and held.tell() + len(part) <= _HELD:
        held.write(part)
    held.write(part)
    data = held.getvalue()
    if size is None:
        budget.grow(len(data))
    if part:
        return Large(path, data, file, archive, budget, size)
    if len(data) > budget.limits.member:
        raise budget.too_large(path)
    if size not in (None, len(data)):
        raise EOFError(f"{path} is cut short")
    return Member(path, data)


_KINDS = {
    tarfile.SYMTYPE: "a symbolic link",
    tarfile.LNKTYPE: "a hard link",
    tarfile.CHRTYPE: "a device",
    tarfile.BLKTYPE: "a device",
    tarfile.FIFOTYPE: "a pipe",
}
_MODES = {0o12: "a symbolic link", 0o2: "a device", 0o6: "a device", 0o1: "a pipe"}


class _Metered:
    """The stream of a tar file, of which ``left`` bytes may be read: tarfile takes headers of any size into memory.

    ``last`` is what was read last, and ``rest`` the stream itself.
    """

    def __init__(self, stream: IO[bytes], left: int) -> None:
        self.rest, self.left, self.last = stream, left, b""
        self.seek, self.tell = stream.seek, stream.tell

    def read(self, size: int) -> bytes:
        """The next bytes; a damaged header may ask for fewer than none, which would be all of them."""
        if not 0 <= size <= self.left:
            raise OverflowError("what it says of a file is too long")
        self.left -= size
        self.last = self.rest.read(size)
        return self.last


def _plain(path: str) -> str:
    """A path without what leads nowhere: ``./pkg//a.txt`` is ``pkg/a.txt``, which patterns can fit."""
    if path.startswith("/"):
        return path
    return "/".join(part for part in path.split("/") if part not in ("", ".")) or path


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
        if _WINDOW in str(error):
            raise InputError(
                f"`{name}` cannot be read",
                why="it was packed with a window of more than 128 MiB (zstd --long)",
                hint="unpack it yourself",
            ) from error
        raise InputError(
            f"`{name}` cannot be read",
            why=f"{type(error).__name__}: {error}",
            hint=f'it is damaged, or not the kind of archive its name says; `exclude = "{name}"` leaves it out',
        ) from error
