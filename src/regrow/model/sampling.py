"""Choosing the next token: the same text from the same seed on every machine."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from regrow.exact.polynomials import exp64
from regrow.exact.random import uniforms
from regrow.model.cache import Cache
from regrow.model.decoder import Decoder, Weights
from regrow.model.rotary import keeps

_TOKENS_AT_ONCE = 512
"""Of a prompt: enough that a weight that is loaded serves many, and little memory."""


@dataclass(frozen=True)
class Sampling:
    """How tokens are chosen.

    Attributes:
        temperature: divides the logits; 0 takes the likeliest token (the first of equals).
        top: how many of the likeliest tokens may be chosen; 0 means all.
        seed: of the random numbers.
    """

    temperature: float = 0.8
    top: int = 40
    seed: int = 1


def generate(
    decoder: Decoder,
    parameters: Weights,
    prompt: Sequence[int],
    count: int,
    sampling: Sampling,
    stop: Collection[int] = (),
) -> Iterator[int]:
    """Up to ``count`` tokens that continue ``prompt``, ending before one of ``stop``; see :func:`window`."""
    tokens, reader = list(prompt), Reader(decoder, parameters)
    for draw in uniforms(sampling.seed, "sampling", count):
        token = choose(reader.logits(tokens), float(draw), sampling)
        if token in stop:
            return
        yield token
        tokens.append(token)


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


def choose(logits: np.ndarray, draw: float, sampling: Sampling) -> int:
    """The token that ``draw`` (in [0, 1)) picks from float32 ``logits``."""
    if sampling.temperature == 0.0:
        return int(logits.argmax())
    order = np.argsort(-logits, kind="stable")[: sampling.top or None]
    scaled = (logits[order] - logits[order[0]]).astype(np.float64) / sampling.temperature
    cumulative = np.cumsum(exp64(np.maximum(scaled, -700.0)))
    return int(order[np.searchsorted(cumulative, draw * cumulative[-1], side="right").clip(max=len(order) - 1)])
