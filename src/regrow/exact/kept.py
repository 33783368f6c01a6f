"""Where compiled kernels are kept: machine code, so only what this user, or whoever installed this package, put there.

A file holds one kernel for one kind of arguments, one processor, and one state of everything it was made by, all of
which its name stands for; so processes and machines that share a folder never take each other's. It appears in one
step and begins with its checksum. Whatever cannot be kept or read is compiled again, and nothing else comes of it.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from pathlib import Path

_SECONDS_KEPT = 7 * 24 * 3600.0
_CHECKSUM_BYTES = 32


def read(name: str) -> bytes | None:
    """What was kept by this name, or None."""
    for folder in folders():
        with suppress(OSError), (folder / name).open("rb") as file:
            if not _trusted(os.fstat(file.fileno())):
                continue
            data = file.read()
            checksum, content = data[:_CHECKSUM_BYTES], data[_CHECKSUM_BYTES:]
            if checksum == hashlib.sha256(content).digest():
                return content
    return None


def keep(name: str, content: bytes) -> bool:
    """Keep something by its name, in the first folder that takes it; whether one did."""
    return any(_write(folder, name, hashlib.sha256(content).digest() + content) for folder in folders())


@cache
def folders(package: Path = Path(__file__).parent) -> tuple[Path, ...]:
    """Where kernels of this state of the package may be, the first choice first."""
    files = b"".join(file.read_bytes() for file in sorted(package.rglob("*.py")))
    return tuple(parent / f"kernels-{hashlib.sha256(files).hexdigest()[:16]}" for parent in _parents(package))


def _parents(package: Path) -> Iterator[Path]:
    """Where Numba was asked to keep kernels; beside what Python compiled of the package; among the user's caches; and
    for a user without a home, a folder of his own among the temporary files.
    """
    if asked := os.environ.get("NUMBA_CACHE_DIR"):
        yield Path(asked)
    yield package / "__pycache__"
    with suppress(RuntimeError):
        caches = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser()
        if caches.is_absolute():
            yield caches / "regrow"
    with suppress(OSError):
        yield Path(tempfile.gettempdir(), f"regrow-{os.getuid()}")


def _write(folder: Path, name: str, data: bytes) -> bool:
    """Write a file in one step; whether that was possible, and nobody else could have put something there."""
    try:
        if not folder.is_dir():
            # Not below a folder that others may write to, such as a temporary one of this name that is another user's.
            folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            if not _trusted(folder.parent.lstat()):
                return False
            folder.mkdir(exist_ok=True)
            _forget_others(folder)
        descriptor, aside = tempfile.mkstemp(dir=folder)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(data)
                os.fchmod(file.fileno(), 0o644)
            Path(aside).replace(folder / name)
        except OSError:
            Path(aside).unlink(missing_ok=True)
            raise
    except OSError:
        return False
    return True


def _trusted(found: os.stat_result) -> bool:
    """Whether nobody but this user, or who installed the package, can have written what is there."""
    owners = {os.geteuid(), Path(__file__).stat().st_uid}
    return found.st_uid in owners and not found.st_mode & (stat.S_IWGRP | stat.S_IWOTH)


def _forget_others(found: Path) -> None:
    """Drop kernels of other states that were made long ago."""
    for other in found.parent.glob(f"kernels-{'[0-9a-f]' * 16}"):
        with suppress(OSError):
            if other != found and time.time() - other.stat().st_mtime > _SECONDS_KEPT:
                shutil.rmtree(other)
