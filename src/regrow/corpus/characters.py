"""Classes of characters that no newer Unicode changes: by the tables of version 3.2, which every Python ships."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import groupby
from unicodedata import ucd_3_2_0 as tables

# Where version 3.2 knows anything but ideographs, Hangul and what is for private use.
_KNOWN = ((0x80, 0x33FF), (0xA000, 0xA4CF), (0xF900, 0xFFFF), (0x10300, 0x1044F), (0x1D000, 0x1D7FF))


def such_that(holds: Callable[[str], bool]) -> str:
    """The characters beyond ASCII of which something holds, as the inside of a class of a regular expression."""
    found = []
    for first, last in _KNOWN:
        for yes, run in groupby(range(first, last + 1), lambda code: holds(chr(code))):
            if yes:
                codes = list(run)
                found.append((codes[0], codes[-1]))
    return blocks(found)


def blocks(ranges: Iterable[tuple[int, int]]) -> str:
    """Ranges of code points, both ends included, as the inside of a class of a regular expression."""
    return "".join(f"\\U{first:08x}-\\U{last:08x}" for first, last in ranges)


def category(character: str) -> str:
    """The general category, as in ``Lu``; ``Cn`` of what is newer than version 3.2."""
    return tables.category(character)


def combining_class(character: str) -> int:
    """Where a combining mark stands among others, 0 of all else; of a character that is made of some, the first's."""
    return tables.combining(decomposed(character)[0])


def composed(text: str) -> str:
    """The normal form C."""
    return tables.normalize("NFC", text)


def decomposed(text: str) -> str:
    """The normal form D."""
    return tables.normalize("NFD", text)
