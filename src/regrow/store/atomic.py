"""Files and directories that are there whole or not at all: written aside, synced, then renamed into place."""

from __future__ import annotations

import os
import secrets
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


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
    except BaseException:
        aside.unlink(missing_ok=True)
        raise
    sync(path.parent)


@contextmanager
def new_directory(path: Path) -> Iterator[Path]:
    """An empty directory to fill, which takes the place of ``path`` when the block ends well and goes when it does not.

    A directory that was at ``path`` is removed with all it holds, so be sure that it is yours.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = _aside(path)
    try:
        aside.mkdir()
        yield aside
        sync_tree(aside)
        _swap(aside, path)
    except BaseException:
        remove_tree(aside)
        raise
    sync(path.parent)


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
    """Wait until a directory and everything below it is on the disk."""
    for folder, _, names in os.walk(directory):
        for name in names:
            sync(Path(folder, name))
        sync(Path(folder))


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
    """Rename ``new`` to ``path``; no call renames over a directory with files in it, so the old one steps aside."""
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
