"""What a text says of its rights: licences that it is put under, texts of licences, reservations, and what it forbids.

A statement counts if the text speaks of itself: "this work is licensed under", "License: MIT" at the begin of a line, a
tag of SPDX. That a licence is only spoken of ("the GPL was written in 1989", "some of it is under the MIT licence") is
no statement, since it puts nothing under that licence.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain

from regrow.evidence.rights import forbidding, grants
from regrow.evidence.rights.copies import copies
from regrow.evidence.rights.passages import Passage, passages
from regrow.evidence.rights.places import Place, cues
from regrow.evidence.rights.sorts import LICENCE, TAG, TEXT

_READERS = {**grants.READERS, **forbidding.READERS}


@dataclass(frozen=True)
class Statement:
    """Something that a text says of its rights.

    Attributes:
        sort: one of those of :mod:`regrow.evidence.rights.sorts`; it is also the tag.
        start: its first byte in the text.
        end: one past the last.
        says: an expression of licences, a sort of restriction or signal, or nothing.
    """

    sort: str
    start: int
    end: int
    says: str = ""

    @property
    def is_licence(self) -> bool:
        """Whether it puts the text under a licence that is known here."""
        return self.sort in (TAG, LICENCE, TEXT) and bool(self.says)


def statements(data: bytes, places: Sequence[Place]) -> list[Statement]:
    """The statements of a text, in their order.

    Args:
        data: the text as UTF-8.
        places: its cues (:mod:`regrow.evidence.rights.places`), in their order.
    """
    found: dict[tuple[str, int], Statement] = {}
    for one in chain.from_iterable(map(_read, passages(data, places))):
        found.setdefault((one.sort, one.start), one)
    texts = [Statement(TEXT, *one) for one in copies(data, [one for one in places if "copy" in cues()[one.cue]])]
    told = [replace(one, start=_back(data, one.start), end=_on(data, one.end)) for one in (*found.values(), *texts)]
    return sorted(told, key=lambda one: (one.start, one.end, one.sort, one.says))


def _back(data: bytes, at: int) -> int:
    """Where the character begins that a byte belongs to."""
    while 0 < at < len(data) and data[at] & 0xC0 == 0x80:
        at -= 1
    return at


def _on(data: bytes, at: int) -> int:
    """Where the next character begins, unless one begins there."""
    while at < len(data) and data[at] & 0xC0 == 0x80:
        at += 1
    return at


def _read(passage: Passage) -> Iterator[Statement]:
    for place in passage.places:
        for name in cues()[place.cue]:
            if name in _READERS and (said := _READERS[name](passage, place.at)):
                sort, start, end, says = said
                yield Statement(sort, passage.begin + start, passage.begin + end, says)
