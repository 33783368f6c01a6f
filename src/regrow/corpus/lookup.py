"""Strings of any length in an index of tokens: found wherever they stand, also where they begin inside of a token.

A string stands in a row of tokens if it is the end of one, some whole ones, and the beginning of another. So the search
goes down the sorted table token by token, for every token that the rest of the string can begin with; most of these
never follow, and their ranges are empty at once.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache, cached_property, partial
from typing import TYPE_CHECKING

from regrow.corpus.suffixes import Index, Range, Shard

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_BLANKS = re.compile(rb"[ \t\r\n\x0b\x0c]+")


@dataclass(frozen=True)
class Lookup:
    """Finds strings.

    Attributes:
        index: of the row.
        pieces: the bytes of each token; empty for special ones.
        case: whether capitals and small letters are the same. Characters whose bytes are in several tokens are
            compared as they are.
        blanks: whether blanks, tabs and ends of lines are the same, however many.
    """

    index: Index
    pieces: Sequence[bytes]
    case: bool = False
    blanks: bool = False

    def find(self, text: str) -> list[tuple[int, Range]]:
        """The places at which a text stands: shards, and ranges in their tables, each of the token it begins in.

        A token in which it begins twice is there twice. An empty text stands nowhere.
        """
        wanted = self._folded(text.encode())
        follows = cache(partial(self._follows, wanted))
        found: list[tuple[int, Range]] = []
        for token, at in self._begun(wanted) if wanted else ():
            for number, shard in enumerate(self.index.shards):
                found += [(number, one) for one in _down(shard, token, at, len(wanted), follows)]
        return found

    def count(self, text: str) -> int:
        """How often a text stands in the row."""
        return sum(high - low for _, (low, high) in self.find(text))

    def _folded(self, data: bytes) -> bytes:
        if self.case:
            try:
                data = data.decode().lower().encode()
            except UnicodeDecodeError:
                data = data.lower()
        return _BLANKS.sub(b" ", data) if self.blanks else data

    @cached_property
    def _said(self) -> list[bytes]:
        """What each token says, folded."""
        return [self._folded(piece) for piece in self.pieces]

    @cached_property
    def _tokens(self) -> dict[bytes, list[int]]:
        """The tokens that say the same."""
        found: dict[bytes, list[int]] = {}
        for token, said in enumerate(self._said):
            if said:
                found.setdefault(said, []).append(token)
        return found

    @cached_property
    def _sorted(self) -> list[bytes]:
        return sorted(self._tokens)

    @cached_property
    def _longest(self) -> int:
        return max(map(len, self._sorted), default=0)

    def _begun(self, wanted: bytes) -> Iterator[tuple[int, int]]:
        """The tokens in which a string can begin, each with how much of the string it says."""
        for said, tokens in self._tokens.items():
            place = said.find(wanted[:1])
            while place >= 0:
                tail = said[place:]
                if tail.startswith(wanted) or wanted.startswith(tail):
                    yield from ((token, min(len(tail), len(wanted))) for token in tokens)
                place = said.find(wanted[:1], place + 1)

    def _follows(self, wanted: bytes, at: int) -> _Following:
        """The tokens that may come next, where some of a string is said.

        Special tokens say nothing, and no text goes on behind them.
        """
        import numpy as np

        found: list[tuple[int, int]] = []
        after_blank = self.blanks and wanted[at - 1 : at] == b" "
        for blank in (b"", b" ") if after_blank else (b"",):
            start = blank + wanted[at : at + self._longest]
            for length in range(1, min(len(start), self._longest) + 1):
                found += [(token, at + length - len(blank)) for token in self._tokens.get(start[:length], ())]
            for more in range(bisect_left(self._sorted, start + b"\0"), len(self._sorted)):
                if not self._sorted[more].startswith(start):
                    break
                found += [(token, len(wanted)) for token in self._tokens[self._sorted[more]]]
        found.sort()
        return _Following(np.array([token for token, _ in found], np.int64), [said for _, said in found])


@dataclass(frozen=True)
class _Following:
    """Tokens that may come next.

    Attributes:
        tokens: ascending.
        said: how much of the string is said behind each.
    """

    tokens: NDArray[np.int64]
    said: list[int]


def _down(shard: Shard, token: int, at: int, size: int, follows: Callable[[int], _Following]) -> Iterator[Range]:
    """The ranges in which a string of some bytes stands that begins in a token, which says the first of them."""
    left = [(shard.bucket(token), 1, at)]
    while left:
        within, depth, at = left.pop()
        if within[0] == within[1]:
            continue
        if at == size:
            yield within
        else:
            next_ones = follows(at)
            narrower = shard.following(within, next_ones.tokens, depth)
            left += [(one, depth + 1, next_ones.said[number]) for number, one in reversed(narrower)]


def pieces(names: Sequence[str], special: Sequence[int], letters: dict[str, int]) -> list[bytes]:
    """The bytes of tokens as byte-level tokenizers write them.

    Args:
        names: of the tokens, as in the tokenizer's file.
        special: those that stand for no text.
        letters: the byte that each letter stands for.
    """
    silent = frozenset(special)
    return [
        b"" if number in silent or any(one not in letters for one in name) else bytes(letters[one] for one in name)
        for number, name in enumerate(names)
    ]
