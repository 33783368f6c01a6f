"""Showing training as it runs in programs of others: each is an adapter of a few lines, and none is used unasked.

What an adapter is told is a line of ``metrics.csv``. Each stage that trains is a run of its own, called after the
release and the stage, so that models stand beside one another and not in each other's place. A program that fails is
left alone for the rest of the build.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

from regrow.building.live import rows
from regrow.engine import Listener
from regrow.errors import RecipeError


class Tracker(Protocol):
    """Shows training steps."""

    def log(self, step: int, values: Mapping[str, float], words: str) -> None:
        """Show a step: what was measured, and what the model wrote, which may be nothing."""

    def close(self) -> None:
        """Show no more."""


class TensorBoard:
    """Event files in a folder, for TensorBoard: one folder in it for each run."""

    def __init__(self, folder: str, run: str) -> None:
        self._folder = Path(folder or "runs") / run
        self._writer: Any = None

    def log(self, step: int, values: Mapping[str, float], words: str) -> None:
        """Add to the event file. What older files in the folder say of this step and later ones is hidden."""
        if self._writer is None:
            from torch.utils.tensorboard import SummaryWriter

            self._writer = SummaryWriter(str(self._folder), purge_step=step, flush_secs=5)
        for name, value in values.items():
            self._writer.add_scalar(name, value, step)
        if words:
            self._writer.add_text("sample", words, step)

    def close(self) -> None:
        """Close the event file."""
        if self._writer is not None:
            self._writer.close()


class Run:
    """A run of Weights & Biases, or of trackio, which speaks the same language."""

    def __init__(self, module: str, project: str, run: str) -> None:
        self._module = module
        self._project = project or "regrow"
        self._name = run
        self._run: Any = None

    def log(self, step: int, values: Mapping[str, float], words: str) -> None:
        """Send a step."""
        library = import_module(self._module)
        if self._run is None:
            self._run = library.init(project=self._project, name=self._name)
        library.log({**values, **({"sample": words} if words else {})}, step=step)

    def close(self) -> None:
        """End the run."""
        if self._run is not None:
            import_module(self._module).finish()


_TRACKERS: dict[str, Callable[[str, str], Tracker]] = {
    "tensorboard": TensorBoard,
    "trackio": partial(Run, "trackio"),
    "wandb": partial(Run, "wandb"),
}


def tracker(asked: str) -> Callable[[str], Tracker]:
    """What makes the adapter that somebody asks for: ``tensorboard:DIR``, ``trackio:PROJECT`` or ``wandb:PROJECT``.

    Returns:
        a function that takes the name of a run.

    Raises:
        RecipeError: if there is none, or what it needs is not installed.
    """
    name, _, rest = asked.partition(":")
    if name not in _TRACKERS:
        raise RecipeError(
            f"there is no tracker `{name}`", hint=f"use one of {', '.join(_TRACKERS)}, such as `tensorboard:runs`"
        )
    if find_spec(name) is None:
        raise RecipeError(f"`{name}` is not installed", hint=f"python -m pip install {name}")
    return partial(_TRACKERS[name], rest)


@contextmanager
def tracked(asked: Sequence[str], release: str, listener: Listener) -> Iterator[Listener]:
    """A listener that shows training steps wherever somebody asked for it, and passes events on.

    Args:
        asked: where, each as :func:`tracker` has it.
        release: what is built, after which the runs are called.
        listener: gets the events.
    """
    told = _Told({one: tracker(one) for one in asked}, release, listener)
    try:
        yield told
    finally:
        told.close()


@dataclass
class _Told:
    makers: Mapping[str, Callable[[str], Tracker]]
    release: str
    listener: Listener
    stage: str = ""
    trackers: dict[str, Tracker] = field(default_factory=dict)
    failed: set[str] = field(default_factory=set)

    def __call__(self, event: Mapping[str, Any]) -> None:
        """Show the training steps that an event tells of, and pass it on."""
        self.listener(event)
        for row in rows(event):
            if row["stage"] != self.stage:
                self.close()
                self.stage = row["stage"]
                self.trackers = {asked: make(f"{self.release}-{self.stage}") for asked, make in self.makers.items()}
            values = {name: value for name, value in row.items() if name not in ("step", "sample", "stage")}
            for asked, one in self.trackers.items():
                self._try(asked, partial(one.log, row["step"], values, row.get("sample", "")))

    def close(self) -> None:
        """Show no more of the stage."""
        for asked, one in self.trackers.items():
            self._try(asked, one.close)

    def _try(self, asked: str, act: Callable[[], None]) -> None:
        """Do something that may fail for whatever reason, which is none to stop a build."""
        if asked in self.failed:
            return
        try:
            act()
        except Exception as error:  # a stranger's program
            self.failed.add(asked)
            self.listener({"event": "note", "text": f"{asked} shows no more: {type(error).__name__}: {error}"})
