"""A shelf at a place that several machines share, reached through fsspec: an object store, or a disk in the network.

A file there appears under its own name and counts once the marker of its folder is there, which is written last; so
nothing depends on renaming. What is brought from there is compared with the marker's sha256. A part of a file cannot
be: it is seen whether it is all there, and a task that fails has the whole of each such file compared.
"""

from __future__ import annotations

import os
import socket
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from regrow.engine.runners.shelf import Lost, Marker, twice
from regrow.errors import RecipeError, RegrowError, StageError
from regrow.recipe.kind import Files
from regrow.store import sha256_file
from regrow.store.faults import disk_error

INPUTS = "inputs"


@dataclass(frozen=True)
class Location:
    """A place that several machines share.

    Attributes:
        url: as fsspec has it: ``s3://bucket/folder``, ``file:///mnt/shared``.
    """

    url: str

    @classmethod
    def named(cls, name: str) -> Location:
        """The place of a URL, or of a path on this machine."""
        return cls((name if "://" in name else Path(name).absolute().as_uri()).rstrip("/"))

    @cached_property
    def _place(self) -> tuple[Any, str]:
        from fsspec.core import url_to_fs

        try:
            return url_to_fs(self.url)  # type: ignore[no-any-return]
        except (ImportError, ValueError) as error:
            hint = (
                "install what it says there" if isinstance(error, ImportError) else "`file://`, `s3://`, `gs://`, ..."
            )
            where = f"{self.url} on {socket.gethostname()}"
            raise RecipeError("the location cannot be used", where=where, why=str(error), hint=hint) from error

    def check(self, *, shared: bool) -> None:
        """See that there is such a kind of place, and that other processes reach it if it is ``shared`` with them.

        Raises:
            RecipeError: if not.
        """
        filesystem, _ = self._place
        if shared and filesystem.protocol == "memory":
            why, hint = "no other process sees the memory of this one", "`file://`, `s3://`, `gs://`, ..."
            raise RecipeError("the location cannot be used", where=self.url, why=why, hint=hint)

    def __getstate__(self) -> dict[str, Any]:
        """Without the connection, which is this process's."""
        return {"url": self.url}

    def get(self, name: str, target: Path) -> None:
        """Bring a file here."""
        target.parent.mkdir(parents=True, exist_ok=True)
        with self._trouble(name):
            filesystem, root = self._place
            filesystem.get_file(f"{root}/{name}", str(target))

    def read(self, name: str, start: int | None = None, end: int | None = None) -> bytes:
        """A file, or some of its bytes.

        Raises:
            FileNotFoundError: if there is none.
        """
        with self._trouble(name):
            filesystem, root = self._place
            return bytes(filesystem.cat_file(f"{root}/{name}", start=start, end=end))

    def put(self, source: Path, name: str) -> None:
        """Take a file there."""
        with self._trouble(name, ()):
            self._written(name, lambda filesystem, path: filesystem.put_file(str(source), path))

    def write(self, data: bytes, name: str) -> None:
        """Write a small file there."""
        with self._trouble(name, ()):
            self._written(name, lambda filesystem, path: filesystem.pipe_file(path, data))

    def has(self, name: str) -> bool:
        """Whether there is a file of that name."""
        with self._trouble(name):
            filesystem, root = self._place
            filesystem.invalidate_cache()
            return bool(filesystem.exists(f"{root}/{name}"))

    def remove(self, name: str) -> None:
        """Remove a file, or a folder with all it holds, if it is there."""
        with self._trouble(name):
            filesystem, root = self._place
            filesystem.invalidate_cache()
            if filesystem.exists(f"{root}/{name}"):
                filesystem.rm(f"{root}/{name}", recursive=True)

    def _written(self, name: str, write: Callable[[Any, str], None]) -> None:
        """Write a file, and make folders for it where there is such a thing as folders."""
        filesystem, root = self._place
        try:
            write(filesystem, f"{root}/{name}")
        except FileNotFoundError:
            filesystem.makedirs(f"{root}/{name}".rpartition("/")[0], exist_ok=True)
            write(filesystem, f"{root}/{name}")

    @contextmanager
    def _trouble(self, name: str, means: tuple[type[Exception], ...] = (FileNotFoundError,)) -> Iterator[None]:
        """What a location's library says, in our words, but for what ``means`` something; it may raise anything."""
        try:
            yield
        except RegrowError:
            raise
        except Exception as error:
            if isinstance(error, means):
                raise
            where = f"{self.url}/{name}, from {socket.gethostname()}"
            if isinstance(error, OSError) and (plain := disk_error(error, self.url, where)) is not None:
                raise plain from error
            why = f"{type(error).__name__}: {error}"
            hint = "see whether this machine may use it; the same command goes on"
            raise StageError("the location does not answer as it should", where=where, why=why, hint=hint) from error


@dataclass(frozen=True)
class LocationShelf:
    """Results at a location, under the stage's key; and its inputs, under their digests.

    Attributes:
        location: the place.
        key: of the stage.
        root: what folders of results are called among paths. Nothing lies there.
        inputs: the artifacts that tasks may ask for.
    """

    location: Location
    key: str
    root: Path
    inputs: tuple[Path, ...]

    def prepare(self) -> None:
        """Take the inputs to the location, unless they are there."""
        for path in dict.fromkeys(self.inputs):
            name = f"{INPUTS}/{path.name}"
            if self.marker(name) is None:
                self._upload(path, name, Marker.of(path, {"digest": path.name}))

    def folder(self, name: str) -> Path:
        """What the result of a task is called."""
        return self.root / name

    def holds(self, name: str, made_of: Mapping[str, Any]) -> bool:
        """Whether a task has given its result, all of which is there as it was given."""
        marker = self.marker(self._at(name))
        if marker is None or marker.made_of != made_of:
            return False
        with _temporary() as folder:
            try:
                for path in marker.files:
                    self.bring(self._at(name), marker, path, folder / "one").unlink()
            except Lost:
                return False
        return True

    def has(self, name: str) -> bool:
        """Whether a task has given its result, by its marker alone."""
        return self.location.has(f"{self._at(name)}.json")

    @contextmanager
    def adding(self, name: str, made_of: Mapping[str, Any]) -> Iterator[Path]:
        """A temporary folder here; what is in it is taken to the location, then the marker is."""
        with _temporary() as folder:
            yield folder
            self._upload(folder, self._at(name), Marker.of(folder, made_of))

    @contextmanager
    def files(self) -> Iterator[Files]:
        """Files that are brought into a temporary folder."""
        with _temporary() as folder:
            yield _Brought(self, folder)

    def used(self, files: Files) -> None:
        """Look whether files that were read in part are whole; the others were compared when they were brought."""
        for place, inside in files.partly if isinstance(files, _Brought) else ():
            with _temporary() as folder:
                self.bring(place, self.required(place), inside, folder / "one")

    def take(self, name: str, target: Path) -> None:
        """Bring the files of a result into a folder."""
        place = self._at(name)
        marker = self.required(place)
        for path in marker.files:
            if (target / path).exists():
                raise twice(path)
            self.bring(place, marker, path, target / path)

    def drop(self, name: str) -> None:
        """Let go of a result or an input."""
        self.location.remove(f"{name if name.startswith(f'{INPUTS}/') else self._at(name)}.json")

    def clear(self) -> None:
        """Let go of all results. Inputs stay until all is built: a later stage may want them as well."""
        self.location.remove(f"work/{self.key}")

    def say(self, token: str) -> None:
        """Leave a word for whoever looks at the same location from elsewhere."""
        self.location.write(token.encode(), f"work/{self.key}/word")

    def hear(self) -> str:
        """That word."""
        try:
            return self.location.read(f"work/{self.key}/word").decode("ascii", "replace")
        except FileNotFoundError:
            return ""

    def marker(self, place: str) -> Marker | None:
        """The marker of a folder at the location, if it is complete."""
        try:
            return Marker.read(self.location.read(f"{place}.json"))
        except FileNotFoundError:
            return None

    def required(self, place: str) -> Marker:
        """The same, of a folder that should be there."""
        if (marker := self.marker(place)) is None:
            raise self.lost(place, "its marker is gone")
        return marker

    def bring(self, place: str, marker: Marker, path: str, target: Path) -> Path:
        """Bring a file of a folder and compare it with the marker."""
        try:
            self.location.get(f"{place}/{path}", target)
        except FileNotFoundError:
            raise self.lost(place, f"`{path}` is gone") from None
        if target.stat().st_size != marker.files[path].size or sha256_file(target) != marker.files[path].sha256:
            raise self.lost(place, f"`{path}` is not what was written")
        return target

    def lost(self, place: str, why: str) -> Lost:
        """The error for what is not there as it was given."""
        name = place.removeprefix(f"work/{self.key}/")
        return Lost(name, why, where=f"{self.location.url}/{place}")

    def named(self, path: Path) -> tuple[str, str]:
        """The folder at the location, and the path in it, that a path stands for.

        Raises:
            StageError: for any other path; a task has no business there.
        """
        if path.is_relative_to(self.root):
            phase, index, *rest = path.relative_to(self.root).parts
            return self._at(f"{phase}/{index}"), "/".join(rest)
        for one in self.inputs:
            if path.is_relative_to(one):
                return f"{INPUTS}/{one.name}", path.relative_to(one).as_posix().removeprefix(".")
        raise StageError(f"a task has asked for {path}", why="that is neither in its inputs nor in an earlier phase")

    def _at(self, name: str) -> str:
        return f"work/{self.key}/{name}"

    def _upload(self, folder: Path, place: str, marker: Marker) -> None:
        for path in marker.files:
            self.location.put(folder / path, f"{place}/{path}")
        self.location.write(marker.text(), f"{place}.json")


class _Brought:
    """How a task gets at files of a location: each is brought once, whole, or read in part."""

    def __init__(self, shelf: LocationShelf, folder: Path) -> None:
        self._shelf = shelf
        self._folder = folder
        self._markers: dict[str, Marker] = {}
        self.partly: dict[tuple[str, str], None] = {}

    def path(self, path: Path) -> Path:
        """Where the file, or the folder with all in it, is now on this machine."""
        place, inside = self._shelf.named(path)
        names = [
            name for name in self._marker(place).files if not inside or name == inside or name.startswith(f"{inside}/")
        ]
        for name in names:
            if not (target := self._folder / place / name).exists():
                self._shelf.bring(place, self._marker(place), name, target)
        found = self._folder / place / inside
        if not inside:
            found.mkdir(parents=True, exist_ok=True)
        return found

    def read(self, path: Path, start: int, length: int) -> bytes:
        """Some bytes of a file, without the others."""
        place, inside = self._shelf.named(path)
        known = self._marker(place).files.get(inside)
        if known is None:
            raise FileNotFoundError(2, "no task has written this", f"{place}/{inside}")
        self.partly[place, inside] = None
        end = min(start + length, known.size)
        if end <= start:
            return b""
        try:
            data = self._shelf.location.read(f"{place}/{inside}", start, end)
        except FileNotFoundError:
            raise self._shelf.lost(place, f"`{inside}` is gone") from None
        if len(data) < end - start:
            raise self._shelf.lost(place, f"`{inside}` is shorter than what was written")
        return data

    def _marker(self, place: str) -> Marker:
        if place not in self._markers:
            self._markers[place] = self._shelf.required(place)
        return self._markers[place]


@dataclass(frozen=True)
class Lending:
    """A location to which inputs of stages are taken, as a :class:`regrow.recipe.kind.Place`."""

    location: Location

    @property
    def url(self) -> str:
        """As fsspec has it."""
        return self.location.url

    def lend(self, artifact: Path) -> None:
        """Take an input there, unless it is there."""
        _inputs(self.location, artifact).prepare()

    def drop(self, artifact: Path) -> None:
        """Let go of one."""
        self.location.remove(f"{INPUTS}/{artifact.name}.json")


@contextmanager
def borrowed(url: str, artifact: Path) -> Iterator[Files | None]:
    """A way to an artifact of another machine.

    Args:
        url: the location to which it was taken; empty if there is none.
        artifact: its path there.

    Yields:
        None if it is on this machine, too, under the same path.
    """
    if os.access(artifact, os.R_OK | os.X_OK):
        yield None
    elif url:
        with _inputs(Location(url), artifact).files() as files:
            yield files
    else:
        yield _Missing(artifact)


@dataclass(frozen=True)
class _Missing:
    """Files of an artifact to which there is no way."""

    artifact: Path

    def path(self, path: Path) -> Path:
        """There is none."""
        raise self._error

    def read(self, path: Path, start: int, length: int) -> bytes:
        """There is none."""
        raise self._error

    @property
    def _error(self) -> StageError:
        return StageError(f"{self.artifact} is not on this machine", why="no `--location` says where else it is")


def _inputs(location: Location, artifact: Path) -> LocationShelf:
    """What is there of inputs alone."""
    return LocationShelf(location, "", Path(INPUTS), (artifact,))


def forget_inputs(location: Location, paths: Iterable[Path]) -> None:
    """Remove artifacts that were taken to a location for tasks to read."""
    for path in paths:
        location.remove(f"{INPUTS}/{path.name}.json")
        location.remove(f"{INPUTS}/{path.name}")


@contextmanager
def _temporary() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="regrow-", ignore_cleanup_errors=True) as folder:
        yield Path(folder)
