"""``file:PATH``: a file, or a folder whose selected files are the source. Relative paths begin at the recipe."""

from __future__ import annotations

import os
import re
from pathlib import Path

from regrow.errors import InputError, RecipeError
from regrow.recipe.pin import Pin
from regrow.sources.archives import is_archive
from regrow.sources.scheme import Site
from regrow.sources.select import matches
from regrow.store.digest import sha256_file
from regrow.words import shown

_OWN = ("regrow.toml", "regrow.lock")
_DECLARATION = re.compile(rb"SPDX-License-Identifier:[ \t]*([\w.+() -]{1,100}\w\+?\)?)")


EXAMPLE = "`file:texts`, a file or a folder beside the recipe"
LOCAL = True


def check(locator: str) -> None:
    """Require a path below the recipe."""
    if not locator or locator.startswith("/") or ".." in locator.split("/") or "\\" in locator or "\0" in locator:
        raise RecipeError(
            f"{shown('file:' + locator)} does not lie beside the recipe",
            why="a recipe has to mean the same on another machine, so its files are in its own folder or below",
            hint='put the files there and write, for example, "file:texts"',
        )
    if "*" in locator:
        folder = locator.partition("*")[0].rpartition("/")[0]
        raise RecipeError(
            f"{shown('file:' + locator)} is a pattern",
            why="`fetch` names a file or a folder; `select` chooses among the files of the folder",
            hint=f'write fetch = "file:{folder or "texts"}" and select = "{locator.removeprefix(folder).lstrip("/")}"',
        )


def package_url(locator: str) -> str:
    """Nothing: files of one's own have no name in the world."""
    return ""


def resolve(locator: str, site: Site) -> tuple[Pin, ...]:
    """The file, or the selected files of the folder, as they are now."""
    path = _existing(site.base / locator)
    if not path.is_dir():
        return (_pin(path, path.name),)
    names, links = _files(path)
    found = {name for name in names if is_archive(name) or matches(name, site.select)}
    if links:
        site.emit("note", text=f"links are left out ({len(links)} in {path}): others do not have what they point to")
    if not found:
        some = ", ".join(map(_printable, names[:5])) or ("nothing but links" if links else "nothing")
        raise InputError(
            f"no file fits {' or '.join(f'`{pattern}`' for pattern in site.select)}",
            where=str(path),
            why=f"the folder holds {some}",
            hint="`**/*.txt` fits every .txt file in all folders below",
        )
    if strange := sorted(_printable(name) for name in found if _printable(name) != name):
        raise InputError(
            f"the name of `{strange[0]}` is not UTF-8",
            where=str(path),
            why="other machines would call it something else",
            hint="rename it, or change `select` so that it is left out",
        )
    if own := [name for name in _OWN if (site.base / name).resolve() in {(path / other).resolve() for other in found}]:
        raise InputError(
            f"`{own[0]}` of the recipe would be text to train on",
            where=str(path),
            why="it changes what it pins",
            hint="put the texts into a folder of their own, as in `file:texts`, or name them in `select`",
        )
    return tuple(_pin(path / name, name) for name in sorted(found, key=str.encode))


def obtain(locator: str, pin: Pin, site: Site) -> Path:
    """The file where it lies."""
    path = _existing(site.base / locator)
    return _existing(path / pin.file) if path.is_dir() else path


def _printable(name: str) -> str:
    """A name as text; bytes in it that are none are spelled out."""
    return name.encode("utf-8", "backslashreplace").decode()


def _existing(path: Path) -> Path:
    if not path.exists():
        raise InputError(f"there is no `{path}`", hint="paths after `file:` begin at the folder of the recipe")
    if not path.is_dir() and not path.is_file():
        raise InputError(f"`{path}` is neither a file nor a folder")
    return path


def _files(folder: Path) -> tuple[list[str], list[str]]:
    """The relative paths of the files in a folder, and of the links, which are not followed: the folder is what others
    will have.
    """
    files, links = [], []
    for place, folders, names in os.walk(folder, onerror=_unreadable):
        folders.sort()
        for path in (Path(place, name) for name in sorted(names + folders)):
            if path.is_symlink():
                links.append(path.relative_to(folder).as_posix())
            elif path.is_file():
                files.append(path.relative_to(folder).as_posix())
    return files, links


def _unreadable(error: OSError) -> None:
    """A folder that cannot be read would be left out without a word."""
    raise InputError(f"`{error.filename}` cannot be read", why=error.strerror or str(error)) from error


def _pin(path: Path, name: str) -> Pin:
    try:
        with path.open("rb") as file:
            said = _DECLARATION.findall(file.read(8192))
        return Pin(name, sha256_file(path), path.stat().st_size, tuple(sorted({word.decode() for word in said})))
    except OSError as error:
        raise InputError(f"`{path}` cannot be read", why=error.strerror or str(error)) from error
