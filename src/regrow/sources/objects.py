"""``s3://BUCKET/PATH`` and whatever else fsspec has: a file, or a folder whose selected files are the source.

Accounts are those that the libraries of fsspec find by themselves. Nothing there says a sha256 that could be relied on,
so that what is selected is read to be pinned, from where it broke off if it is still the same.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NoReturn

from regrow.errors import InputError, RecipeError, RegrowError
from regrow.formats.header import printable
from regrow.recipe.pin import Pin
from regrow.sources.addresses import has_password
from regrow.sources.addresses import shown as shown_address
from regrow.sources.archives import is_archive
from regrow.sources.downloads import offline_error
from regrow.sources.scheme import Site
from regrow.sources.survey import Survey
from regrow.store.digest import sha256_file
from regrow.words import shown

EXAMPLE = "`s3://bucket/folder`, and others that fsspec knows"
LOCAL = False

_CHUNK = 1 << 20
_LONGEST_WORDS = 200
_NOT_HERE = frozenset((
    "", "asynclocal", "async_wrapper", "blockcache", "cached", "data", "dir", "file", "filecache", "ftp", "generic",
    "git", "http", "https", "lakefs", "libarchive", "local", "reference", "root", "simplecache", "tar", "zip",
))  # fmt: skip
"""Those that are no places elsewhere, but files of this machine, or ways to look at others; those of our own; and
those that anybody on the way can change."""


def knows(name: str) -> bool:
    """Whether this is how an address begins that is for here."""
    from fsspec.registry import known_implementations

    return name not in _NOT_HERE and name in known_implementations


def check(locator: str) -> None:
    """Require a path without a password, which would be published with the recipe."""
    if has_password(locator):
        raise RecipeError(
            "the address holds a user name or a password",
            why="a recipe is published with the model, and what stands before an `@` belongs to those",
            hint="take it out: the libraries of fsspec find accounts in the environment and in their own files",
        )
    path = locator.partition("://")[2]
    if not path.strip("/") or "::" in locator or "*" in path or ".." in path.split("/") or not path.isprintable():
        raise RecipeError(
            f"{shown(shown_address(locator))} is not the address of a file or folder",
            why="`select` chooses among the files of a folder, and archives are looked into anyway",
            hint='write it in full: "s3://bucket/folder"',
        )


def package_url(locator: str) -> str:
    """The address itself."""
    return locator


def resolve(locator: str, site: Site) -> tuple[Pin, ...]:
    """The selected files as they are now, which are read. Emits ``selected``."""
    if site.offline:
        raise offline_error(shown_address(locator))
    place, survey, pins = _Place(locator, site), Survey(), list[Pin]()
    for name, info in place.files():
        enters = is_archive(name) and site.choice.enters(name)
        reason = "" if enters or place.is_file else site.choice.reason(name)
        survey.add(printable(name), reason)
        if not reason:
            path = place.got(name, info)
            pins.append(Pin(name, sha256_file(path), path.stat().st_size))
    if not pins:
        what = f"none of the files of `{shown_address(locator)}` is selected"
        raise InputError(what, hint="look at `select` and `exclude`")
    site.emit("selected", **survey.event())
    return tuple(sorted(pins, key=lambda pin: pin.file.encode()))


def obtain(locator: str, pin: Pin, site: Site) -> Path:
    """The pinned file, from the download cache or its place."""
    if (path := site.downloads.find(pin.sha256)) is not None:
        return path
    if site.offline:
        raise offline_error(pin.file)
    place = _Place(locator, site)
    return place.got(pin.file, place.info(pin.file))


def served(locator: str, site: Site) -> tuple[str, ...]:
    """The names of all files in a folder."""
    if site.offline:
        raise offline_error(shown_address(locator))
    return tuple(name for name, _ in _Place(locator, site).files())


def fetched(locator: str, name: str, site: Site) -> Path:
    """A file of a folder as it is now, of which nothing is promised; with no name, the file itself."""
    if site.offline:
        raise offline_error(shown_address(locator))
    place = _Place(locator, site)
    return place.got(name, place.info(name))


class _Place:
    """A file or folder that fsspec reaches."""

    def __init__(self, locator: str, site: Site) -> None:
        from fsspec.core import url_to_fs

        self._locator, self._site = locator, site
        with self._trouble():
            self._files, self._root = url_to_fs(locator)
            self.is_file = bool(self._files.isfile(self._root))

    def files(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """Name of each file and what is known of it."""
        if self.is_file:
            name = posixpath.basename(self._root)
            yield name, self.info(name)
            return
        with self._trouble():
            found = self._files.find(self._root, detail=True)
        if not found:
            what = f"there is nothing at `{shown_address(self._locator)}`"
            raise InputError(what, hint="look at the spelling, and whether this account may list it")
        for path, info in sorted(found.items()):
            yield path.removeprefix(self._root).lstrip("/"), info

    def info(self, name: str) -> dict[str, Any]:
        """What is known of a file."""
        with self._trouble(name):
            return dict(self._files.info(self._path(name)))

    def got(self, name: str, info: dict[str, Any]) -> Path:
        """A file as it is now, in the download cache."""
        with self._trouble(name):
            version = str(self._files.ukey(self._path(name)))
        size = info.get("size")
        with self._site.downloads.part(f"{self._locator}\0{name}\0{version}", self._site.poll) as part:
            with self._trouble(name), self._files.open(self._path(name), "rb") as source, part.open("ab") as target:
                if target.tell():
                    source.seek(target.tell())
                while data := source.read(_CHUNK):
                    target.write(data)
                    self._site.emit("progress", done=target.tell(), total=size, unit="bytes")
                    self._site.poll()
                    if target.tell() > self._site.downloads.largest:
                        self._too_large(name, part)
            if size is not None and part.stat().st_size != size:
                part.unlink()
                why = f"{size} bytes were promised, and others came"
                raise InputError(f"`{name}` changed while it was read", where=shown_address(self._locator), why=why)
            return self._site.downloads.take(part)

    def _path(self, name: str) -> str:
        return self._root if self.is_file else f"{self._root.rstrip('/')}/{name}"

    def _too_large(self, name: str, part: Path) -> NoReturn:
        part.unlink()
        what = f"`{name}` has more than {self._site.downloads.largest} bytes"
        hint = "download it yourself and use `file:` if you trust it"
        raise InputError(what, where=shown_address(self._locator), hint=hint)

    @contextmanager
    def _trouble(self, name: str = "") -> Iterator[None]:
        """Whatever the library of a place raises, which can be anything, in words."""
        try:
            yield
        except (RegrowError, KeyboardInterrupt):
            raise
        except Exception as error:
            what = f"`{name or shown_address(self._locator)}` cannot be fetched"
            where = shown_address(self._locator) if name else ""
            raise InputError(what, where=where, why=_why(error), hint=_hint(error)) from error


def _why(error: Exception) -> str:
    """What a library says, in a line; of secrets it says none, and addresses are cut."""
    if isinstance(error, FileNotFoundError):
        return "there is no such file or folder"
    words = ""
    with suppress(Exception):
        words = " ".join(str(error).split())
    return f"{type(error).__name__}: {words[:_LONGEST_WORDS]}".rstrip(": ")


def _hint(error: Exception) -> str:
    if isinstance(error, ImportError):
        return "install what it says there, beside regrow"
    if isinstance(error, FileNotFoundError):
        return "look at the spelling"
    return (
        "see whether this machine has an account for it; what everybody may read needs none, which fsspec is told in "
        "its configuration, for S3 by FSSPEC_S3='{\"anon\": true}'"
    )
