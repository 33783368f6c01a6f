"""Where personal data and keys stand in texts, each place once."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import chain

from regrow.evidence.block import Block, Span
from regrow.evidence.keys import keys
from regrow.evidence.personal import personal
from regrow.evidence.sorts import KEY


def places(block: Block) -> list[Span]:
    """Personal data and keys, in the order of the texts, none over another."""
    return apart(chain(personal(block), keys(block)))


def apart(spans: Iterable[Span]) -> list[Span]:
    """Spans in order; where some overlap, one that covers all of them: a key, if one of them is."""
    found: list[Span] = []
    for one in sorted(spans, key=lambda one: (one.start, one.sort != KEY, -one.end)):
        if not found or one.start >= found[-1].end:
            found.append(one)
            continue
        first = found[-1] if found[-1].sort == KEY or one.sort != KEY else one
        found[-1] = Span(found[-1].start, max(one.end, found[-1].end), first.sort, first.value)
    return found
