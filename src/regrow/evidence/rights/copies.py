"""Where texts hold the texts of licences: the matcher of the audit, on the stretches where one may stand."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache

from regrow.data import toml
from regrow.evidence.rights.places import Place
from regrow.licences.matching import contained

_REACH = 60  # bytes around a cue in which the words are that lead to a text
_MOST = 200_000  # bytes of a stretch: of a text that is all licences, its begin


@dataclass(frozen=True)
class _Anchor:
    """Words of licences, and how much belongs to the longest that has them."""

    at: re.Pattern[bytes]
    before: int
    behind: int


def copies(data: bytes, places: Sequence[Place]) -> Iterator[tuple[int, int, str]]:
    """Stretches of a text that are worded as licences, and which ones are there: nothing if none is known, or whole.

    Args:
        data: the text as UTF-8.
        places: cues of licence texts, in their order.
    """
    for start, end in _stretches(data, places):
        ids = _known(data[start : min(end, start + _MOST)].decode("utf-8", "ignore"))
        for id in ids or ("",):
            yield start, end, id


@lru_cache(1024)
def _known(text: str) -> tuple[str, ...]:
    return contained(text)


def _stretches(data: bytes, places: Sequence[Place]) -> Iterator[tuple[int, int]]:
    """Where the texts of licences may stand, those that touch each other as one."""
    start = end = -1
    for place in places:
        for anchor in _anchors():
            found = anchor.at.search(data, max(0, place.at - _REACH), place.at + _REACH)
            if found is None:
                continue
            begin, stop = max(0, found.start() - anchor.before), min(len(data), found.end() + anchor.behind)
            if end < 0 or begin > end:
                if end >= 0:
                    yield start, end
                start, end = begin, stop
            end = max(end, stop)
            break
    if end >= 0:
        yield start, end


@cache
def _anchors() -> tuple[_Anchor, ...]:
    told = toml("evidence.rights", "cues")["copy"]
    between = r"(?:\s|[*#;/%>|\"'\\-])+"
    return tuple(
        _Anchor(re.compile(one["at"].replace(" ", between).encode(), re.IGNORECASE), one["before"], one["behind"])
        for one in told
    )
