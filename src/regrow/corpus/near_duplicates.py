"""Near-duplicates: texts that share most of their runs of five words.

MinHash (rensa) only proposes pairs; a pair counts when the Jaccard similarity of the sets of runs reaches the
threshold, so a chance agreement of signatures never drops a text. What MinHash does not propose is missed: of pairs
with similarity 0.8 one in twenty million, with 0.6 one in eighty. Among many that are alike, each is compared with the
first few and not with all, so that time and memory are in proportion to the texts, whatever they say. The proposals
are a pure function of the texts: words are hashed here, by BLAKE2 and integer mixing, and rensa gets integers and a
fixed seed.

Words are what stands between blanks, punctuation and symbols, with ASCII capitals folded. Where a script puts nothing
between its words, each character, with the marks upon it, stands for half a word, so a run has ten of them. Scripts
are told apart by their blocks, and characters by tables that no newer version of Unicode changes.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Sequence
from functools import cache, lru_cache
from typing import TYPE_CHECKING

from regrow.corpus.characters import blocks, category, such_that
from regrow.corpus.mixing import mix

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Hashes = NDArray[np.uint64]
    Signatures = NDArray[np.uint32]
    # The hashes of the words of a text; and how many halves of a word each is worth, if they are not all whole.
    _Words = tuple[Hashes, NDArray[np.int64] | None]

BANDS = 32
"""Of a signature: texts that agree in one are compared."""

_RUN = 5
_HALVES = 2 * _RUN  # of words: what a run has where characters are halves
_ROWS, _SEED = 4, 1
_BATCH = 2**18  # words of texts whose signatures are made at once
_PIECE = 2**18  # characters
_MIXED = 2**14  # numbers that stay near the processor
_WORDS_KEPT = 2**16
_ASCII_WORD = re.compile("[0-9a-z]+")
EMOJI = ((0x2600, 0x27BF), (0x1F000, 0x1FBFF))
WITHOUT_BLANKS = (
    (0x0E00, 0x0EFF),  # Thai, Lao
    (0x1000, 0x109F),  # Burmese
    (0x1780, 0x17FF),  # Khmer
    (0x1950, 0x19DF),  # Tai Le, New Tai Lue
    (0x1A20, 0x1AAF),  # Tai Tham
    (0x1B00, 0x1B7F),  # Balinese
    (0x2E80, 0x2FDF),  # radicals of ideographs
    (0x3000, 0x312F),  # kana, Bopomofo
    (0x3190, 0x4DBF),  # more of both, ideographs
    (0x4E00, 0xA4CF),  # ideographs, Yi
    (0xA980, 0xAADF),  # Javanese, Cham, Tai Viet, more of Burmese
    (0xF900, 0xFAFF),  # ideographs
    (0xFF66, 0xFF9F),  # kana of half a width
    (0x11700, 0x1174F),  # Ahom
    (0x12000, 0x1467F),  # cuneiform, hieroglyphs
    (0x16FE0, 0x18DFF),  # Tangut, Khitan
    (0x1AFF0, 0x1B2FF),  # more kana, Nushu
    (0x20000, 0x3FFFF),  # ideographs
)
# What is newer than the tables: of punctuation and symbols whole blocks, and the marks of scripts above.
BETWEEN_WORDS = ((0x2010, 0x206F), (0x20A0, 0x20CF), (0x2190, 0x2BFF), (0x2E00, 0x2E7F), (0xFE10, 0xFE1F))

MARKS = (
    *((0x200C, 0x200D), (0x102B, 0x103E), (0x1056, 0x1059), (0x1062, 0x1064), (0x1067, 0x106D), (0x1071, 0x1074)),
    *((0x1082, 0x108D), (0x1A55, 0x1A7F), (0x1B34, 0x1B44), (0xA9B3, 0xA9C0), (0x1F3FB, 0x1F3FF)),
)


def words(text: str) -> list[str]:
    """The words of a text."""
    return [word for piece in _pieces(_folded(text)) for word in piece]


def _folded(text: str) -> str:
    return text.encode().lower().decode()


def _pieces(folded: str) -> Iterator[list[str]]:
    """The words of a folded text, some at a time: a text can have more of them than there is memory for lists."""
    word = _ASCII_WORD if folded.isascii() else _word()
    begin = 0
    while begin < len(folded):
        blank = folded.find(" ", begin + _PIECE)
        end = len(folded) if blank < 0 else blank
        yield word.findall(folded, begin, end)
        begin = end


@cache
def _word() -> re.Pattern[str]:
    """A word of any script."""
    between = "\0-/:-`{-\x7f" + such_that(lambda c: category(c)[0] in "PSZ" or category(c) == "Cc")
    between += blocks(BETWEEN_WORDS)
    marks = blocks(MARKS) + such_that(lambda c: category(c)[0] == "M")
    emoji, alone = blocks(EMOJI), blocks(WITHOUT_BLANKS)
    return re.compile(f"[^{between}{emoji}{alone}]+|[{emoji}][{marks}]*|(?![{between}])[{alone}][{marks}]*")


@cache
def _half() -> re.Pattern[str]:
    """A word that is a character of a script without blanks."""
    return re.compile(f"[{blocks(WITHOUT_BLANKS)}]")


def runs(text: str) -> Hashes:
    """The set of the runs of five words of a text, as their hashes, ascending; a shorter text is one run."""
    import numpy as np

    (found,) = _run_hashes([_word_hashes(text)])
    found.sort()
    new = np.ones(len(found), np.bool_)
    np.not_equal(found[1:], found[:-1], out=new[1:])
    return found[new]


def similarity(one: Hashes, other: Hashes) -> float:
    """The Jaccard similarity of two sets, of which one at least is not empty."""
    import numpy as np

    both = np.concatenate([one, other])
    both.sort()
    shared = int(np.count_nonzero(both[1:] == both[:-1]))
    return shared / (len(both) - shared)


def numbers(texts: Iterable[tuple[int, str]]) -> Iterator[tuple[Hashes, Hashes]]:
    """Some texts after the other: their names, and for each the numbers of the bands of its signature.

    Texts whose signatures agree in a whole band share a number; the same band of others, and other bands, have others.

    Args:
        texts: each with a name; those without words are passed over.

    Yields:
        (texts,) names and (texts, bands) numbers.
    """
    batch: list[tuple[int, _Words]] = []
    held = 0
    for name, text in texts:
        if len((found := _word_hashes(text))[0]):
            batch.append((name, found))
            held += len(found[0])
        if held >= _BATCH:
            yield _numbers(batch)
            batch, held = [], 0
    if batch:
        yield _numbers(batch)


def _numbers(batch: list[tuple[int, _Words]]) -> tuple[Hashes, Hashes]:
    import numpy as np

    rows = signatures(_run_hashes([found for _, found in batch])).astype(np.uint64).reshape(-1, BANDS, _ROWS)
    bands = np.broadcast_to(np.arange(BANDS, dtype=np.uint64), rows.shape[:-1])
    mixed = _mixed([*(rows[..., place] for place in range(_ROWS)), bands])
    return np.array([name for name, _ in batch], np.uint64), mixed


def signatures(sets: Sequence[Hashes]) -> Signatures:
    """The MinHash signatures of some sets, of which none is empty; what is in one several times counts once."""
    import numpy as np
    from rensa import RMinHash

    offsets = np.cumsum([0, *map(len, sets)], dtype=np.uint64)
    rows = RMinHash.digest_matrix_from_flat_token_hashes(np.concatenate(sets), offsets, BANDS * _ROWS, _SEED)
    return np.array(rows.to_rows(), np.uint32)


def _word_hashes(text: str) -> _Words:
    import numpy as np

    folded = _folded(text)
    half = None if folded.isascii() or not _half().search(folded) else _half()
    hashes, halves = [np.empty(0, np.uint64)], [np.empty(0, np.int64)]
    for found in _pieces(folded):
        hashes.append(np.fromiter(map(_word_hash, found), np.uint64, len(found)))
        if half:
            halves.append(np.fromiter((1 if half.match(word) else 2 for word in found), np.int64, len(found)))
    return np.concatenate(hashes), np.concatenate(halves) if half else None


def _run_hashes(texts: Sequence[_Words]) -> list[Hashes]:
    """A 64-bit hash of each run of some texts, in its order; those of many short texts take one calculation."""
    import numpy as np

    others = _RUN - 1
    whole = np.concatenate([np.empty(0, np.uint64), *(row for row, halves in texts if halves is None)])
    mixed = _mixed([whole[place : max(0, len(whole) - others) + place] for place in range(_RUN)])
    found, end = [], 0
    for row, halves in texts:
        if halves is not None:
            found.append(_mixed_by_halves(row, halves))
            continue
        end += len(row)
        if len(row) < _RUN:
            found.append(_mixed([row[place : place + 1] for place in range(len(row))]) if len(row) else row)
        else:
            found.append(mixed[end - len(row) : end - others])
    return found


def _mixed_by_halves(row: Hashes, halves: NDArray[np.int64]) -> Hashes:
    """The hash of each shortest run that has as many halves of words as it takes; the last one goes on to the end."""
    import numpy as np

    before = np.concatenate([[0], np.cumsum(halves)])
    ends = np.searchsorted(before, before[:-1] + _HALVES)
    starts = np.flatnonzero(ends <= len(row)) if before[-1] >= _HALVES else np.array([0])
    ends[starts[-1]] = len(row)
    mixed = np.zeros(len(starts), np.uint64)
    for place in range(_HALVES + 1):
        at = starts + place
        mixed = np.where(at < ends[starts], mix(mixed + row[np.minimum(at, len(row) - 1)]), mixed)
    return mixed


@lru_cache(maxsize=_WORDS_KEPT)
def _word_hash(word: str) -> int:
    return int.from_bytes(hashlib.blake2b(word.encode(), digest_size=8).digest(), "little")


def _mixed(columns: Sequence[Hashes]) -> Hashes:
    """One number from those at the same place of some arrays."""
    import numpy as np

    mixed = np.zeros(columns[0].shape, np.uint64)
    for begin in range(0, len(mixed), _MIXED):
        part = slice(begin, begin + _MIXED)
        for column in columns:
            mixed[part] = mix(mixed[part] + column[part])
    return mixed
