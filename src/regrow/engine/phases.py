"""Running a stage: at once, or phase by phase, each of tasks that do not need each other."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from regrow.errors import StageError
from regrow.recipe.kind import Call, Kind, Phase, Task
from regrow.store import remove_tree


def run(kind: Kind[Any], call: Call[Any]) -> None:
    """Fill ``call.output`` with what the stage gives."""
    if kind.run is not None:
        kind.run(call)
        return
    results: dict[str, tuple[Path, ...]] = {}
    for phase in kind.phases:
        results[phase.name] = tuple(_done(phase, call, results))
    for phase in kind.phases:
        if phase.kept:
            for folder in results[phase.name]:
                _move(folder, call.output, phase)


def _done(phase: Phase[Any], call: Call[Any], results: dict[str, tuple[Path, ...]]) -> Iterator[Path]:
    """What the tasks of a phase give, one after the other."""
    count = phase.tasks(call, results)
    for index in range(count):
        output = call.scratch / "phases" / phase.name / f"{index:05}"
        remove_tree(output)
        output.mkdir(parents=True)
        phase.run(Task(call, index, count, output, dict(results)))
        yield output


def _move(source: Path, target: Path, phase: Phase[Any]) -> None:
    """Bring the files of a task to the others."""
    for path in sorted(path for path in source.rglob("*") if path.is_file()):
        place = target / path.relative_to(source)
        if place.exists():
            raise StageError(f"two tasks of the phase `{phase.name}` have written {path.relative_to(source)}")
        place.parent.mkdir(parents=True, exist_ok=True)
        path.replace(place)
