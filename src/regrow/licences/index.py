"""The fingerprints of licence texts: which shingles a text has, in which order, and which words stand for names.

The file holds no text. It begins with one line of JSON that describes the texts; then follow the 32-bit hashes of
their shingles, little-endian, text after text and part after part.
"""

from __future__ import annotations

import json
import sys
from array import array
from dataclasses import dataclass
from functools import cache, cached_property
from importlib.resources import files
from importlib.resources.abc import Traversable
from itertools import accumulate

from regrow.errors import RegrowError
from regrow.licences.words import LENGTH

FILE = "texts.bin"
FORMAT = 1


@dataclass(frozen=True)
class Part:
    """A run of a text's words; shingles do not cross its ends.

    Attributes:
        words: how many.
        optional: whether copies often leave it out.
        names: a bit for each word, the first the lowest: whether others write names in its place.
    """

    words: int
    optional: bool
    names: int

    @property
    def shingles(self) -> int:
        """How many shingles it has."""
        return max(0, self.words - LENGTH + 1)


@dataclass(frozen=True, eq=False)
class Text:
    """The fingerprint of one text of a licence.

    Attributes:
        id: of the licence.
        parts: in their order.
        hashes: of the shingles of all parts.
    """

    id: str
    parts: tuple[Part, ...]
    hashes: array[int]

    @cached_property
    def starts(self) -> list[int]:
        """For each shingle, the place of its first word among the words of all parts."""
        starts: list[int] = []
        word = 0
        for part in self.parts:
            starts += range(word, word + part.shingles)
            word += part.words
        return starts

    @cached_property
    def places(self) -> dict[int, list[int]]:
        """The places of each shingle, rising."""
        places: dict[int, list[int]] = {}
        for hash, start in zip(self.hashes, self.starts, strict=True):
            places.setdefault(hash, []).append(start)
        return places

    @cached_property
    def seams(self) -> frozenset[int]:
        """The places between parts: where copyright lines stand, or a part that can be left out begins or ends."""
        return frozenset(accumulate(part.words for part in self.parts))

    @cached_property
    def required(self) -> bytes:
        """For each word, 1 if it belongs to a part that is never left out."""
        return b"".join((b"\0" if part.optional else b"\1") * part.words for part in self.parts)

    @cached_property
    def names(self) -> bytes:
        """For each word, 1 if others write names in its place."""
        return bytes(part.names >> i & 1 for part in self.parts for i in range(part.words))


def read(content: bytes, where: str = FILE) -> tuple[Text, ...]:
    """The texts of an index; RegrowError if it is damaged."""
    head, _, body = content.partition(b"\n")
    try:
        described = json.loads(head)
        if described["format"] != FORMAT:
            raise ValueError(f"format {described['format']}")
        hashes = array("I")
        hashes.frombytes(body)
        hashes = little_endian(hashes)
        texts, start = [], 0
        for id, parts in described["texts"]:
            ours = tuple(Part(words, bool(optional), int(names, 16)) for words, optional, names in parts)
            end = start + sum(part.shingles for part in ours)
            texts.append(Text(id, ours, hashes[start:end]))
            start = end
        if start != len(hashes):
            raise ValueError(f"{len(hashes)} hashes where {start} are described")
    except (ValueError, KeyError, TypeError) as error:
        raise RegrowError("the index of licence texts is damaged", where=where, why=str(error)) from error
    return tuple(texts)


@cache
def shipped() -> tuple[Text, ...]:
    """The texts of the index that is shipped."""
    return read(place().read_bytes())


def place() -> Traversable:
    """Where it is."""
    return files("regrow.licences") / "data" / FILE


def little_endian(hashes: array[int]) -> array[int]:
    """To little-endian or back: the same bytes on a little-endian machine."""
    if sys.byteorder == "little":
        return hashes
    swapped = array("I", hashes)
    swapped.byteswap()
    return swapped
