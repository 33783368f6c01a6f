"""What is asked of a model in tokens, and who answers: whoever holds its weights, one at a time or many at once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from regrow.model.sampling import Sampling

GREEDY = Sampling(temperature=0.0, top=0, seed=0)
"""The likeliest token, always."""


@dataclass(frozen=True)
class Span:
    """How likely is the end of a text?

    Attributes:
        tokens: of the text.
        first: the first token that is asked about, 1 at least; those before it are only read.
        cut: how many tokens of the beginning were left out, since the model has no room for them.
    """

    tokens: tuple[int, ...]
    first: int
    cut: int = 0


@dataclass(frozen=True)
class Writing:
    """What follows a text?

    Attributes:
        tokens: of the text.
        most: tokens that may be written.
        stops: texts at which it ends.
        sampling: how tokens are chosen.
        cut: how many tokens of the beginning were left out.
    """

    tokens: tuple[int, ...]
    most: int
    stops: tuple[str, ...] = ()
    sampling: Sampling = GREEDY
    cut: int = 0


@dataclass(frozen=True)
class Likely:
    """How likely tokens are, each after those before it.

    Attributes:
        logprobs: of each token that was asked about.
        greedy: whether each is the likeliest at its place, or one of several that are.
    """

    logprobs: tuple[float, ...]
    greedy: bool

    @property
    def total(self) -> float:
        """Of all of them, added in their order."""
        return float(sum(self.logprobs))


@dataclass(frozen=True)
class Written:
    """What a model wrote.

    Attributes:
        text: up to where it stopped.
        tokens: that it chose, with those of a text at which it stopped.
        ended: whether at an end, or since no more was asked for.
    """

    text: str
    tokens: tuple[int, ...]
    ended: Literal["stop", "length"]


class Answering(Protocol):
    """Whoever answers for a model. The answer to one question does not depend on what else is asked."""

    def likely(self, spans: Sequence[Span]) -> Iterator[Likely]:
        """How likely the ends of texts are, in their order."""

    def written(self, writings: Sequence[Writing]) -> Iterator[Written]:
        """What follows texts, in their order."""


def before_stop(text: str, stops: Iterable[str]) -> str | None:
    """A text before what it stops at: of several stops, the one that ends first, and of those the longest.

    None if it does not stop.
    """
    found = [(start + len(stop), -len(stop)) for stop in stops if (start := text.find(stop)) >= 0]
    if not found:
        return None
    end, length = min(found)
    return text[: end + length]
