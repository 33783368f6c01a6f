"""A folder that somebody else made, read without trusting it.

Links are never followed, sizes are looked at before bytes are, and everything that is read leaves its hash behind, so
that a fact can name its place. What cannot be read is a finding, never an exception that a user sees.
"""

from __future__ import annotations

import hashlib
import os
import re
import stat
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path, PurePosixPath

from regrow.auditing.collectors import kinds
from regrow.auditing.facts import Evidence, Fact, FileEntry, Finding, Severity
from regrow.auditing.findings import FindingId
from regrow.formats.header import printable as printable

Statement = Fact | Finding
"""What a collector gives."""

At = Callable[[str], Evidence]
"""Gives the place of a key in a file that has keys."""

TEXT_LIMIT = 4 << 20  # larger cards, configurations and licences are not meant for people
MOST_FILES = 200_000
MOST_FOLDERS_DEEP = 64
_BEGINNING = 4096
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")
_BLOB = re.compile(r"[0-9a-f]{40,64}")
_POINTER = re.compile(rb"version [^\n]{1,200}\n(?:ext-[^\n]{1,200}\n)*oid sha256:[0-9a-f]{64}\nsize \d{1,20}\n")
_POINTER_LIMIT = 1024


class UnreadableError(Exception):
    """A file cannot be read; the finding says why."""

    def __init__(self, finding: Finding) -> None:
        super().__init__(finding.text)
        self.finding = finding


@dataclass(frozen=True)
class Text:
    """A text file that was read whole.

    Attributes:
        path: in the folder.
        text: what it says; bytes that are not UTF-8 are replaced.
        sha256: of its bytes.
        collector: who reads it.
        date: today.
    """

    path: str
    text: str
    sha256: str
    collector: str
    date: str

    def at(self, locator: str = "") -> Evidence:
        """A place in it."""
        return Evidence(self.path, locator, self.sha256, self.collector, self.date)

    def line(self, number: int, last: int | None = None) -> Evidence:
        """A line, or the lines from ``number`` to ``last``."""
        return self.at(f"lines {number}-{last}" if last is not None and last > number else f"line {number}")


class Folder:
    """The files of a model.

    Attributes:
        root: where they are.
        name: of the model, for people.
        date: today, for evidence.
        complete: False if there may be more files than are here, so that nothing can be said to be absent.
        entries: every file, sorted by path.
        findings: what was odd about the files.
        hashes: sha256 of what was read, by path.
    """

    def __init__(self, root: Path, *, name: str, date: str, complete: bool = True, blobs: Path | None = None) -> None:
        """Look at the files, or at one. Links may also lead into ``blobs``, where a hub's cache keeps its files."""
        self.root = root
        self.name = name
        self.date = date
        self.complete = complete
        self.findings: list[Finding] = []
        self.hashes: dict[str, str] = {}
        self._blobs = blobs.resolve() if blobs is not None else None
        self._places: dict[str, Path] = {}
        self._endings: dict[str, str] = {}
        found = self._file() if root.is_file() else self._walk()
        self.entries = tuple(sorted(found, key=lambda entry: entry.path))
        self._by_path = {entry.path: entry for entry in self.entries}

    def has(self, path: str) -> bool:
        """Whether there is a file that may be opened."""
        return path in self._places

    @property
    def paths(self) -> list[str]:
        """The paths of all files that may be opened."""
        return [entry.path for entry in self.entries if entry.path in self._places]

    def find(self, *wanted: str) -> list[FileEntry]:
        """The readable files of some kinds."""
        return [entry for entry in self.entries if entry.kind in wanted and entry.path in self._places]

    def ending(self, path: str) -> str:
        """What the name of a file ends with, such as ``.gguf``; or would, going by what is in it."""
        return self._endings.get(path) or PurePosixPath(path).suffix.lower()

    def is_pointer(self, entry: FileEntry) -> bool:
        """Whether a file only points to one that was not fetched."""
        small = entry.size <= _POINTER_LIMIT
        return small and bool(_POINTER.fullmatch(self.head(entry.path, "inventory", _POINTER_LIMIT)))

    def size(self, path: str) -> int:
        """The size of a file."""
        return self._by_path[path].size

    def open(self, path: str, collector: str) -> BufferedReader:
        """A file for reading.

        Raises:
            UnreadableError: if it has gone, or may not be read.
        """
        try:
            return self._places[path].open("rb")
        except (OSError, KeyError) as error:
            reason = error.strerror if isinstance(error, OSError) else "there is no such file"
            raise self.unreadable(path, collector, f"it cannot be read: {reason}") from None

    def head(self, path: str, collector: str, size: int) -> bytes:
        """The first bytes of a file; none of one that cannot be read."""
        try:
            with self.open(path, collector) as file:
                return file.read(size)
        except UnreadableError:
            return b""

    def hash(self, path: str, collector: str) -> str:
        """The sha256 of a whole file, which is kept for the evidence.

        Raises:
            UnreadableError: if it cannot be read.
        """
        with self.open(path, collector) as file:
            self.hashes[path] = hashlib.file_digest(file, "sha256").hexdigest()
        return self.hashes[path]

    def text(self, path: str, collector: str, limit: int = TEXT_LIMIT) -> Text:
        """A text file.

        Raises:
            UnreadableError: if it is too large, or cannot be read.
        """
        with self.open(path, collector) as file:
            data = file.read(limit + 1)
        if len(data) > limit:
            said = f"{printable(path)} is too large to be read: {self.size(path):,} bytes, and up to {limit:,} are"
            at = self.evidence(path, collector)
            raise UnreadableError(Finding("file-too-large", Severity.WARNING, said, (at,)))
        sha256 = self.hashes[path] = hashlib.sha256(data).hexdigest()
        return Text(path, data.decode("utf-8-sig", "replace"), sha256, collector, self.date)

    def texts(
        self,
        paths: Iterable[str],
        collector: str,
        read: Callable[[Text], Iterator[Statement]],
        limit: int = TEXT_LIMIT,
    ) -> Iterator[Statement]:
        """What a reader makes of some files, and a finding for each that cannot be read."""
        for path in paths:
            try:
                text = self.text(path, collector, limit)
            except UnreadableError as error:
                yield error.finding
            else:
                yield from read(text)

    def evidence(self, path: str, collector: str, locator: str = "", sha256: str = "") -> Evidence:
        """A place in a file of which not all was read. Of one that was not read at all, the beginning is hashed."""
        known = sha256 or self.hashes.get(path, "")
        if not known and path in self._places:
            known, beginning = self._beginning(path)
            locator = locator or beginning
        return Evidence(path, locator, known, collector, self.date)

    def _beginning(self, path: str) -> tuple[str, str]:
        try:
            with self._places[path].open("rb") as file:
                data = file.read(_BEGINNING)
        except OSError:
            return "", ""
        return hashlib.sha256(data).hexdigest(), f"bytes 0-{len(data)}" if len(data) < self.size(path) else ""

    def inventory(self, collector: str) -> Evidence:
        """The list of files, as evidence that something is not there."""
        return Evidence(".", f"inventory of {len(self.entries)} files", self._digest(), collector, self.date)

    def unreadable(self, path: str, collector: str, why: str) -> UnreadableError:
        """The error for a file that is left alone."""
        said = f"{printable(path)} was not read: {why}"
        return UnreadableError(Finding("file-unreadable", Severity.WARNING, said, (self.evidence(path, collector),)))

    def version(self) -> str:
        """A name for what was looked at. Of weights only headers are, so it is no digest of the model's bytes."""
        return f"inventory:{self._digest()}"

    def _digest(self) -> str:
        """A sha256 over paths, sizes and the hashes of what was read."""
        rows = (f"{self.hashes.get(entry.path, '-')} {entry.size} {entry.path}\n" for entry in self.entries)
        return hashlib.sha256("".join(rows).encode("utf-8", "backslashreplace")).hexdigest()

    def _file(self) -> Iterator[FileEntry]:
        yield self._readable(self.root.name, self.root, self.root.stat().st_size)

    def _walk(self) -> Iterator[FileEntry]:
        pending = [""]
        count = 0
        while pending:
            folder = pending.pop()
            for entry in self._listing(folder):
                path = f"{folder}/{entry.name}" if folder else entry.name
                if not entry.is_symlink() and entry.is_dir(follow_symlinks=False):
                    if entry.name != ".git" and path.count("/") < MOST_FOLDERS_DEEP:
                        pending.append(path)
                    continue
                count += 1
                if count > MOST_FILES:
                    self._found("too-many-files", f"more than {MOST_FILES:,} files: the rest was not looked at", "")
                    return
                yield self._entry(entry, path)

    def _listing(self, folder: str) -> list[os.DirEntry[str]]:
        try:
            with os.scandir(self.root / folder) as listing:
                return sorted(listing, key=lambda entry: entry.name)
        except OSError as error:
            self._found("file-unreadable", f"the folder {printable(folder)} cannot be read: {error.strerror}", folder)
            return []

    def _entry(self, entry: os.DirEntry[str], path: str) -> FileEntry:
        if _UNPRINTABLE.search(entry.name) or "\\" in entry.name:
            self._found("odd-name", f"{printable(path)} has a name that others may take for another path", path)
        try:
            if entry.is_symlink():
                return self._link(path)
            state = entry.stat(follow_symlinks=False)
        except OSError as error:
            self._found("file-unreadable", f"{printable(path)} cannot be read: {error.strerror}", path)
            return FileEntry(path, 0, "other")
        if not stat.S_ISREG(state.st_mode):
            self._found("not-a-file", f"{printable(path)} is neither a file nor a folder; it was left alone", path)
            return FileEntry(path, 0, "other")
        return self._readable(path, self.root / path, state.st_size)

    def _readable(self, path: str, place: Path, size: int) -> FileEntry:
        """A file that may be opened. If its name does not tell what it is, its beginning may."""
        self._places[path] = place
        kind = kinds.kind(path)
        if kind == "other" and (ending := kinds.ending(path, self.head(path, "inventory", kinds.HEAD))):
            self._endings[path] = ending
            kind = kinds.kind(f"{path}{ending}")
        return FileEntry(path, size, kind)

    def _link(self, path: str) -> FileEntry:
        place = self.root / path
        try:
            target = place.resolve()
        except (OSError, RuntimeError):  # a circle of links
            target = place
        if self._blobs is not None and target.parent == self._blobs and _BLOB.fullmatch(target.name):
            if target.is_file():
                return self._readable(path, target, target.stat().st_size)
            self._found("file-unreadable", f"{printable(path)} is not in the cache", path)
        elif not target.is_relative_to(self.root.resolve()):
            text = f"{printable(path)} is a link to a place outside the folder; it was not followed"
            self._found("link-outside", text, path)
        return FileEntry(path, 0, "link")

    def _found(self, id: FindingId, text: str, path: str) -> None:
        self.findings.append(Finding(id, Severity.WARNING, text, (self.evidence(path or ".", "inventory"),)))
