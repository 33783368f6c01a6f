"""Where things lie in a release."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from regrow.errors import RecipeError, RegrowError, StageError

SUMS = "SHA256SUMS"
RECIPE = "regrow.toml"
LOCK = "regrow.lock"
PAPER = "paper.md"
REPORT = "report.html"
BUILDINFO = "buildinfo"

UNCOVERED = (SUMS, REPORT, BUILDINFO)
"""What the release digest does not cover: itself, a rendering of what it covers, and what differs between machines."""


def is_release(folder: Path) -> bool:
    """True if the lock in a folder is part of a release, so that nobody may write to it."""
    sums = folder / SUMS
    return sums.is_file() and f"  {LOCK}\n" in sums.read_text("utf-8", "replace")


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
