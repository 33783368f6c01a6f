"""The graph of stages a recipe means, before anything has run."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from regrow.recipe.kind import AFTER, Kind
from regrow.recipe.pin import Pinned, Pins
from regrow.sections import Parameters


@dataclass(frozen=True)
class Stage:
    """A node: a kind with its parameters and the names of the stages it takes its inputs from."""

    name: str
    kind: Kind[Any]
    parameters: Parameters
    inputs: Mapping[str, tuple[str, ...]]

    @property
    def needs(self) -> set[str]:
        """The names of the stages that it takes its inputs from."""
        return {name for names in self.inputs.values() for name in names}

    @property
    def watched(self) -> tuple[str, ...]:
        """The name of the stage that it only looks at, if it is of a kind that does that."""
        return self.inputs[AFTER] if self.kind.watches else ()


@dataclass(frozen=True)
class Graph:
    """Stages in an order in which every stage comes after its inputs."""

    stages: tuple[Stage, ...]

    def __getitem__(self, name: str) -> Stage:
        return next(stage for stage in self.stages if stage.name == name)

    def ancestors(self, stage: Stage) -> Iterator[Stage]:
        """All stages that ``stage`` needs, directly or not, in the order of the graph."""
        needed = set(stage.needs)
        for other in reversed(self.stages):
            if other.name in needed:
                needed |= other.needs
        return (other for other in self.stages if other.name in needed)

    def made_from(self, names: Collection[str]) -> tuple[Stage, ...]:
        """Some stages, by their names, and all that are made from what they give, in the order of the graph."""
        found = set(names)
        for stage in self.stages:
            if stage.needs & found:
                found.add(stage.name)
        return tuple(stage for stage in self.stages if stage.name in found)

    @property
    def withheld(self) -> frozenset[str]:
        """The names of the stages that bring in texts that may not be shared, and of all that are made from them."""
        brought = ((stage.name, stage.parameters) for stage in self.stages)
        secret = [name for name, it in brought if isinstance(it, Pinned) and Pins.of(it.pins).withheld]
        return frozenset(stage.name for stage in self.made_from(secret))
