"""Runs of 50 words as numbers of 64 bits, which anybody can reckon from a text and nobody back.

A text is brought into Unicode's form NFKC and case-folded; its words are the runs of letters and digits that are left,
as UTF-8. All sums are modulo 2**64. The number of a word is the sum of its bytes, each times ``A**i`` for its place
``i``, mixed; the number of a window is the sum of the numbers of its words, each times ``B**i``, mixed. To mix ``x`` is
``x ^= x >> 32; x *= C; x ^= x >> 29``.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

WORDS = 50
"""Words of a window, as in work on what models reproduce of books (arXiv 2505.12546)."""

_A, _B, _C = 0xA0761D6478BD642F, 0x9E3779B97F4A7C15, 0xD6E8FEB86659FD93
_OTHER = re.compile(r"[^\x00-\x7f\w]+")  # what ASCII has that is no letter or digit goes by a table
_WORD = re.compile(r"[^\W_]+")
_SPACE = 32
_ASCII = bytes(byte if chr(byte).isalnum() else _SPACE for byte in range(128)) + bytes(range(128, 256))
_CACHED = 1 << 16  # bytes that are worked on together, so that what is reckoned of them stays in the cache
_AT_ONCE = 1 << 20  # words of texts whose windows are given together


def plain(text: str) -> bytes:
    """The words of a text, with nothing but spaces between them."""
    if text.isascii():
        return text.lower().encode().translate(_ASCII)
    return _OTHER.sub(" ", unicodedata.normalize("NFKC", text).casefold()).encode().translate(_ASCII)


def count(text: str) -> int:
    """How many words a text has."""
    return len(plain(text).split())


def spans(text: str) -> list[tuple[int, int]]:
    """Where the words of a text are in it; empty if its words are others once it is in normal form."""
    found = [match.span() for match in _WORD.finditer(text)]
    return found if text.isascii() or len(found) == count(text) else []


@dataclass(frozen=True)
class Windows:
    """Windows of texts.

    Attributes:
        text: of each, the number of its text.
        word: of each, the number of its first word in that text.
        hashes: the numbers.
    """

    text: NDArray[np.int64]
    word: NDArray[np.int64]
    hashes: NDArray[np.uint64]


def windows(texts: Sequence[str]) -> Iterator[Windows]:
    """All windows of some texts, so many at a time that memory is bounded."""
    import numpy as np

    held: list[NDArray[np.uint64]] = []
    origin: list[tuple[int, int]] = []
    size = 0
    for number, text in enumerate(texts):
        numbers = _numbers(plain(text))
        for first in range(0, max(1, len(numbers) - WORDS + 1), _AT_ONCE):
            held.append(numbers[first : first + _AT_ONCE + WORDS - 1])
            origin.append((number, first))
            size += len(held[-1])
            if size >= _AT_ONCE:
                yield _windows(held, np.array(origin, np.int64))
                held, origin, size = [], [], 0
    if held:
        yield _windows(held, np.array(origin, np.int64))


def _numbers(data: bytes) -> NDArray[np.uint64]:
    """The numbers of words that nothing but spaces is between."""
    import numpy as np

    found = [np.empty(0, np.uint64)]
    first = 0
    while first < len(data):
        space = data.find(b" ", first + _CACHED)
        end = len(data) if space < 0 else space
        found.append(_some(np.frombuffer(data, np.uint8, end - first, first)))
        first = end
    return np.concatenate(found)


def _some(data: NDArray[np.uint8]) -> NDArray[np.uint64]:
    import numpy as np

    inside = np.zeros(len(data) + 2, np.bool_)
    np.not_equal(data, _SPACE, out=inside[1:-1])
    edges = np.flatnonzero(inside[1:] != inside[:-1])
    begin, end = edges[::2], edges[1::2]
    powers, inverse = _powers(_A, len(data))
    return _mixed(_between(data * powers[: len(data)], begin, end) * inverse[begin])


def _between(terms: NDArray[np.uint64], begin: NDArray[np.int64], end: NDArray[np.int64]) -> NDArray[np.uint64]:
    """The sums of neighbouring terms."""
    import numpy as np

    sums = np.zeros(len(terms) + 1, np.uint64)
    np.cumsum(terms, out=sums[1:])
    return sums[end] - sums[begin]


def _windows(pieces: Sequence[NDArray[np.uint64]], origin: NDArray[np.int64]) -> Windows:
    import numpy as np

    lengths = np.array([len(piece) for piece in pieces], np.int64)
    counts = np.maximum(lengths - WORDS + 1, 0)
    piece = np.repeat(np.arange(len(pieces)), counts)
    inside = np.arange(len(piece)) - (np.cumsum(counts) - counts)[piece]
    at = inside + (np.cumsum(lengths) - lengths)[piece]
    numbers = np.concatenate(pieces)
    powers, inverse = _powers(_B, len(numbers))
    hashes = _mixed(_between(numbers * powers[: len(numbers)], at, at + WORDS) * inverse[at])
    return Windows(origin[piece, 0], origin[piece, 1] + inside, hashes)


def _mixed(x: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Numbers of which every bit depends on many."""
    import numpy as np

    x ^= x >> np.uint64(32)
    x *= np.uint64(_C)
    x ^= x >> np.uint64(29)
    return x


def _powers(base: int, least: int) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
    """So many powers of a number modulo 2**64, or more, and those of its inverse."""
    return _so_many(base, 1 << max(17, least.bit_length()))


@cache
def _so_many(base: int, count: int) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
    import numpy as np

    made = []
    for factor in (base, pow(base, -1, 1 << 64)):
        factors = np.full(count, factor, np.uint64)
        factors[0] = 1
        made.append(np.cumprod(factors, dtype=np.uint64))
    return made[0], made[1]
