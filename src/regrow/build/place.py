"""The place for a release: whether it can be written to, and whether what is there may be replaced."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from regrow.errors import RecipeError, RegrowError, StageError


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
        raise RecipeError(
            "the output cannot be written",
            where=str(error.filename or destination),
            why=error.strerror or str(error),
            hint="choose a directory you may write to with --output",
        ) from error
