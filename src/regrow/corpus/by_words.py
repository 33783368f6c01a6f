"""Texts to tokens, word by word: a tokenizer is asked for each different word once, however often texts say it.

A word is here what goes on to the next blank that stands behind a visible character of ASCII. Tokenizers that tell
words apart begin one with such a blank, whatever follows it, so that the tokens of words are those of the text. ::

    words = Words(Tokenizer.open(folder))
    words.tokens(["To be, or not to be"])  # [array([...], dtype=uint32)]
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

from regrow.corpus.tokenizer import Tokenizer

if TYPE_CHECKING:
    import numpy as np
    import pyarrow
    from numpy.typing import NDArray

_MOST = 1 << 26  # bytes that words are remembered in
_BESIDE = 256  # of them, for each word beside its letters
_BLANK, _VISIBLE, _DELETE = 0x20, 0x21, 0x7F
_TOKEN = 4  # bytes


class Words:
    """The tokens of texts, and of the words that were met, as many as there is room for.

    Args:
        tokenizer: one that does not tell words apart is given whole texts.
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._known: dict[bytes, bytes] = {}
        self._held = 0

    def tokens(self, texts: Sequence[str]) -> list[NDArray[np.uint32]]:
        """The tokens of the letters of texts, without the ones that end them.

        Raises:
            InputError: as :meth:`Tokenizer.documents`.
        """
        import numpy as np

        if not self._tokenizer.cuts_at_spaces:
            return [np.frombuffer(row, np.uint32) for row in map(_bytes, self._tokenizer.documents(texts))]
        self._tokenizer.require_sayable(texts)
        parts = [text.encode() for text in texts]
        data = b"".join(parts)
        borders = np.cumsum([0, *map(len, parts)])
        starts = _starts(np.frombuffer(data, np.uint8), borders)
        words = _column(data, np.append(starts, len(data))).dictionary_encode()
        found = self._found(words.dictionary.to_pylist())
        taken = _column(b"".join(found), np.cumsum([0, *map(len, found)])).take(words.indices)
        _, offsets, tokens = taken.buffers()
        row = np.frombuffer(tokens or b"", np.uint32)
        places = np.frombuffer(offsets, np.int64)[np.searchsorted(starts, borders)] // _TOKEN
        return [row[start:end] for start, end in pairwise(places)]

    def _found(self, words: Sequence[bytes]) -> list[bytes]:
        """The tokens of some words, as bytes."""
        found = [*map(self._known.get, words)]
        new = [word for word, tokens in zip(words, found, strict=True) if tokens is None]
        asked = self._tokenizer.documents([word.decode() for word in new])
        learnt = dict(zip(new, map(_bytes, asked), strict=True))
        size = sum(map(len, new)) + _BESIDE * len(new)
        if self._held + size > _MOST:
            self._known, self._held = {}, 0
        self._known |= learnt
        self._held += size
        return [learnt[word] if tokens is None else tokens for word, tokens in zip(words, found, strict=True)]


def _bytes(tokens: Sequence[int]) -> bytes:
    return array("I", tokens).tobytes()


def _starts(units: NDArray[np.uint8], borders: NDArray[np.int64]) -> NDArray[np.int64]:
    """Where words begin in some texts: at blanks behind visible characters, and at the borders of texts."""
    import numpy as np

    begins = units == _BLANK
    begins[1:] &= units[:-1] - np.uint8(_VISIBLE) < _DELETE - _VISIBLE  # what is smaller becomes large
    begins[borders[borders < len(units)]] = True
    return np.flatnonzero(begins)


def _column(data: bytes, ends: NDArray[np.int64]) -> pyarrow.LargeBinaryArray:
    """Neighbouring stretches of some bytes, by the beginning of the first and the ends of all."""
    import pyarrow as pa

    buffers = [None, pa.py_buffer(ends), pa.py_buffer(data)]
    return pa.Array.from_buffers(pa.large_binary(), len(ends) - 1, buffers)
