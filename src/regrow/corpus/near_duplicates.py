"""Near-duplicates: texts that share most of their runs of five words.

MinHash (rensa) only proposes pairs; a pair counts when the Jaccard similarity of the real sets of runs reaches the
threshold, so a chance agreement of hashes never drops a text. What MinHash does not propose is missed: of pairs with
similarity 0.8 one in twenty million, with 0.6 one in eighty. The proposals are a pure function of the texts: words
are hashed here, by BLAKE2 and integer mixing, and rensa gets integers and a fixed seed. Words are runs of ASCII letters
and digits and of all non-ASCII bytes, with ASCII capitals folded: no rule that another version of Unicode would change.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

from regrow.corpus.mixing import mix

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_WORD = re.compile(rb"[0-9a-z\x80-\xff]+")
_RUN = 5
_BANDS, _ROWS, _SEED = 32, 4, 1
_BATCH = 1024


def words(text: str) -> list[bytes]:
    """The words of a text."""
    return _WORD.findall(text.encode().lower())


def runs(text: str) -> frozenset[tuple[bytes, ...]]:
    """The runs of five words of a text; a shorter text is one run."""
    found = words(text)
    return frozenset(tuple(found[place : place + _RUN]) for place in range(max(1, len(found) - _RUN + 1)))


def similarity(one: frozenset[tuple[bytes, ...]], other: frozenset[tuple[bytes, ...]]) -> float:
    """The Jaccard similarity of two sets that are not both empty."""
    shared = len(one & other)
    return shared / (len(one) + len(other) - shared)


def groups(
    texts: Sequence[str], threshold: float, progress: Callable[[int], None] = lambda done: None
) -> list[list[int]]:
    """The groups of near-duplicates: lists of places in ``texts``, ascending. Chains of similar texts are one group.

    Args:
        texts: what to compare.
        threshold: the least similarity of a pair, from 0 to 1.
        progress: is told how many texts have been looked at.
    """
    cached = lru_cache(maxsize=4096)(lambda place: runs(texts[place]))
    parents = list(range(len(texts)))
    for one, other in _proposals(texts, progress):
        first, second = _root(parents, one), _root(parents, other)
        if first != second and similarity(cached(one), cached(other)) >= threshold:
            parents[max(first, second)] = min(first, second)
    found: dict[int, list[int]] = {}
    for place in range(len(texts)):
        found.setdefault(_root(parents, place), []).append(place)
    return [group for group in found.values() if len(group) > 1]


def _root(parents: list[int], place: int) -> int:
    while parents[place] != place:
        parents[place] = place = parents[parents[place]]
    return place


def _proposals(texts: Sequence[str], progress: Callable[[int], None]) -> Iterator[tuple[int, int]]:
    """Pairs whose signatures agree in a whole band. Which pairs there are does not depend on the order of the texts."""
    buckets: dict[tuple[int, bytes], list[int]] = {}
    for place, signature in _signatures(texts, progress):
        for band in range(_BANDS):
            key = (band, signature[band * _ROWS : (band + 1) * _ROWS].tobytes())
            buckets.setdefault(key, []).append(place)
    for members in buckets.values():
        yield from ((one, other) for row, other in enumerate(members) for one in members[:row])


def _signatures(texts: Sequence[str], progress: Callable[[int], None]) -> Iterator[tuple[int, NDArray[np.uint32]]]:
    """The MinHash signatures of the texts that have words, with their places."""
    import numpy as np
    from rensa import RMinHash

    hashes: dict[bytes, int] = {}
    for begin in range(0, len(texts), _BATCH):
        each = [_run_hashes(text, hashes) for text in texts[begin : begin + _BATCH]]
        offsets = np.cumsum([0, *map(len, each)], dtype=np.uint64)
        flat = np.concatenate([np.empty(0, np.uint64), *each])
        rows = RMinHash.digest_matrix_from_flat_token_hashes(flat, offsets, _BANDS * _ROWS, _SEED).to_rows()
        matrix = np.array(rows, np.uint32)
        yield from ((begin + row, matrix[row]) for row, one in enumerate(each) if len(one))
        progress(min(begin + _BATCH, len(texts)))


def _run_hashes(text: str, hashes: dict[bytes, int]) -> NDArray[np.uint64]:
    """A 64-bit hash of each run of a text. ``hashes`` remembers those of the words."""
    import numpy as np

    found = words(text)
    for word in set(found) - hashes.keys():
        hashes[word] = int.from_bytes(hashlib.blake2b(word, digest_size=8).digest(), "little")
    row = np.fromiter((hashes[word] for word in found), np.uint64, len(found))
    length = min(_RUN, len(found))
    count = len(found) - length + 1 if found else 0
    mixed = np.zeros(count, np.uint64)
    for place in range(length):
        mixed = mix(mixed + row[place : place + count])
    return mixed
