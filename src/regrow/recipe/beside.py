"""What lies beside a recipe: the files that it names or implies, all of them in its folder.

A recipe may come from a stranger, and what is made from it is shared. So no link may lead out of the folder, or a build
would publish what it leads to, and nothing that is not a file is opened, for that may never end.
"""

from __future__ import annotations

import os
from contextlib import suppress
from functools import lru_cache
from pathlib import Path

from regrow.errors import RecipeError


def beside(folder: Path, name: str) -> Path | None:
    """The file or folder of a name beside a recipe, or nothing if there is none.

    Args:
        folder: of the recipe.
        name: a relative path.

    Raises:
        RecipeError: if it is a link, or is reached by one, that leads out of the folder or nowhere; or if it is neither
            a file nor a folder.
    """
    path = folder / name
    if not os.path.lexists(path) or _is_called_otherwise(path):
        return None
    try:
        real, home = path.resolve(strict=True), folder.resolve()
    except (OSError, RuntimeError):  # until Python 3.13 a link to itself is a RuntimeError
        raise RecipeError("the link leads nowhere", where=str(path), hint="put a file in its place") from None
    if not real.is_relative_to(home):
        raise RecipeError(
            "the link leads out of the folder of the recipe",
            where=str(path),
            why="what a recipe is made of becomes part of what is shared, and others do not have files elsewhere",
            hint="put a copy in its place",
        )
    if not (real.is_file() or real.is_dir()):
        raise RecipeError("is neither a file nor a folder", where=str(path), hint="put a file in its place")
    return path


def _is_called_otherwise(path: Path) -> bool:
    """True on a disk that takes capitals for small letters, where a file of another name would be found."""
    if not path.name.isascii() or path.name in ("", ".."):  # how accents are written is not the author's to say
        return False
    with suppress(OSError):
        folder = os.fspath(path.parent)
        # A listing that is remembered may lack what was made since, and then another look is due.
        return path.name not in _names(folder, os.stat(folder).st_mtime_ns) and path.name not in os.listdir(folder)  # noqa: PTH116, PTH208
    return False


@lru_cache(maxsize=8)
def _names(folder: str, written: int) -> frozenset[str]:
    """The names in a folder that was last written to at some time: many of its files may be asked for."""
    return frozenset(os.listdir(folder))  # noqa: PTH208
