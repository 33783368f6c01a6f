"""Many texts at once from one model, each with the same bits as if it were alone.

    engine = Engine(decoder, parameters)
    engine.submit(Request(tokens, most=64), print)  # prints Read, then each Written, then Ended

Events of a request come in the order in which they happen, from the engine's own thread, so whoever hears them hands
them on and returns at once.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from torch import Tensor

from regrow.exact.random import uniforms
from regrow.model.decoder import Decoder
from regrow.model.sampling import Reader, Sampling, choose

Reason = Literal["stop", "length", "cancelled", "failed"]


@dataclass(frozen=True)
class Chance:
    """A token and how likely the model holds it to be.

    Attributes:
        token: its number.
        logprob: the natural logarithm of its probability before temperature, a float64.
        likeliest: the tokens that are most likely at its place with their logprobs, falling, as many as were asked for.
    """

    token: int
    logprob: float
    likeliest: tuple[tuple[int, float], ...] = ()


@dataclass(frozen=True)
class Request:
    """What is to be written.

    Attributes:
        tokens: the prompt, one at least.
        most: tokens that may be written; 0 only reads the prompt.
        sampling: how they are chosen.
        stops: tokens that end the text and are not part of it.
        likeliest: how many of the likeliest tokens are told of each place; None tells no logprobs at all.
        echo: whether those of the prompt are told too, but of its first token, which nothing foretells.
    """

    tokens: Sequence[int]
    most: int
    sampling: Sampling
    stops: frozenset[int] = frozenset()
    likeliest: int | None = None
    echo: bool = False


@dataclass(frozen=True)
class Read:
    """The prompt was read.

    Attributes:
        cached: how many of its tokens had been read for an earlier request.
        chances: of its tokens from the second on, if they were asked for.
    """

    cached: int
    chances: tuple[Chance, ...] = ()


@dataclass(frozen=True)
class Written:
    """A token was chosen; ``chance`` is there if logprobs were asked for."""

    token: int
    chance: Chance | None = None


@dataclass(frozen=True)
class Ended:
    """Nothing more comes. ``error`` is there if it failed."""

    reason: Reason
    error: BaseException | None = None


Event = Read | Written | Ended
Hearer = Callable[[Event], None]


class Running:
    """A request that was taken."""

    def __init__(self) -> None:
        self._cancelled = threading.Event()

    def cancel(self) -> None:
        """Write nothing more of it; `Ended("cancelled")` follows if it had not ended."""
        self._cancelled.set()

    @property
    def cancelled(self) -> bool:
        """Whether somebody gave it up."""
        return self._cancelled.is_set()


@dataclass
class Engine:
    """Takes requests from any thread, and works on them in one of its own."""

    decoder: Decoder
    parameters: Mapping[str, Tensor]
    _asked: queue.SimpleQueue[tuple[Request, Hearer, Running] | None] = field(default_factory=queue.SimpleQueue)

    def __post_init__(self) -> None:
        self._thread = threading.Thread(target=self._work, name="regrow engine", daemon=True)
        self._thread.start()

    def submit(self, request: Request, heard: Hearer) -> Running:
        """Begin with a request as soon as there is room for it."""
        running = Running()
        self._asked.put((request, heard, running))
        return running

    def close(self) -> None:
        """End what was asked for so far, and take no more."""
        self._asked.put(None)
        self._thread.join()

    def _work(self) -> None:
        while (asked := self._asked.get()) is not None:
            request, heard, running = asked
            try:
                heard(Ended(self._write(request, heard, running)))
            except Exception as error:  # one request that fails is no reason to fail others
                heard(Ended("failed", error))

    def _write(self, request: Request, heard: Hearer, running: Running) -> Reason:
        tokens, reader = list(request.tokens), Reader(self.decoder, self.parameters)
        logits = reader.logits(tokens)
        heard(Read(0))
        for draw in uniforms(request.sampling.seed, "sampling", request.most):
            if running.cancelled:
                return "cancelled"
            token = choose(logits, float(draw), request.sampling)
            if token in request.stops:
                return "stop"
            heard(Written(token, self._chance(logits, token, request.likeliest)))
            tokens.append(token)
            logits = reader.logits(tokens)
        return "length"

    def _chance(self, logits: np.ndarray, token: int, likeliest: int | None) -> Chance | None:
        if likeliest is None:
            return None
        scaled = logits.astype(np.float64) - float(logits.max())
        logprobs = scaled - np.log(np.exp(scaled).sum())
        order = np.argsort(-logits, kind="stable")[:likeliest]
        return Chance(token, float(logprobs[token]), tuple((int(i), float(logprobs[i])) for i in order))
