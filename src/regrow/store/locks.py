"""Locks between processes, which end with the process that holds them, however it ends."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryFile

_PAUSE = 0.05
"""Seconds between two tries: short enough not to be felt, long enough not to be seen in ``top``."""
_NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP, errno.EINVAL, errno.EBADF)
"""What Lustre, NFS, FUSE and others answer."""


@contextmanager
def locked(path: Path, waiting: Callable[[], None] | None = None) -> Iterator[None]:
    """Hold the lock named by ``path``, one holder at a time among all threads and processes.

    Args:
        path: a file to make for the purpose.
        waiting: called again and again while somebody else holds the lock; may raise to give up.
    """
    while (descriptor := acquire(path)) is None:
        if waiting is not None:
            waiting()
        time.sleep(_PAUSE)
    try:
        yield
    finally:
        release(descriptor)


def acquire(path: Path, flags: int = os.O_RDWR | os.O_CREAT) -> int | None:
    """Take the lock and return its descriptor, or None at once if somebody else holds it.

    Raises:
        OSError: with ``ENOLCK`` and the path where the disk has no locks, however it says so.
    """
    import fcntl  # here, so that Windows can at least import what needs no lock

    descriptor = os.open(path, flags, 0o666)
    try:
        with _refusals(path):
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # A lock file may have been removed between the opening and the locking: that lock would protect nothing.
        if os.path.samestat(os.fstat(descriptor), path.stat()):
            return descriptor
    except (BlockingIOError, FileNotFoundError):
        pass
    except BaseException:
        os.close(descriptor)
        raise
    os.close(descriptor)
    return None


def require_byte_locks(folder: Path) -> None:
    """Raise unless bytes of files in a folder can be locked, as databases do: some disks lock whole files only.

    Raises:
        OSError: as :func:`acquire`.
    """
    import fcntl

    try:
        file = TemporaryFile(dir=folder)  # noqa: SIM115 (what it says of a name of its own choice would help nobody)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(folder)) from error
    with file, _refusals(folder):
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


@contextmanager
def _refusals(path: Path) -> Iterator[None]:
    """Give the ways in which disks say that they have no locks one number, and the path."""
    try:
        yield
    except OSError as error:
        if error.errno in _NO_LOCKS:
            raise OSError(errno.ENOLCK, error.strerror, str(path)) from error
        raise


def release(descriptor: int) -> None:
    """Give a lock back. Unlocked and not only closed, since a forked child may have the descriptor too."""
    import fcntl

    fcntl.flock(descriptor, fcntl.LOCK_UN)
    os.close(descriptor)


def remove_unheld(path: Path) -> bool:
    """Remove a lock file unless somebody holds the lock; says whether it is gone."""
    try:
        descriptor = acquire(path, os.O_RDWR)
    except FileNotFoundError:
        return True
    if descriptor is None:
        return False
    path.unlink()
    release(descriptor)
    return True
