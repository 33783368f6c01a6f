"""The place for a release: whether it can be written to, and whether what is there may be replaced."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from regrow.errors import RecipeError, RegrowError, StageError
from regrow.release import Release
from regrow.release.layout import LOCK, SUMS, is_covered
from regrow.store.faults import place

_OF_THE_MACHINE = (errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EIO, errno.ESTALE)
"""Troubles that another place for the release would not end."""


@contextmanager
def explained(destination: Path) -> Iterator[None]:
    """Say in plain words what is wrong with the place for a release."""
    try:
        yield
    except RegrowError:
        raise
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise StageError(
                "the disk is full", where=str(destination), hint="free some space, then run the same command again"
            ) from error
        if error.errno in _OF_THE_MACHINE:
            raise
        raise RecipeError(
            "the output cannot be written",
            where=place(error) or str(destination),
            why=error.strerror or str(error),
            hint="choose a directory you may write to with --output",
        ) from error


def refuse_to_replace(destination: Path) -> None:
    """Raise if there is something at ``destination`` that is not ours to remove.

    Raises:
        RecipeError: if it is not a directory, not a release, or a release with files that somebody added.
    """
    if not destination.exists() and not destination.is_symlink():
        return
    if destination.is_symlink() or not destination.is_dir():
        raise RecipeError("the output is not a directory", where=str(destination), hint="choose another with --output")
    with explained(destination):
        strangers = _strangers(destination)
    if strangers:
        raise RecipeError(
            "the output directory is not a release that regrow may replace",
            where=str(destination),
            why=f"it holds {', '.join(f'`{name}`' for name in strangers[:3])}",
            hint="move what is in it elsewhere, or choose another directory with --output",
        )


def refuse_another_model(destination: Path, model: str | None) -> None:
    """Raise if a model is not to take the place of another.

    Args:
        destination: where the release shall be.
        model: what it is called; None if nobody knows.

    Raises:
        RecipeError: if there is the release of a model with another name.
    """
    with explained(destination):
        other = Release.at(destination).name
    if None not in (model, other) and other != model:
        raise RecipeError(
            "the output directory is the release of another model",
            where=str(destination),
            why=f"it holds `{other}`, and this recipe makes `{model}`",
            hint="choose another directory with --output; if you renamed the model, remove the old release first",
        )


def _strangers(directory: Path) -> list[str]:
    """The files and empty folders in ``directory`` that no release we made has there."""
    found = sorted(path.relative_to(directory).as_posix() for path in directory.rglob("*") if not _is_way(path))
    release = Release.at(directory)
    if not (release.files.has(SUMS) and release.files.has(LOCK)):
        return found
    return [path for path in found if path not in release.listed and is_covered(path)]


def _is_way(path: Path) -> bool:
    """True for a folder that only leads to what is in it. An empty one was made by somebody, who may be in it now."""
    return path.is_dir() and not path.is_symlink() and any(path.iterdir())
