"""Getting the bytes that training begins with: pinning what a source has, and getting just that again.

A source is ``scheme:locator``, or an address that fsspec knows. Whatever a scheme does, its result is fixed beforehand:
files with the pinned sha256, or an error that says what came instead.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import cast

from regrow.errors import InputError, RecipeError
from regrow.recipe.pin import Pin, Pins
from regrow.sources import addresses, kept, objects
from regrow.sources.faults import LINE_ENDS, Promise, differs_in_line_ends, unexpected
from regrow.sources.scheme import Emit, Poll, Scheme, Site, idle, silent
from regrow.sources.select import Choice
from regrow.store.atomic import require_new
from regrow.store.copying import copy_hashed
from regrow.words import closest, listed, shown

__all__ = [
    "LINE_ENDS",
    "SCHEMES",
    "Pin",
    "Site",
    "cautions",
    "check",
    "examples",
    "is_address",
    "is_local",
    "name_of",
    "only_line_ends",
    "package_url",
    "resolve",
    "retrieve",
]

SCHEMES = ("deb", "file", "git", "hf", "https", "npm", "pypi")
"""Each is a module of this package that keeps the contract of :class:`regrow.sources.scheme.Scheme`."""

_OBJECTS = "objects"
"""So does this one, for addresses that begin as fsspec has them; its locators are whole addresses."""


def examples() -> str:
    """What can be fetched, in a line."""
    return "; ".join(_module(name).EXAMPLE for name in (*SCHEMES, _OBJECTS))


def check(fetch: str) -> None:
    """Make sure that ``fetch`` is something there can be.

    Raises:
        RecipeError: saying what is wrong with it.
    """
    if (found := _found(fetch)) is None:
        name, colon, _ = fetch.partition(":")
        raise RecipeError(
            f"unknown scheme `{name}:`" if colon else f"{shown(fetch)} has no scheme",
            why=f"what can be fetched is {examples()}",
            hint=_scheme_hint(name, fetch, bool(colon)),
        )
    scheme, locator = found
    scheme.check(locator)


def is_address(said: str) -> bool:
    """Whether something is said as a recipe says what is fetched from elsewhere: ``pypi:...``, and not a path."""
    return (found := _found(said)) is not None and not found[0].LOCAL


def is_local(fetch: str) -> bool:
    """True for files of the author's own, which may change at any time. What is not known is elsewhere."""
    return (found := _found(fetch)) is not None and found[0].LOCAL


def package_url(fetch: str) -> str:
    """What the world calls the place a source is fetched from, or nothing for a file of one's own."""
    if (found := _found(fetch)) is None:
        return ""
    scheme, locator = found
    return scheme.package_url(locator)


def name_of(fetch: str) -> str:
    """``fetch`` as messages may hold it: an address without what stands behind its path, which may be a credential."""
    return addresses.shown(fetch) if re.match(r"https:|[a-z0-9+.-]+://", fetch) else fetch


def cautions(fetch: str) -> tuple[str, ...]:
    """What an author should know of a source before others see it: what looks like a credential in its address."""
    return tuple(
        f"`{name}` in the address {name_of(fetch)} looks like a credential: everybody can read it in the recipe, the "
        "lock, the report and the provenance of a release, and those who build again need it"
        for name in addresses.secrets(package_url(fetch))
    )


def _scheme_hint(scheme: str, value: str, colon: bool) -> str:
    if scheme == "http":
        return "use https"
    if not colon:
        return f'write "file:{value}" for files beside the recipe'
    match = closest(scheme, SCHEMES)
    return f"did you mean `{match}:`?" if match else f"known schemes: {listed(f'{name}:' for name in SCHEMES)}"


def resolve(
    fetch: str,
    base: Path,
    select: Sequence[str] = ("**",),
    exclude: Sequence[str] = (),
    *,
    emit: Emit = silent,
    offline: bool = False,
    poll: Poll = idle,
    known: Pins | None = None,
) -> tuple[Pin, ...]:
    """Find out which files a source has now, downloading what must be seen to be known.

    Args:
        fetch: ``scheme:locator``.
        base: the folder of the recipe.
        select: patterns of the wanted files, where the source is a folder.
        exclude: patterns of files to leave out again.
        emit: is told of progress, and by ``selected`` how many files of a folder are used and left out, and why.
        offline: True to leave the network alone and use only what was downloaded before.
        poll: called now and then; may raise to give up. What has arrived until then is kept.
        known: the files that it had. If it has the same ones, they are given, and nothing is worked out again.

    Raises:
        InputError: if it cannot be had.
    """
    scheme, locator = _scheme(fetch)
    choice = Choice(tuple(select), tuple(exclude))
    return scheme.resolve(locator, Site(base, choice, emit, offline, poll, known=Pins() if known is None else known))


def retrieve(
    fetch: str,
    pins: Sequence[Pin],
    base: Path,
    into: Path,
    emit: Emit = silent,
    offline: bool = False,
    poll: Poll = idle,
) -> None:
    """Put the pinned files into a folder, byte for byte: those that a fork keeps, or as the scheme gets them.

    Raises:
        InputError: if a file cannot be had, or is not what was pinned.
    """
    scheme, locator = _scheme(fetch)
    site = Site(base, emit=emit, offline=offline, poll=poll)
    root = into.resolve()
    for pin in pins:
        target = into / pin.file
        if not target.resolve().is_relative_to(root):
            raise InputError(
                f"`{pin.file}` is not a file's name",
                where=name_of(fetch),
                hint="the lock is damaged: remove it and lock again",
            )
        path = kept.find(base, pin) or scheme.obtain(locator, pin, site)
        target.parent.mkdir(parents=True, exist_ok=True)
        require_new(target)
        _require(pin, target, copy_hashed(path, target), fetch)  # the copy, which nobody can change after the check


def only_line_ends(fetch: str, base: Path, pin: Pin) -> bool:
    """Whether a file of the author's own differs from what was pinned, but in nothing except the ends of its lines."""
    scheme, locator = _scheme(fetch)
    return scheme.LOCAL and differs_in_line_ends(scheme.obtain(locator, pin, Site(base)), pin.sha256)


def _scheme(fetch: str) -> tuple[Scheme, str]:
    """The scheme and the locator of what can be fetched.

    Raises:
        RecipeError: if it cannot.
    """
    check(fetch)
    found = _found(fetch)
    assert found is not None, "it was checked"
    return found


def _found(fetch: str) -> tuple[Scheme, str] | None:
    """The scheme and the locator of something, if there is such a scheme."""
    name, colon, locator = fetch.partition(":")
    if colon and name in SCHEMES:
        return _module(name), locator
    if colon and locator.startswith("//") and objects.knows(name):
        return _module(_OBJECTS), fetch
    return None


def _module(name: str) -> Scheme:
    return cast(Scheme, import_module(f"{__name__}.{name}"))


def _require(pin: Pin, path: Path, found: str, fetch: str) -> None:
    if found != pin.sha256:
        came = f"{path.stat().st_size} bytes with sha256 {found}"
        raise unexpected(Promise.of(pin), name_of(fetch), came, path)
