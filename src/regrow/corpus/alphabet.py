"""The letters that stand for bytes in byte-level tokenizers, and which texts a tokenizer without some of them can say.

A tokenizer that was learnt without all bytes from the start knows those of its texts alone, and drops others in
silence. Some bytes no text has at all, and others only characters that nobody writes.

Example:
    >>> lacking({0x04, 0xFF}).search("two" + chr(4)).group()
    '\x04'
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping

from regrow.corpus.characters import blocks

_PLAIN = (*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100))

LETTERS: Mapping[int, str] = {
    **{byte: chr(byte) for byte in _PLAIN},
    **{byte: chr(0x100 + i) for i, byte in enumerate(byte for byte in range(0x100) if byte not in _PLAIN)},
}
"""Byte -> the letter that stands for it: itself, if it can be seen, or one of those behind all bytes."""

_BEGINNINGS = ((0x00, 0x7F, 0, 0), (0xC0, 0xDF, 6, 0x80), (0xE0, 0xEF, 12, 0x800), (0xF0, 0xF4, 18, 0x10000))
"""The bytes that begin characters of each length, the bits that follow, and the first character of that length."""

NEEDED = frozenset((0x09, 0x0A, *range(0x20, 0x7F), *range(0x80, 0xC0)))
"""Bytes without which there is hardly a text: those of ASCII, and those of which every other character has some."""


def lacking(bytes: Collection[int]) -> re.Pattern[str] | None:
    """What finds the characters that begin with one of some bytes in UTF-8; None if no character does."""
    ranges = [found for byte in sorted(bytes) for found in _characters(byte)]
    return re.compile(f"[{blocks(ranges)}]") if ranges else None


def _characters(byte: int) -> Iterator[tuple[int, int]]:
    """The first and the last character that a byte begins, if it begins any."""
    for zero, last, bits, least in _BEGINNINGS:
        begin = (byte - zero) << bits
        if zero <= byte <= last and (end := min(begin + (1 << bits) - 1, 0x10FFFF)) >= least:
            yield max(begin, least), end
