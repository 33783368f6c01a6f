"""Many texts at once: pass by pass, one token of each that is being written, and pieces of prompts beside them.

In which passes a token is read changes how fast it is there, and never a bit of what is told: that is a property of
the arithmetic (docs/arithmetic.md). So texts may join and leave at any pass, what was read may be dropped and read
again, and what others have read may be taken over.

Memory: what is read of a text is kept until it ends, and after that for others that begin alike, as long as there is
room. Those that are being written go first; of them the older. What finds no room is dropped and waits to be read
again, so whatever fits alone comes to its end.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path

import numpy as np
import torch

from regrow.engine.machine import machine
from regrow.model.sampling import Chances
from regrow.serve.prefixes import Prefixes
from regrow.serve.requests import Ended
from regrow.serve.writing import Text, finite

_ROWS = 64
"""Logits of so many places are made at once: a vocabulary has tens of thousands of them."""
_MODEST = 4 << 30
"""Bytes of a machine that does not say how many it has."""


def _share_of_machine() -> int:
    """A quarter of the memory that this process may have."""
    return (machine(Path.cwd()).memory_bytes or _MODEST) // 4


@dataclass(frozen=True)
class Limits:
    """What an engine may take.

    Attributes:
        memory_bytes: of keys and values, of texts that are being written and of those that are kept; a quarter of the
            machine's memory if nothing is said.
        waiting: requests that may wait.
        together: texts that are written at the same time.
        tokens: that are read in a pass, about; a long prompt is read in pieces, so that others go on meanwhile.
        block: positions that are kept together for others; 0 to keep nothing.
    """

    memory_bytes: int = field(default_factory=_share_of_machine)
    waiting: int = 1024
    together: int = 64
    tokens: int = 256
    block: int = 32


@dataclass
class Figures:
    """What an engine does and did.

    Attributes:
        waiting: texts that wait to be begun, or to be gone on with.
        running: texts that are being written.
        memory_bytes: taken by keys and values now.
        most_memory_bytes: that may be taken.
        kept_bytes: of these, for others that begin alike.
        passes: that were made.
        read: tokens that were read.
        found: tokens that needed not be read, since they were kept.
        written: tokens that were written.
        dropped: texts that had to make room for older ones, and were read again.
    """

    waiting: int = 0
    running: int = 0
    memory_bytes: int = 0
    most_memory_bytes: int = 0
    kept_bytes: int = 0
    passes: int = 0
    read: int = 0
    found: int = 0
    written: int = 0
    dropped: int = 0


@dataclass(frozen=True)
class Piece:
    """Of a text, how many tokens are read next."""

    text: Text
    count: int


class Batch:
    """The texts of an engine, in one thread.

    Attributes:
        figures: what is going on.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._waiting, self._running = deque[Text](), list[Text]()
        self._prefixes, self._block_bytes = Prefixes(max(limits.block, 1)), 0
        self.figures = Figures(most_memory_bytes=limits.memory_bytes)

    @property
    def texts(self) -> Iterator[Text]:
        """All that have not ended."""
        yield from self._running
        yield from self._waiting

    @property
    def busy(self) -> bool:
        """Whether anything is left to do."""
        return bool(self._running or self._waiting)

    def add(self, text: Text) -> None:
        """Take a text, to be begun when there is room for it."""
        self._waiting.append(text)
        self.figures.waiting += 1

    def give_up(self) -> None:
        """Write nothing more of any text."""
        for text in self.texts:
            text.running.cancel()

    def fail(self, error: BaseException) -> None:
        """End all texts."""
        for text in list(self.texts):
            text.end(Ended("failed", error))
        self._leave()
        self._count()

    def step(self) -> None:
        """Go on with all texts by a pass for each model."""
        self._leave()
        self._join()
        pieces = sorted(self._pieces(), key=lambda piece: piece.text.request.adapter)
        for _, some in groupby(pieces, key=lambda piece: piece.text.request.adapter):
            self._pass([piece for piece in some if piece.text in self._running])
        self._leave()
        self._count()

    def _leave(self) -> None:
        """Drop what has ended or was given up."""
        for text in [text for text in self.texts if text.running.cancelled]:
            text.end(Ended("cancelled"))
        self._running = [text for text in self._running if not text.ended]
        self._waiting = deque(text for text in self._waiting if not text.ended)

    def _join(self) -> None:
        """Begin with those that wait, in their order, as long as there is room for what they begin with."""
        promised = sum(map(self._needed, self._running))
        while self._waiting and len(self._running) < self._limits.together:
            needed = self._needed(self._waiting[0])
            if self._running and self._held + promised + needed > self._limits.memory_bytes:
                break
            promised += needed
            self._running.append(self._waiting.popleft())
        self.figures.waiting, self.figures.running = len(self._waiting), len(self._running)

    @staticmethod
    def _needed(text: Text) -> int:
        """Bytes more that the cache of a text takes until its goal."""
        room = text.cache.growing(text.goal - text.first) - text.cache.room
        return room * text.model.position_bytes

    @property
    def _held(self) -> int:
        return sum(text.cache.room * text.model.position_bytes for text in self._running)

    @property
    def _kept(self) -> int:
        return len(self._prefixes) * self._block_bytes

    def _pieces(self) -> list[Piece]:
        """What is read in the next pass: the oldest texts first, for which younger ones make room."""
        found = list[Piece]()
        self._take_over()
        for text, count in self._shares():
            if text in self._running and self._make_room(text, text.cache.length + count):
                found.append(Piece(text, count))
        return found

    def _take_over(self) -> None:
        """Go on with what others have read, wherever a text has to read on at the border of a block."""
        size = self._limits.block
        for text in list(self._running):
            length = text.cache.length
            if text not in self._running or not size or text.whole or length % size or text.known - length < size:
                continue
            blocks = self._prefixes.find(text.request.adapter, text.seen, text.known)[length // size :]
            if not blocks or not self._make_room(text, length + len(blocks) * size):
                continue
            for block in blocks:
                text.cache.append(block.kept)
            text.found(len(blocks) * size)
            self.figures.found += len(blocks) * size

    def _shares(self) -> list[tuple[Text, int]]:
        """Each text with the tokens that are read of it: one that was written, or an even share of what is left.

        What another one is reading already is not read twice: it waits for that.
        """
        writing = [text for text in self._running if text.pending == 1]
        found, left = [(text, 1) for text in writing], max(1, self._limits.tokens - len(writing))
        reading, begun = list[Text](), set[tuple[str, tuple[int, ...]]]()
        for text in self._running:
            if text.pending > 1 and (key := self._next_block(text)) not in begun:
                reading.append(text)
                if key is not None:
                    begun.add(key)
        for place, text in enumerate(reading):
            count = text.pending if text.whole else min(text.pending, -(-left // (len(reading) - place)))
            left = max(0, left - count)
            if count:
                found.append((text, count))
        return sorted(found, key=lambda one: one[0].number)

    def _next_block(self, text: Text) -> tuple[str, tuple[int, ...]] | None:
        """What a text reads next, up to the end of a block, if it could as well be taken over."""
        size = self._limits.block
        if not size or text.whole:
            return None
        end = (text.cache.length // size + 1) * size
        return (text.request.adapter, tuple(text.seen[:end])) if end <= text.known else None

    def _make_room(self, text: Text, end: int) -> bool:
        """Have memory for so many positions of a text, if need be that of what is kept, or of younger texts."""
        more = (text.cache.growing(end) - text.cache.room) * text.model.position_bytes
        while more and self._held + self._kept + more > self._limits.memory_bytes:
            if self._prefixes.drop():
                continue
            youngest = self._running[-1]
            self._running.pop()
            self._waiting.appendleft(youngest)
            self.figures.dropped += youngest.cache.room > 0
            youngest.forget()
            if youngest is text:
                return False
        text.cache.reserve(end)
        return True

    def _pass(self, pieces: Sequence[Piece]) -> None:
        """Read tokens of several texts of one model; if that fails, each alone, so that a fault ends one text."""
        if not pieces:
            return
        try:
            self._read(pieces)
        except Exception as error:
            alone = len(pieces) == 1
            for text, count in ((piece.text, piece.count) for piece in pieces if not piece.text.ended):
                if alone:
                    text.end(Ended("failed", error))
                    continue
                text.forget()  # what of it was read is not known
                self._pass([Piece(text, count if not text.whole else text.pending)])

    @torch.no_grad()
    def _read(self, pieces: Sequence[Piece]) -> None:
        decoder, parameters = pieces[0].text.model.decoder, pieces[0].text.model.parameters
        starts = [piece.text.cache.length for piece in pieces]
        wanted, written = list(_wanted(pieces)), sum(len(piece.text.tokens) for piece in pieces)
        tokens = [torch.tensor(piece.text.coming(piece.count)) for piece in pieces]
        final = decoder.step(parameters, tokens, [piece.text.cache for piece in pieces])
        self.figures.passes += 1
        self.figures.read += sum(piece.count for piece in pieces)
        for piece, start in zip(pieces, starts, strict=True):
            self._keep(piece.text, start)
        for some in _parts(wanted):
            _hand_out(some, decoder.outputs(parameters, final[[row for _, _, row in some]]).cpu().numpy())
        self.figures.written += sum(len(piece.text.tokens) for piece in pieces) - written
        for piece in pieces:
            if not piece.text.ended:
                piece.text.turn()

    def _keep(self, text: Text, start: int) -> None:
        """Keep the blocks that a text has come to the end of, for others, as far as there is room."""
        size = self._limits.block
        if not size or text.whole:
            return
        self._block_bytes = size * text.model.position_bytes
        for end in range((start // size + 1) * size, text.cache.length + 1, size):
            tokens = text.seen[:end]
            if not self._prefixes.can_add(text.request.adapter, tokens):
                continue
            while self._held + self._kept + self._block_bytes > self._limits.memory_bytes:
                if not self._prefixes.drop(tokens, text.request.adapter):
                    return
            self._prefixes.add(text.request.adapter, tokens, text.cache.between(end - size, end))

    def _count(self) -> None:
        figures = self.figures
        figures.waiting, figures.running = len(self._waiting), len(self._running)
        figures.kept_bytes = self._kept
        figures.memory_bytes = figures.kept_bytes + self._held


Wanted = tuple[Text, int, int]
"""A text, the place of a token of it, and the row of the pass whose logits are those behind it."""


def _wanted(pieces: Sequence[Piece]) -> Iterator[Wanted]:
    row = 0
    for piece in pieces:
        text = piece.text
        start = text.first + text.cache.length
        yield from ((text, start + offset, row + offset) for offset in text.asked(piece.count))
        row += piece.count


def _parts(wanted: list[Wanted]) -> Iterable[list[Wanted]]:
    return (wanted[start : start + _ROWS] for start in range(0, len(wanted), _ROWS))


def _hand_out(some: Sequence[Wanted], logits: np.ndarray) -> None:
    """Give each text the logits that it asked for, with probabilities if it wants them."""
    told = [row for row, (text, *_) in enumerate(some) if text.request.likeliest is not None]
    chances = dict(zip(told, Chances.of(logits[told]), strict=True)) if told else {}
    for row, (text, place, _) in enumerate(some):
        if text.ended:
            continue
        try:
            finite(logits[row])
            text.take(place, logits[row], chances.get(row))
        except Exception as error:
            text.end(Ended("failed", error))
