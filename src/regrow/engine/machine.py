"""What this machine has for a build: its memory, as far as this process may use it, and the room on a disk."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Machine:
    """What there is. None where nobody can tell.

    Attributes:
        memory_bytes: the machine's, or less if the process is in a container or a group that may not have all of it.
        disk_bytes: free where the store is.
    """

    memory_bytes: int | None = None
    disk_bytes: int | None = None


def machine(store: Path) -> Machine:
    """What there is here, for a store in a folder that need not exist yet."""
    limits = [limit for limit in (_physical(), *control_groups(Path("/"))) if limit is not None]
    return Machine(min(limits, default=None), _free(store))


def _physical() -> int | None:
    with suppress(OSError, ValueError, AttributeError):
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return None


def control_groups(root: Path) -> Iterator[int]:
    """The limits of the control groups that the process is in, and of those around them; version 2 first, then 1."""
    with suppress(OSError):
        for line in (root / "proc/self/cgroup").read_text("utf-8").splitlines():
            _, controllers, path = line.split(":", 2)
            if not controllers:
                yield from _limits(root / "sys/fs/cgroup", path, "memory.max")
            elif "memory" in controllers.split(","):
                yield from _limits(root / "sys/fs/cgroup/memory", path, "memory.limit_in_bytes")


def _limits(mount: Path, path: str, name: str) -> Iterator[int]:
    """The limits from a group up to the root. Inside of a container, the root is the group itself."""
    inner = Path(path.lstrip("/"))
    for group in (inner, *inner.parents):
        with suppress(OSError, ValueError):  # `max` is no number, and no limit
            yield int((mount / group / name).read_text("ascii"))


def _free(folder: Path) -> int | None:
    for place in (folder, *folder.absolute().parents):
        with suppress(OSError):
            return shutil.disk_usage(place).free
    return None


def memory_kills(root: Path = Path("/")) -> int | None:
    """How often the system has killed a process for want of memory since it was started; None if it does not say."""
    with suppress(OSError, ValueError):
        for line in (root / "proc/vmstat").read_text("ascii").splitlines():
            name, _, number = line.partition(" ")
            if name == "oom_kill":
                return int(number)
    return None
