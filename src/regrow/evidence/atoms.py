"""Texts as rows of atoms: words, and what is not in words, each as a 64-bit number.

An atom is a run of letters and digits, or a sign, how often soever it is repeated; where a script puts no blanks
between words, a character. It is told by its bytes in UTF-8 and by no table that a newer Unicode changes, and the same
letters are always the same atom, so what is found does not depend on a tokenizer.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Hashes = NDArray[np.uint64]
    Places = NDArray[np.int64]
    Truths = NDArray[np.bool_]

HELD = 1 << 18
"""Bytes of text that are worked on at a time, about; a longer text is worked on in pieces of so many."""

MARGIN = 1 << 13
"""Bytes before and behind a piece of a long text that are seen with it, for the surroundings of each place."""

_SIGNS = (
    (0xC280, 0xC2FF),  # signs of Latin-1
    (0xE0B8, 0xE0BB),  # Thai, Lao
    (0xE180, 0xE182),  # Burmese
    (0xE19E, 0xE19F),  # Khmer
    (0xE200, 0xE2FF),  # punctuation, symbols
    (0xE300, 0xE9FF),  # kana, ideographs
    (0xEA80, 0xEA92),  # Yi
    (0xEE00, 0xEFFF),  # private use, forms of presentation
    (0xF000, 0xF4FF),  # what is beyond the first plane
)
"""The first two bytes of characters beyond ASCII that are atoms by themselves."""


@dataclass(frozen=True)
class Atoms:
    """Some texts, or pieces of long ones, as one row of atoms.

    Attributes:
        hashes: of each atom.
        starts: the byte of its text at which each begins.
        ends: one past its last byte.
        texts: of each the text that it is in, by its number among those given; ascending.
        first: of each the first atom of its text, or of what is seen of it.
        last: of each one past the last one.
        own: which are of the piece itself and not of its surroundings, so that each atom of a text is so once.
    """

    hashes: Hashes
    starts: Places
    ends: Places
    texts: Places
    first: Places
    last: Places
    own: Truths

    def __len__(self) -> int:
        return len(self.hashes)

    def runs(self, places: Places, length: int) -> Hashes:
        """The hashes of the runs of so many atoms that begin at some; ``NONE`` where the text ends before."""
        import numpy as np

        from regrow.evidence import kernels

        found = np.empty(len(places), np.uint64)
        kernels.runs(self.hashes, self.last, places, length, found)
        return found

    def passages(self) -> Hashes:
        """The hash of the passage that begins at each; ``NONE`` where its text ends before."""
        import numpy as np

        from regrow.evidence import kernels

        found = np.empty(len(self), np.uint64)
        kernels.passages(self.hashes, self.last, found)
        return found


@dataclass(frozen=True)
class _Piece:
    """A text, or a part of a long one.

    Attributes:
        text: the number of the text.
        data: the bytes, with those around it.
        before: bytes of the text before them.
        begin: the first byte of the text that is its own.
        end: one past the last.
    """

    text: int
    data: bytes
    before: int
    begin: int
    end: int


def batches(texts: Iterable[tuple[int, bytes]], held: int = HELD) -> Iterator[Atoms]:
    """The atoms of texts, some texts at a time.

    Args:
        texts: each as UTF-8, with its number; the numbers ascend.
        held: bytes that are worked on at a time.
    """
    waiting: list[_Piece] = []
    size = 0
    for piece in _pieces(texts, held):
        waiting.append(piece)
        size += len(piece.data)
        if size >= held:
            yield _atoms(waiting)
            waiting, size = [], 0
    if waiting:
        yield _atoms(waiting)


def _pieces(texts: Iterable[tuple[int, bytes]], held: int) -> Iterator[_Piece]:
    for number, data in texts:
        if len(data) <= 2 * held:
            yield _Piece(number, data, 0, 0, len(data))
            continue
        begin = 0
        while begin < len(data):
            end = _border(data, begin + held) if len(data) - begin > 2 * held else len(data)
            left, right = _border(data, begin - MARGIN), _border(data, end + MARGIN)
            yield _Piece(number, data[left:right], left, begin, end)
            begin = end


def _border(data: bytes, place: int) -> int:
    """Where a character begins: at a place, or before it."""
    place = min(max(place, 0), len(data))
    while 0 < place < len(data) and data[place] & 0xC0 == 0x80:
        place -= 1
    return place


def _atoms(pieces: list[_Piece]) -> Atoms:
    import numpy as np

    from regrow.evidence import kernels

    data = b"".join(piece.data for piece in pieces)
    sizes = np.array([len(piece.data) for piece in pieces], np.int64)
    told = np.array([(one.text, one.before, one.begin, one.end) for one in pieces], np.int64)
    told = np.column_stack([np.cumsum(sizes) - sizes, np.cumsum(sizes), told])
    hashes, facts = np.empty(len(data), np.uint64), np.empty((5, len(data)), np.int64)
    own = np.empty(len(data), np.bool_)
    count = kernels.split(np.frombuffer(data, np.uint8), told, _characters(), hashes, facts, own)
    starts, ends, texts, first, last = facts[:, :count]
    return Atoms(hashes[:count], starts, ends, texts, first, last, own[:count])


@cache
def _characters() -> NDArray[np.uint8]:
    """What a character is, by its first two bytes, of which the second counts only beyond ASCII."""
    import numpy as np

    from regrow.evidence.kernels import BLANK, SIGN, WORD

    found = np.full(1 << 16, WORD, np.uint8)
    for byte in range(128):
        sort = BLANK if byte <= 32 else WORD if chr(byte).isalnum() else SIGN
        found[byte << 8 : (byte + 1) << 8] = sort
    for begin, end in _SIGNS:
        found[begin : end + 1] = SIGN
    return found
