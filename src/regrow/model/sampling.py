"""Choosing the next token: the same text from the same seed on every machine."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from regrow.exact.polynomials import exp64
from regrow.exact.random import uniforms
from regrow.model.decoder import Decoder


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
    parameters: Mapping[str, Tensor],
    prompt: Sequence[int],
    count: int,
    sampling: Sampling,
    stop: Collection[int] = (),
) -> Iterator[int]:
    """Up to ``count`` tokens that continue ``prompt``, ending before one of ``stop``; the oldest fall out."""
    tokens = list(prompt)
    draws = uniforms(sampling.seed, "sampling", count)
    with torch.no_grad():
        for draw in draws:
            window = torch.tensor([tokens[-decoder.config.context :]])
            token = choose(decoder.last_logits(parameters, window)[0].cpu().numpy(), float(draw), sampling)
            if token in stop:
                return
            yield token
            tokens.append(token)


def choose(logits: np.ndarray, draw: float, sampling: Sampling) -> int:
    """The token that ``draw`` (in [0, 1)) picks from float32 ``logits``."""
    if sampling.temperature == 0.0:
        return int(logits.argmax())
    order = np.argsort(-logits, kind="stable")[: sampling.top or None]
    scaled = (logits[order] - logits[order[0]]).astype(np.float64) / sampling.temperature
    cumulative = np.cumsum(exp64(np.maximum(scaled, -700.0)))
    return int(order[np.searchsorted(cumulative, draw * cumulative[-1], side="right").clip(max=len(order) - 1)])
