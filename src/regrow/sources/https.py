"""``https://HOST/PATH``: one file from the web. Plain http is for servers on this machine only."""

from __future__ import annotations

import posixpath
from pathlib import Path
from urllib.parse import unquote, urlsplit

from regrow.recipe.pin import Pin
from regrow.sources.scheme import Site
from regrow.store.digest import sha256_file


def check(locator: str) -> None:
    """A host and a path are needed."""
    parts = urlsplit("https:" + locator)
    if not parts.hostname or _name(locator) in ("", ".", ".."):
        raise ValueError("an address looks like `https://example.org/texts/file.txt`")
    if parts.username is not None:
        raise ValueError("an address in a recipe must not hold a password: use ~/.netrc")


def resolve(locator: str, site: Site) -> tuple[Pin, ...]:
    """The file as it is now; it is downloaded for the purpose."""
    path = site.download("https:" + locator)
    return (Pin(_name(locator), sha256_file(path), path.stat().st_size),)


def obtain(locator: str, pin: Pin, site: Site) -> Path:
    """The file, from the download cache or the web."""
    return site.download("https:" + locator, pin)


def _name(locator: str) -> str:
    """The last part of the path, made fit for a file's name."""
    name = posixpath.basename(unquote(urlsplit("https:" + locator).path))
    return "".join("_" if character in '\\:*?"<>|' or not character.isprintable() else character for character in name)
