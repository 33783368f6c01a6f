"""No sentence twice: what was said before is referred to by the name of the row that says it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from regrow.auditing.names import short

_BETWEEN = "; "
_OUTSIDE_BRACKETS = re.compile(r"; (?![^()]*\))")
_LAST = re.compile(r"and \d+ more$|(in part )?as known\b")
"""Parts of a reason that say nothing alone."""
KNOWN = "as known"
"""How a reason begins or goes on that rests on the table of known models, which a reader has to see in every row."""


@dataclass
class Said:
    """What a text says so far: each reason with the name of the row in which it stands."""

    rows: dict[str, str] = field(default_factory=dict)

    def once(self, row: str, reason: str, by: str = "") -> str:
        """A reason without what was said before, which is referred to, and without the name of the ancestor.

        Args:
            row: the name of the row that it stands in.
            reason: some reasons, joined as the rules join them.
            by: id of the ancestor that it is about, or empty.
        """
        return _BETWEEN.join(self._parts(row, _split(reason, by)))

    def first(self, row: str, reason: str, by: str = "") -> str:
        """One of the reasons: the first that was not said before, or else where all stand; what is about the row's own
        name comes first.
        """
        own = (f"{row}:", f"{row} ")
        return next(self._parts(row, sorted(_split(reason, by), key=lambda part: not part.startswith(own))))

    def new(self, lines: tuple[str, ...]) -> list[str]:
        """The lines that were not said before."""
        found = [line for line in dict.fromkeys(lines) if line not in self.rows]
        self.rows |= dict.fromkeys(found, "above")
        return found

    def _parts(self, row: str, parts: list[str]) -> Iterator[str]:
        before: dict[str, None] = {}
        last: dict[str, None] = {}
        for part in parts:
            start, known = self._known(part)
            self.rows.setdefault(part, row)
            if known and KNOWN in part:
                last[KNOWN] = None
            if _LAST.match(part):
                last.update({} if known and KNOWN in part else {part: None})
            elif known and not start:
                before[known] = None
            else:
                yield f"{start}see {known}" if known else part
        if before:
            yield f"see {', '.join(before)}"
        yield from last

    def _known(self, part: str) -> tuple[str, str]:
        """What stands before the end of a part that was said before, and the row that says it; empty if none was."""
        starts = [0, *(match.end() for match in re.finditer(": ", part))]
        return next(((part[:at], row) for at in starts if (row := self.rows.get(part[at:]))), ("", ""))


def _split(reason: str, by: str) -> list[str]:
    """The reasons that the rules have joined, without the name of the ancestor."""
    return [part.removeprefix(f"limited by {short(by)}: ") for part in _OUTSIDE_BRACKETS.split(reason)]
