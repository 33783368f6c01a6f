"""Where compiled kernels are kept: machine code, so only what this user, or whoever installed this package, put there.

A file holds one kernel for one kind of arguments, one processor, and one state of everything it was made by, all of
which its name stands for; so processes and machines that share a folder never take each other's. It appears in one
step and begins with its checksum. Whatever cannot be kept or read is compiled again, and nothing else comes of it.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import stat
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import IO

_SECONDS_KEPT = 7 * 24 * 3600.0
_CHECKSUM_BYTES = 32
_SECONDS_OF_PATIENCE, _SECONDS_BETWEEN = 120.0, 0.05


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


@contextmanager
def turn(name: str) -> Iterator[None]:
    """Wait while another process makes what is kept by this name, so that workers do not all compile the same.

    It is a courtesy: where nothing can be locked, or the other one takes long, both make it, with the same result.
    """
    with ExitStack() as held:
        if lock := next(filter(None, (_opened(folder / f"{name}.lock") for folder in folders())), None):
            held.enter_context(lock)
            held.callback(_unlinked, lock.name)
            patience = time.monotonic() + _SECONDS_OF_PATIENCE
            while not _locked(lock) and time.monotonic() < patience:
                time.sleep(_SECONDS_BETWEEN)
        yield


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


def _opened(path: Path) -> IO[bytes] | None:
    with suppress(OSError):
        if _made(path.parent):
            return path.open("ab")
    return None


def _locked(lock: IO[bytes]) -> bool:
    """Take a lock that no child inherits and that ends with the process; whether nobody else has it."""
    try:
        fcntl.lockf(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):  # as POSIX has it, either
        return False
    except OSError:
        return True  # nothing can be locked here
    return True


def _unlinked(path: str) -> None:
    with suppress(OSError):
        Path(path).unlink()


def _made(folder: Path) -> bool:
    """Make a folder, if it is not there; whether nobody else could have put something in it."""
    if not folder.is_dir():
        # Not below a folder that others may write to, such as a temporary one of this name that is another user's.
        folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not _trusted(folder.parent.lstat()):
            return False
        folder.mkdir(exist_ok=True)
        _forget_others(folder)
    return True


def _write(folder: Path, name: str, data: bytes) -> bool:
    """Write a file in one step; whether that was possible, and nobody else could have put something there."""
    try:
        if not _made(folder):
            return False
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
