"""What was seen of the author's own files, so that those which nobody touched are not read at each look.

A file that has the size, dates and inode that it had when it was read is taken for the same, as version control does
it. One that was written to just before it was read is not remembered: it may be written to again in the same tick of
the disk's clock. What is fetched is hashed in any case; this only says whether a lock is up to date.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from regrow.recipe.pin import Pin, Pins
from regrow.store import Beside, default_root, sha256_bytes, write_atomic

_HEAD = "regrow/looked/2"
_LINE = 256  # bytes that hold either of the first two
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

    def looks(self, name: str) -> str:
        """What the disk tells of a file: size, dates and inode.

        Raises:
            OSError: if the file cannot be looked at.
        """
        status = os.stat(self._above + name)  # noqa: PTH116 (there may be many)
        return f"{status.st_size} {status.st_mtime_ns} {status.st_ctime_ns} {status.st_ino}"

    def are_same(self, names: Sequence[str], looks: Sequence[str], pins: Pins) -> bool:
        """Whether files are, as far as the disk tells, those that were all read and found to be ``pins``."""
        with suppress(OSError), self._place.open("rb") as file:
            head, said = (file.readline(_LINE).decode("ascii", "replace").rstrip("\n") for _ in range(2))
            return head == _HEAD and said == f"{_stamp(names, looks)} {pins.sums}"
        return False

    def pin(self, name: str, looks: str, read: Callable[[], Pin]) -> Pin:
        """The pin of a file that has those :meth:`looks`: as it is remembered, or else as it is read.

        Raises:
            OSError: if the file cannot be read.
        """
        known = self._before.get(name, "")
        if known.startswith(f"{looks} ") and (pin := _pin(name, looks, known[len(looks) + 1 :])) is not None:
            self._now[name] = known
            return pin
        now = time.time_ns()
        pin = read()
        _, written, changed, _ = map(int, looks.split())
        if max(written, changed) < now - _SETTLED:
            self._now[name] = f"{looks} {pin.sha256} {json.dumps(pin.licences_found)}"
        return pin

    def keep(self, names: Sequence[str], looks: Sequence[str], pins: Pins) -> None:
        """Remember what was seen. Where that cannot be written, files are read again the next time."""
        lines = "".join([f"{name}\0{said}\n" for name, said in self._now.items() if "\n" not in name])
        # What files say of their licences is in no list, so that only files that say nothing are told by its digest.
        whole = len(self._now) == len(names) and pins.bare is pins
        text = f"{_HEAD}\n{f'{_stamp(names, looks)} {pins.sums}' if whole else ''}\n{lines}"
        if text != self._text and (self._now or self._text):
            with suppress(OSError, UnicodeEncodeError):
                write_atomic(self._place, text)

    @cached_property
    def _above(self) -> str:
        return f"{self.folder}/"

    @cached_property
    def _place(self) -> Path:
        return self.root / sha256_bytes(os.fsencode(self.folder.resolve()))

    @cached_property
    def _text(self) -> str:
        """What is remembered, whatever that is."""
        with suppress(OSError, UnicodeDecodeError):
            return self._place.read_text("utf-8")
        return ""

    @cached_property
    def _before(self) -> dict[str, str]:
        head, _, *lines = *self._text.split("\n"), ""
        rows = (line.partition("\0") for line in lines if line)
        return {name: said for name, _, said in rows} if head == _HEAD else {}


def _stamp(names: Sequence[str], looks: Sequence[str]) -> str:
    """What the disk tells of all files, as one sha256."""
    return sha256_bytes("\0".join([*names, *looks]).encode("utf-8", "surrogateescape"))


def _pin(name: str, looks: str, said: str) -> Pin | None:
    """A pin as it was written down; None if that makes no sense."""
    size, _, _ = looks.partition(" ")
    sha256, _, words = said.partition(" ")
    with suppress(ValueError):
        licences = json.loads(words) if words != "[]" else []
        if isinstance(licences, list):
            return Pin(name, sha256, int(size), tuple(map(str, licences)))
    return None
