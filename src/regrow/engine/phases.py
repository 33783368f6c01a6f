"""Running a stage: at once, or phase by phase, each of tasks that do not need each other."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from regrow.engine.runners import Crew, Here, Lost, Results, Shelf, Some, Tasks, Whole, task_name
from regrow.errors import StageError
from regrow.recipe.kind import Call, Files, Kind, Phase
from regrow.store import remove_tree

_TRIES = 3
"""How often the same result may be lost before there must be another reason than chance."""


def run(kind: Kind[Any], call: Call[Any], key: str = "", crew: Crew | None = None) -> None:
    """Fill ``call.output`` with what the stage gives.

    What its tasks give lies in scratch, or where the crew keeps it, until the stage is done: a run that follows a kill
    finds it there. What is found to be lost or damaged is made again.

    Args:
        kind: of the stage.
        call: what is evaluated.
        key: of the stage.
        crew: who does it; by default whoever asks.
    """
    crew = crew or Crew(Here())
    if kind.run is not None:
        # Who computes exactly has threads, and perhaps workers, of its own.
        crew.runner.run(Whole(kind.run, call, reach="here" if kind.exact else "machine"), call.context)
        return
    shelf = crew.shelf(call, key)
    losses: Counter[str] = Counter()
    while True:
        try:
            shelf.prepare()
            _collect(kind, call, shelf, _through(kind, call, key, crew, shelf))
            return
        except Lost as lost:
            losses[lost.name] += 1
            if losses[lost.name] == _TRIES:
                raise
            call.context.emit("note", text=f"{lost.what}, since {lost.why}; it is made again")
            shelf.drop(lost.name)


def parted(kind: Kind[Any]) -> Phase[Any] | None:
    """The phase of a kind whose tasks give a part of the output each, and together all of it, if there is one."""
    kept = [phase for phase in kind.phases if phase.kept]
    return kept[0] if len(kept) == 1 and not kept[0].is_single else None


def run_some(kind: Kind[Any], call: Call[Any], choose: Callable[[int], Sequence[int]], crew: Crew) -> tuple[int, ...]:
    """Fill ``call.output`` with some of the parts of what a stage gives whose kind is :func:`parted`.

    What comes before the parts is done as a whole, and what comes after them is left.

    Args:
        kind: of the stage.
        call: what is evaluated.
        choose: how many parts there are -> the indices of those that are wanted.
        crew: who does what comes before.

    Returns:
        The indices of the parts.
    """
    last = parted(kind)
    assert last is not None
    shelf, counts = crew.shelf(call, ""), dict[str, int]()
    shelf.prepare()
    for phase in kind.phases:
        work = _tasks(kind, phase, call, "", counts, shelf)
        if phase is last:
            chosen = tuple(choose(work.count))
            Here().run(Some(work, chosen), call.context)
            for index in chosen:
                shelf.take(task_name(phase.name, index), call.output)
            return chosen
        crew.runner.run(work, call.context)
        counts[phase.name] = work.count
    raise AssertionError(last.name)


def clear(kind: Kind[Any], call: Call[Any], key: str, crew: Crew) -> None:
    """Let go of what the tasks of a stage gave, once its output is kept."""
    if kind.phases:
        crew.shelf(call, key).clear()


def share(kind: Kind[Any], name: str, call: Call[Any], key: str, *, index: int, of: int) -> None:
    """Do the tasks ``index``, ``index + of``, ... of a phase, in this process.

    Raises:
        StageError: if an earlier phase is not done yet.
    """
    shelf = Crew(Here()).shelf(call, key)
    counts: dict[str, int] = {}
    for phase in kind.phases:
        work = _tasks(kind, phase, call, key, counts, shelf)
        if phase.name == name:
            Here().run(Some(work, range(index, work.count, of)), call.context)
            return
        counts[phase.name] = work.count
        for task in range(work.count):
            if not shelf.has(task_name(phase.name, task)):
                raise StageError(
                    f"`{phase.name}` {task + 1} of {work.count} is not done yet",
                    where=f"stage `{call.name}`",
                    why=f"`{name}` needs all of them",
                    hint=f"`regrow task RECIPE {call.name} {phase.name}` does those that are missing",
                )


def _tasks(
    kind: Kind[Any], phase: Phase[Any], call: Call[Any], key: str, before: Mapping[str, int], shelf: Shelf
) -> Tasks:
    """The tasks of a phase, whose number may depend on what earlier ones gave.

    Args:
        kind: of the stage.
        phase: of the kind.
        call: what is evaluated.
        key: of the stage.
        before: earlier phases -> how many tasks they had.
        shelf: where results lie.
    """
    with shelf.files() as files:
        count = phase.tasks(call, _Fetched(Results(shelf, before), files))
    return Tasks(phase.run, call, key, phase.name, count, dict(before), shelf, kind.libraries)


def _through(kind: Kind[Any], call: Call[Any], key: str, crew: Crew, shelf: Shelf) -> dict[str, int]:
    """Do all phases, and return how many tasks each had."""
    counts: dict[str, int] = {}
    for phase in kind.phases:
        work = _tasks(kind, phase, call, key, counts, shelf)
        crew.runner.run(work, call.context)
        counts[phase.name] = work.count
    return counts


def _collect(kind: Kind[Any], call: Call[Any], shelf: Shelf, counts: Mapping[str, int]) -> None:
    """Bring what the tasks of kept phases gave to one place."""
    for path in call.output.iterdir():
        remove_tree(path) if path.is_dir() else path.unlink()
    for phase in kind.phases:
        if phase.kept:
            for index in range(counts[phase.name]):
                shelf.take(task_name(phase.name, index), call.output)


@dataclass(frozen=True)
class _Fetched(Mapping[str, tuple[Path, ...]]):
    """Results as whoever counts tasks needs them: brought here when they are looked at."""

    results: Results
    files: Files

    def __getitem__(self, phase: str) -> tuple[Path, ...]:
        """The folders of the tasks of a phase."""
        return tuple(map(self.files.path, self.results[phase]))

    def __iter__(self) -> Iterator[str]:
        """The phases."""
        return iter(self.results)

    def __len__(self) -> int:
        """How many phases there are."""
        return len(self.results)
