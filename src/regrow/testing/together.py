"""Answers from the engine that serves, several texts at a time: the same bits as from one after the other."""

from __future__ import annotations

import queue
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from regrow.corpus.tokenizer import Tokenizer
from regrow.errors import StageError
from regrow.evaluating.asking import GREEDY, Likely, Span, Writing, Written, before_stop
from regrow.serve.engine import Chance, Ended, Engine, Event, Read, Request, Running
from regrow.serve.engine import Written as Token
from regrow.words import counted

Q = TypeVar("Q", Span, Writing)
A = TypeVar("A", Likely, Written)

BATCH = 8
"""Texts that an engine works on at the same time, if nobody says otherwise."""


@dataclass(frozen=True)
class Together:
    """Answers for a model, see :class:`regrow.evaluating.asking.Answering`.

    Attributes:
        engine: of the model.
        tokenizer: of the model.
        stops: the tokens that end a text.
        batch: how many texts it is given at a time.
    """

    engine: Engine
    tokenizer: Tokenizer
    stops: frozenset[int]
    batch: int = BATCH

    def likely(self, spans: Sequence[Span]) -> Iterator[Likely]:
        """How likely the ends of texts are."""
        return self._each(spans, self._read, _likely)

    def written(self, writings: Sequence[Writing]) -> Iterator[Written]:
        """What follows texts."""
        return self._each(writings, self._write, _written)

    def _each(self, asked: Sequence[Q], begin: Callable[[Q], _Heard], answer: Callable[[Q, _Heard], A]) -> Iterator[A]:
        """Answers in the order of the questions; what is under way when nobody wants more is given up."""
        waiting = deque[tuple[Q, _Heard]]()
        left = iter(asked)
        try:
            while True:
                while len(waiting) < self.batch and (one := next(left, None)) is not None:
                    waiting.append((one, begin(one)))
                if not waiting:
                    return
                question, heard = waiting.popleft()
                heard.wait()
                yield answer(question, heard)
        finally:
            for _, heard in waiting:
                heard.give_up()

    def _read(self, span: Span) -> _Heard:
        return _Heard().begin(
            self.engine, Request(span.tokens, 0, GREEDY, likeliest=1, echo=True, told_from=span.first)
        )

    def _write(self, writing: Writing) -> _Heard:
        request = Request(writing.tokens, writing.most, writing.sampling, self.stops)
        return _Heard(self.tokenizer, writing.stops).begin(self.engine, request)


@dataclass
class _Heard:
    """What an engine tells of one request."""

    tokenizer: Tokenizer | None = None
    stops: tuple[str, ...] = ()
    chances: tuple[Chance, ...] = ()
    tokens: list[int] = field(default_factory=list)
    text: str = ""
    stopped: bool = False
    _running: Running | None = None
    _ended: queue.SimpleQueue[Ended] = field(default_factory=queue.SimpleQueue)

    def begin(self, engine: Engine, request: Request) -> _Heard:
        self._running = engine.submit(request, self._hear)
        return self

    def wait(self) -> None:
        """Until it has ended.

        Raises:
            BaseException: whatever it failed with.
        """
        ended = self._ended.get()
        if ended.error is not None:
            raise ended.error
        self.stopped |= ended.reason == "stop"

    def give_up(self) -> None:
        if self._running is not None:
            self._running.cancel()

    def _hear(self, event: Event) -> None:
        match event:
            case Read():
                self.chances = event.chances
            case Token() if not self.stopped:
                self._add(event.token)
            case Ended():
                self._ended.put(event)

    def _add(self, token: int) -> None:
        self.tokens.append(token)
        if self.tokenizer is None:
            return
        self.text = self.tokenizer.decode(self.tokens)
        if (before := before_stop(self.text, self.stops)) is not None:
            self.text, self.stopped = before, True
            self.give_up()


def _likely(span: Span, heard: _Heard) -> Likely:
    asked, chances = span.tokens[span.first :], heard.chances
    if tuple(one.token for one in chances) != asked:  # without them, nothing would be more likely than anything
        raise StageError(
            f"the engine told of {counted(len(chances), 'token')} in place of {len(asked):,}",
            hint="this is a fault of regrow: please report it",
        )
    greedy = all(one.logprob == one.likeliest[0][1] for one in chances)
    return Likely(tuple(one.logprob for one in chances), greedy)


def _written(_: Writing, heard: _Heard) -> Written:
    return Written(heard.text, tuple(heard.tokens), "stop" if heard.stopped else "length")
