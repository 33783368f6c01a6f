"""Names for content: sha256 of bytes, of files, of directories and of plain values.

The digest of a directory is the sha256 of exactly the text ``sha256sum`` writes about its files, so a stranger needs
nothing of ours to check one: ``sha256sum -c SHA256SUMS && sha256sum SHA256SUMS``. Contents and names count;
permissions, dates and the order in which files were made do not.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
from collections.abc import Collection
from pathlib import Path
from typing import Any

from regrow.errors import StageError

# `sha256sum` escapes backslashes and line breaks (and takes `-` for standard input); a surrogate is a byte that is not
# UTF-8; control characters are a nuisance everywhere.
_UNLISTABLE = re.compile(r"[\x00-\x1f\x7f\\\ud800-\udfff]")


def sha256_bytes(data: bytes) -> str:
    """The sha256 of ``data``, as 64 hex digits."""
    return hashlib.sha256(data).hexdigest()


def sha256_file(path: Path) -> str:
    """The sha256 of a file's bytes, as 64 hex digits."""
    with path.open("rb", buffering=0) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def files(directory: Path, exclude: Collection[str] = ()) -> list[str]:
    """The relative POSIX paths of all files below ``directory``, in the order of their bytes.

    What a list of checksums cannot say without doubt is refused: links, devices, empty folders and odd names.

    Args:
        directory: where to look.
        exclude: relative paths of files, or of folders with all that is in them, to leave out.
    """
    return [path for path, _ in entries(directory, exclude)]


def entries(directory: Path, exclude: Collection[str] = ()) -> list[tuple[str, os.DirEntry[str]]]:
    """The same paths, each with what the disk has there."""
    found: dict[str, os.DirEntry[str]] = {}
    pending = [""]
    while pending:
        folder = pending.pop()
        with os.scandir(directory / folder) as listing:
            here = list(listing)
        if folder and not here:
            raise _refused(folder, "is an empty folder")
        above = f"{folder}/" if folder else ""
        if exclude:
            here = [entry for entry in here if above + entry.name not in exclude]
        _require_listable(above, [entry.name for entry in here])
        for entry in here:
            path = above + entry.name
            if entry.is_file(follow_symlinks=False):
                found[path] = entry
            else:
                _require_folder(entry, path)
                pending.append(path)
    # Code points have the order of their bytes in UTF-8, and there are no surrogates.
    return [(path, found[path]) for path in sorted(found)]


def sums(directory: Path, exclude: Collection[str] = ()) -> str:
    """What ``sha256sum`` would print for the files of a directory, ordered by the bytes of their paths."""
    return "".join(f"{sha256_file(directory / path)}  {path}\n" for path in files(directory, exclude))


def tree_digest(directory: Path) -> str:
    """The digest of a directory: the sha256 of its :func:`sums`."""
    return sha256_bytes(sums(directory).encode())


def canonical_json(value: Any) -> bytes:
    """The one way to write ``value`` as JSON: sorted keys, no spaces, UTF-8.

    Raises:
        ValueError: for anything but plain JSON, subclasses included: two values that are written alike but
            behave differently must not share a digest.
    """
    _require_plain(value, "value")
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def _require_listable(above: str, names: list[str]) -> None:
    """Refuse names in a folder that cannot stand in a list. Nearly always all can, so they are looked at together."""
    if _UNLISTABLE.search("/".join(names)) or (not above and "-" in names):
        name = next(name for name in names if (not above and name == "-") or _UNLISTABLE.search(name))
        raise _refused(ascii(above + name)[1:-1], "has a name that checksum lists cannot hold")


def _require_folder(entry: os.DirEntry[str], path: str) -> None:
    """Refuse what is neither a file, as was seen before, nor a folder."""
    if not entry.is_dir(follow_symlinks=False):
        raise _refused(path, "is a symbolic link" if entry.is_symlink() else "is neither a file nor a folder")


def _refused(path: str, trouble: str) -> StageError:
    return StageError(
        f"`{path}` {trouble}",
        why="a directory with a digest holds only plain files with plain names",
        hint="remove or rename it",
    )


def _require_plain(value: Any, where: str) -> None:
    if value is None or type(value) in (bool, int):
        return
    if type(value) is float and math.isfinite(value):
        return
    if type(value) is str:
        value.encode()  # a lone surrogate is a UnicodeEncodeError, which is a ValueError
    elif type(value) is list:
        for index, item in enumerate(value):
            _require_plain(item, f"{where}[{index}]")
    elif type(value) is dict:
        for key, item in value.items():
            if type(key) is not str:
                raise ValueError(f"{where} has the key {key!r}, which is not a string")
            _require_plain(key, where)
            _require_plain(item, f"{where}.{key}")
    else:
        raise ValueError(f"{where} is {value!r}, which is not plain JSON")
