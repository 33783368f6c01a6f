"""Scores: what a model reached in tasks, in numbers that anyone gets again to the last digit.

The digest of scores covers everything that was asked and every number that came of it, so that one line can be
compared: the weights, the version of the arithmetic, and for each task what is asked, as it is asked, and what the
model said to each item. The number of texts at a time, of threads, and what was kept of earlier texts are no part of
it, since nothing depends on them.
"""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from regrow.errors import RecipeError
from regrow.evaluating.asking import Answering, Span, Writing
from regrow.evaluating.forms import Form
from regrow.evaluating.items import Judged
from regrow.evaluating.tasks import Hub, Task
from regrow.exact.version import INFERENCE
from regrow.store.digest import canonical_json

METHOD = "standard error of a ratio of sums over items (delta method), with n - 1; of a mean it is the usual one"
"""How :attr:`Measure.error` is found."""


@dataclass(frozen=True)
class Measure:
    """One number.

    Attributes:
        name: of what is measured.
        value: what came out.
        error: its standard error over the items; None where there is none, as of a single item.
    """

    name: str
    value: float
    error: float | None


@dataclass(frozen=True)
class Score:
    """What came of one task.

    Attributes:
        task: its name.
        asked: the sha256 of what is asked, as it is asked.
        measures: what came out, the one that counts first.
        said: of each item, what the model said.
        chance: how often who knows nothing is right; None where that means nothing.
        cut: items of whose text the beginning was left out.
        how: tokens were chosen, and whatever else the answers depend on.
        hub: the data set of the hub that the task is.
        by: whose task it is, where that is not regrow's own form: ``lm-eval 0.4.13``.
    """

    task: str
    asked: str
    measures: tuple[Measure, ...]
    said: tuple[Mapping[str, Any], ...]
    chance: float | None = None
    cut: int = 0
    how: Mapping[str, Any] | None = None
    hub: Hub | None = None
    by: str = ""

    @property
    def digest(self) -> str:
        """The sha256 of what was asked and of all that came of it."""
        told = {
            "asked": self.asked,
            "cut": self.cut,
            "measures": [[one.name, one.value, one.error] for one in self.measures],
            "said": [dict(one) for one in self.said],
        }
        return hashlib.sha256(canonical_json(told)).hexdigest()

    def document(self, items: bool) -> dict[str, Any]:
        """As plain data; with ``items``, what was said to each."""
        return {
            "task": self.task,
            "asked": self.asked,
            "items": len(self.said),
            "chance": self.chance,
            "measures": {one.name: {"value": one.value, "standard_error": one.error} for one in self.measures},
            "digest": self.digest,
            **({"cut": self.cut} if self.cut else {}),
            **({"how": dict(self.how)} if self.how else {}),
            **({"by": self.by} if self.by else {}),
            **({"said": [dict(one) for one in self.said]} if items else {}),
        }


@dataclass(frozen=True)
class Scores:
    """What a model reached in some tasks.

    Attributes:
        weights: the sha256 of its weights.
        scores: of each task, in the order in which they were asked.
        inference: the version of the arithmetic.
    """

    weights: str
    scores: tuple[Score, ...]
    inference: int = INFERENCE

    @property
    def digest(self) -> str:
        """One line to compare."""
        told = [self.weights, self.inference, [[one.task, one.digest] for one in self.scores]]
        return hashlib.sha256(canonical_json(told)).hexdigest()

    def document(self, items: bool = False) -> dict[str, Any]:
        """As plain data; with ``items``, what was said to each item."""
        return {
            "weights": self.weights,
            "arithmetic": {"inference": self.inference},
            "standard_error": METHOD,
            "digest": self.digest,
            "scores": [one.document(items) for one in self.scores],
        }


def require_distinct(names: Iterable[str]) -> None:
    """See that no two tasks have one name.

    Raises:
        RecipeError: naming the first that two have.
    """
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise RecipeError(f"there are two tasks called `{twice[0]}`", hint="give one of them another name")


def judge(task: Task, form: Form, model: Answering, told: Callable[[int, int], None] | None = None) -> Score:
    """Ask a model all items of a task, and judge what it says.

    Args:
        task: the items.
        form: how they are put.
        model: who answers.
        told: (items that are done, all of them), while they are asked.

    Raises:
        InputError: if an item cannot be asked; none is then.
    """
    asks = [list(item.asks(form)) for item in task.items]
    spans = model.likely([one for each in asks for one in each if isinstance(one, Span)])
    writings = model.written([one for each in asks for one in each if isinstance(one, Writing)])
    judged: list[Judged] = []
    for item, each in zip(task.items, asks, strict=True):
        answers = (next(spans) if isinstance(one, Span) else next(writings) for one in each)
        judged.append(item.judged([*answers]))
        if told:
            told(len(judged), len(task.items))
    return Score(
        task.name,
        task.digest(form),
        tuple(measures([one.measures for one in judged])),
        tuple(one.said for one in judged),
        task.chance,
        sum(any(one.cut for one in each) for each in asks),
        _how(asks, form),
        task.hub,
    )


def _how(asks: Sequence[Sequence[Span | Writing]], form: Form) -> dict[str, Any] | None:
    """What the answers depend on beside what was asked."""
    writing = next((one for each in asks for one in each if isinstance(one, Writing)), None)
    sampling = {"temperature": writing.sampling.temperature, "max_tokens": writing.most} if writing else {}
    return {**sampling, **({"chat": True} if form.template else {})} or None


def measures(items: Sequence[Mapping[str, tuple[float, float]]]) -> Iterator[Measure]:
    """The measures of a task from those of its items, all of which have the same.

    The sums are rounded once, so their order does not matter.
    """
    for name in items[0]:
        pairs = [one[name] for one in items]
        yield Measure(name, *ratio(pairs))


def ratio(pairs: Sequence[tuple[float, float]]) -> tuple[float, float | None]:
    """The sum of the first by the sum of the second, and its standard error."""
    whole, count = math.fsum(part for _, part in pairs), len(pairs)
    value = math.fsum(part for part, _ in pairs) / whole
    if count < 2:
        return value, None
    rest = [part - value * out_of for part, out_of in pairs]
    squares = math.fsum(one * one for one in rest)
    return value, math.sqrt(squares * count / (count - 1)) / whole
