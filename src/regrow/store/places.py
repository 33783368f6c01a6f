"""Where a user's things lie: where a variable says, else in the cache directory, else among the temporary files."""

from __future__ import annotations

import os
import stat
import tempfile
from contextlib import suppress
from enum import StrEnum
from pathlib import Path

from regrow.errors import RecipeError
from regrow.store.faults import STORE


class Beside(StrEnum):
    """What else of ours may lie where the store is, and before it. Anything else keeps a store from being made."""

    DOWNLOADS = "downloads"
    LOOKED = "looked"
    REBUILT = "rebuilt"
    SPEED = "speed.json"
    MEASURED = "measured.json"


def default_root() -> Path:
    """Where the store is: ``$REGROW_STORE``, or else :func:`caches`."""
    return folder_in(STORE) or caches()


def caches() -> Path:
    """``regrow`` in the user's cache directory; where that can neither be read nor made, a private temporary folder.

    Some users have no home, as in many containers, or one that nobody can write to.
    """
    usual = _usual()
    return usual if _usable(usual) else _private() or usual


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


def home() -> Path:
    """The user's home directory; whoever has none is at home in the root, as in most containers."""
    try:
        return Path.home()
    except RuntimeError:
        return Path("/")


def make_folder(path: Path) -> None:
    """Make a folder and those above it. What lies among everybody's temporary files is for its owner only."""
    if (private := _private()) is not None and path.is_relative_to(private):
        private.mkdir(mode=0o700, exist_ok=True)
    path.mkdir(parents=True, exist_ok=True)


def is_temporary(path: Path) -> bool:
    """Whether a path lies in the private temporary folder, which does not stay for ever."""
    private = _private()
    return private is not None and path.is_relative_to(private)


def writable(path: Path) -> bool:
    """Whether a file may be changed, or names in a folder: not on a disk that is read-only, nor if it is another's."""
    return os.access(path, os.W_OK)


def _usual() -> Path:
    """Where the system's conventions have it."""
    from platformdirs import user_cache_path

    with suppress(RuntimeError):
        if (found := user_cache_path("regrow", appauthor=False)).is_absolute():  # and no `~` that means nothing
            return found
    return home() / ".cache" / "regrow"


def _usable(folder: Path) -> bool:
    """Whether a folder is there and can be read, or can be made."""
    if os.path.lexists(folder):
        return os.path.isdir(folder) and os.access(folder, os.R_OK | os.X_OK)  # noqa: PTH112 (pathlib may raise)
    there = next(parent for parent in folder.parents if os.path.lexists(parent))
    return os.access(there, os.W_OK | os.X_OK)


def _private() -> Path | None:
    """This user's folder for temporary files; None if there is no place for one, or somebody else has taken it."""
    try:
        folder = Path(tempfile.gettempdir(), f"regrow-{os.getuid()}").absolute()
    except OSError:
        return None
    try:
        status = folder.lstat()
    except FileNotFoundError:
        return folder
    except OSError:
        return None
    ours = stat.S_ISDIR(status.st_mode) and status.st_uid == os.getuid() and not status.st_mode & 0o022
    return folder if ours else None
