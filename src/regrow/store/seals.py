"""What is remembered of an artifact whose bytes were read: which files it has, and how they looked then.

To read every byte of a corpus in order to use none of it is dear. So beside an artifact lies its seal: the list of its
files, of which the artifact's digest is the sha256, and a stamp made of the size, dates and inode of each, with the
bytes of all. While the stamp is the same, nothing has been written there since, as far as the disk tells: a program
that writes to a file changes its dates, and nobody can set back the one of them that the system keeps for itself
(``ctime``; on Windows there is none such, and size and date of writing have to do). What a disk spoils by itself has
the old dates, and only reading finds it. A copy of a store has other inodes, so what was copied is read once.

A seal is as good as the store it lies in: whoever may write there may write a false one. ``regrow verify`` builds in a
store of its own, and ``regrow store verify`` believes no seal.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from regrow.errors import StageError
from regrow.store.atomic import write_atomic
from regrow.store.digest import entries, sha256_bytes, sums
from regrow.system import uncollected

SUFFIX = ".seal"
_HEAD = 128  # bytes that hold the stamp


def place(artifact: Path) -> Path:
    """Where the seal of an artifact lies, if it has one."""
    return artifact.with_name(f"{artifact.name}{SUFFIX}")


def stamp(artifact: Path) -> str:
    """What the disk tells of the files of an artifact: a sha256 of how each looks, and the bytes of all.

    Raises:
        StageError: if it is no artifact.
        OSError: if it is not there.
    """
    lines, size = list[str](), 0
    with uncollected():
        for path, entry in entries(artifact):
            status = entry.stat(follow_symlinks=False)
            lines.append(f"{path}\0{_looks(status)}\n")
            size += status.st_size
    return f"{sha256_bytes(''.join(lines).encode())} {size}"


def size(artifact: Path) -> int:
    """Bytes of the files of an artifact, as its seal has them; without one, as the disk has them.

    Raises:
        StageError: if it is no artifact.
        OSError: if it is not there.
    """
    try:
        with place(artifact).open("rb") as file:
            return int(file.readline(_HEAD).split(b" ")[1])
    except (OSError, LookupError, ValueError):
        return sum(entry.stat(follow_symlinks=False).st_size for _, entry in entries(artifact))


def _looks(status: os.stat_result) -> str:
    return f"{status.st_size} {status.st_mtime_ns} {status.st_ctime_ns} {status.st_ino}"


def seal(artifact: Path, text: str, looked: str) -> None:
    """Remember an artifact: its list of checksums, and its :func:`stamp` from before it was read."""
    with suppress(OSError):  # of a store that cannot be written to nothing is remembered, and it is read every time
        write_atomic(place(artifact), f"{looked}\n{text}")


def is_sealed(artifact: Path, digest: str) -> bool:
    """Whether an artifact was whole once, and nothing has been written to it since as far as the disk tells."""
    looked, text = _read(artifact)
    try:
        return sha256_bytes(text) == digest and looked == stamp(artifact)
    except (OSError, StageError):
        return False


def listed(artifact: Path, digest: str) -> dict[str, str]:
    """Path -> sha256 of the files of an artifact that was found whole: from its seal, or else by reading them."""
    return dict(rows(artifact, digest))


def rows(artifact: Path, digest: str) -> Iterator[tuple[str, str]]:
    """The same, of which somebody may want only the first."""
    text = _read(artifact)[1]
    if sha256_bytes(text) != digest:
        text = sums(artifact).encode()
    return ((line[66:], line[:64]) for line in text.decode().split("\n") if line)


def remove(artifact: Path) -> None:
    """Forget an artifact."""
    place(artifact).unlink(missing_ok=True)


def _read(artifact: Path) -> tuple[str, bytes]:
    """Stamp and list of a seal, whatever is in it."""
    try:
        looked, _, text = place(artifact).read_bytes().partition(b"\n")
    except OSError:
        return "", b""
    return looked.decode("ascii", "replace"), text
