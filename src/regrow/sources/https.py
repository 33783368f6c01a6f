"""``https://HOST/PATH``: one file from the web. Plain http is for servers on this machine only."""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from urllib.parse import unquote, urlsplit

from regrow.errors import RecipeError
from regrow.recipe.pin import Pin
from regrow.sources.scheme import Site
from regrow.store.digest import sha256_file
from regrow.words import shown

EXAMPLE = "`https://example.org/text.txt`"
LOCAL = False


def check(locator: str) -> None:
    """Require a host and the name of a file, and refuse a password, which would be published with the recipe."""
    try:
        parts = urlsplit("https:" + locator)
        user, host = parts.username, parts.hostname
    except ValueError:
        user, host = None, None
    if user is not None:
        raise RecipeError(
            "the address holds a user name or a password",
            why="a recipe is published with the model",
            hint="take it out, and put it into ~/.netrc on the machines that fetch",
        )
    if not host or not re.fullmatch(r"//[^/\s@]+/\S+", locator) or _name(locator) in ("", ".", ".."):
        raise RecipeError(
            f"{shown('https:' + locator)} is not the address of a file",
            hint='write it in full: "https://example.org/text.txt"',
        )


def package_url(locator: str) -> str:
    """The address itself."""
    return "https:" + locator


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
