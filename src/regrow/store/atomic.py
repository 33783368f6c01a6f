"""Files and directories that are there whole or not at all: written aside, synced, then renamed into place."""

from __future__ import annotations

import os
import re
import secrets
import shutil
import stat
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from regrow.store.locks import acquire, release

_RENAME_EXCHANGE = 2
_YOUNG = 60.0
"""Seconds in which the maker of a directory has surely come to lock it."""
_MANY = 64
"""Files below a directory from which on the disk is asked once for all of them."""


def write_atomic(path: Path, data: bytes | str) -> None:
    """Write a file so that, come what may, ``path`` holds either what it held before or all of ``data``."""
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = _aside(path)
    try:
        with aside.open("xb") as file:
            file.write(data.encode() if isinstance(data, str) else data)
            file.flush()
            os.fsync(file.fileno())
        aside.replace(path)
    except OSError as error:
        aside.unlink(missing_ok=True)
        raise OSError(error.errno, error.strerror, str(path)) from error  # nobody else knows the name beside it
    except BaseException:
        aside.unlink(missing_ok=True)
        raise
    sync(path.parent)


@contextmanager
def new_directory(path: Path) -> Iterator[Path]:
    """An empty directory to fill, which takes the place of ``path`` when the block ends well and goes when it does not.

    A directory that was at ``path`` is removed with all it holds, so be sure that it is yours. So is what processes
    that were killed in such a block left behind.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = _aside(path)
    try:
        aside.mkdir()
        with _held(aside):
            yield aside
            sync_tree(aside)
            _swap(aside, path)
    except BaseException:
        remove_tree(aside)
        raise
    sync(path.parent)
    _sweep(path)


def copy_tree(source: Path, destination: Path) -> None:
    """Copy contents and names into ``destination``, which is made where needed; everybody's usual permissions apply.

    Read-only artifacts thus come out as files that can be changed. Not atomic: meant for a :func:`new_directory`.
    """
    destination.mkdir(parents=True, exist_ok=True)
    for entry in source.iterdir():
        if entry.is_dir():
            copy_tree(entry, destination / entry.name)
        else:
            shutil.copyfile(entry, destination / entry.name)


def sync(path: Path) -> None:
    """Wait until a file's bytes, or a directory's names, are on the disk."""
    if os.name == "nt" and path.is_dir():
        return  # Windows cannot open directories
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_tree(directory: Path) -> None:
    """Wait until a directory and everything below it is on the disk.

    Each :func:`sync` waits for the disk by itself, 40 s for 10,000 files that are written in one. For many files Linux
    is asked once to write whatever the file system has to write, others' files too, and to say when all of it is there:
    the same promise. Of a disk that fails to write meanwhile it tells since version 5.8; before, as after any damage,
    what is not there shows when the artifact is read, since its digest is another, and is built again.
    """
    folders = [(Path(folder), names) for folder, _, names in os.walk(directory)]
    if sum(len(names) for _, names in folders) >= _MANY and _sync_disk(directory):
        return
    for folder, names in folders:
        for name in names:
            sync(folder / name)
        sync(folder)


def freeze_tree(directory: Path) -> None:
    """Take the permission to write from everything below ``directory``, but not from itself: it could not be moved."""
    for folder, folders, names in os.walk(directory):
        for name in folders + names:
            chmod(Path(folder, name), remove=0o222)


def chmod(path: Path, *, add: int = 0, remove: int = 0) -> None:
    """Add and remove single permissions."""
    path.chmod(stat.S_IMODE(path.stat().st_mode) & ~remove | add)


def remove_tree(directory: Path) -> None:
    """Remove a directory, read-only or not; it is no error if it is gone already."""
    for folder, _, _ in os.walk(directory):
        with suppress(FileNotFoundError):
            chmod(Path(folder), add=0o700)
    with suppress(FileNotFoundError):
        shutil.rmtree(directory)


def _aside(path: Path) -> Path:
    """A name beside ``path``, thus on the same disk, that nobody else has."""
    return path.with_name(f".{path.name}.{secrets.token_hex(8)}")


def _swap(new: Path, path: Path) -> None:
    """Rename ``new`` to ``path``, and remove what was there.

    No usual call renames over a directory with files in it. Where two names cannot be exchanged, the old directory
    steps aside.
    """
    if _exchange(new, path):
        remove_tree(new)
        return
    old = _aside(path)
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
    remove_tree(old)


def _exchange(one: Path, other: Path) -> bool:
    """Exchange two names in one step, as Linux can on most disks; False if that was not done."""
    if sys.platform != "linux":
        return False
    import ctypes

    call = getattr(ctypes.CDLL(None), "renameat2", None)
    names = os.fsencode(one.absolute()), os.fsencode(other.absolute())
    return call is not None and call(-1, names[0], -1, names[1], _RENAME_EXCHANGE) == 0


def _sync_disk(directory: Path) -> bool:
    """Wait until the whole file system that holds a directory is on the disk; False if that was not done."""
    if sys.platform != "linux":
        return False
    import ctypes

    if (call := getattr(ctypes.CDLL(None), "syncfs", None)) is None:
        return False
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        return bool(call(descriptor) == 0)  # after a failure the files are asked one by one, which says what is wrong
    finally:
        os.close(descriptor)


@contextmanager
def _held(directory: Path) -> Iterator[None]:
    """Show others that somebody works on the directory, as long as the process lives."""
    descriptor = None
    with suppress(OSError, ImportError):  # not every disk and system has locks
        descriptor = acquire(directory, os.O_RDONLY)
    try:
        yield
    finally:
        if descriptor is not None:
            release(descriptor)


def _sweep(path: Path) -> None:
    """Remove what killed processes left beside ``path``."""
    name = re.compile(rf"\.{re.escape(path.name)}\.[0-9a-f]{{16}}")
    for left in path.parent.iterdir():
        if name.fullmatch(left.name):
            with suppress(OSError, ImportError):
                _remove_unheld(left)


def _remove_unheld(directory: Path) -> None:
    if time.time() - directory.stat().st_mtime < _YOUNG:
        return
    if (descriptor := acquire(directory, os.O_RDONLY)) is not None:
        try:
            remove_tree(directory)
        finally:
            release(descriptor)
