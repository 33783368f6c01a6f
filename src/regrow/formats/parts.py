"""Artifacts in parts: a folder of folders, each of which is what an artifact in one part is.

An artifact in one part has its files at its top. In several, they lie in ``part-00000-of-00004`` and so on, and the
rows of the parts, one part after the other, are in the order that they would have in one.
"""

from __future__ import annotations

import re
from pathlib import Path

from regrow.errors import StageError

_NAME = re.compile(r"part-(\d{5})-of-(\d{5})")


def folder(artifact: Path, part: int, count: int) -> Path:
    """Where a part of an artifact lies, from 0: the artifact itself if it is the only one."""
    return artifact if count == 1 else artifact / f"part-{part:05}-of-{count:05}"


def made(artifact: Path, part: int, count: int) -> Path:
    """The same, as a folder that is there."""
    found = folder(artifact, part, count)
    found.mkdir(parents=True, exist_ok=True)
    return found


def count(name: str) -> int:
    """How many parts there are, by the name of the folder of one; one if it is no such name."""
    found = _NAME.fullmatch(name)
    return int(found[2]) if found else 1


def folders(artifact: Path) -> tuple[Path, ...]:
    """The parts of an artifact, in their order.

    Raises:
        StageError: if one is missing.
    """
    names = sorted(path.name for path in artifact.iterdir() if _NAME.fullmatch(path.name))
    if not names:
        return (artifact,)
    whole = count(names[-1])
    wanted = [folder(artifact, part, whole).name for part in range(whole)]
    if missing := sorted({*wanted} - {*names}):
        raise StageError(f"{artifact.name} has no {missing[0]}", where=str(artifact), why=f"it is in {whole} parts")
    return tuple(artifact / name for name in wanted)
