"""Are the files of a release the ones its SHA256SUMS lists?"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from regrow.errors import RecipeError
from regrow.release.layout import SUMS, UNCOVERED
from regrow.store import sha256_bytes, sha256_file

_LINE = re.compile(r"(?P<sha256>[0-9a-f]{64})  (?P<path>[^\\\n]+)")


@dataclass(frozen=True)
class FileCheck:
    """What became of the files that SHA256SUMS lists.

    Attributes:
        digest: the release digest, that is, the sha256 of SHA256SUMS as it is.
        damaged: files with other bytes than listed, and what is no file, such as a pipe or a link to nothing. If it
            is SHA256SUMS itself, nothing is said about the others.
        missing: files that are listed but not there.
        extra: files that are there but not listed.
        listed: path -> sha256, as listed.
    """

    digest: str
    damaged: tuple[str, ...]
    missing: tuple[str, ...]
    extra: tuple[str, ...]
    listed: dict[str, str]

    @property
    def whole(self) -> bool:
        """True if every file is as listed and there is no other."""
        return not (self.damaged or self.missing or self.extra)


def check_files(release: Path) -> FileCheck:
    """Compare a release with its own list of checksums.

    A link counts as the file it leads to: model hubs lay out their caches so.

    Raises:
        RecipeError: if it is not a release.
    """
    path = release / SUMS
    if not path.is_file():
        raise RecipeError(
            "not a release", where=str(release), why=f"it has no {SUMS}", hint="`regrow build` makes releases"
        )
    raw = path.read_bytes()
    listed = _listed(raw)
    if listed is None:
        return FileCheck(sha256_bytes(raw), damaged=(SUMS,), missing=(), extra=(), listed={})
    there = set(_covered(release))
    return FileCheck(
        digest=sha256_bytes(raw),
        damaged=tuple(sorted(name for name in there & set(listed) if not _is(release / name, listed[name]))),
        missing=tuple(sorted(set(listed) - there)),
        extra=tuple(sorted(there - set(listed))),
        listed=listed,
    )


def _is(path: Path, sha256: str) -> bool:
    """Whether a path leads to a file with this hash. A pipe or a device is not read: it might never end."""
    return path.is_file() and sha256_file(path) == sha256


def _listed(raw: bytes) -> dict[str, str] | None:
    """The checksums by path; None if the list is not just as regrow writes it, to the byte, as its digest is made of.

    Sorted, each path once, a line feed behind each, and nowhere a way out of the release.
    """
    lines = [_LINE.fullmatch(line) for line in raw.decode("utf-8", "replace").splitlines()]
    listed = {line["path"]: line["sha256"] for line in lines if line}
    again = "".join(f"{listed[path]}  {path}\n" for path in sorted(listed, key=str.encode))
    return listed if again.encode() == raw and not any(map(_leaves, listed)) else None


def _leaves(path: str) -> bool:
    """True for a path that could lead out of the release."""
    return path.startswith("/") or ".." in path.split("/")


def _covered(release: Path) -> Iterator[str]:
    """Paths of all files that the digest should cover, folders that are links included as if they were files."""
    for folder, folders, names in os.walk(release):
        links = [name for name in folders if Path(folder, name).is_symlink()]
        for name in names + links:
            path = Path(folder, name).relative_to(release).as_posix()
            if path.partition("/")[0] not in UNCOVERED:
                yield path
