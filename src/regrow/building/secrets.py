"""The secrets of sources whose texts may not be shared: each is in the list of its files, which lies beside the texts.

A secret is made once, when the source is locked first, and kept for as long as it is there: with another one every
document would have another id, and nobody could open the commitments of releases that were made before. So no list is
ever removed, and none is written anywhere but beside the texts, for their owner's eyes alone and behind Git's back.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from regrow.errors import InputError
from regrow.recipe.lock import Lock
from regrow.recipe.pin import WITHHELD, Pins
from regrow.store import write_atomic

_IGNORED = "# What lies here hides texts that may not be shared. Keep a copy of it where they are kept.\n*\n"


def secret_of(source: str, lock: Lock | None, texts: Path) -> str:
    """The secret of a source: that of its lock, or else of a list that lies beside its texts, or else a new one.

    Args:
        source: its name.
        lock: of its recipe, if there is one.
        texts: the folder beside whose texts the lists lie.

    Raises:
        InputError: if the lock names a list that is not there.
    """
    for locked in lock.sources if lock is not None else ():
        if locked.name == source and locked.withheld:
            if locked.pins.missing:
                raise _lost(source, texts / locked.list_path)
            return locked.pins.secret
    return next((found for path in _newest_first(texts, source) if (found := _read(path))), "") or secrets.token_hex(32)


def keep(lists: Mapping[str, str], texts: Path) -> None:
    """Write lists of files that may not be shared, beside their texts.

    Args:
        lists: path -> list.
        texts: the folder beside whose texts they lie.

    Raises:
        InputError: if they cannot be written.
    """
    new = {texts / path: text for path, text in lists.items() if not (texts / path).is_file()}
    if not new:
        return
    folder = texts / WITHHELD
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        write_atomic(folder / ".gitignore", _IGNORED)
        for path, text in new.items():
            write_atomic(path, text)
            path.chmod(0o600)
    except OSError as error:
        raise InputError(
            f"the secrets of texts that may not be shared cannot be kept: {error.strerror}",
            where=str(folder),
            why="without them nobody could ever build the release again, or show that a text is part of it",
            hint="make the folder of the texts writable",
        ) from error


def _newest_first(texts: Path, source: str) -> list[Path]:
    return sorted((texts / WITHHELD).glob(f"{source}-{'[0-9a-f]' * 12}.sha256"), key=_written, reverse=True)


def _written(path: Path) -> tuple[int, str]:
    return path.stat().st_mtime_ns, path.name


def _read(path: Path) -> str:
    """The secret in a list; empty if it is damaged."""
    with suppress(OSError, ValueError):
        return Pins.parse(path.read_text("utf-8")).secret
    return ""


def _lost(source: str, path: Path) -> InputError:
    return InputError(
        f"the secret of source `{source}` is not here",
        where=str(path),
        why="its texts may not be shared; the lock names their list by its digest, and only who holds them has it",
        hint=f"if you do, put `{WITHHELD}` back from where the lock was made; if it is lost, delete the lock: a new "
        "secret is made then, and releases get other digests. Others check a release with `regrow verify`",
    )
