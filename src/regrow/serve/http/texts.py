"""The texts of one request while they are written: from the engine's thread into the loop, in pieces that can be told.

    async with Texts(served, meters, wanted) as texts:
        async for number, piece in texts:
            ...

Whatever ends the block, nothing is written any more for it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from itertools import zip_longest
from types import TracebackType
from typing import Literal, Self

from regrow.errors import RegrowError
from regrow.model.sampling import Sampling
from regrow.serve.engine import (
    BusyError,
    Chance,
    ClosedError,
    Ended,
    Event,
    Read,
    Request,
    RequestError,
    Running,
    Written,
)
from regrow.serve.http.errors import RefusedError, plain
from regrow.serve.http.meters import Meters
from regrow.serve.http.served import Served
from regrow.serve.text import Spelling
from regrow.words import counted

Finish = Literal["stop", "length"]
_STATUS: Mapping[type, int] = {RequestError: 400, BusyError: 429, ClosedError: 503}


@dataclass(frozen=True)
class Wanted:
    """A text to write.

    Attributes:
        tokens: that it begins with.
        most: tokens that may be added.
        sampling: how they are chosen.
        stops: texts that it ends before.
        likeliest: how many tokens are told of each place; None tells of none how likely it was.
        echo: whether what it begins with is told too.
        adapter: who writes it, of those that the engine has beside the model.
    """

    tokens: Sequence[int]
    most: int
    sampling: Sampling
    stops: tuple[str, ...] = ()
    likeliest: int | None = None
    echo: bool = False
    adapter: str = ""


@dataclass(frozen=True)
class Place:
    """A token of a text.

    Attributes:
        token: its number.
        offset: of the character of the text at which it begins.
        chance: how likely it was; None of the first of all, which nothing foretells.
    """

    token: int
    offset: int
    chance: Chance | None


@dataclass(frozen=True)
class Piece:
    """What can be told at once: whole characters, and nothing that may yet turn out to be a stop.

    Attributes:
        text: of it.
        places: its tokens with their chances, if these were asked for.
        finish: why the text ends with it, if it does.
    """

    text: str
    places: tuple[Place, ...] = ()
    finish: Finish | None = None


@dataclass
class _Text:
    """One text that is on its way, as far as it was heard."""

    wanted: Wanted
    spelling: Spelling
    before: int = 0
    places: list[Place] = field(default_factory=list)
    running: Running | None = None
    ended: bool = False

    def took(self, told: str, finish: Finish | None = None) -> Piece | None:
        if not told and finish is None:
            return None
        piece, self.places, self.ended = Piece(told, tuple(self.places), finish), [], finish is not None
        return piece


class Texts:
    """Several texts of one request, each of whose pieces come in order.

    Attributes:
        written: tokens of all of them so far, with those that ended one.
        cached: of each, tokens that it begins with and that had been read before.
    """

    def __init__(self, served: Served, meters: Meters, wanted: Sequence[Wanted]) -> None:
        """Nothing is asked of the engine before the block begins."""
        self.written, self.cached = 0, [0] * len(wanted)
        self._served, self._meters, self._begun = served, meters, time.monotonic()
        self._texts = [_Text(one, Spelling(served.generator.tokenizer, one.stops)) for one in wanted]
        self._heard: asyncio.Queue[tuple[int, Event]] = asyncio.Queue()
        self._room = max(served.limits.unread, 8 * len(wanted))
        self._overrun = False
        self._end = self._begun + served.limits.seconds
        self._why = "disconnect"

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        self._meters.texts.inc(len(self._texts))
        try:
            for number, text in enumerate(self._texts):
                text.running = self._submit(loop, number, text.wanted)
        except BaseException:
            self._leave()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self._leave()
        self._meters.whole.observe(time.monotonic() - self._begun)

    def _leave(self) -> None:
        for text in self._texts:
            if not text.ended and text.running is not None:
                text.running.cancel()
                self._meters.cancelled.labels(self._why).inc()
        self._meters.texts.dec(len(self._texts))

    async def __aiter__(self) -> AsyncIterator[tuple[int, Piece]]:
        """Pieces with the number of their text, until all have ended.

        Raises:
            RefusedError: if the engine fails, it takes too long, or pieces are not taken as fast as they come.
        """
        while not all(text.ended for text in self._texts):
            number, event = await self._next()
            if self._overrun:
                raise RefusedError("what was written was not read", 503, code="not_read")
            if not self._texts[number].ended and (piece := self._piece(number, event)):
                yield number, piece

    async def _next(self) -> tuple[int, Event]:
        left = self._end - time.monotonic()
        try:
            if left <= 0:  # also if there always is something to tell
                raise TimeoutError
            async with asyncio.timeout(left):
                return await self._heard.get()
        except TimeoutError:
            self._why = "timeout"
            why = f"this took more than {self._served.limits.seconds:g} seconds; ask for less, or at another time"
            raise RefusedError(why, 503, code="timeout") from None

    def _submit(self, loop: asyncio.AbstractEventLoop, number: int, wanted: Wanted) -> Running:
        def heard(event: Event) -> None:
            with suppress(RuntimeError):  # the loop may be closed, when nobody waits for anything any more
                loop.call_soon_threadsafe(self._hear, number, event)

        echo, stops = wanted.echo and wanted.likeliest is not None, self._served.generator.stops
        told = (stops, wanted.likeliest, echo)
        asked = Request(wanted.tokens, wanted.most, wanted.sampling, *told, adapter=wanted.adapter)
        try:
            return self._served.engine.submit(asked, heard)
        except RegrowError as error:
            raise plain(error, _STATUS.get(type(error), 500)) from error

    def _hear(self, number: int, event: Event) -> None:
        if self._overrun or self._texts[number].ended:
            return
        if self._heard.qsize() >= self._room:
            self._overrun, self._why = True, "unread"
            for text in self._texts:
                self._cancel(text)
            return
        self._heard.put_nowait((number, event))

    def _piece(self, number: int, event: Event) -> Piece | None:
        text = self._texts[number]
        if isinstance(event, Read):
            self.cached[number] = event.cached
            return self._read(text, event)
        if isinstance(event, Written):
            return self._written(text, event)
        return self._ended(text, event)

    def _read(self, text: _Text, event: Read) -> Piece | None:
        self._meters.first.observe(time.monotonic() - self._begun)
        if not text.wanted.echo:
            return None
        spelling, pieces = Spelling(self._served.generator.tokenizer), list[str]()
        for token, chance in zip_longest(text.wanted.tokens, (None, *event.chances)):
            text.places.append(Place(token, spelling.characters, chance))
            pieces.append(spelling.add(token))
        pieces.append(spelling.end())
        text.before = spelling.characters
        return text.took("".join(pieces))

    def _written(self, text: _Text, event: Written) -> Piece | None:
        self.written += 1
        text.places.append(Place(event.token, text.before + text.spelling.characters, event.chance))
        told = text.spelling.add(event.token)
        if not text.spelling.stopped:
            return text.took(told)
        self._cancel(text)
        return text.took(told, "stop")

    def _ended(self, text: _Text, event: Ended) -> Piece | None:
        if event.reason in ("failed", "cancelled"):
            text.ended = True
            raise _failure(event)
        self.written += event.reason == "stop"  # as others count: with the token that ends it
        if event.chance is not None:
            text.places.append(Place(event.chance.token, text.before + text.spelling.characters, event.chance))
        told = text.spelling.end()
        finish: Finish = "stop" if event.reason == "stop" or text.spelling.stopped else "length"
        return text.took(told, finish)

    @staticmethod
    def _cancel(text: _Text) -> None:
        if text.running is not None:
            text.running.cancel()


def _failure(event: Ended) -> RefusedError:
    if isinstance(event.error, RegrowError):
        return plain(event.error, 500)
    what = f"{type(event.error).__name__}: {event.error}" if event.error else event.reason
    return RefusedError(f"the engine failed: {what}", 500, code="engine_failed")


class Room:
    """How many texts may be written, or wait for it, at the same time."""

    def __init__(self, most: int) -> None:
        self._most, self._taken = most, 0

    @contextmanager
    def taken(self, texts: int) -> Iterator[None]:
        """Room for some, during the block.

        Raises:
            RefusedError: if there is none now, or never.
        """
        if texts > self._most:
            why = f"{counted(texts, 'text')} are asked for at once, and {self._most:,} are written"
            raise RefusedError(f"{why}; ask for fewer in a request", param="n")
        if self._taken + texts > self._most:
            why = f"{counted(self._taken, 'text')} of {self._most:,} are being written; try again later"
            raise RefusedError(why, 429, code="queue_full", headers={"retry-after": "1"})
        self._taken += texts
        try:
            yield
        finally:
            self._taken -= texts
