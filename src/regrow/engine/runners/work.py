"""What can be given to somebody else to do: a whole stage, or the tasks of one of its phases."""

from __future__ import annotations

import pickle
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal, Protocol

from regrow.engine.runners.shelf import Shelf
from regrow.errors import Interrupted
from regrow.recipe.kind import Call, Context, Surroundings, Task
from regrow.system import give_back
from regrow.version import __version__

Reach = Literal["here", "machine", "anywhere"]
"""Who can do some work: this process alone, any process of this machine, or any process that reaches the shelf."""


class Work(Protocol):
    """A number of pieces of work that do not need each other."""

    @property
    def count(self) -> int:
        """How many pieces there are."""

    @property
    def phase(self) -> str:
        """The name of the phase that they are tasks of, if they are."""

    def __call__(self, index: int, context: Context) -> None:
        """Do a piece."""


@dataclass(frozen=True)
class Whole:
    """A stage that is done at once.

    Attributes:
        run: of its kind.
        call: what is evaluated.
        reach: who can do it.
    """

    run: Callable[[Call[Any]], None]
    call: Call[Any]
    reach: Reach = "machine"
    count: int = 1
    phase: str = ""

    @property
    def module(self) -> str:
        """Where what runs is found."""
        return _module(self.run)

    def words(self, index: int) -> str:
        """The stage."""
        return f"stage `{self.call.name}`"

    def __call__(self, index: int, context: Context) -> None:
        """Do it."""
        self.run(replace(self.call, context=context))
        give_back()


@dataclass(frozen=True)
class Tasks:
    """The tasks of a phase. One that is done already is not done again.

    Attributes:
        run: of the phase.
        call: what is evaluated.
        key: of the stage.
        phase: its name.
        count: how many tasks it has.
        before: earlier phases -> how many tasks they had.
        shelf: where results lie.
        libraries: distributions whose version can change the results.
    """

    run: Callable[[Task[Any]], None]
    call: Call[Any]
    key: str
    phase: str
    count: int
    before: Mapping[str, int]
    shelf: Shelf
    libraries: tuple[str, ...] = ()
    reach: Reach = "anywhere"

    @property
    def module(self) -> str:
        """Where what runs is found."""
        return _module(self.run)

    def words(self, index: int) -> str:
        """The stage, the phase and the task."""
        return f"stage `{self.call.name}`, `{self.phase}` {index + 1} of {self.count}"

    def __call__(self, index: int, context: Context) -> None:
        """Do a task, unless its result is there, whole."""
        name, made_of = task_name(self.phase, index), self._made_of(index)
        if self.shelf.holds(name, made_of):
            return
        call = replace(self.call, context=context)
        with self.shelf.files() as files, self.shelf.adding(name, made_of) as output:
            try:
                self.run(Task(call, index, self.count, output, Results(self.shelf, self.before), files))
            except Interrupted:
                raise
            except Exception as error:
                self._blame(error, files)
                raise
        give_back()

    def _blame(self, error: Exception, files: Any) -> None:
        """Raise for what the task read if that is not whole: then its own error means nothing."""
        try:
            self.shelf.used(files)
        except Exception as lost:
            raise lost from error

    def _made_of(self, index: int) -> dict[str, Any]:
        """What decides about a result, beside the results before it, which are decided likewise."""
        return {"regrow": __version__, "key": self.key, "phase": self.phase, "index": index, "count": self.count}


@dataclass(frozen=True)
class Some:
    """Some of the tasks of a phase.

    Attributes:
        tasks: all of them.
        chosen: the indices of those that are done.
    """

    tasks: Tasks
    chosen: Sequence[int]

    @property
    def count(self) -> int:
        """How many they are."""
        return len(self.chosen)

    @property
    def phase(self) -> str:
        """The name of the phase."""
        return self.tasks.phase

    def __call__(self, index: int, context: Context) -> None:
        """Do one of them."""
        self.tasks(self.chosen[index], context)


@dataclass(frozen=True)
class Results(Mapping[str, tuple[Path, ...]]):
    """Phase -> what each of its tasks gave, worked out when it is asked for: thousands of paths need not travel."""

    shelf: Shelf
    counts: Mapping[str, int]

    def __getitem__(self, phase: str) -> tuple[Path, ...]:
        """The folders of the tasks of a phase."""
        return tuple(self.shelf.folder(task_name(phase, index)) for index in range(self.counts[phase]))

    def __iter__(self) -> Iterator[str]:
        """The phases."""
        return iter(self.counts)

    def __len__(self) -> int:
        """How many phases there are."""
        return len(self.counts)


def task_name(phase: str, index: int) -> str:
    """What the result of a task is called on its shelf."""
    return f"{phase}/{index:05}"


@dataclass(frozen=True)
class Nobody:
    """Who listens to work that is not being done: a stand-in that can travel."""

    surroundings: Surroundings

    def emit(self, event: str, **fields: Any) -> None:
        """Nobody hears it."""

    def stopping(self) -> bool:
        """Nobody asks."""
        return False

    def stop(self) -> None:
        """Raise :class:`regrow.errors.Interrupted`."""
        raise Interrupted("stopped")


def _module(run: Callable[..., None]) -> str:
    """The module of a function, or of one some of whose arguments are given."""
    while isinstance(run, partial):
        run = run.func
    return str(getattr(run, "__module__", ""))


def packed(work: Whole | Tasks) -> bytes | None:
    """Work as bytes that another process can read; None if it would not find there what it is made of.

    Functions and classes travel by their names. Those of a script that is run, or made in a function, have none.
    """
    surroundings = replace(work.call.context.surroundings, workers=None)
    try:
        data = pickle.dumps(replace(work, call=replace(work.call, context=Nobody(surroundings))))
    except Exception:  # whatever a stranger's parameters may do
        return None
    modules = {work.module, type(work.call.parameters).__module__}
    return None if "__main__" in modules or not modules <= sys.modules.keys() else data
