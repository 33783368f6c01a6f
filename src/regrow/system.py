"""What regrow runs on: said at the start, since elsewhere the first lock or the first process would fail for it."""

from __future__ import annotations

import sys

from regrow.errors import RegrowError


def require_known_system() -> None:
    """Refuse Windows itself.

    Raises:
        RegrowError: saying what to do instead.
    """
    if sys.platform == "win32":
        raise RegrowError(
            "regrow does not run on Windows itself",
            why="it locks files, tells users apart and watches processes as Linux and macOS do",
            hint="the Windows Subsystem for Linux is a Linux, in which all of it runs: `wsl --install`",
        )
