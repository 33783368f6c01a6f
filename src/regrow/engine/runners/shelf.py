"""Where tasks put what they give: a folder each, which counts once a marker lies beside it, and not before.

The marker says what made the folder, and the sha256 of every file in it. So a task that a kill has cut off is done
again, one that is finished is not, and a file that was lost or changed meanwhile is found out.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from regrow.errors import StageError
from regrow.recipe.kind import Files, FilesHere
from regrow.store import canonical_json, remove_tree, sha256_file
from regrow.store.digest import files

_SCHEMA = "regrow/task/1"


class Lost(StageError):
    """What a task gave, or an input, is not there any more as it was given; it can be made, or brought, again.

    Args:
        name: what it is called on its shelf.
        why: what is wrong with it.
    """

    def __init__(self, name: str, why: str, where: str = "") -> None:
        hint = "the same command makes it again; if this comes back, check the disk"
        super().__init__(f"`{name}` is lost or damaged", where=where, why=why, hint=hint)
        self.name = name

    def __reduce__(self) -> tuple[type[Lost], tuple[str, str, str]]:
        """As an exception of one argument, it would not cross processes."""
        return type(self), (self.name, self.why, self.where)


@dataclass(frozen=True)
class Sum:
    """What is known of a file: sha256 and bytes."""

    sha256: str
    size: int


@dataclass(frozen=True)
class Marker:
    """What lies in a folder, and what made it."""

    made_of: Mapping[str, Any]
    files: Mapping[str, Sum]

    @classmethod
    def of(cls, folder: Path, made_of: Mapping[str, Any]) -> Marker:
        """The marker of a folder that is complete."""
        sums = {name: Sum(sha256_file(folder / name), (folder / name).stat().st_size) for name in files(folder)}
        return cls(made_of, sums)

    @classmethod
    def read(cls, text: bytes) -> Marker | None:
        """A marker; None for what is none, such as half of one."""
        try:
            found = json.loads(text)
            if found["schema"] != _SCHEMA:
                return None
            return cls(
                dict(found["made_of"]), {str(name): Sum(*map(_plain, one)) for name, one in found["files"].items()}
            )
        except (ValueError, KeyError, TypeError, AttributeError):
            return None

    def text(self) -> bytes:
        """As it is kept."""
        sums = {name: [one.sha256, one.size] for name, one in self.files.items()}
        return canonical_json({"schema": _SCHEMA, "made_of": dict(self.made_of), "files": sums})

    def trouble(self, folder: Path, *, read: bool = True) -> str:
        """What speaks against a folder that should be as the marker says; empty if nothing does.

        Args:
            folder: which should be.
            read: whether to read every byte; else names and sizes are compared.
        """
        for name, known in self.files.items():
            try:
                size = (folder / name).stat().st_size
                if size != known.size or (read and sha256_file(folder / name) != known.sha256):
                    return f"{folder / name} is not what was written"
            except FileNotFoundError:
                return f"{folder / name} is gone"
        more = [] if not folder.is_dir() else sorted({*files(folder)} - {*self.files})
        return f"nobody wrote {folder / more[0]}" if more else ""


def _plain(value: Any) -> Any:
    if type(value) not in (str, int):
        raise TypeError(value)
    return value


class Shelf(Protocol):
    """Where tasks put what they give, and find what others gave. It goes to other processes by its name and values."""

    def prepare(self) -> None:
        """Before the first task: clear away what killed ones left, and see that all find the inputs."""

    def folder(self, name: str) -> Path:
        """What the result of a task is called among paths; whoever reads there asks ``files`` for it first."""

    def holds(self, name: str, made_of: Mapping[str, Any]) -> bool:
        """Whether a task has given its result, all of which is there as it was given. Every byte is read for it."""

    def has(self, name: str) -> bool:
        """Whether a task has given its result, by its marker alone."""

    def adding(self, name: str, made_of: Mapping[str, Any]) -> AbstractContextManager[Path]:
        """An empty folder to fill. When the block ends well all that is in it is kept, and else nothing."""

    def files(self) -> AbstractContextManager[Files]:
        """A way to inputs and results, for the time of a task."""

    def used(self, files: Files) -> None:
        """After a task failed: look whether all that it read is whole.

        Raises:
            Lost: naming the first that is not.
        """

    def take(self, name: str, target: Path) -> None:
        """Put the files of a result into a folder here, beside those that are there.

        Raises:
            Lost: if they are not as they were given.
        """

    def drop(self, name: str) -> None:
        """Let go of a result, or an input, that is not whole."""

    def clear(self) -> None:
        """Let go of everything."""

    def say(self, token: str) -> None:
        """Leave a word for whoever looks at the same shelf from elsewhere."""

    def hear(self) -> str:
        """That word; empty if there is none, so that this is another shelf."""


class NotedFiles(FilesHere):
    """Files that are on this machine, with a note of those that were asked for."""

    def __init__(self) -> None:
        self.asked: dict[Path, None] = {}

    def path(self, path: Path) -> Path:
        """The same path."""
        self.asked[path] = None
        return path

    def read(self, path: Path, start: int, length: int) -> bytes:
        """Some bytes of it."""
        self.asked[path] = None
        return super().read(path, start, length)


@dataclass(frozen=True)
class FolderShelf:
    """A folder that all who work can reach under the same path: on one machine, or on a disk that several share.

    Attributes:
        root: it has a folder for each phase, in which results and their markers lie.
    """

    root: Path

    def prepare(self) -> None:
        """Clear away what killed tasks left. The inputs are where they are."""
        for left in self.root.glob("*/.*"):
            remove_tree(left) if left.is_dir() else left.unlink(missing_ok=True)

    def folder(self, name: str) -> Path:
        """Where the result of a task lies."""
        return self.root / name

    def holds(self, name: str, made_of: Mapping[str, Any]) -> bool:
        """Whether a task has given its result, all of which is there as it was given."""
        marker = self._marker(name)
        if marker is None or marker.made_of != made_of:
            return False
        return not marker.trouble(self.folder(name))

    def has(self, name: str) -> bool:
        """Whether a task has given its result, by its marker alone."""
        return self._place(name).is_file()

    @contextmanager
    def adding(self, name: str, made_of: Mapping[str, Any]) -> Iterator[Path]:
        """A folder aside, which is renamed when it is complete; then its marker is written, in one step as well.

        Nothing waits for the disk: what a power cut takes is found out by its digest.
        """
        target = self.folder(name)
        aside = target.with_name(f".{target.name}.{secrets.token_hex(8)}")
        aside.mkdir(parents=True)
        try:
            yield aside
            marker = Marker.of(aside, made_of)
            self._place(name).unlink(missing_ok=True)
            remove_tree(target)
            aside.rename(target)
            draft = aside.with_suffix(".json")
            draft.write_bytes(marker.text())
            draft.replace(self._place(name))
        finally:
            with suppress(OSError):
                remove_tree(aside)

    @contextmanager
    def files(self) -> Iterator[Files]:
        """The files where they are."""
        yield NotedFiles()

    def used(self, files: Files) -> None:
        """Look whether the results that were read are whole."""
        asked = files.asked if isinstance(files, NotedFiles) else {}
        names = {"/".join(path.relative_to(self.root).parts[:2]) for path in asked if path.is_relative_to(self.root)}
        for name in sorted(names):
            self._require(name)

    def take(self, name: str, target: Path) -> None:
        """Put the files of a result into a folder. They stay here too, without taking room twice if the disk can."""
        marker = self._require(name, read=False)  # the store reads every byte of it in a moment
        for path in marker.files:
            (target / path).parent.mkdir(parents=True, exist_ok=True)
            _link(self.folder(name) / path, target / path)

    def drop(self, name: str) -> None:
        """Let go of a result."""
        self._place(name).unlink(missing_ok=True)

    def clear(self) -> None:
        """Let go of everything."""
        remove_tree(self.root)

    def say(self, token: str) -> None:
        """Leave a word for whoever looks at the same folder from elsewhere."""
        self.root.mkdir(parents=True, exist_ok=True)
        (self.root / "word").write_text(token, "ascii")

    def hear(self) -> str:
        """That word."""
        try:
            return (self.root / "word").read_text("ascii")
        except OSError:
            return ""

    def _place(self, name: str) -> Path:
        return self.root / f"{name}.json"

    def _marker(self, name: str) -> Marker | None:
        try:
            return Marker.read(self._place(name).read_bytes())
        except FileNotFoundError:
            return None

    def _require(self, name: str, *, read: bool = True) -> Marker:
        marker = self._marker(name)
        if marker is None or (trouble := marker.trouble(self.folder(name), read=read)):
            raise Lost(name, "its marker is gone" if marker is None else trouble)
        return marker


def _link(source: Path, target: Path) -> None:
    """Have a file under a second name; on a disk that has one name for each, a copy."""
    try:
        os.link(source, target)
    except FileExistsError:
        raise twice(target.name) from None
    except OSError:
        shutil.copyfile(source, target)


def twice(path: str) -> StageError:
    """The error for a file that two tasks of kept phases have written."""
    return StageError(
        f"two tasks have written `{path}`",
        why="what they keep lies in one folder in the end",
        hint="this is a fault of the kind of stage",
    )
