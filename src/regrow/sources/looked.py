"""What was seen of the author's own files, so that those which nobody touched are not read at each look.

A file that has the size, dates and inode that it had when it was read is taken for the same, as version control does
it. One that was written to just before it was read is not remembered: it may be written to again in the same tick of
the disk's clock. What is fetched is hashed in any case; this only says whether a lock is up to date.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from regrow.recipe.pin import Pin
from regrow.store import Beside, default_root, sha256_bytes, write_atomic

_HEAD = "regrow/looked/1"
_SETTLED = 2 * 10**9  # nanoseconds; no disk has a coarser clock than vfat


@dataclass
class Looked:
    """The files of a folder as they were when they were last read.

    Attributes:
        folder: the folder.
        root: where such things are kept; by default where the store is.
    """

    folder: Path
    root: Path = field(default_factory=lambda: default_root() / Beside.LOOKED)
    _now: dict[str, str] = field(default_factory=dict)

    def pin(self, name: str, read: Callable[[], Pin]) -> Pin:
        """The pin of a file: as it is remembered, or else as it is read.

        Raises:
            OSError: if the file cannot be looked at.
        """
        status = os.stat(f"{self.folder}/{name}")  # noqa: PTH116 (there may be many)
        looks = f"{status.st_size} {status.st_mtime_ns} {status.st_ctime_ns} {status.st_ino}"
        known = self._before.get(name, "")
        if known.startswith(f"{looks} ") and (pin := _pin(name, status.st_size, known[len(looks) + 1 :])) is not None:
            self._now[name] = known
            return pin
        now = time.time_ns()
        pin = read()
        if max(status.st_mtime_ns, status.st_ctime_ns) < now - _SETTLED:
            self._now[name] = f"{looks} {pin.sha256} {json.dumps(pin.licences_found)}"
        return pin

    def keep(self) -> None:
        """Remember what was seen. Where that cannot be written, files are read again the next time."""
        if self._now != self._before:
            lines = (f"{name}\0{said}\n" for name, said in self._now.items() if "\n" not in name)
            with suppress(OSError, UnicodeEncodeError):
                write_atomic(self._place, f"{_HEAD}\n{''.join(lines)}")

    @cached_property
    def _place(self) -> Path:
        return self.root / sha256_bytes(os.fsencode(self.folder.resolve()))

    @cached_property
    def _before(self) -> dict[str, str]:
        try:
            head, *lines = self._place.read_text("utf-8").split("\n")
        except (OSError, UnicodeDecodeError):
            return {}
        rows = (line.partition("\0") for line in lines if line)
        return {name: said for name, _, said in rows} if head == _HEAD else {}


def _pin(name: str, size: int, said: str) -> Pin | None:
    """A pin as it was written down; None if that makes no sense."""
    sha256, _, words = said.partition(" ")
    with suppress(ValueError):
        licences = json.loads(words) if words != "[]" else []
        if isinstance(licences, list):
            return Pin(name, sha256, size, tuple(map(str, licences)))
    return None
