"""Who does the tasks of a build, and where they put what they give: what a user chooses, and the rest need not know."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from regrow.engine.runners.location import Location, LocationShelf, forget_inputs
from regrow.engine.runners.processes import Processes
from regrow.engine.runners.runner import Here, Runner
from regrow.engine.runners.shelf import FolderShelf, Shelf
from regrow.recipe.kind import Call

PHASES = "phases"
"""The folder of a stage's scratch in which results lie."""


@dataclass(frozen=True)
class Choice:
    """Who is to do the tasks. It changes no output.

    Attributes:
        runner: processes of this machine, or tasks of Ray.
        jobs: how many processes, and how many stages at the same time.
        address: of a Ray cluster; by default ``RAY_ADDRESS``, or one on this machine.
        location: where results lie, as fsspec has it; by default in the store, which all have to reach then.
    """

    runner: Literal["processes", "ray"] = "processes"
    jobs: int = 1
    address: str = ""
    location: str = ""


@dataclass(frozen=True)
class Crew:
    """Who does the tasks, and where they put what they give."""

    runner: Runner
    location: Location | None = None

    def shelf(self, call: Call[Any], key: str) -> Shelf:
        """Where the results of a stage lie."""
        root = call.scratch / PHASES
        if self.location is None:
            return FolderShelf(root)
        return LocationShelf(self.location, key, root, tuple(path for paths in call.inputs.values() for path in paths))

    def leave(self, outputs: Iterable[Path]) -> None:
        """Let go of the copies of outputs that were inputs of later stages, when all is built."""
        if self.location is not None:
            forget_inputs(self.location, outputs)


@contextmanager
def crew(choice: Choice) -> Iterator[Crew]:
    """Who was chosen. Nobody is there before there is work, and after the block nobody is left.

    Raises:
        RecipeError: if the location is none.
    """
    location = Location.named(choice.location) if choice.location else None
    runner = _runner(choice)
    if location is not None:
        location.check(shared=not isinstance(runner, Here))
    try:
        yield Crew(runner, location)
    finally:
        runner.close()


def _runner(choice: Choice) -> Runner:
    if choice.runner == "ray":
        from regrow.engine.runners.ray_tasks import Ray

        return Ray(choice.address)
    return Processes(choice.jobs) if choice.jobs > 1 else Here()
