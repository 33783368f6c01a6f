"""What one process has in hand: new directories to fill, and a claim on artifacts so that nobody sweeps them away.

Both live in a directory below ``tmp/`` that is locked as long as the process lives. After a ``kill -9`` the lock is
gone, and whoever collects garbage next may take the directory away.
"""

from __future__ import annotations

import os
import re
import secrets
from collections.abc import Iterator
from pathlib import Path

from regrow.store.atomic import remove_tree
from regrow.store.locks import acquire, locked, release, remove_unheld

_NAME = re.compile(r"[0-9a-f]{16}")
"""What :class:`Session` calls its directories; anything else in ``tmp`` is somebody's own."""


class Session:
    """A locked directory below ``tmp``. Use it in the process that made it."""

    def __init__(self, tmp: Path) -> None:
        self.process = os.getpid()
        self._tmp = tmp
        with locked(tmp / "lock"):  # so that no sweep comes between making and locking
            self.path = tmp / secrets.token_hex(8)
            (self.path / "held").mkdir(parents=True)
            descriptor = acquire(self.path / "lock")
        assert descriptor is not None, "nobody else knows this name"
        self._descriptor = descriptor

    def fresh(self) -> Path:
        """A new, empty directory."""
        path = self.path / secrets.token_hex(8)
        path.mkdir()
        return path

    def hold(self, digest: str) -> None:
        """Claim an artifact for as long as this session lasts."""
        (self.path / "held" / digest).touch()

    def close(self) -> None:
        """Remove the directory and everything still in it."""
        if self.process == os.getpid():  # a forked child must not tidy up after its parent
            remove_tree(self.path)
            release(self._descriptor)


def held(tmp: Path, digest: str) -> bool:
    """True if a live session claims the artifact. Sessions that died claim nothing."""
    return any((session / "held" / digest).exists() and _alive(session) for session in _sessions(tmp))


def dead(tmp: Path) -> Iterator[Path]:
    """The directories of sessions whose process is gone; none can start while the caller looks at one."""
    with locked(tmp / "lock"):
        yield from (path for path in _sessions(tmp) if not _alive(path))


def _sessions(tmp: Path) -> list[Path]:
    found = (path for path in tmp.iterdir() if _NAME.fullmatch(path.name))
    return sorted(path for path in found if path.is_dir() and not path.is_symlink())


def _alive(session: Path) -> bool:
    return not remove_unheld(session / "lock")
