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
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import TYPE_CHECKING

from regrow.corpus.characters import blocks, category, such_that
from regrow.corpus.mixing import mix

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Hashes = NDArray[np.uint64]
    Signatures = NDArray[np.uint32]

_RUN = 5
_HALVES = 2 * _RUN  # of words: what a run has where characters are halves
_BANDS, _ROWS, _SEED = 32, 4, 1
_BATCH = 128
_WORDS_KEPT = 2**16
# How many earlier texts of a bucket each text is compared with. Buckets of unlike texts are smaller than this.
_COMPARED = 8
_ASCII_WORD = re.compile("[0-9a-z]+")
_EMOJI = ((0x2600, 0x27BF), (0x1F000, 0x1FBFF))
_WITHOUT_BLANKS = (
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
_BETWEEN_WORDS = ((0x2010, 0x206F), (0x20A0, 0x20CF), (0x2190, 0x2BFF), (0x2E00, 0x2E7F), (0xFE10, 0xFE1F))

_MARKS = (
    *((0x200C, 0x200D), (0x102B, 0x103E), (0x1056, 0x1059), (0x1062, 0x1064), (0x1067, 0x106D), (0x1071, 0x1074)),
    *((0x1082, 0x108D), (0x1A55, 0x1A7F), (0x1B34, 0x1B44), (0xA9B3, 0xA9C0), (0x1F3FB, 0x1F3FF)),
)


def words(text: str) -> list[str]:
    """The words of a text."""
    folded = text.encode().lower().decode()
    return (_ASCII_WORD if folded.isascii() else _word()).findall(folded)


@cache
def _word() -> re.Pattern[str]:
    """A word of any script."""
    between = "\0-/:-`{-\x7f" + such_that(lambda c: category(c)[0] in "PSZ" or category(c) == "Cc")
    between += blocks(_BETWEEN_WORDS)
    marks = blocks(_MARKS) + such_that(lambda c: category(c)[0] == "M")
    emoji, alone = blocks(_EMOJI), blocks(_WITHOUT_BLANKS)
    return re.compile(f"[^{between}{emoji}{alone}]+|[{emoji}][{marks}]*|(?![{between}])[{alone}][{marks}]*")


@cache
def _half() -> re.Pattern[str]:
    """A word that is a character of a script without blanks."""
    return re.compile(f"[{blocks(_WITHOUT_BLANKS)}]")


def runs(text: str) -> Hashes:
    """The set of the runs of five words of a text, as their hashes, ascending; a shorter text is one run."""
    import numpy as np

    return np.unique(_run_hashes(text))


def similarity(one: Hashes, other: Hashes) -> float:
    """The Jaccard similarity of two sets, of which one at least is not empty."""
    import numpy as np

    shared = len(np.intersect1d(one, other, assume_unique=True))
    return shared / (len(one) + len(other) - shared)


def groups(
    texts: Sequence[str], threshold: float, progress: Callable[[int], None] = lambda done: None
) -> list[list[int]]:
    """The groups of near-duplicates: lists of places in ``texts``, ascending. Chains of similar texts are one group.

    Args:
        texts: what to compare, in an order that is the same for everyone.
        threshold: the least similarity of a pair, from 0 to 1.
        progress: is told how many texts have been looked at.
    """
    kept = lru_cache(maxsize=_BANDS * _COMPARED)(lambda place: runs(texts[place]))
    parents = list(range(len(texts)))
    for place, earlier in _proposals(texts, progress):
        own = None
        for other in earlier:
            first, second = _root(parents, other), _root(parents, place)
            if first != second:
                own = runs(texts[place]) if own is None else own
                if similarity(kept(other), own) >= threshold:
                    parents[max(first, second)] = min(first, second)
    found: dict[int, list[int]] = {}
    for place in range(len(texts)):
        found.setdefault(_root(parents, place), []).append(place)
    return [group for group in found.values() if len(group) > 1]


def _root(parents: list[int], place: int) -> int:
    while parents[place] != place:
        parents[place] = place = parents[parents[place]]
    return place


def _proposals(texts: Sequence[str], progress: Callable[[int], None]) -> Iterator[tuple[int, list[int]]]:
    """Texts, each with some of the earlier ones whose signatures agree with its own in a whole band."""
    import numpy as np

    places, keys = _bands(texts, progress)
    bands = [_Buckets.of(column) for column in keys.T]
    for begin in range(0, len(places), _BATCH):
        rows = np.arange(begin, min(begin + _BATCH, len(places)))
        for row, found in zip(rows, np.concatenate([band.first(rows) for band in bands], axis=1), strict=True):
            if len(earlier := np.unique(found[found < row])):
                yield int(places[row]), places[earlier].tolist()


@dataclass(frozen=True)
class _Buckets:
    """The rows that have the same number in a band.

    Attributes:
        order: all rows, bucket after bucket, ascending in each.
        begin: for each row where its bucket begins in ``order``.
    """

    order: NDArray[np.int32]
    begin: NDArray[np.int32]

    @staticmethod
    def of(numbers: Hashes) -> _Buckets:
        """Sort rows by their numbers."""
        import numpy as np

        order = np.argsort(numbers, kind="stable")
        return _Buckets(order.astype(np.int32), np.searchsorted(numbers[order], numbers).astype(np.int32))

    def first(self, rows: NDArray[np.intp]) -> NDArray[np.int32]:
        """For each of some rows the first few of its bucket; if there are not as many, some stand there twice."""
        import numpy as np

        begin = self.begin[rows][:, None]
        found = self.order[np.minimum(begin + np.arange(_COMPARED), len(self.order) - 1)]
        return np.where(self.begin[found] == begin, found, self.order[begin])


def _bands(texts: Sequence[str], progress: Callable[[int], None]) -> tuple[NDArray[np.intp], Hashes]:
    """The places of the texts that have words, and for each a number for every band of its signature."""
    import numpy as np

    places, numbers = [], [np.empty((0, _BANDS), np.uint64)]
    for batch, signatures in _signatures(texts, progress):
        places += batch
        numbers.append(_mixed(signatures.astype(np.uint64).reshape(-1, _BANDS, _ROWS)))
    return np.array(places, np.intp), np.concatenate(numbers)


def _signatures(
    texts: Sequence[str], progress: Callable[[int], None]
) -> Iterator[tuple[list[int], NDArray[np.uint32]]]:
    """Batch by batch the places of the texts that have words, and their MinHash signatures."""
    import numpy as np
    from rensa import RMinHash

    for begin in range(0, len(texts), _BATCH):
        each = [_run_hashes(text) for text in texts[begin : begin + _BATCH]]
        offsets = np.cumsum([0, *map(len, each)], dtype=np.uint64)
        rows = RMinHash.digest_matrix_from_flat_token_hashes(np.concatenate(each), offsets, _BANDS * _ROWS, _SEED)
        known = [row for row, one in enumerate(each) if len(one)]
        yield [begin + row for row in known], np.array(rows.to_rows(), np.uint32)[known]
        progress(begin + len(each))


def _run_hashes(text: str) -> Hashes:
    """A 64-bit hash of each run of a text, in its order."""
    import numpy as np

    found = words(text)
    length = min(_RUN, len(found))
    row = np.fromiter(map(_word_hash, found), np.uint64, len(found))
    if not text.isascii():
        half = _half()
        halves = np.fromiter((1 if half.match(word) else 2 for word in found), np.int64, len(found))
        if halves.size and halves.min() == 1:
            return _mixed_by_halves(row, halves)
    return _mixed(np.lib.stride_tricks.sliding_window_view(row, length)) if length else row


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


def _mixed(rows: Hashes) -> Hashes:
    """One number from those along the last axis."""
    import numpy as np

    mixed = np.zeros(rows.shape[:-1], np.uint64)
    for place in range(rows.shape[-1]):
        mixed = mix(mixed + rows[..., place])
    return mixed
