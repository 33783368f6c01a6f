"""The store: artifacts by their digest, and the action cache that says which key gave which digest.

Layout below the root::

    artifacts/<2 hex>/<digest>/   finished outputs of stages, read-only
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

import errno
import os
import re
import secrets
import stat
import time
import weakref
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from regrow.errors import InputError, RecipeError, StageError
from regrow.store.actions import Actions, Use
from regrow.store.atomic import chmod, freeze_tree, remove_tree, sync, sync_tree, write_atomic
from regrow.store.digest import tree_digest
from regrow.store.faults import STORE, plain_words
from regrow.store.locks import acquire, locked, release, remove_unheld
from regrow.store.session import Session, dead, held

_FOLDERS = ("artifacts", "work", "tmp", "quarantine", "locks")
_CACHE_TAG = "Signature: 8a477f597d28d172789f06886806bc55\n# Backup programs may leave this directory out.\n"
_DAY = 86400.0
_DIGEST = re.compile(r"[0-9a-f]{64}")
_DAMAGE = re.compile(r"([0-9a-f]{64}|actions)-[0-9a-f]{8}")
_LOCK = re.compile(r"actions|(key|artifact)-[0-9a-f]{64}")
_NEIGHBOUR = re.compile(r"downloads|rebuilt|speed\.json|kernels-[0-9a-f]{16}")
"""What else of ours lies in the user's cache directory, and may be there first."""
_TAG_ASIDE = re.compile(r"\.CACHEDIR\.TAG\.[0-9a-f]{16}")

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


@dataclass(frozen=True)
class Garbage:
    """Something :meth:`Store.gc` removes: an ``artifact``, ``scratch``, a ``leftover`` of a kill, or ``damaged``."""

    what: str
    path: Path
    size: int


def default_root() -> Path:
    """``$REGROW_STORE``, or else ``regrow`` in the user's cache directory."""
    return folder_in(STORE) or caches()


def caches() -> Path:
    """``regrow`` in the user's cache directory."""
    from platformdirs import user_cache_path

    return user_cache_path("regrow", appauthor=False)


def folder_in(variable: str) -> Path | None:
    """The folder that an environment variable names, if it is set.

    Raises:
        RecipeError: if it begins with the name of a user who has no home.
    """
    chosen = os.environ.get(variable)
    try:
        return Path(chosen).expanduser() if chosen else None
    except RuntimeError as error:
        hint = "write the path in full, or unset it"
        raise RecipeError(f"there is no home directory for `{chosen}`", where=variable, hint=hint) from error


class Store:
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
        self.root = root.absolute()
        with plain_words(self.root):
            _require_ours(self.root, make)
            _lay_out(self.root)
            self._actions = Actions(self.root / "actions.sqlite")
            self.action_cache_replaced = self._actions.replaced
            """True if the action cache was beyond reading, so that what was built before is not known any more."""
            self._start_session()

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the artifacts in use and remove what was not put. Done at exit where it is not called."""
        self._finalizer()

    # Actions

    def lookup(self, key: str) -> str | None:
        """The digest that ``key`` gave, if it is known. Whether the bytes are whole is for :meth:`check` to say."""
        return self._actions.digest(_hex(key))

    def record(self, key: str, digest: str, stage: str, kind: str, ingredients: Mapping[str, Any]) -> None:
        """Note that ``key``, made of ``ingredients``, gave ``digest``."""
        self._actions.record(_hex(key), _hex(digest), stage, kind, ingredients)

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

    def scopes(self) -> tuple[str, ...]:
        """Every scope that keeps something, sorted."""
        return tuple(sorted(set().union(*self._actions.roots().values())))

    def last_ingredients(self, scope: str, stage: str) -> dict[str, Any] | None:
        """The ingredients of a stage when it was last evaluated in ``scope``."""
        return self._actions.last_ingredients(scope, stage)

    # Artifacts

    def path(self, digest: str) -> Path:
        """Where the artifact is, if it is there."""
        return self.root / "artifacts" / _hex(digest)[:2] / digest

    def check(self, digest: str) -> bool:
        """True if the artifact is whole; see :meth:`condition`."""
        return self.condition(digest) == "whole"

    def condition(self, digest: str) -> Condition:
        """How the artifact is, found out by reading every byte of it.

        If it is damaged it is moved to quarantine. If it is not whole, no key gives it any longer.
        """
        with plain_words(self.root), self._claim(digest):
            if self._whole(digest):
                return "whole"
            there = self._quarantine(digest)
            self._actions.forget(digest)
            return "damaged" if there else "missing"

    def put(self, directory: Path) -> str:
        """Move a directory that :meth:`fresh` made into the store, whole and read-only, and return its digest."""
        with plain_words(self.root):
            digest = tree_digest(directory)
            sync_tree(directory)
            freeze_tree(directory)
            with self._claim(digest):
                if self._whole(digest):
                    remove_tree(directory)
                else:
                    self._quarantine(digest)
                    place = self.path(digest)
                    place.parent.mkdir(exist_ok=True)
                    chmod(directory.rename(place), remove=0o222)
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
        path = self.root / "work" / _hex(key)
        path.mkdir(exist_ok=True)
        return path

    def has_scratch(self, key: str) -> bool:
        """True if earlier work on ``key`` left something to continue from."""
        path = self.root / "work" / _hex(key)
        return path.is_dir() and any(path.iterdir())

    def clear_scratch(self, key: str) -> None:
        """Remove the scratch of ``key``."""
        remove_tree(self.root / "work" / _hex(key))

    # Care

    def entries(self) -> list[Entry]:
        """Every artifact, the one used last first."""
        roots, uses = self._actions.roots(), self._actions.uses()
        found = []
        for path in self._artifacts():
            digest = path.name
            use = uses.get(digest) or Use(digest, "", "", _newest(path))
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
                    remove_tree(_moved(path, self.fresh() / "removed"))

    def _old_scratch(self, before: float, dry_run: bool) -> Iterator[Garbage]:
        for path in _named(self.root / "work", _DIGEST):
            if path.is_dir() and _newest(path) <= before and (lock := acquire(self._key_lock(path.name))) is not None:
                try:
                    yield _swept("scratch", path, dry_run)
                finally:
                    release(lock)

    def _old_damage(self, before: float, dry_run: bool) -> Iterator[Garbage]:
        for path in _named(self.root / "quarantine", _DAMAGE):
            if _newest(path) <= before:
                yield _swept("damaged", path, dry_run)

    def _leftovers(self, _before: float, dry_run: bool) -> Iterator[Garbage]:
        for path in dead(self.root / "tmp"):
            yield _swept("leftover", path, dry_run)

    # Inside

    def _start_session(self) -> Session:
        self._session = Session(self.root / "tmp")
        self._finalizer = weakref.finalize(self, self._session.close)
        return self._session

    def _own_session(self) -> Session:
        """The session, or a new one after a fork: the parent's ends with the parent."""
        return self._session if self._session.process == os.getpid() else self._start_session()

    def _key_lock(self, key: str) -> Path:
        return self.root / "locks" / f"key-{_hex(key)}"

    def _artifact_lock(self, digest: str) -> AbstractContextManager[None]:
        return locked(self.root / "locks" / f"artifact-{_hex(digest)}")

    @contextmanager
    def _claim(self, digest: str) -> Iterator[None]:
        """Nobody else may move or remove the artifact during the block, nor remove it until the session ends."""
        with self._artifact_lock(digest):
            self._own_session().hold(digest)
            yield

    def _whole(self, digest: str) -> bool:
        try:
            return tree_digest(self.path(digest)) == digest
        except (FileNotFoundError, NotADirectoryError, StageError):  # the last: not plain files only
            return False
        except OSError as error:
            if error.errno == errno.EIO:
                return False
            raise

    def _quarantine(self, digest: str) -> bool:
        """Put what is in the place of an artifact, if anything is, out of the way for someone to look at."""
        if there := (path := self.path(digest)).exists():
            aside = self.root / "quarantine" / f"{digest}-{secrets.token_hex(4)}"
            os.utime(_moved(path, aside))
        return there

    def _artifacts(self) -> list[Path]:
        found = (self.root / "artifacts").glob("[0-9a-f][0-9a-f]/*")
        return sorted(path for path in found if _DIGEST.fullmatch(path.name) and path == self.path(path.name))


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


def _require_ours(root: Path, make: bool) -> None:
    """Raise unless ``root`` is a store, or nothing yet that may become one."""
    if _is_store(root):
        return
    if (stranger := _stranger(root)) and not _is_store(root):  # again: somebody may just have made one
        raise RecipeError(
            "there is something else where the store should be",
            where=str(root),
            why=f"it holds `{stranger}`, and what every store has is missing",
            hint="give --store, or set REGROW_STORE to, a directory that is empty or not there yet",
        )
    if not make:
        raise InputError(
            "there is no store here",
            where=str(root),
            hint="`regrow build` makes one; --store and REGROW_STORE say where it is",
        )


def _is_store(root: Path) -> bool:
    """Whether a store was made here. Other programs tag their caches too, but not in our words."""
    if (root / "actions.sqlite").is_file():
        return True
    try:
        return (root / "CACHEDIR.TAG").read_bytes() == _CACHE_TAG.encode()
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        return False


def _stranger(root: Path) -> str:
    """The name of something in ``root`` that keeps it from being made a store; empty if there is none."""
    try:
        return next((path.name for path in sorted(root.iterdir()) if not _begun(path)), "")
    except (FileNotFoundError, NotADirectoryError):
        return ""


def _begun(path: Path) -> bool:
    """Whether this is ours: a neighbour, or what is left where the making of a store was cut short."""
    if path.name in _FOLDERS and path.is_dir():
        return not any(path.iterdir())
    return any(name.fullmatch(path.name) for name in (_NEIGHBOUR, _TAG_ASIDE))


def _lay_out(root: Path) -> None:
    """Make what is missing, the tag first: it says whose all the rest is."""
    try:
        root.mkdir(parents=True, exist_ok=True)
        if not (tag := root / "CACHEDIR.TAG").exists():
            write_atomic(tag, _CACHE_TAG)
        for folder in _FOLDERS:
            (root / folder).mkdir(exist_ok=True)
    except (FileExistsError, NotADirectoryError) as error:
        what = f"there is a file where the store should be: {error.filename}"
        raise StageError(what, hint="set REGROW_STORE to a directory") from error


def _named(folder: Path, name: re.Pattern[str]) -> list[Path]:
    """What a store made in ``folder``; anything else there is somebody's own, and so is a link."""
    return sorted(path for path in folder.iterdir() if name.fullmatch(path.name) and not path.is_symlink())


def tree_size(directory: Path) -> int:
    """Bytes of all files below a directory."""
    return sum(status.st_size for status in _statuses(directory) if stat.S_ISREG(status.st_mode))


def _newest(directory: Path) -> float:
    return max((status.st_mtime for status in _statuses(directory)), default=0.0)


def _statuses(directory: Path) -> Iterator[os.stat_result]:
    """Of everything below a directory and of itself, but not of what vanishes meanwhile."""
    for folder, _, names in os.walk(directory):
        for path in (folder, *(os.path.join(folder, name) for name in names)):  # noqa: PTH118 (much faster)
            with suppress(FileNotFoundError):
                yield os.stat(path, follow_symlinks=False)  # noqa: PTH116


def _moved(path: Path, target: Path) -> Path:
    """Rename a read-only directory, which needs the permission to write in it; its files stay as they are."""
    chmod(path, add=0o200)
    return path.rename(target)


def _swept(what: str, path: Path, dry_run: bool) -> Garbage:
    garbage = Garbage(what, path, tree_size(path))
    if not dry_run:
        remove_tree(path) if path.is_dir() else path.unlink()
    return garbage


def _hex(name: str) -> str:
    """``name`` if it is a sha256: nothing else may become part of a path."""
    if _DIGEST.fullmatch(name) is None:
        raise ValueError(f"{name!r} is not a sha256 in hex")
    return name
