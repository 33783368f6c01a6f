"""Getting the bytes that training begins with: pinning what a source has, and getting just that again.

A source is ``scheme:locator``. Whatever a scheme does, its result is fixed beforehand: files with the pinned sha256, or
an error that says what came instead.
"""

from __future__ import annotations

import difflib
import shutil
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import cast

from regrow.errors import InputError, RecipeError
from regrow.recipe.pin import Pin
from regrow.sources.faults import unexpected
from regrow.sources.scheme import Emit, Poll, Scheme, Site, idle, silent
from regrow.store.digest import sha256_file

__all__ = ["SCHEMES", "Pin", "Site", "check", "resolve", "retrieve"]

SCHEMES = ("file", "https", "pypi")
"""Each is a module of this package that keeps the contract of :class:`regrow.sources.scheme.Scheme`."""


def check(fetch: str) -> None:
    """Make sure that ``fetch`` is something there can be.

    Raises:
        RecipeError: saying what is wrong with it.
    """
    scheme, locator = _scheme(fetch)
    try:
        scheme.check(locator)
    except ValueError as error:
        raise RecipeError(f"`{fetch}` cannot be fetched", why=str(error)) from error


def resolve(
    fetch: str,
    base: Path,
    select: Sequence[str] = ("**",),
    *,
    emit: Emit = silent,
    offline: bool = False,
    poll: Poll = idle,
) -> tuple[Pin, ...]:
    """Find out which files a source has now, downloading what must be seen to be known.

    Args:
        fetch: ``scheme:locator``.
        base: the folder of the recipe.
        select: patterns of the wanted files, where the source is a folder.
        emit: is told of progress.
        offline: True to leave the network alone and use only what was downloaded before.
        poll: called now and then; may raise to give up. What has arrived until then is kept.

    Raises:
        InputError: if it cannot be had.
    """
    check(fetch)
    scheme, locator = _scheme(fetch)
    return scheme.resolve(locator, Site(base, tuple(select), emit, offline, poll))


def retrieve(
    fetch: str,
    pins: Sequence[Pin],
    base: Path,
    into: Path,
    emit: Emit = silent,
    offline: bool = False,
    poll: Poll = idle,
) -> None:
    """Put the pinned files into a folder, byte for byte.

    Raises:
        InputError: if a file cannot be had, or is not what was pinned.
    """
    check(fetch)
    scheme, locator = _scheme(fetch)
    site = Site(base, emit=emit, offline=offline, poll=poll)
    for pin in pins:
        target = into / pin.file
        if not target.resolve().is_relative_to(into.resolve()):
            raise InputError(
                f"`{pin.file}` is not a file's name", where=fetch, hint="the lock is damaged: remove it and lock again"
            )
        path = scheme.obtain(locator, pin, site)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)
        _require(pin, target, fetch)  # the copy, so that nobody can change it after the check


def _scheme(fetch: str) -> tuple[Scheme, str]:
    name, colon, locator = fetch.partition(":")
    if not colon or name not in SCHEMES:
        near = difflib.get_close_matches(name, SCHEMES, 1)
        raise RecipeError(
            f"`{fetch}` cannot be fetched",
            why=f"it does not begin with {', '.join(f'`{known}:`' for known in SCHEMES)}",
            hint=f"did you mean `{near[0]}:`?" if near else "",
        )
    return cast(Scheme, import_module(f"{__name__}.{name}")), locator


def _require(pin: Pin, path: Path, fetch: str) -> None:
    size, found = path.stat().st_size, sha256_file(path)
    if found != pin.sha256:
        raise unexpected(pin, fetch, f"{size} bytes with sha256 {found}", path)
