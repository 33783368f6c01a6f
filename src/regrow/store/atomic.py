"""Files and directories that are there whole or not at all: written aside, synced, then renamed into place.

What is written aside is locked as long as its maker lives, on this host or on another, so that the next one may remove
what a killed one left. On a disk without locks nobody does.
"""

from __future__ import annotations

import errno
import os
import re
import secrets
import shutil
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from regrow.errors import StageError
from regrow.store.copying import copy
from regrow.store.faults import WRITING, place
from regrow.store.locks import acquire, release

_RENAME_EXCHANGE = 2
_MANY = 64
"""Files from which on one call for the whole disk is faster than one for each."""
_UNKNOWN = (errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EPERM)
"""What disks answer that do not have a call: CIFS, VirtualBox, FUSE and vfat lack some that others have."""


def write_atomic(path: Path, data: bytes | str) -> None:
    """Write a file so that, come what may, ``path`` holds either what it held before or all of ``data``."""
    with new_file(path) as file:
        file.write(data.encode() if isinstance(data, str) else data)


@contextmanager
def new_file(path: Path) -> Iterator[BinaryIO]:
    """A file to write to, which takes the place of ``path`` when the block ends well and goes when it does not."""
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with _aside(path) as aside:
            with aside.open("xb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            aside.replace(path)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error  # nobody else knows the name beside it
    sync(path.parent)


@contextmanager
def new_directory(path: Path) -> Iterator[Path]:
    """An empty directory to fill, which takes the place of ``path`` when the block ends well and goes when it does not.

    A directory that was at ``path`` is removed with all it holds, so be sure that it is yours.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with _aside(path) as aside:
            aside.mkdir()
            yield aside
            sync_tree(aside)
            _swap(aside, path)
    except OSError as error:
        if error.errno in WRITING and not place(error):  # a failed write does not say of what
            raise OSError(error.errno, error.strerror, str(path)) from error
        raise
    sync(path.parent)


def move_tree(source: Path, target: Path) -> None:
    """Move a directory to where nothing is: in one step, also to another disk, where a copy takes that step.

    What looks like one disk need not be: folders of it may be mounted or linked from elsewhere.
    """
    try:
        source.rename(target)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        with new_directory(target) as copy:
            copy_tree(source, copy)
        remove_tree(source)


def copy_tree(source: Path, destination: Path) -> None:
    """Copy contents and names into ``destination``, which is made where needed; everybody's usual permissions apply.

    Read-only artifacts thus come out as files that can be changed. Not atomic: meant for a :func:`new_directory`.
    """
    destination.mkdir(parents=True, exist_ok=True)
    for entry in source.iterdir():
        if entry.is_dir():
            copy_tree(entry, destination / entry.name)
        else:
            require_new(destination / entry.name)
            copy(entry, destination / entry.name)


def require_new(path: Path) -> None:
    """Raise if a file that is about to be made is there already, as on disks that take two names for one."""
    if os.path.lexists(path):
        raise StageError(
            f"the disk already has a file called `{path.name}`",
            where=str(path.parent),
            why="some disks take names for the same that differ only in case or in how accents are written",
            hint="rename one of the files, or set REGROW_STORE to a disk that tells them apart",
        )


def sync(path: Path) -> None:
    """Wait until a file's bytes, or a directory's names, are on the disk. Some disks can only do that for files."""
    folder = path.is_dir()
    try:
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        if not folder or error.errno not in (*_UNKNOWN, errno.EBADF, errno.EACCES):
            raise OSError(error.errno, error.strerror, str(path)) from error  # which of many it was, else nobody knows


def sync_tree(directory: Path) -> None:
    """Wait until a directory and everything below it is on the disk.

    Each call for a file waits for the disk's journal, which for thousands takes minutes. Linux has one for all that is
    on a disk; it waits for what others wrote there too, but only once.
    """
    paths = [Path(folder, name) for folder, _, names in os.walk(directory) for name in (*names, "")]
    if len(paths) < _MANY or not _sync_disk(directory):
        for path in paths:
            sync(path)


def _sync_disk(path: Path) -> bool:
    """Wait until everything on the disk of ``path`` is there; False if that was not done."""
    if sys.platform != "linux":
        return False
    import ctypes

    call = getattr(ctypes.CDLL(None, use_errno=True), "syncfs", None)
    descriptor = os.open(path, os.O_RDONLY)
    try:
        return call is not None and call(descriptor) == 0
    finally:
        os.close(descriptor)


def freeze_tree(directory: Path) -> None:
    """Take the permission to write from a directory and everything below it."""
    for folder, _, names in os.walk(directory):
        for name in ("", *names):
            chmod(Path(folder, name), remove=0o222)


def chmod(path: Path, *, add: int = 0, remove: int = 0) -> None:
    """Add and remove single permissions, on disks that have some: what needs them will say so."""
    try:
        path.chmod(stat.S_IMODE(path.stat().st_mode) & ~remove | add)
    except OSError as error:
        if error.errno not in _UNKNOWN:
            raise


def remove_tree(directory: Path) -> None:
    """Remove a directory, read-only or not; it is no error if it is gone already."""
    for folder, _, _ in os.walk(directory):
        with suppress(FileNotFoundError):
            chmod(Path(folder), add=0o700)
    with suppress(FileNotFoundError):
        shutil.rmtree(directory)


@contextmanager
def _aside(path: Path) -> Iterator[Path]:
    """A name beside ``path``, thus on the same disk, that nobody else has; what still has it afterwards is removed.

    So is, if the block ends well, what others left there who were killed.
    """
    aside, descriptor = _claimed(path)
    try:
        yield aside
        if descriptor is not None:
            _sweep(path)
    finally:
        with suppress(OSError):  # somebody may still read there what was replaced; the next one removes it
            _remove(aside)
            _lock_of(aside).unlink(missing_ok=True)
        if descriptor is not None:
            release(descriptor)


def _claimed(path: Path) -> tuple[Path, int | None]:
    """A name beside ``path`` and the lock of it, if this disk and system have locks."""
    while True:
        aside = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
        try:
            descriptor = acquire(_lock_of(aside))
        except (OSError, ImportError):
            return aside, None
        if descriptor is not None:  # else it was swept before it was locked
            return aside, descriptor


def _lock_of(aside: Path) -> Path:
    """A file beside it, since NFS locks no directories. It is there first: nobody finds a maker's work unlocked."""
    return aside.with_name(f"{aside.name}.lock")


def _sweep(path: Path) -> None:
    """Remove what killed processes left beside ``path``."""
    name = re.compile(rf"(\.{re.escape(path.name)}\.[0-9a-f]{{16}})(\.lock)?")
    with suppress(OSError):
        left = {found[1] for other in path.parent.iterdir() if (found := name.fullmatch(other.name))}
        for aside in map(path.with_name, sorted(left)):
            if (descriptor := acquire(_lock_of(aside))) is not None:
                try:
                    _remove(aside)
                    _lock_of(aside).unlink(missing_ok=True)
                finally:
                    release(descriptor)


def _remove(path: Path) -> None:
    """Remove a file, or a directory with all it holds, if it is there."""
    remove_tree(path) if path.is_dir() and not path.is_symlink() else path.unlink(missing_ok=True)


def _swap(new: Path, path: Path) -> None:
    """Rename ``new`` to ``path``, and remove what was there.

    No usual call renames over a directory with files in it. Where two names cannot be exchanged, the old directory
    steps aside.
    """
    if _exchange(new, path):
        return
    with _aside(path) as old:
        try:
            path.rename(old)
        except FileNotFoundError:
            new.rename(path)
            return
        try:
            new.rename(path)
        except BaseException:
            old.rename(path)
            raise


def _exchange(one: Path, other: Path) -> bool:
    """Exchange two names in one step, as Linux can on most disks; False if that was not done."""
    if sys.platform != "linux":
        return False
    import ctypes

    call = getattr(ctypes.CDLL(None), "renameat2", None)
    names = os.fsencode(one.absolute()), os.fsencode(other.absolute())
    return call is not None and call(-1, names[0], -1, names[1], _RENAME_EXCHANGE) == 0
