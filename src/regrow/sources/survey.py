"""How many files of a source are used, and how many are left out, and why: what people are told in a line."""

from __future__ import annotations

from collections import Counter
from pathlib import PurePosixPath
from typing import Any

from regrow.sources.select import EXCLUDED, OTHERS


class Survey:
    """Counts files. False as long as there are none."""

    def __init__(self) -> None:
        self._selected = 0
        self._suffixes: Counter[str] = Counter()
        self.reasons: Counter[str] = Counter()

    def __bool__(self) -> bool:
        return bool(self._selected or self._suffixes or self.reasons)

    def add(self, name: str, reason: str) -> None:
        """Count a file, which is left out if there is a reason."""
        if not reason:
            self._selected += 1
        elif reason == OTHERS:
            self._suffixes[PurePosixPath(name).suffix or "without a suffix"] += 1
        else:
            self.reasons[reason] += 1

    def event(self) -> dict[str, Any]:
        """The fields of an event ``selected``: so many files are used, ``of`` so many; ``not_selected`` has the numbers
        of those that fit no pattern, by suffix, and ``left_out`` of what is left out for another reason, by reason.
        """
        return {
            "selected": self._selected,
            "of": self._selected + self._suffixes.total() + self.reasons[EXCLUDED],
            "not_selected": _ordered(self._suffixes),
            "left_out": _ordered(self.reasons),
        }


def _ordered(counts: Counter[str]) -> dict[str, int]:
    """The most frequent first."""
    return dict(sorted(counts.items(), key=lambda one: (-one[1], one[0])))
