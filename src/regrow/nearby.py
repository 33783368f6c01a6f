"""What a path that leads nowhere may have been meant to lead to."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from regrow.words import closest


def meant(path: Path, fits: Callable[[Path], bool]) -> Path | None:
    """The place whose path is most like one that there is not, part by part, if any is like it and ``fits``."""
    here = Path(path.anchor)
    for part in path.parts[len(here.parts) :]:
        try:
            known = [] if (here / part).exists() else [one.name for one in here.iterdir()]
        except (OSError, ValueError):
            return None
        here /= (closest(part, known) or part) if known else part
    return here if here != path and fits(here) else None
