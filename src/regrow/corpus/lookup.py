"""Strings of any length in an index of tokens: found wherever they stand, also where they begin inside of a token.

A string stands in a row of tokens if it is the end of one, some whole ones, and the beginning of another. So the search
goes down the sorted table token by token, for every token that the rest of the string can begin with; most of these
never follow, and their ranges are empty at once.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from regrow.corpus.suffixes import Index, Range, Shard

Folding = Literal["", "case", "blanks", "case and blanks"]
_BLANKS = re.compile(rb"[ \t\r\n\x0b\x0c]+")
_FEW = 64
"""Places of which the next tokens are looked at, rather than looked for."""


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
        found: list[tuple[int, Range]] = []
        for token, rest in self._begun(wanted) if wanted else ():
            for number, shard in enumerate(self.index.shards):
                within = shard.bucket(token)
                if within[0] < within[1]:
                    found += [(number, one) for one in self._down(shard, within, 1, rest, wanted)]
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

    def _begun(self, wanted: bytes) -> Iterator[tuple[int, bytes]]:
        """The tokens in which a string can begin, each with what is left of the string behind it."""
        for said, tokens in self._tokens.items():
            place = said.find(wanted[:1])
            while place >= 0:
                tail = said[place:]
                if tail.startswith(wanted) or wanted.startswith(tail):
                    yield from ((token, wanted[len(tail) :]) for token in tokens)
                place = said.find(wanted[:1], place + 1)

    def _down(self, shard: Shard, within: Range, depth: int, rest: bytes, wanted: bytes) -> Iterator[Range]:
        """The ranges in which the rest of a string follows, ``depth`` tokens on."""
        if not rest:
            yield within
            return
        after_blank = self.blanks and wanted[len(wanted) - len(rest) - 1 : len(wanted) - len(rest)] == b" "
        for token, left in self._next(shard, within, depth, rest, after_blank):
            narrower = shard.narrowed(within, [token], depth)
            if narrower[0] < narrower[1]:
                yield from self._down(shard, narrower, depth + 1, left, wanted)

    def _next(
        self, shard: Shard, within: Range, depth: int, rest: bytes, after_blank: bool
    ) -> Iterator[tuple[int, bytes]]:
        """The tokens that may come next, each with what is left of the string behind it."""
        if within[1] - within[0] <= _FEW:
            for token in shard.next(within, depth):
                # Special tokens say nothing, and no text goes on behind them.
                if (said := self._said[token]) and (left := _behind(said, rest, after_blank)) is not None:
                    yield token, left
            return
        for start in (rest, b" " + rest) if after_blank else (rest,):
            for length in range(1, min(len(start), self._longest) + 1):
                for token in self._tokens.get(start[:length], ()):
                    yield token, start[length:] if start is rest else rest[max(0, length - 1) :]
            for at in range(bisect_left(self._sorted, start + b"\0"), len(self._sorted)):
                if not self._sorted[at].startswith(start):
                    break
                yield from ((token, b"") for token in self._tokens[self._sorted[at]])


def _behind(said: bytes, rest: bytes, after_blank: bool) -> bytes | None:
    """What is left of a string behind a token; None if the token is not what comes next."""
    if after_blank:
        said = said.removeprefix(b" ")
    if said.startswith(rest) and said:
        return b""
    return rest[len(said) :] if rest.startswith(said) and (said or after_blank) else None


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
