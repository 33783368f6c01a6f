"""One text that is being written: what of it is to be read next, and what follows from the logits.

A text does not know what else is read in the same pass, and nothing that it tells depends on that.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from regrow.errors import RegrowError
from regrow.exact.random import uniforms
from regrow.model.cache import Cache, bytes_of
from regrow.model.decoder import Decoder, Weights
from regrow.model.rotary import keeps
from regrow.model.sampling import Chances, choose, window
from regrow.serve.requests import Chance, Ended, Event, Hearer, Read, Request, Running, Written

_FIRST_DRAWS = 64


@dataclass(frozen=True)
class Model:
    """What computes: a decoder with parameters, which may be shared with others."""

    decoder: Decoder
    parameters: Weights

    @property
    def position_bytes(self) -> int:
        """Of a cache, for each position of a text."""
        return bytes_of(self.decoder.config)


class Text:
    """A text that grows.

    Attributes:
        number: texts that came before have smaller ones.
        request: what was asked for.
        running: whether somebody gave it up.
        model: what computes it.
        tokens: the prompt and what was written.
        first: the first of them that is read: where the context is full, half of it falls out.
        goal: how many of them are read in all before anything else happens.
        cache: of those that were read.
        ended: whether nothing more comes.
    """

    def __init__(self, number: int, request: Request, heard: Hearer, running: Running, model: Model) -> None:
        self.number, self.request, self.running, self.model = number, request, running, model
        self.tokens, self.ended = list(request.tokens), False
        self.first = self.goal = 0
        self._heard, self._config = heard, model.decoder.config
        self._prompt, self._written = len(self.tokens), Counter[int]()
        self._draws = _draws(request.sampling.seed)
        # With echo, the next token of the prompt that is told of.
        self._told = min(request.told_from, self._prompt) if self._asks_of_prompt else self._prompt
        self._read, self._cached, self._chances = False, 0, list[Chance]()
        self.forget()

    @property
    def longest(self) -> int:
        """How many positions there will be in its cache at the most."""
        return min(self._config.context, self._prompt + self.request.most)

    @property
    def pending(self) -> int:
        """How many tokens are to be read before something happens; 1 for the one that was chosen last."""
        return self.goal - self.first - self.cache.length

    @property
    def whole(self) -> bool:
        """Whether all of them have to be read in one pass: what is kept of some is not what it is among more."""
        return not keeps(self._config, 0, self.goal - self.first)

    @property
    def known(self) -> int:
        """How many positions may be taken from elsewhere: all before those whose logits are asked for."""
        return min(self.goal - 1, self._told - 1 if self._told < self._prompt else self.goal) - self.first

    @property
    def seen(self) -> list[int]:
        """The tokens that are read until the goal, from position 0 on."""
        return self.tokens[self.first : self.goal]

    def coming(self, count: int) -> list[int]:
        """The next tokens that are read."""
        start = self.first + self.cache.length
        return self.tokens[start : start + count]

    @property
    def _asks_of_prompt(self) -> bool:
        return self.request.echo and self.request.likeliest is not None

    def forget(self) -> None:
        """Lose the cache: everything is read again."""
        self.cache, self._cached = Cache(self.longest), 0
        self.turn()

    def turn(self) -> None:
        """See what is to be read next; the cache is lost where that has other positions, or other keys."""
        context, last = self._config.context, len(self.tokens)
        if self._told < self._prompt:  # as much as is seen where the next one is told of
            last = min(self._prompt, window(self._told, context) + context)
        first, length = window(last, context), self.cache.length
        if length and (first != self.first or not keeps(self._config, length, last - first)):
            self.cache, self._cached = Cache(self.longest), 0
        self.first, self.goal = first, last

    def found(self, count: int) -> None:
        """Note that so many positions were taken from elsewhere."""
        if not self._read:
            self._cached += count

    def asked(self, count: int) -> range:
        """Of the next ``count`` tokens that are read, those whose logits are wanted, counted from the first of them."""
        start = self.first + self.cache.length
        end = start + count
        if self._told < self._prompt:
            return range(max(start, self._told - 1) - start, count)
        return range(count - 1, count) if end == self.goal else range(0)

    def take(self, place: int, logits: np.ndarray, chances: Chances | None) -> None:
        """Take the logits behind the token at a place, with probabilities if it wants any, and tell what follows."""
        if place + 1 < self._prompt:
            self._told = place + 2
            self._chances += filter(None, [self._chance(chances, self.tokens[place + 1])])
        if self._told >= self._prompt:
            self._go_on(place, logits, chances)

    def _go_on(self, place: int, logits: np.ndarray, chances: Chances | None) -> None:
        if not self._read:
            self._read = True
            self.tell(Read(self._cached, tuple(self._chances)))
            self._chances = []
        if self.request.most and place + 1 == len(self.tokens):
            self._write(logits, chances)
        if not self.ended and len(self.tokens) - self._prompt >= self.request.most:
            self.end(Ended("length"))

    def _write(self, logits: np.ndarray, chances: Chances | None) -> None:
        token = choose(logits, next(self._draws), self.request.sampling, self._written)
        chance = self._chance(chances, token)
        if token in self.request.stops:
            self.end(Ended("stop", chance=chance))
            return
        self.tokens.append(token)
        self._written[token] += 1
        self.tell(Written(token, chance))

    def _chance(self, chances: Chances | None, token: int) -> Chance | None:
        if chances is None:
            return None
        return Chance(token, chances.logprob(token), chances.likeliest(self.request.likeliest or 0))

    def tell(self, event: Event) -> None:
        """Tell whoever hears; one that fails in hearing is told no more."""
        if self.ended:
            return
        try:
            self._heard(event)
        except Exception as error:  # of one request, which is no reason to fail others
            self.end(Ended("failed", error))

    def end(self, event: Ended) -> None:
        """Tell that nothing more comes, and free what is held."""
        if self.ended:
            return
        self.ended, self.cache = True, Cache()
        try:
            self._heard(event)
        except Exception:  # nobody is left who could be told
            return


def finite(logits: np.ndarray) -> None:
    """See that logits are numbers.

    Raises:
        RegrowError: if they are not.
    """
    if not np.isfinite(logits.max()):
        raise RegrowError(
            "the model gives no probabilities", why="a logit is infinite or not a number",
            hint="its weights are damaged, or it diverged when it was trained",
        )  # fmt: skip


def _draws(seed: int) -> Iterator[float]:
    """The random numbers of a text, one for each token, as many as are needed."""
    done, count = 0, _FIRST_DRAWS
    while True:
        yield from uniforms(seed, "sampling", count)[done:].tolist()
        done, count = count, 2 * count
