"""Seeing at a glance which texts normalising may change: most are as they should be, and need not be looked at singly.

All texts of a batch are looked at together, byte by byte in vectors, which is some fifty times as fast.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from regrow.corpus.characters import combining_class, composed, decomposed

if TYPE_CHECKING:
    import numpy as np
    import pyarrow
    from numpy.typing import NDArray

_FIRST, _END = 0x80, 0x20000  # what lies beyond is never seen at a glance
_BREAKS_AND_CONTROLS = (*range(0x80, 0xA0), 0x2028, 0x2029, 0xFEFF)
_NO_BREAK_SPACE = 0xA0  # goes at the end of a line
_JAMO = range(0x1100, 0x1200)
_KNOWN = (range(0x80, 0x3400), range(0xF900, 0x10000), range(0x1D000, 0x1D800))  # where what combines is known
_PLAIN, _LINE, _ODD, _LEAD = range(4)
_MANY_LINES = 4
_WINDOW = 1 << 20  # bytes that are looked at together
_DELETE = 0x7F  # neither it nor what comes behind it is a plain character of ASCII


def irregular(texts: pyarrow.StringArray) -> list[int]:
    """The places of those that :func:`regrow.corpus.normalise.normalise` may change; it leaves the others as they are.

    Args:
        texts: none of which is null.
    """
    import numpy as np

    if not len(texts):
        return []
    _, offsets, data = texts.buffers()
    bounds = np.frombuffer(offsets, np.int32, len(texts) + 1, 4 * texts.offset).astype(np.int64)
    if bounds[0] == bounds[-1]:
        return []
    units = np.frombuffer(data, np.uint8, int(bounds[-1] - bounds[0]), int(bounds[0]))
    bounds -= bounds[0]
    found = (_seen(units, begin) for begin in range(0, len(units), _WINDOW))
    rows = np.concatenate([np.unique(np.searchsorted(bounds, places, side="right") - 1) for places in found])
    filled = np.flatnonzero(bounds[1:] > bounds[:-1])
    first, last = units[bounds[filled]], units[bounds[filled + 1] - 1]
    edges = filled[(first == ord("\n")) | (last == ord("\n")) | _is_blank(last)]
    places: list[int] = np.unique(np.concatenate([rows, edges])).tolist()
    return places


def _seen(units: NDArray[np.uint8], begin: int) -> NDArray[np.int64]:
    """The places in a window that begins there, and in the few bytes before it, at which something may be changed."""
    import numpy as np

    first = max(0, begin - _MANY_LINES + 1)
    window = units[first : begin + _WINDOW]
    noted = first + np.flatnonzero(window - np.uint8(ord(" ")) >= _DELETE - ord(" "))  # what is smaller becomes large
    which = _kinds()[units[noted]]
    return np.concatenate(
        [
            noted[which == _ODD],
            _among_lines(units, noted[which == _LINE]),
            _among_wide(units, noted[which == _LEAD]),
        ]
    )


def _among_lines(units: NDArray[np.uint8], ends: NDArray[np.int64]) -> NDArray[np.int64]:
    """The ends of lines that have blanks before them, or too many others."""
    import numpy as np

    after_blanks = ends[_is_blank(units[ends - 1])]
    many = ends[_MANY_LINES - 1 :][ends[_MANY_LINES - 1 :] - ends[: -_MANY_LINES + 1] == _MANY_LINES - 1]
    return np.concatenate([after_blanks, many])


def _is_blank(units: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Whether a byte is a blank, or the last of a no-break space, or of something else that ends as one does."""
    import numpy as np

    return np.isin(units, (ord(" "), ord("\t"), _NO_BREAK_SPACE))


def _among_wide(units: NDArray[np.uint8], leads: NDArray[np.int64]) -> NDArray[np.int64]:
    """The first bytes of those characters beyond ASCII that may be changed, or may change what stands before them."""
    import numpy as np

    lead = units[leads].astype(np.int64)
    two, three, four = lead < 0xE0, (lead >= 0xE0) & (lead < 0xF0), lead >= 0xF0
    codes = np.full(len(leads), _END, np.int64)
    for chosen, length, mask in ((two, 2, 0x1F), (three, 3, 0x0F), (four, 4, 0x07)):
        places = leads[chosen]
        code = lead[chosen] & mask
        for place in range(1, length):
            code = code << 6 | (units[places + place] & 0x3F)
        codes[chosen] = np.minimum(code, _END)
    return leads[_odd_characters()[codes]]


@cache
def _kinds() -> NDArray[np.uint8]:
    """What each byte of UTF-8 may be."""
    import numpy as np

    kinds = np.full(256, _PLAIN, np.uint8)
    kinds[: ord(" ")] = kinds[_DELETE] = _ODD
    kinds[ord("\t")] = _PLAIN
    kinds[ord("\n")] = _LINE
    kinds[0xC0:] = _LEAD
    return kinds


@cache
def _odd_characters() -> NDArray[np.bool_]:
    """Which characters are not certain to stay as they are, whatever stands before and behind them."""
    import numpy as np

    odd = np.zeros(_END + 1, np.bool_)
    odd[[*_BREAKS_AND_CONTROLS, *_JAMO, _END]] = True
    for code in (code for known in _KNOWN for code in known):
        character = chr(code)
        parts = decomposed(character)
        odd[code] |= combining_class(character) > 0 or composed(character) != character
        odd[[ord(part) for part in parts[1:]]] = True
    return odd
