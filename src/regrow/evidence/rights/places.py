"""The places of a corpus at which something may be said of rights: one pass over the bytes, before anything is read.

A regular expression engine that never looks back (RE2, in Arrow) says which texts have any cue at all. In those, every
cue is sought by itself, in all texts of a batch at once, which is faster than one expression for all of them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from regrow.data import toml

if TYPE_CHECKING:
    import pyarrow


@dataclass(frozen=True)
class Place:
    """A cue in a text.

    Attributes:
        at: its first byte.
        cue: what is there, in small letters.
    """

    at: int
    cue: str


@cache
def cues() -> Mapping[str, tuple[str, ...]]:
    """What is sought, and what each may be the beginning of."""
    return {cue: tuple(readers) for cue, readers in toml("evidence.rights", "cues")["cues"].items()}


def places(texts: pyarrow.StringArray) -> Iterator[tuple[int, bytes, list[Place]]]:
    """The texts of an array that have cues: the row, the text as UTF-8, and the places in their order."""
    import numpy as np
    import pyarrow.compute as pc

    rows = np.flatnonzero(np.asarray(pc.match_substring_regex(texts, _any(), ignore_case=True)))
    if not len(rows):
        return
    data, borders = _bytes(texts.take(rows))
    small = data.lower()
    found = sorted((at, cue) for cue in cues() for at in _all(small, cue.encode()))
    ends = np.searchsorted(np.array([at for at, _ in found]), borders)
    for number, row in enumerate(rows.tolist()):
        begin, end = int(borders[number]), int(borders[number + 1])
        told = found[ends[number] : ends[number + 1]]
        here = [Place(at - begin, cue) for at, cue in told if at + len(cue.encode()) <= end]
        if here:
            yield row, data[begin:end], here


def _any() -> str:
    return "|".join(map(re.escape, cues()))


def _bytes(texts: pyarrow.StringArray) -> tuple[bytes, list[int]]:
    """The bytes of all texts one after the other, and where each begins and ends."""
    import numpy as np

    _, offsets, data = texts.buffers()
    borders = np.frombuffer(offsets, np.int32, len(texts) + 1, 4 * texts.offset)
    return bytes(memoryview(data)[borders[0] : borders[-1]]), borders - borders[0]


def _all(data: bytes, cue: bytes) -> Iterator[int]:
    at = data.find(cue)
    while at >= 0:
        yield at
        at = data.find(cue, at + len(cue))
