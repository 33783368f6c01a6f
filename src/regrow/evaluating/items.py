"""Items of tasks: what each asks, and what an answer is worth.

A measure of an item is a pair: how much it counts for, and out of how much. That of a task is the sum of the ones by
the sum of the others, so that means and rates such as bits per byte are the same thing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from regrow.evaluating.asking import Likely, Span, Writing, Written
from regrow.evaluating.forms import Form

Shape = Literal["choice", "continuation", "answer", "text"]
Measures = Mapping[str, tuple[float, float]]
Told = Sequence[Likely | Written]

LN2 = float.fromhex("0x1.62e42fefa39efp-1")


@dataclass(frozen=True)
class Judged:
    """What came of one item.

    Attributes:
        measures: see the module.
        said: what the model said, as plain data that one can look at.
    """

    measures: Measures
    said: Mapping[str, Any]


class Item(Protocol):
    """One item of a task."""

    @property
    def where(self) -> str:
        """Its file and line, for messages."""

    @property
    def chance(self) -> float | None:
        """How often who knows nothing is right; None where that means nothing."""

    def asks(self, form: Form) -> Sequence[Span | Writing]:
        """What is asked of a model."""

    def rendered(self, form: Form) -> list[Any]:
        """What is asked as plain data, in letters: two tasks with the same are the same, whatever their files are."""

    def judged(self, told: Told) -> Judged:
        """What the answers are worth."""


@dataclass(frozen=True)
class Choice:
    """Which of several texts follows a question? The likeliest one is taken for the answer, the first of equals.

    Attributes:
        where: its file and line.
        question: may be empty, where whole texts are compared.
        choices: two at least.
        right: which of them, from 0.
    """

    where: str
    question: str
    choices: tuple[str, ...]
    right: int

    @property
    def chance(self) -> float | None:
        """One of as many as there are."""
        return 1.0 / len(self.choices)

    def asks(self, form: Form) -> Sequence[Span | Writing]:
        """How likely each is."""
        context = form.context(self.question) if self.question else ""
        return [form.span(context, choice, self.where) for choice in self.choices]

    def rendered(self, form: Form) -> list[Any]:
        """Question, choices, and which is right."""
        return [form.context(self.question) if self.question else "", list(self.choices), self.right]

    def judged(self, told: Told) -> Judged:
        """Whether the likeliest is right: as a whole, and byte for byte, since long texts are less likely."""
        sums = [one.total for one in told if isinstance(one, Likely)]
        each = [total / len(choice.encode()) for total, choice in zip(sums, self.choices, strict=True)]
        measures = {
            name: (float(found.index(max(found)) == self.right), 1.0)
            for name, found in (("accuracy", sums), ("accuracy_per_byte", each))
        }
        return Judged(measures, {"logprobs": sums, "chosen": sums.index(max(sums)), "right": self.right})


@dataclass(frozen=True)
class Continuation:
    """How likely is a text behind another one?

    Attributes:
        where: its file and line.
        question: what stands before.
        continuation: what is to follow.
    """

    where: str
    question: str
    continuation: str

    @property
    def chance(self) -> float | None:
        """Nothing to guess from."""
        return None

    def asks(self, form: Form) -> Sequence[Span | Writing]:
        """How likely it is."""
        return [form.span(form.context(self.question), self.continuation, self.where)]

    def rendered(self, form: Form) -> list[Any]:
        """The two texts."""
        return [form.context(self.question), self.continuation]

    def judged(self, told: Told) -> Judged:
        """Whether the model would write just that, and how many bits it needs for a byte of it."""
        (likely,) = (one for one in told if isinstance(one, Likely))
        bits = (-likely.total / LN2, float(len(self.continuation.encode())))
        measures = {"accuracy": (float(likely.greedy), 1.0), "bits_per_byte": bits}
        return Judged(measures, {"logprob": likely.total, "tokens": len(likely.logprobs), "greedy": likely.greedy})


@dataclass(frozen=True)
class Answer:
    """What does the model write? Spaces around it do not count.

    Attributes:
        where: its file and line.
        question: what it is asked.
        answers: any of which is right.
        most: tokens that it may write.
        stops: texts at which it ends.
    """

    where: str
    question: str
    answers: tuple[str, ...]
    most: int
    stops: tuple[str, ...]

    @property
    def chance(self) -> float | None:
        """Who writes anything is never right."""
        return 0.0

    def asks(self, form: Form) -> Sequence[Span | Writing]:
        """What follows, the likeliest token each time."""
        return [form.writing(form.context(self.question), self.most, self.stops, self.where)]

    def rendered(self, form: Form) -> list[Any]:
        """Question, answers, and where it ends."""
        return [form.context(self.question), list(self.answers), self.most, list(self.stops)]

    def judged(self, told: Told) -> Judged:
        """Whether it is one of the answers, letter for letter."""
        (written,) = (one for one in told if isinstance(one, Written))
        found = written.text.strip()
        right = float(any(found == answer.strip() for answer in self.answers))
        return Judged(
            {"exact_match": (right, 1.0)}, {"text": written.text, "ended": written.ended, "right": bool(right)}
        )


@dataclass(frozen=True)
class Text:
    """How many bits does a text take?

    Attributes:
        where: its file and line.
        text: the whole of it.
    """

    where: str
    text: str

    @property
    def chance(self) -> float | None:
        """Nothing to guess from."""
        return None

    def asks(self, form: Form) -> Sequence[Span | Writing]:
        """How likely each stretch of it is."""
        return list(form.windows(self.text, self.where))

    def rendered(self, form: Form) -> list[Any]:
        """The text."""
        return [self.text]

    def judged(self, told: Told) -> Judged:
        """Bits for each byte."""
        stretches = [one for one in told if isinstance(one, Likely)]
        total = float(sum(one.total for one in stretches))
        bits = (-total / LN2, float(len(self.text.encode())))
        return Judged(
            {"bits_per_byte": bits}, {"logprob": total, "tokens": sum(len(one.logprobs) for one in stretches)}
        )
