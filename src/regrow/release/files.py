"""The files of a release that may come from a stranger: nothing is read without a bound, and nothing but files is."""

from __future__ import annotations

import errno
import json
import os
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, BinaryIO, Protocol

from regrow.errors import RecipeError

MOST_BYTES = 256 << 20
"""Of a file that is read whole; those of ours have a few megabytes."""

HUBS_OWN = ".gitattributes"
"""What a model hub puts into every repository by itself. No program that loads a model reads it."""

_DEEPEST = 50  # lists and tables in each other, where a release of ours has five


class DamagedError(RecipeError):
    """A part of a release cannot be read; the others may be whole.

    Attributes:
        path: of the file, in the release.
        cause: what is wrong with it.
    """

    def __init__(self, root: Path, path: str, cause: str) -> None:
        super().__init__(
            "the release cannot be read",
            where=str(root),
            why=f"{path}: {cause}",
            hint="`regrow verify` names the files that are damaged",
        )
        self.path, self.cause = path, cause


class Files(Protocol):
    """Files by their paths in a release, wherever they are kept."""

    @property
    def root(self) -> Path:
        """The folder they seem to lie in."""

    def paths(self) -> Iterable[str]:
        """Those of all files there are, read or not."""

    def has(self, path: str) -> bool:
        """Whether there is a file that may be opened."""

    def size(self, path: str) -> int:
        """Bytes of a file that may be opened."""

    def open(self, path: str) -> BinaryIO:
        """A file for reading.

        Raises:
            OSError: if it cannot be had.
        """


@dataclass(frozen=True)
class Directory:
    """The files in a folder. A link is the file it leads to if that is in the folder, or in a model hub's cache."""

    root: Path

    def paths(self) -> Iterator[str]:
        """All files; a link to a folder counts as one, and is not followed."""
        for folder, folders, names in os.walk(self.root):
            links = [name for name in folders if Path(folder, name).is_symlink()]
            for name in (*names, *links):
                yield Path(folder, name).relative_to(self.root).as_posix()

    def has(self, path: str) -> bool:
        """Whether there is a file that may be opened."""
        place = self.root / path
        try:
            return place.is_file() and self._is_inside(place)
        except OSError as error:
            if error.errno != errno.ENAMETOOLONG:  # a stranger may list what no file can be called
                raise
            return False

    def size(self, path: str) -> int:
        """Bytes of a file."""
        return (self.root / path).stat().st_size

    def open(self, path: str) -> BinaryIO:
        """A file for reading; looked at again once it is open, since a folder can change."""
        place = self.root / path
        if not self._is_inside(place):
            raise OSError("it leads to a place outside the release")
        file = os.fdopen(os.open(place, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0)), "rb")
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            file.close()
            raise OSError("it is no file")
        return file

    @property
    def is_cache(self) -> bool:
        """Whether it is a snapshot in a model hub's cache, where each file is a link to its bytes."""
        return self._blobs is not None

    def _is_inside(self, place: Path) -> bool:
        return place.resolve().is_relative_to(self._top) or place.resolve().parent == self._blobs

    @cached_property
    def _top(self) -> Path:
        return self.root.resolve()

    @cached_property
    def _blobs(self) -> Path | None:
        """Where a model hub's cache keeps the files of its snapshots, if this is one."""
        return self._top.parent.parent / "blobs" if self._top.parent.name == "snapshots" else None


@dataclass(frozen=True)
class Below:
    """The files in a folder of others, by their paths in it."""

    files: Files
    folder: str

    @property
    def root(self) -> Path:
        """The folder."""
        return self.files.root / self.folder

    def paths(self) -> Iterator[str]:
        """Those of all files there are."""
        start = f"{self.folder}/"
        return (path.removeprefix(start) for path in self.files.paths() if path.startswith(start))

    def has(self, path: str) -> bool:
        """Whether there is a file that may be opened."""
        return self.files.has(f"{self.folder}/{path}")

    def size(self, path: str) -> int:
        """Bytes of a file."""
        return self.files.size(f"{self.folder}/{path}")

    def open(self, path: str) -> BinaryIO:
        """A file for reading."""
        return self.files.open(f"{self.folder}/{path}")


def read_bytes(files: Files, path: str, most: int = MOST_BYTES) -> bytes:
    """A whole file, empty if there is none.

    Raises:
        DamagedError: if it cannot be read, or has more than ``most`` bytes.
    """
    if not files.has(path):
        return b""
    try:
        with files.open(path) as file:
            data = file.read(most + 1)
    except OSError as error:
        raise DamagedError(files.root, path, (error.strerror or str(error)).lower()) from error
    if len(data) > most:
        raise DamagedError(files.root, path, f"it has more than {most:,} bytes")
    return data


def read_text(files: Files, path: str) -> str:
    """A whole text file, empty if there is none.

    Raises:
        DamagedError: if it cannot be read.
    """
    try:
        return read_bytes(files, path).decode("utf-8")
    except UnicodeDecodeError as error:
        raise DamagedError(files.root, path, "it is not UTF-8") from error


def read_json(files: Files, path: str) -> Any:
    """The value of a JSON file, None if there is none.

    Raises:
        DamagedError: if it cannot be read.
    """
    return _value(files, path, read_text(files, path)) if files.has(path) else None


def read_json_lines(files: Files, path: str) -> Iterator[Any]:
    """The values of a file with one on each line.

    Raises:
        DamagedError: if it cannot be read.
    """
    return (_value(files, path, line) for line in read_text(files, path).split("\n") if line.strip())


def _value(files: Files, path: str, text: str) -> Any:
    if not text:
        raise DamagedError(files.root, path, "it is empty")
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DamagedError(files.root, path, f"it is not JSON: {error}") from error
    if not is_flat(value):
        raise DamagedError(files.root, path, "lists and tables are nested too deeply")
    return value


def is_flat(value: Any) -> bool:
    """Whether plain data are flat enough for whatever has to walk through them."""
    level = [value]
    for _ in range(_DEEPEST):
        level = [inner for one in level for inner in _inside(one)]
    return not level


def _inside(value: Any) -> Iterable[Any]:
    return value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
