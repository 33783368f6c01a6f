"""``https://HOST/PATH``: one file from the web."""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from urllib.parse import unquote, urlsplit

from regrow.errors import RecipeError
from regrow.recipe.pin import Pin
from regrow.sources.addresses import has_password
from regrow.sources.addresses import shown as shown_address
from regrow.sources.faults import Promise, require_asked_for
from regrow.sources.scheme import Site
from regrow.store.digest import sha256_file
from regrow.words import shown

EXAMPLE = "`https://example.org/text.txt`"
LOCAL = False
_LONGEST_NAME = 200


def check(locator: str) -> None:
    """Require a host and the name of a file, and refuse a password, which would be published with the recipe."""
    url = "https:" + locator
    if has_password(url):  # which no message repeats
        raise RecipeError(
            "the address holds a user name or a password",
            why="a recipe is published with the model, and what stands before an `@` belongs to those",
            hint="take it out, and put it into ~/.netrc on the machines that fetch, as `machine HOST login NAME "
            "password PASSWORD`; an `@` of the path is written %40",
        )
    try:
        parts = urlsplit(url)
        sound = bool(parts.hostname) and parts.port != 0
    except ValueError:
        sound = False
    if not sound or not re.fullmatch(r"//[^/\s\\]+/\S+", locator) or _name(locator) in ("", ".", "..", "-"):
        raise RecipeError(
            f"{shown(shown_address(url))} is not the address of a file",
            why="the last part of its path is what the file is called" if sound else "",
            hint='write it in full: "https://example.org/text.txt"',
        )


def package_url(locator: str) -> str:
    """The address itself."""
    return "https:" + locator


def resolve(locator: str, site: Site) -> tuple[Pin, ...]:
    """The file as it is now; it is downloaded for the purpose."""
    url, name = "https:" + locator, _name(locator)
    path = site.download(url)
    require_asked_for(path, name, shown_address(url), site.emit)
    return (Pin(name, sha256_file(path), path.stat().st_size),)


def obtain(locator: str, pin: Pin, site: Site) -> Path:
    """The file, from the download cache or the web."""
    return site.download("https:" + locator, Promise.of(pin))


def _name(locator: str) -> str:
    """The last part of the path, made fit for a file's name: its end counts, and disks take no more than 255 bytes."""
    name = posixpath.basename(unquote(urlsplit("https:" + locator).path))
    fit = "".join("_" if character in '\\:*?"<>|' or not character.isprintable() else character for character in name)
    return fit.encode()[-_LONGEST_NAME:].decode(errors="ignore")
