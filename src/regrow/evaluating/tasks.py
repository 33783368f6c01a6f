"""Tasks: sets of items in files of our own, one JSON object to a line.

    {"task": "greetings", "about": "What is said in the morning."}
    {"question": "Good", "choices": [" morning", " table"], "answer": 0}

Which keys a line has says what it asks, and all lines of a file ask the same kind of thing. A first line with `task`
says more of all: what it is called, and where answers end.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

from regrow.errors import InputError
from regrow.evaluating.forms import Form
from regrow.evaluating.items import Answer, Choice, Continuation, Item, Shape, Text
from regrow.evaluating.lines import Line, lines_of
from regrow.evaluating.names import SETS, known
from regrow.store.digest import canonical_json
from regrow.words import closest, listed, shown

SUFFIXES = (".jsonl", ".ndjson")

_MOST_CHOICES = 64
_MOST_TOKENS = 4096
_KEYS: Mapping[Shape, tuple[str, ...]] = {
    "choice": ("question", "choices", "answer"),
    "continuation": ("question", "continuation"),
    "answer": ("question", "answer"),
    "text": ("text",),
}
_BESIDE = ("id",)
_SHAPES = "; ".join(" and ".join(f"`{key}`" for key in keys) for keys in _KEYS.values())
_STOPS = ("\n",)
_TOKENS = 32


@dataclass(frozen=True)
class Hub:
    """A data set of the hub that a task is: scores on it are shown there.

    Attributes:
        dataset: ``owner/name``.
        task: which of its tasks.
        revision: the commit; empty if it is not said.
    """

    dataset: str
    task: str
    revision: str = ""


@dataclass(frozen=True)
class Task:
    """A set of items.

    Attributes:
        name: of the task.
        shape: what its items ask.
        items: one at least.
        about: a sentence; empty if there is none.
        hub: the data set of the hub that it is, if it is one.
    """

    name: str
    shape: Shape
    items: tuple[Item, ...]
    about: str = ""
    hub: Hub | None = None

    @property
    def chance(self) -> float | None:
        """How often who knows nothing is right, on average."""
        each = [item.chance for item in self.items if item.chance is not None]
        return math.fsum(each) / len(each) if each else None

    def digest(self, form: Form) -> str:
        """The sha256 of all that is asked, as it is asked, and of what is right."""
        said = [self.shape, [item.rendered(form) for item in self.items]]
        return hashlib.sha256(canonical_json(said)).hexdigest()

    def first(self, count: int) -> Task:
        """The same with fewer items."""
        return Task(self.name, self.shape, self.items[:count], self.about, self.hub)


def find(name: str) -> Task:
    """A task that comes along, or one in a file.

    Raises:
        InputError: if there is none, or it is not one that can be judged.
    """
    if name in known():
        return read(SETS / f"{name}.jsonl")
    path = Path(name)
    if path.suffix in SUFFIXES or path.exists():
        return read(path)
    near = closest(name, known())
    hint = f"did you mean `{near}`?" if near else f"there are {listed(known())}; a file is named by its path"
    raise InputError(f"there is no task `{name}`", hint=hint)


def read(path: Path, called: str = "") -> Task:
    """The task in a file.

    Args:
        path: the file.
        called: what people call it; by default its path.

    Raises:
        InputError: naming the line that is wrong, and what is wrong with it.
    """
    called = called or str(path)
    lines = [_Line(called, one.number, one.row) for one in lines_of(path, called)]
    head: Mapping[str, Any] = lines.pop(0).row if lines and "task" in lines[0].row else {}
    beginning = _Line(called, 1, head)
    beginning.require_known(("task", "about", "stop", "max_tokens", "dataset", "dataset_task", "revision"))
    if not lines:
        raise InputError("the task has no items", where=called, hint="each is a line, a JSON object")
    settings = _Settings(
        beginning.texts("stop", _STOPS), beginning.whole("max_tokens", _TOKENS, _MOST_TOKENS), beginning
    )
    shape = lines[0].shape()
    for line in lines:
        if line.shape() != shape:
            raise line.wrong(
                f"it asks for {_ASKS[line.shape()]}, and the lines before for {_ASKS[shape]}",
                hint="put the two kinds into files of their own: each has scores of its own",
            )
        line.require_known((*_KEYS[shape], *_BESIDE), meant=chain.from_iterable(_KEYS.values()))
    items = tuple(_READ[shape](line, settings) for line in lines)
    return Task(
        beginning.text("task", path.stem), shape, items, beginning.text("about", "", empty=True), _hub(beginning)
    )


@dataclass(frozen=True)
class _Line(Line):
    """A line of a task."""

    def wrong(self, why: str, hint: str = "") -> InputError:
        """What is wrong with it, as an error."""
        return InputError("this is no item of a task", where=self.where, why=why, hint=hint)

    def require_known(self, keys: Sequence[str], meant: Iterable[str] = ()) -> None:
        """Raise if there is another key; ``meant`` are those of other lines, one of which may have been meant."""
        for key in self.row:
            if key not in keys:
                near = closest(key, (*keys, *meant))
                raise self.wrong(
                    f"it has the unknown key {shown(key)}",
                    hint=f"did you mean `{near}`?" if near else f"there are {listed(keys)}",
                )

    def shape(self) -> Shape:
        """What it asks."""
        for shape, keys in _KEYS.items():
            if all(key in self.row for key in keys):
                return shape
        if "question" in self.row and "choices" in self.row:
            raise self.wrong(
                "it has no `answer`", hint="say which of the choices is right, by its number from 0 or its text"
            )
        raise self.wrong(f"it has {listed(self.row)}", hint=f"an item has {_SHAPES}")

    def text(self, key: str, otherwise: str = "", *, empty: bool = False) -> str:
        value = self.row.get(key, otherwise)
        if not isinstance(value, str) or not (value or empty):
            raise self.wrong(f"`{key}` is {shown(value)}, and no text")
        return value

    def texts(self, key: str, otherwise: tuple[str, ...] = ()) -> tuple[str, ...]:
        value = self.row.get(key, list(otherwise))
        values = [value] if isinstance(value, str) else value
        if not isinstance(values, list) or not all(isinstance(one, str) and one for one in values):
            raise self.wrong(f"`{key}` is {shown(value)}, and no list of texts")
        return tuple(values)

    def whole(self, key: str, otherwise: int, largest: int) -> int:
        value = self.row.get(key, otherwise)
        if type(value) is not int or not 1 <= value <= largest:
            raise self.wrong(f"`{key}` is {shown(value)}, and no whole number from 1 to {largest:,}")
        return value


@dataclass(frozen=True)
class _Settings:
    """What is said of all items."""

    stops: tuple[str, ...]
    most: int
    line: _Line


_ASKS: Mapping[Shape, str] = {
    "choice": "a choice",
    "continuation": "how likely a continuation is",
    "answer": "an answer",
    "text": "how likely a text is",
}


def _choice(line: _Line, _: _Settings) -> Item:
    choices, answer = line.texts("choices"), line.row["answer"]
    if not 2 <= len(choices) <= _MOST_CHOICES:
        raise line.wrong(f"it has {len(choices):,} choices", hint=f"give from 2 to {_MOST_CHOICES}")
    if len({*choices}) < len(choices):
        twice = next(one for place, one in enumerate(choices) if one in choices[:place])
        raise line.wrong(f"the choice {shown(twice)} is there twice", hint="of two equal ones neither is the right one")
    if isinstance(answer, str) and answer in choices:
        answer = choices.index(answer)
    if type(answer) is not int or not 0 <= answer < len(choices):
        raise line.wrong(
            f"`answer` is {shown(answer)}, and none of the {len(choices)} choices",
            hint="say which is right, by its number from 0 or its text",
        )
    return Choice(line.where, line.text("question", empty=True), choices, answer)


def _continuation(line: _Line, _: _Settings) -> Item:
    return Continuation(line.where, line.text("question", empty=True), line.text("continuation"))


def _answer(line: _Line, settings: _Settings) -> Item:
    if not (answers := line.texts("answer")):
        raise line.wrong("`answer` is an empty list", hint="say what is right")
    return Answer(line.where, line.text("question"), answers, settings.most, settings.stops)


def _text(line: _Line, _: _Settings) -> Item:
    return Text(line.where, line.text("text"))


_READ: Mapping[Shape, Callable[[_Line, _Settings], Item]] = {
    "choice": _choice,
    "continuation": _continuation,
    "answer": _answer,
    "text": _text,
}


def _hub(line: _Line) -> Hub | None:
    if "dataset" not in line.row:
        return None
    name = line.text("dataset")
    return Hub(name, line.text("dataset_task", "default"), line.text("revision", "", empty=True))
