"""Downloads that resume, try again politely, and are kept by what they hold."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from regrow.errors import InputError, RecipeError
from regrow.recipe.pin import is_sha256
from regrow.sources.addresses import shown
from regrow.sources.faults import Promise, unexpected
from regrow.store import Beside, caches, folder_in
from regrow.store.atomic import sync
from regrow.store.digest import sha256_bytes, sha256_file
from regrow.store.faults import plain_words
from regrow.store.locks import locked

if TYPE_CHECKING:
    from regrow.sources.web import Page

_SLACK = 1 << 20  # how much more than was promised is read, to be able to say what came
_VARIABLE = "REGROW_DOWNLOADS"

LARGEST = 1 << 35
"""Bytes of a file that nobody has pinned yet. Beyond it, it is taken for an attack."""


def default_folder() -> Path:
    """``$REGROW_DOWNLOADS``, or else ``regrow/downloads`` in the user's cache directory."""
    return folder_in(_VARIABLE) or caches() / Beside.DOWNLOADS


@dataclass(frozen=True)
class Downloads:
    """A folder of downloaded files, each named by its sha256, and of the beginnings of others.

    Attributes:
        folder: where.
        sleep: waits some seconds; tests put another in its place.
        largest: bytes of a file of which nobody knows the size.
    """

    folder: Path = field(default_factory=default_folder)
    sleep: Callable[[float], None] = time.sleep
    largest: int = LARGEST

    def find(self, sha256: str) -> Path | None:
        """The file with this hash, if it is there whole. A damaged one is removed."""
        if not is_sha256(sha256):  # it becomes part of a path, and what lies there may be removed
            raise ValueError(f"{sha256!r} is not a sha256 in hex")
        path = self.folder / "files" / sha256
        with plain_words(self.folder, _VARIABLE):
            if not path.is_file():
                return None
            if sha256_file(path) == sha256:
                return path
            path.unlink(missing_ok=True)
            return None

    def get(
        self,
        url: str,
        promise: Promise | None = None,
        *,
        emit: Callable[..., None],
        offline: bool,
        poll: Callable[[], None],
    ) -> Path:
        """A file from the web.

        Args:
            url: where it is.
            promise: what it must be, if that is known: then a file downloaded before will do, from wherever it came.
            emit: is told how many bytes have arrived.
            offline: True to do without the web.
            poll: called now and then; may raise to give up.

        Raises:
            InputError: if it cannot be had, or is not what was promised.
            RecipeError: if the environment names no folder or no certificates.
        """
        if promise is not None and (path := self.find(promise.sha256)) is not None:
            return path
        if offline:
            raise offline_error(promise.file if promise else shown(url))
        from regrow.sources.transfer import Transfer
        from regrow.sources.web import Caller, Session

        with self.part(url, poll) as part:  # a second build waits for the first one's download, and then finds it
            if promise is not None and (path := self.find(promise.sha256)) is not None:
                return path
            with Session() as session:
                Transfer(session, url, part, promise, self._limit(promise), Caller(emit, poll, self.sleep)).run()
            return self._keep(part, url, promise)

    def once(self, name: str, make: Callable[[Path], None], *, offline: bool, poll: Callable[[], None]) -> Path:
        """A folder that is made where it is missing, and found again afterwards.

        Args:
            name: what it is known by, in words of the recipe.
            make: gets an empty folder, fills it, and raises if it cannot: then nothing stays.
            offline: True if it may not be made.
            poll: called while somebody else makes it; may raise to give up.
        """
        key = sha256_bytes(name.encode("utf-8", "surrogatepass"))
        folder, part = self.folder / "folders" / key, self.folder / "parts" / key
        with plain_words(self.folder, _VARIABLE):
            if folder.is_dir():
                return folder
        if offline:
            raise offline_error(name)
        with self._writable(), locked(part.with_suffix(".lock"), poll):
            if not folder.is_dir():
                shutil.rmtree(part, ignore_errors=True)
                part.mkdir()
                try:
                    make(part)
                    part.replace(folder)
                finally:
                    shutil.rmtree(part, ignore_errors=True)
        return folder

    @contextmanager
    def part(self, name: str, poll: Callable[[], None]) -> Iterator[Path]:
        """The path of a file that is still to come, or of its beginning, for nobody else meanwhile.

        Args:
            name: what it is known by: that of the same bytes, whenever they come.
            poll: called while somebody else has it; may raise to give up.
        """
        part = self.folder / "parts" / sha256_bytes(name.encode("utf-8", "surrogatepass"))
        with self._writable(), locked(part.with_suffix(".lock"), poll):
            yield part

    def take(self, part: Path) -> Path:
        """Move a file that is complete to where it is found by its hash."""
        sync(part)
        path = self.folder / "files" / sha256_file(part)
        part.replace(path)
        return path

    def page(
        self,
        url: str,
        *,
        accept: str,
        most: int,
        emit: Callable[..., None],
        poll: Callable[[], None],
    ) -> Page | None:
        """Something small from the web as it is now, which is not kept; see :func:`regrow.sources.web.page`."""
        from regrow.sources.web import Caller, page

        return page(url, accept, most, Caller(emit, poll, self.sleep))

    def _limit(self, promise: Promise | None) -> int:
        return self.largest if promise is None or promise.size is None else promise.size + _SLACK

    @contextmanager
    def _writable(self) -> Iterator[None]:
        """The folder, made where it is missing, and troubles with it in words."""
        with plain_words(self.folder, _VARIABLE):
            try:
                for folder in ("files", "folders", "parts"):
                    (self.folder / folder).mkdir(parents=True, exist_ok=True)
            except (FileExistsError, NotADirectoryError) as error:
                what = f"there is a file where downloads should be kept: {error.filename}"
                raise RecipeError(what, where=_VARIABLE, hint="set it to a directory") from error
            yield

    def _keep(self, part: Path, url: str, promise: Promise | None) -> Path:
        """Move a finished download to where it is found by its hash, if it is what it must be."""
        from regrow.sources.transfer import forget

        sha256 = sha256_file(part)
        if promise is not None and sha256 != promise.sha256:
            try:
                raise unexpected(promise, shown(url), f"{part.stat().st_size} bytes with sha256 {sha256}", part)
            finally:
                forget(part)
        path = self.take(part)
        forget(part)
        return path


def offline_error(what: str) -> InputError:
    """The error for what would have to be fetched."""
    return InputError(
        f"`{what}` is not on this machine",
        why="regrow was told to stay offline",
        hint="build once without --offline",
    )
