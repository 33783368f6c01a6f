"""Copies of files that cost as little as the disk allows, and are nobody's but ours.

Where a disk can do it, a copy shares the bytes of its original until either is written to: it takes no time and no
room. A hard link would be as cheap and is no copy: whoever edits the original in place would change an artifact of the
store, and what the store makes read-only would be read-only for its author.
"""

from __future__ import annotations

import hashlib
import shutil
import sys
from pathlib import Path
from typing import BinaryIO

from regrow.store.digest import sha256_file

_FICLONE = 0x40049409  # of linux/fs.h
_PIECE = 1 << 20


def copy(source: Path, target: Path) -> None:
    """Copy a file's contents to a new file."""
    with source.open("rb") as given, target.open("xb") as made:
        if not _shared(given, made):
            shutil.copyfileobj(given, made, _PIECE)


def copy_hashed(source: Path, target: Path) -> str:
    """The same; the sha256 of what was written. Bytes are read once, for both."""
    with source.open("rb") as given, target.open("xb") as made:
        if not _shared(given, made):
            digest = hashlib.sha256()
            while piece := given.read(_PIECE):
                made.write(piece)
                digest.update(piece)
            return digest.hexdigest()
    return sha256_file(target)


def _shared(given: BinaryIO, made: BinaryIO) -> bool:
    """Whether a new, empty file was made to share the bytes of another."""
    if sys.platform != "linux":
        return False
    import fcntl

    try:
        fcntl.ioctl(made.fileno(), _FICLONE, given.fileno())
    except OSError:  # the disk cannot, or they are on two
        return False
    return True
