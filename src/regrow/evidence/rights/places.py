"""The places of a corpus at which something may be said of rights: one pass over the bytes, before anything is read."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from regrow.data import any_of, toml

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
    import pyarrow as pa
    import pyarrow.compute as pc

    _, offsets, data = texts.buffers()
    if data is None:
        return
    begin = np.frombuffer(offsets, np.int32, len(texts) + 1, 4 * texts.offset)
    small = bytes(data).lower()  # of ASCII, so that every byte stays where it is
    lowered = pa.BinaryArray.from_buffers(
        pa.binary(), len(texts), [None, offsets, pa.py_buffer(small)], offset=texts.offset
    )
    # RE2 never looks back: a text is cut where it finds a cue, and the lengths of the pieces tell where that is.
    pieces = pc.split_pattern_regex(lowered, _any())
    lengths = pc.binary_length(pieces.flatten()).to_numpy(zero_copy_only=False)
    ends = np.asarray(pieces.offsets) - pieces.offsets[0].as_py()
    whole = bytes(data)
    for row in np.flatnonzero(np.diff(ends) > 1).tolist():
        first, last = int(begin[row]), int(begin[row + 1])
        yield row, whole[first:last], _placed(small, first, lengths[ends[row] : ends[row + 1] - 1].tolist())


def _placed(small: bytes, begin: int, lengths: list[int]) -> list[Place]:
    """The places of a text, by the lengths of what is before each and behind the one before."""
    found = []
    at = begin
    for length in lengths:
        at += length
        cue, spelt = next(one for one in _spelt()[small[at]] if small.startswith(one[1], at))
        found.append(Place(at - begin, cue))
        at += len(spelt)
    return found


@cache
def _any() -> str:
    return any_of(map(re.escape, cues()))


@cache
def _spelt() -> Mapping[int, tuple[tuple[str, bytes], ...]]:
    """First byte -> the cues that begin with it, and how they are spelt."""
    found: dict[int, tuple[tuple[str, bytes], ...]] = {}
    for cue in cues():
        spelt = cue.encode()
        found[spelt[0]] = (*found.get(spelt[0], ()), (cue, spelt))
    return found
