"""Kinds of stages: what a recipe may ask for, and the one contract every stage keeps.

A stage is a pure function from content to content. A :class:`Kind` describes one sort of stage: its
parameters, the artifacts it takes and gives, and the function that does the work. The function gets a
:class:`Call` and writes files below ``call.output``; what it writes may depend on the parameters, the bytes
of the inputs and nothing else: no clock, host, path, locale, thread count or order of a dict.

The modules that define kinds must import in milliseconds, since ``plan`` and a cached ``build`` import them
all. Heavy imports (torch, numba, pyarrow, tokenizers) belong inside the function.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from pydantic import BaseModel, ConfigDict


class Parameters(BaseModel):
    """Base of every kind's parameters: immutable, strict about unknown keys, canonical as JSON."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Workers(Protocol):
    """Processes that share training runs; ``regrow.train.loop.WorkerGroup`` says what they are told."""

    def train(self, *args: Any, **kwargs: Any) -> Any:
        """Train with all of them."""


@dataclass(frozen=True)
class Surroundings:
    """What a build lends to its stages. None of it may influence the output's bytes.

    Attributes:
        base: the folder in which relative paths of sources begin.
        offline: True to leave the network alone.
        workers: who share a training run; None for this process alone.
    """

    base: Path = Path()
    offline: bool = False
    workers: Workers | None = None


class Context(Protocol):
    """What a running stage may tell and ask of the engine. None of it may influence the output's bytes."""

    @property
    def surroundings(self) -> Surroundings:
        """What the build lends."""

    def emit(self, event: str, **fields: Any) -> None:
        """Report progress or a fact for the event log, e.g. ``emit("progress", done=3, total=10, unit="steps")``."""

    def stopping(self) -> bool:
        """True once the user asked to stop; save what is needed to resume, then call :meth:`stop`."""

    def stop(self) -> None:
        """Raise :class:`regrow.errors.Interrupted`."""


@dataclass(frozen=True)
class Call:
    """One evaluation of a stage.

    Attributes:
        name: the stage's name in the recipe, for messages only.
        parameters: an instance of the kind's ``parameters``.
        inputs: slot -> directories of the input artifacts, in the order the recipe gives. Read-only.
        output: an empty directory to fill.
        scratch: a directory that survives kills, private to this stage key, for checkpoints to resume from.
        context: progress and stop requests.
    """

    name: str
    parameters: Any
    inputs: Mapping[str, tuple[Path, ...]]
    output: Path
    scratch: Path
    context: Context

    def input(self, slot: str) -> Path:
        """The single artifact in ``slot``."""
        (path,) = self.inputs[slot]
        return path


@dataclass(frozen=True)
class Slot:
    """An input of a kind: which type of artifact it takes, and whether it takes several or may be absent."""

    type: str
    many: bool = False
    optional: bool = False


@dataclass(frozen=True)
class Kind:
    """A sort of stage.

    Attributes:
        name: as written in recipes, e.g. ``deduplicate``.
        version: bumped whenever the same ingredients give other bytes. Part of the stage key.
        parameters: pydantic model of the parameters, with every default.
        inputs: slot name -> :class:`Slot`.
        output: the type of artifact it gives, e.g. ``documents``; checked against the slots it feeds.
        run: does the work.
        exact: True if it uses ``regrow.exact``, so that the arithmetic version is part of its key.
        libraries: distributions whose version can change the output's bytes; their versions are part of the key.
        summary: one line for ``plan`` and the docs.
    """

    name: str
    version: int
    parameters: type[Parameters]
    inputs: Mapping[str, Slot]
    output: str
    run: Callable[[Call], None]
    exact: bool = False
    libraries: tuple[str, ...] = ()
    summary: str = ""
    estimate: Callable[[Any], Mapping[str, float]] | None = field(default=None)
    """Parameters -> ``flops``, ``seconds``, ``memory_bytes``, ``disk_bytes`` on this machine, for ``plan``."""
