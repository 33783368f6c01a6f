"""Words of text as numbers: what is the same word however it is written, whatever stands between, is one number.

Words are what stands between blanks, punctuation and symbols, without regard to case. Apostrophes and invisible marks
are passed over, so that ``don't`` is ``dont``. Where a script puts nothing between its words, each character is one.
Characters are told apart by the tables of :mod:`regrow.corpus.characters`, which no newer Unicode changes.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from regrow.corpus.characters import category
from regrow.corpus.near_duplicates import BETWEEN_WORDS, EMOJI, MARKS, WITHOUT_BLANKS

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Hashes = NDArray[np.uint64]
    Places = NDArray[np.int64]

BETWEEN, WORD, ALONE, MARK, PASSED_OVER = range(5)
"""What a character is: no part of a word, part of one, one by itself, part of whatever stands before it, or nothing."""

END = 0x20000
"""What lies beyond is ideographs, or unknown and part of a word."""

_SORTS = {"P": BETWEEN, "S": BETWEEN, "Z": BETWEEN, "Cc": BETWEEN, "M": MARK, "Cf": PASSED_OVER}
_APOSTROPHES = (ord("'"), 0x2019, 0x02BC)
_KNOWN = ((0x80, 0x3400), (0xA000, 0xA4D0), (0xF900, 0x10000), (0x10300, 0x10450), (0x1D000, 0x1D800))


@dataclass(frozen=True)
class Characters:
    """What characters are, and how they are written small.

    Attributes:
        kinds: uint8, by code point; the last entry stands for all ideographs beyond.
        small: int32, by code point.
    """

    kinds: NDArray[np.uint8]
    small: NDArray[np.int32]


@cache
def characters() -> Characters:
    """The tables, made once for each process."""
    import numpy as np

    kinds = np.full(END + 1, WORD, np.uint8)
    small = np.arange(END + 1, dtype=np.int32)
    for code in range(0x80):
        kinds[code] = WORD if chr(code).isalnum() else BETWEEN
    for code in (code for first, end in _KNOWN for code in range(first, end)):
        sort = category(chr(code))
        kinds[code] = _SORTS.get(sort, _SORTS.get(sort[0], WORD))
        if sort == "Lu" and len(chr(code).lower()) == 1:
            small[code] = ord(chr(code).lower())
    small[ord("A") : ord("Z") + 1] += ord("a") - ord("A")
    for first, last in WITHOUT_BLANKS:
        part = kinds[first : min(last, END) + 1]
        part[part == WORD] = ALONE
    for ranges, kind in ((BETWEEN_WORDS, BETWEEN), (EMOJI, ALONE), (MARKS, MARK)):
        for first, last in ranges:
            kinds[first : last + 1] = kind
    kinds[[0x200B, 0x200C, 0x200D, 0x2060, 0xFEFF, *_APOSTROPHES]] = PASSED_OVER
    kinds[END] = ALONE
    return Characters(kinds, small)


def cut(text: str) -> Hashes:
    """The words of a text, as numbers."""
    import numpy as np

    data = np.frombuffer(text.encode(), np.uint8)
    return placed(data, 0, len(data))[0]


def placed(data: NDArray[np.uint8], start: int, end: int) -> tuple[Hashes, Places, Places]:
    """The words of a stretch of UTF-8, as numbers, and for each its first byte and the one behind it."""
    import numpy as np

    from regrow.evidence.contamination.kernels import cut_words

    most = end - start + 1
    hashes, starts, ends = np.empty(most, np.uint64), np.empty(most, np.int64), np.empty(most, np.int64)
    known = characters()
    count, _ = cut_words(data, start, end, known.kinds, known.small, hashes, starts, ends)
    return hashes[:count].copy(), starts[:count].copy(), ends[:count].copy()
