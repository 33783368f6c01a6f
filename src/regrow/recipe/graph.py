"""The graph of stages a recipe means, before anything has run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from regrow.recipe.kind import Kind, Parameters


@dataclass(frozen=True)
class Stage:
    """A node: a kind with its parameters and the names of the stages it takes its inputs from."""

    name: str
    kind: Kind
    parameters: Parameters
    inputs: Mapping[str, tuple[str, ...]]


@dataclass(frozen=True)
class Graph:
    """Stages in an order in which every stage comes after its inputs."""

    stages: tuple[Stage, ...]

    def __getitem__(self, name: str) -> Stage:
        return next(stage for stage in self.stages if stage.name == name)
