"""What regrow runs on: systems, of which one is refused at the start, Python, and variables of the environment."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

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


def is_wished(variable: str) -> bool:
    """Whether an environment variable that is a switch is on: set, and to anything but 0."""
    return os.environ.get(variable, "") not in ("", "0")


@contextmanager
def uncollected() -> Iterator[None]:
    """Within the block Python looks for no cycles. Where hundreds of thousands of objects come to stay that have none,
    looking at all of them again and again is up to a third of the time.
    """
    if not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def give_back() -> None:
    """Give the memory that Arrow keeps for tables to come back to the system: hundreds of MB behind large ones."""
    if pool := getattr(sys.modules.get("pyarrow"), "default_memory_pool", None):
        pool().release_unused()
