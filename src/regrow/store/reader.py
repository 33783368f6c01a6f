"""A store as it looks from outside: whether there is one, and what is in it."""

from __future__ import annotations

import errno
import os
import re
import stat
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self

from regrow.errors import InputError, RecipeError, StageError
from regrow.store import seals
from regrow.store.actions import Records, Use
from regrow.store.digest import sha256_bytes, sums
from regrow.store.faults import plain_words
from regrow.store.places import Beside

FOLDERS = ("artifacts", "work", "tmp", "quarantine", "locks")
TAG = "CACHEDIR.TAG"
CACHE_TAG = "Signature: 8a477f597d28d172789f06886806bc55\n# Backup programs may leave this directory out.\n"
DIGEST = re.compile(r"[0-9a-f]{64}")
_KERNELS = re.compile(r"kernels-[0-9a-f]{16}")
_ASIDE = re.compile(r"\.(.+)\.[0-9a-f]{16}(\.lock)?")

Condition = Literal["whole", "damaged", "missing"]


@dataclass(frozen=True)
class Entry:
    """An artifact as ``regrow store`` lists it. ``scopes`` are the recipes whose last build used it."""

    digest: str
    size: int
    used: float
    stage: str
    kind: str
    scopes: tuple[str, ...]


class StoreReader:
    """A store as far as it can be read: nothing is made, changed or held. What is not there, nobody knows anything of.

    Args:
        root: the directory.
        must_exist: whether it is an error if no store is there.

    Raises:
        RecipeError: if there is something else in the directory.
        InputError: if there is no store and there must be one.
        StageError: if a file is where the store should be, or a folder above it.
    """

    def __init__(self, root: Path, *, must_exist: bool = False) -> None:
        self.root = root.absolute()
        with plain_words(self.root):
            require_ours(self.root, must_exist)
            self._records: Records = Records(self.root / "actions.sqlite")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Nothing is held."""

    def lookup(self, key: str) -> str | None:
        """The digest that ``key`` gave, if it is known. Whether the bytes are whole is for :meth:`check` to say."""
        return self._records.digest(require_digest(key))

    def scopes(self) -> tuple[str, ...]:
        """Every scope that keeps something, sorted."""
        return tuple(sorted(set().union(*self._records.roots().values())))

    def last_ingredients(self, scope: str, stage: str) -> dict[str, Any] | None:
        """The ingredients of a stage when it was last evaluated in ``scope``."""
        return self._records.last_ingredients(scope, stage)

    def path(self, digest: str) -> Path:
        """Where the artifact is, if it is there."""
        return self.root / "artifacts" / require_digest(digest)[:2] / digest

    def check(self, digest: str) -> bool:
        """True if the artifact is whole; see :meth:`condition`."""
        return self.condition(digest) == "whole"

    def condition(self, digest: str, *, read: bool = True) -> Condition:
        """How the artifact is, found out by reading every byte of it.

        Args:
            digest: of the artifact.
            read: False to believe what was found when it was last read, as long as the disk tells of no change since;
                see :mod:`regrow.store.seals`.
        """
        with plain_words(self.root):
            return "whole" if self._whole(digest, read) else "damaged" if self.path(digest).exists() else "missing"

    def unfinished(self, key: str) -> Path | None:
        """Where earlier work on ``key`` left something to continue from, if it did."""
        path = self.root / "work" / require_digest(key)
        return path if path.is_dir() and any(path.iterdir()) else None

    def entries(self) -> list[Entry]:
        """Every artifact, the one used last first."""
        roots, uses = self._records.roots(), self._records.uses()
        found = []
        for path in self._artifacts():
            digest = path.name
            use = uses.get(digest) or Use(digest, "", "", newest(path))
            scopes = tuple(sorted(roots.get(digest, ())))
            found.append(Entry(digest, tree_size(path), use.used, use.stage, use.kind, scopes))
        return sorted(found, key=lambda entry: (-entry.used, entry.digest))

    def size(self) -> int:
        """Bytes of everything below the root."""
        return tree_size(self.root)

    def verify(self) -> Iterator[tuple[Entry, bool]]:
        """Check every artifact and say of each whether it was whole."""
        for entry in self.entries():
            yield entry, self.check(entry.digest)

    def _whole(self, digest: str, read: bool) -> bool:
        if not read and seals.is_sealed(self.path(digest), digest):
            return True
        try:
            looked = seals.stamp(self.path(digest))
            text = sums(self.path(digest))
        except (FileNotFoundError, NotADirectoryError, StageError):  # the last: not plain files only
            return False
        except OSError as error:
            if error.errno == errno.EIO:
                return False
            raise
        if whole := sha256_bytes(text.encode()) == digest:
            self._seal(digest, text, looked)
        return whole

    def _seal(self, digest: str, text: str, looked: str) -> None:
        """Remember that an artifact is whole; whoever only reads does not."""

    def _artifacts(self) -> list[Path]:
        found = (self.root / "artifacts").glob("[0-9a-f][0-9a-f]/*")
        return sorted(path for path in found if DIGEST.fullmatch(path.name) and path == self.path(path.name))


def require_ours(root: Path, must_exist: bool) -> None:
    """Raise unless ``root`` is a store, or nothing yet that may become one.

    Raises:
        RecipeError: if there is something else.
        InputError: if there is nothing, and a store must be there.
        StageError: if a file is in the way.
    """
    if is_store(root):
        return
    if file := _file_on_the_way(root):
        what = f"there is a file where the store should be: {file}"
        raise StageError(what, hint="set REGROW_STORE to a directory")
    if (stranger := _stranger(root)) and not is_store(root):  # again: somebody may just have made one
        raise RecipeError(
            "there is something else where the store should be",
            where=str(root),
            why=f"it holds `{stranger}`, and what every store has is missing",
            hint="give --store, or set REGROW_STORE to, a directory that is empty or not there yet",
        )
    if must_exist:
        raise InputError(
            "there is no store here",
            where=str(root),
            hint="`regrow build` makes one; --store and REGROW_STORE say where it is",
        )


def is_store(root: Path) -> bool:
    """Whether a store was made here. Other programs tag their caches too, but not in our words."""
    if (root / "actions.sqlite").is_file():
        return True
    try:
        return (root / TAG).read_bytes() == CACHE_TAG.encode()
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        return False


def _file_on_the_way(root: Path) -> Path | None:
    """``root`` or what is above it, whichever is a file, if one is."""
    return next((path for path in (root, *root.parents) if path.exists() and not path.is_dir()), None)


def _stranger(root: Path) -> str:
    """The name of something in ``root`` that keeps it from being made a store; empty if there is none."""
    try:
        return next((path.name for path in sorted(root.iterdir()) if not _begun(path)), "")
    except (FileNotFoundError, NotADirectoryError):
        return ""


def _begun(path: Path) -> bool:
    """Whether this is ours: a neighbour, or what is left where the making of a store was cut short."""
    if path.name in FOLDERS and path.is_dir():
        return not any(path.iterdir())
    aside = _ASIDE.fullmatch(path.name)
    name = aside[1] if aside else path.name
    return name in {*Beside} or _KERNELS.fullmatch(name) is not None or (aside is not None and name == TAG)


def tree_size(directory: Path) -> int:
    """Bytes of all files below a directory."""
    return sum(status.st_size for status in _statuses(directory) if stat.S_ISREG(status.st_mode))


def newest(directory: Path) -> float:
    """When something in a directory was last written."""
    return max((status.st_mtime for status in _statuses(directory)), default=0.0)


def _statuses(directory: Path) -> Iterator[os.stat_result]:
    """Of everything below a directory and of itself, but not of what vanishes meanwhile."""
    for folder, _, names in os.walk(directory):
        for path in (folder, *(os.path.join(folder, name) for name in names)):  # noqa: PTH118 (much faster)
            with suppress(FileNotFoundError):
                yield os.stat(path, follow_symlinks=False)  # noqa: PTH116


def require_digest(name: str) -> str:
    """``name`` if it is a sha256: nothing else may become part of a path."""
    if DIGEST.fullmatch(name) is None:
        raise ValueError(f"{name!r} is not a sha256 in hex")
    return name
