"""The store: artifacts by their digest, and the action cache that says which key gave which digest.

Layout below the root::

    artifacts/<2 hex>/<digest>/   finished outputs of stages, read-only; beside each its seal: regrow.store.seals
    actions.sqlite                key -> digest, and what each recipe used last
    work/<key>/                   scratch of stages that have not finished, kept over kills
    tmp/<session>/                what live processes are writing
    quarantine/                   artifacts that were found damaged
    locks/

The store does not know what a stage is. Nothing appears below ``artifacts`` but by one rename of something whole.

A store is a directory of its own: one that holds anything else is never made a store, and whatever has a name that no
store gives is left alone.
"""

from __future__ import annotations

import os
import re
import secrets
import time
import weakref
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from regrow.errors import StageError
from regrow.store import seals
from regrow.store.actions import Actions
from regrow.store.atomic import chmod, freeze_tree, move_tree, remove_tree, sync, sync_tree, write_atomic
from regrow.store.digest import sha256_bytes, sums
from regrow.store.faults import STORE, plain_words
from regrow.store.locks import acquire, locked, release, remove_unheld
from regrow.store.places import is_temporary, make_folder, writable
from regrow.store.reader import (
    CACHE_TAG,
    DIGEST,
    FOLDERS,
    TAG,
    Condition,
    StoreReader,
    is_store,
    newest,
    require_digest,
    tree_size,
)
from regrow.store.session import Session, dead, held

_DAY = 86400.0
_DAMAGE = re.compile(r"([0-9a-f]{64}|actions)-[0-9a-f]{8}")
_LOCK = re.compile(r"actions|(key|artifact)-[0-9a-f]{64}")


@dataclass(frozen=True)
class Garbage:
    """Something :meth:`Store.gc` removes: an ``artifact``, ``scratch``, a ``leftover`` of a kill, or ``damaged``."""

    what: str
    path: Path
    size: int


def opened(root: Path) -> Store | StoreReader:
    """The store to build in, made where it is missing; one to take from if it is there and cannot be written to."""
    with plain_words(root):
        parts = [path for name in ("", *FOLDERS, "actions.sqlite") if os.path.lexists(path := root / name)]
        return Store(root) if not is_store(root) or all(map(writable, parts)) else StoreReader(root)


class Store(StoreReader):
    """A content-addressed store in a local directory, which any number of processes may share.

    Two promises: what :meth:`path` gives after a true :meth:`check` or after :meth:`put` is whole, and it stays until
    this object is closed, whoever collects garbage meanwhile.

    Args:
        root: the directory, which is made where it is missing.
        make: whether to make a store where there is none.

    Raises:
        RecipeError: if there is something else in the directory.
        InputError: if there is no store and none is to be made.
    """

    def __init__(self, root: Path, *, make: bool = True) -> None:
        super().__init__(root, must_exist=not make)
        with plain_words(self.root):
            _lay_out(self.root)
            self._records = self._actions = Actions(self.root / "actions.sqlite")
            self._start_session()

    @property
    def notes(self) -> tuple[str, ...]:
        """What whoever builds should know about the store: if what was known is lost, or if the place will not last."""
        lost = "the store's action cache was damaged; what it knew is built again"
        brief = f"no home directory can be used, so the store is {self.root}; set {STORE} to keep it elsewhere"
        return (*([lost] if self._actions.replaced else []), *([brief] if is_temporary(self.root) else []))

    def close(self) -> None:
        """Let go of the artifacts in use and remove what was not put. Done at exit where it is not called."""
        self._finalizer()

    # Actions

    def record(self, key: str, digest: str, stage: str, kind: str, ingredients: Mapping[str, Any]) -> None:
        """Note that ``key``, made of ``ingredients``, gave ``digest``."""
        self._actions.record(require_digest(key), require_digest(digest), stage, kind, ingredients)

    def record_root(self, scope: str, stages: Mapping[str, tuple[str, str]], *, complete: bool = False) -> None:
        """Keep what a scope uses from garbage collection, and remember it for :meth:`last_ingredients`.

        Args:
            scope: what a recipe is known by, e.g. the path of its directory.
            stages: stage -> (key, digest); replaces what the scope used for these stages.
            complete: the scope has no other stages; those it had are let go.
        """
        self._actions.record_root(scope, stages, complete)

    def forget_root(self, scope: str) -> None:
        """Let go of everything a scope uses."""
        self._actions.forget_root(scope)

    # Artifacts

    def condition(self, digest: str, *, read: bool = True) -> Condition:
        """How the artifact is; see :meth:`StoreReader.condition`.

        If it is damaged it is moved to quarantine. If it is not whole, no key gives it any longer.
        """
        with plain_words(self.root), self._claim(digest):
            if self._whole(digest, read):
                return "whole"
            there = self._quarantine(digest)
            self._actions.forget(digest)
            return "damaged" if there else "missing"

    def put(self, directory: Path) -> str:
        """Move a directory that :meth:`fresh` made into the store, whole and read-only, and return its digest."""
        with plain_words(self.root):
            text = sums(directory)
            digest = sha256_bytes(text.encode())
            sync_tree(directory)
            with self._claim(digest):
                if self._whole(digest, read=True):
                    remove_tree(directory)
                else:
                    self._quarantine(digest)
                    place = self.path(digest)
                    place.parent.mkdir(exist_ok=True)
                    move_tree(directory, place)
                    freeze_tree(place)
                    self._seal(digest, text, seals.stamp(place))
                    sync(place.parent)
                    sync(place.parent.parent)
            return digest

    # Work

    def lock(self, key: str, waiting: Callable[[], None] | None = None) -> AbstractContextManager[None]:
        """Be the only one, of all threads and processes, to work on ``key``; see :func:`regrow.store.locks.locked`."""
        return locked(self._key_lock(key), waiting)

    def fresh(self) -> Path:
        """A new, empty directory on the store's disk to fill and :meth:`put`. It goes when the process does."""
        return self._own_session().fresh()

    def scratch(self, key: str) -> Path:
        """The directory for unfinished work on ``key``. It survives kills; use it under :meth:`lock`."""
        path = self.root / "work" / require_digest(key)
        path.mkdir(exist_ok=True)
        return path

    def clear_scratch(self, key: str) -> None:
        """Remove the scratch of ``key``."""
        remove_tree(self.root / "work" / require_digest(key))

    # Care

    def gc(self, *, keep_days: float = 30.0, dry_run: bool = False) -> list[Garbage]:
        """Remove what no recipe's last build used and nobody asked for within ``keep_days``, and what kills left.

        A scope that is the path of a folder that is gone keeps nothing any longer.

        What a live process uses stays in any case, so this may run at any time.

        Returns:
            What was removed, or with ``dry_run`` what would be.
        """
        with plain_words(self.root):
            before = time.time() - keep_days * _DAY
            sweeps = (self._old_artifacts, self._old_scratch, self._old_damage, self._leftovers)
            found = [garbage for sweep in sweeps for garbage in sweep(before, dry_run)]
            if not dry_run:
                self._actions.tidy()
                for path in _named(self.root / "locks", _LOCK):
                    remove_unheld(path)
            return found

    def _old_artifacts(self, before: float, dry_run: bool) -> Iterator[Garbage]:
        gone = {scope for scope in self.scopes() if _is_gone(scope)}
        if not dry_run:
            for scope in gone:
                self.forget_root(scope)
        for entry in self.entries():
            if not gone.issuperset(entry.scopes) or entry.used > before:
                continue
            with self._artifact_lock(entry.digest):  # from here on nobody can begin to use it
                if not gone.issuperset(self._actions.roots().get(entry.digest, ())) or held(
                    self.root / "tmp", entry.digest
                ):
                    continue
                if not (path := self.path(entry.digest)).exists():  # another collection was first
                    continue
                yield Garbage("artifact", path, entry.size)
                if not dry_run:
                    self._actions.forget(entry.digest)
                    seals.remove(path)
                    remove_tree(_moved(path, self.fresh() / "removed"))

    def _old_scratch(self, before: float, dry_run: bool) -> Iterator[Garbage]:
        for path in _named(self.root / "work", DIGEST):
            if path.is_dir() and newest(path) <= before and (lock := acquire(self._key_lock(path.name))) is not None:
                try:
                    yield _swept("scratch", path, dry_run)
                finally:
                    release(lock)

    def _old_damage(self, before: float, dry_run: bool) -> Iterator[Garbage]:
        for path in _named(self.root / "quarantine", _DAMAGE):
            if newest(path) <= before:
                yield _swept("damaged", path, dry_run)

    def _leftovers(self, _before: float, dry_run: bool) -> Iterator[Garbage]:
        for path in dead(self.root / "tmp"):
            yield _swept("leftover", path, dry_run)

    def sweep(self) -> None:
        """Remove what killed processes were writing; what can be continued stays. A build begins with it."""
        with plain_words(self.root), suppress(PermissionError):  # others who share the store tidy up after themselves
            for path in dead(self.root / "tmp"):
                remove_tree(path)

    # Inside

    def _start_session(self) -> Session:
        self._session = Session(self.root / "tmp")
        self._finalizer = weakref.finalize(self, self._session.close)
        return self._session

    def _own_session(self) -> Session:
        """The session, or a new one after a fork: the parent's ends with the parent."""
        return self._session if self._session.process == os.getpid() else self._start_session()

    def _key_lock(self, key: str) -> Path:
        return self.root / "locks" / f"key-{require_digest(key)}"

    def _artifact_lock(self, digest: str) -> AbstractContextManager[None]:
        return locked(self.root / "locks" / f"artifact-{require_digest(digest)}")

    @contextmanager
    def _claim(self, digest: str) -> Iterator[None]:
        """Nobody else may move or remove the artifact during the block, nor remove it until the session ends."""
        with self._artifact_lock(digest):
            self._own_session().hold(digest)
            yield

    def _seal(self, digest: str, text: str, looked: str) -> None:
        seals.seal(self.path(digest), text, looked)

    def _quarantine(self, digest: str) -> bool:
        """Put what is in the place of an artifact, if anything is, out of the way for someone to look at."""
        seals.remove(self.path(digest))
        if there := (path := self.path(digest)).exists():
            aside = self.root / "quarantine" / f"{digest}-{secrets.token_hex(4)}"
            os.utime(_moved(path, aside))
        return there


def _is_gone(scope: str) -> bool:
    """True if a scope is a folder that is not there any more, and not if nobody can tell."""
    if not Path(scope).is_absolute():
        return False
    try:
        Path(scope).stat()
    except (FileNotFoundError, NotADirectoryError):
        return True
    except OSError:
        return False
    return False


def _lay_out(root: Path) -> None:
    """Make what is missing, the tag first: it says whose all the rest is."""
    try:
        make_folder(root)
        if not (tag := root / TAG).exists():
            write_atomic(tag, CACHE_TAG)
        for folder in FOLDERS:
            (root / folder).mkdir(exist_ok=True)
    except (FileExistsError, NotADirectoryError) as error:
        what = f"there is a file where the store should be: {error.filename}"
        raise StageError(what, hint="set REGROW_STORE to a directory") from error


def _named(folder: Path, name: re.Pattern[str]) -> list[Path]:
    """What a store made in ``folder``; anything else there is somebody's own, and so is a link."""
    return sorted(path for path in folder.iterdir() if name.fullmatch(path.name) and not path.is_symlink())


def _moved(path: Path, target: Path) -> Path:
    """Move a read-only directory, which needs the permission to write in it; its files stay as they are."""
    chmod(path, add=0o200)
    move_tree(path, target)
    return target


def _swept(what: str, path: Path, dry_run: bool) -> Garbage:
    garbage = Garbage(what, path, tree_size(path))
    if not dry_run:
        remove_tree(path) if path.is_dir() else path.unlink()
    return garbage
