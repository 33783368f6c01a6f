"""Choosing the next token, and how likely each is: the same text from the same seed on every machine."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

import numpy as np
import torch
from numpy.typing import NDArray

from regrow.exact.chances import exponential_sums
from regrow.exact.polynomials import exp64, log64
from regrow.exact.random import uniforms
from regrow.model.cache import Cache
from regrow.model.decoder import Decoder, Weights
from regrow.model.rotary import keeps

_TOKENS_AT_ONCE = 512
"""Of a prompt: enough that a weight that is loaded serves many, and little memory."""
_NONE: Mapping[int, int] = MappingProxyType({})


@dataclass(frozen=True)
class Sampling:
    """How tokens are chosen.

    Attributes:
        temperature: divides the logits; 0 takes the likeliest token (the first of equals).
        top: how many of the likeliest tokens may be chosen; 0 means all.
        seed: of the random numbers.
        top_p: of these, as few of the likeliest as have together so much of the probability may be chosen.
        presence_penalty: taken from the logit of each token that was written.
        frequency_penalty: taken from it as often as it was written.
        logit_bias: token -> what is added to its logit.
    """

    temperature: float = 0.8
    top: int = 40
    seed: int = 1
    top_p: float = 1.0
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    logit_bias: Mapping[int, float] = field(default_factory=dict)

    def adjusted(self, logits: np.ndarray, written: Mapping[int, int] = _NONE) -> np.ndarray:
        """The logits that are chosen by, given how often tokens were written: float64 sums, rounded once each."""
        penalised = written if self.presence_penalty or self.frequency_penalty else _NONE
        if not penalised and not self.logit_bias:
            return logits
        found = logits.copy()
        for token in {*self.logit_bias, *penalised}:
            value = float(logits[token]) + self.logit_bias.get(token, 0.0)
            if times := penalised.get(token, 0):
                value -= self.presence_penalty + self.frequency_penalty * times
            found[token] = np.float32(value)
        return found


def generate(
    decoder: Decoder,
    parameters: Weights,
    prompt: Sequence[int],
    count: int,
    sampling: Sampling,
    stop: Collection[int] = (),
) -> Iterator[int]:
    """Up to ``count`` tokens that continue ``prompt``, ending before one of ``stop``; see :func:`window`."""
    tokens, reader, written = list(prompt), Reader(decoder, parameters), Counter[int]()
    for draw in uniforms(sampling.seed, "sampling", count):
        token = choose(reader.logits(tokens), float(draw), sampling, written)
        if token in stop:
            return
        yield token
        tokens.append(token)
        written[token] += 1


def window(count: int, context: int) -> int:
    """Which of ``count`` tokens is the first that is read: where the context is full, half of it falls out.

    So the tokens that are read keep their positions for half a context, and need not be read again for each token.
    """
    half = context // 2
    return max(0, -(-(count - context) // half) * half)


class Reader:
    """Reads a text that grows, each token once as long as it keeps its position, and positions keep their keys."""

    def __init__(self, decoder: Decoder, parameters: Weights) -> None:
        self._decoder, self._parameters = decoder, parameters
        self._first, self._cache = 0, Cache()

    @torch.no_grad()
    def logits(self, tokens: Sequence[int]) -> np.ndarray:
        """Those behind the last of all tokens, float32 ``(V,)``."""
        config = self._decoder.config
        first = window(len(tokens), config.context)
        length = len(tokens) - first
        if first != self._first or not keeps(config, self._cache.length, length):
            self._first, self._cache = first, Cache()
        some = torch.tensor([tokens[first + self._cache.length :]])
        *before, last = some.split(_TOKENS_AT_ONCE if keeps(config, 0, length) else length, dim=1)
        for part in before:
            self._decoder.read(self._parameters, part, self._cache)
        found: np.ndarray = self._decoder.last_logits(self._parameters, last, self._cache)[0].cpu().numpy()
        return found


def choose(logits: np.ndarray, draw: float, sampling: Sampling, written: Mapping[int, int] = _NONE) -> int:
    """The token that ``draw`` (in [0, 1)) picks from float32 ``logits``; ``written`` says how often each was before."""
    logits = sampling.adjusted(logits, written)
    if sampling.temperature == 0.0:
        return int(logits.argmax())
    order = ranked(logits, sampling.top)
    # Next to no temperature makes all but the likeliest infinitely unlikely.
    with np.errstate(over="ignore"):
        scaled = (logits[order] - logits[order[0]]).astype(np.float64) / sampling.temperature
    cumulative = np.cumsum(exp64(np.maximum(scaled, -700.0)))
    if sampling.top_p < 1.0:
        kept = int(np.searchsorted(cumulative, sampling.top_p * cumulative[-1], side="left")) + 1
        cumulative = cumulative[:kept]
    return int(order[np.searchsorted(cumulative, draw * cumulative[-1], side="right").clip(max=len(cumulative) - 1)])


def ranked(logits: np.ndarray, count: int = 0) -> NDArray[np.intp]:
    """The tokens of the largest logits, falling, equal ones by rising number; 0 for all of them."""
    some = np.arange(len(logits))
    if 0 < count < len(logits):
        least = np.partition(logits, len(logits) - count)[len(logits) - count]
        some = np.flatnonzero(logits >= least) if least == least else some  # nothing is as much as what is no number
    order: NDArray[np.intp] = some[np.argsort(-logits[some], kind="stable")]
    return order[: count or None]


@dataclass(frozen=True)
class Chances:
    """How likely tokens are to follow, before any temperature, bias and penalty: natural logarithms.

    Attributes:
        logits: float32 ``(V,)``.
        largest: of them.
        total: the logarithm of the sum of the exponentials of all, less the largest.
    """

    logits: np.ndarray
    largest: np.float64
    total: np.float64

    @staticmethod
    def of(logits: np.ndarray) -> list[Chances]:
        """For each row of ``(R, V)``."""
        largest, sums = exponential_sums(logits)
        return [Chances(*row) for row in zip(logits, largest, log64(sums), strict=True)]

    def logprob(self, token: int) -> float:
        """The logarithm of the probability of a token."""
        return float((np.float64(self.logits[token]) - self.largest) - self.total)

    def likeliest(self, count: int) -> tuple[tuple[int, float], ...]:
        """As many of the likeliest tokens with theirs, falling, equal ones by rising number."""
        order = ranked(self.logits, count).tolist() if count else []
        return tuple((token, self.logprob(token)) for token in order)
