"""What is asked of an engine that writes, and what it tells."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from regrow.errors import RecipeError, RegrowError
from regrow.model.config import DecoderConfig
from regrow.model.sampling import Sampling

Reason = Literal["stop", "length", "cancelled", "failed"]
_LARGEST_SEED = 2**64 - 1


class RequestError(RecipeError):
    """No engine with this model, or with this memory, could do what was asked for; ``where`` names the attribute."""


class BusyError(RegrowError):
    """So many requests are waiting that no more are taken for now."""


class ClosedError(RegrowError):
    """The engine takes no more requests."""


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
        told_from: with ``echo``, the first token of the prompt that is told of; those before may be known already.
        adapter: of those that the engine has, which one writes; empty for the model itself.
    """

    tokens: Sequence[int]
    most: int
    sampling: Sampling
    stops: frozenset[int] = frozenset()
    likeliest: int | None = None
    echo: bool = False
    told_from: int = 1
    adapter: str = ""

    def require(self, config: DecoderConfig) -> None:
        """See that a model can do it.

        Raises:
            RequestError: if it cannot.
        """
        if not self.tokens:
            raise _refused("tokens", "there is no token to begin with")
        if strange := next((one for one in self.tokens if not 0 <= one < config.vocabulary), None):
            raise _refused("tokens", f"the model has no token {strange}; it has {config.vocabulary:,}")
        counts = {"most": self.most, "likeliest": self.likeliest or 0, "told_from": self.told_from - 1}
        if negative := next((name for name, value in counts.items() if value < 0), None):
            raise _refused(negative, f"{getattr(self, negative)} is too few")
        for name, least, largest in _BOUNDS:
            if not least <= getattr(self.sampling, name) <= largest:
                raise _refused(name, f"is {getattr(self.sampling, name)}, and not within {least} to {largest}")
        if not 0.0 < self.sampling.top_p <= 1.0:
            raise _refused("top_p", f"is {self.sampling.top_p}, and not more than 0 and at most 1")
        for token, value in self.sampling.logit_bias.items():
            if not (0 <= token < config.vocabulary and abs(value) <= _MOST_BIAS):
                raise _refused("logit_bias", f"{value} for token {token}, and not within {_MOST_BIAS:g} each way")


_MOST_BIAS = 100.0
_BOUNDS = (
    ("temperature", 0.0, 100.0), ("top", 0, math.inf), ("seed", 0, _LARGEST_SEED),
    ("presence_penalty", -100.0, 100.0), ("frequency_penalty", -100.0, 100.0),
)  # fmt: skip


def _refused(where: str, what: str) -> RequestError:
    return RequestError(what, where=where)


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
    """Nothing more comes.

    Attributes:
        reason: why.
        error: what went wrong, if it failed.
        chance: of the token that it stopped at, which is no part of the text, if logprobs were asked for.
    """

    reason: Reason
    error: BaseException | None = None
    chance: Chance | None = None


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
