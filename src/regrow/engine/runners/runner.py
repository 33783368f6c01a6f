"""Who does the work of stages, told from what is done: the engine hands it over and does not know to whom."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any, Protocol

from regrow.engine.runners.work import Tasks, Whole, Work
from regrow.errors import Interrupted
from regrow.recipe.kind import Context, Surroundings


class Runner(Protocol):
    """Does work, in any order and by whomever. Several threads may ask at once."""

    def run(self, work: Whole | Tasks, context: Context) -> None:
        """Do all pieces of some work, and tell ``context`` how far they are.

        Raises:
            RegrowError: of a piece that failed, after the others were stopped; what is finished stays so.
        """

    def close(self) -> None:
        """End all processes."""


class Desk:
    """Where everybody who does some work reports: one account of it, whoever they are."""

    def __init__(self, work: Work, context: Context) -> None:
        self._context = context
        self._alone = work.count == 1
        self._facts = {"total": work.count, "unit": "tasks", "phase": work.phase}
        self._lock = threading.Lock()
        self._done = 0

    def told(self, event: Mapping[str, Any]) -> None:
        """Pass on what somebody says; how far one of several tasks is says little."""
        fields = {name: value for name, value in event.items() if name not in ("event", "stage")}
        if self._alone or event["event"] != "progress":
            self._context.emit(str(event["event"]), **fields)

    def finished(self) -> None:
        """A piece is done."""
        with self._lock:
            self._done += 1
            if not self._alone:
                self._context.emit("progress", done=self._done, **self._facts)


class Reporting:
    """The context of a piece of work in this process."""

    def __init__(self, desk: Desk, context: Context) -> None:
        self._desk = desk
        self._context = context

    @property
    def surroundings(self) -> Surroundings:
        """What the build lends."""
        return self._context.surroundings

    def emit(self, event: str, **fields: Any) -> None:
        """Report to the desk."""
        self._desk.told({"event": event, **fields})

    def stopping(self) -> bool:
        """True once the user asked to stop."""
        return self._context.stopping()

    def stop(self) -> None:
        """Raise :class:`regrow.errors.Interrupted`."""
        self._context.stop()


class Here:
    """Does one piece after the other, in the process and thread of whoever asks."""

    def run(self, work: Work, context: Context) -> None:
        """Do all pieces."""
        desk = Desk(work, context)
        for index in range(work.count):
            if context.stopping():
                context.stop()
            work(index, Reporting(desk, context))
            desk.finished()

    def close(self) -> None:
        """There is nothing to end."""


def stopped(context: Context) -> Interrupted:
    """The error of whoever asked to stop."""
    try:
        context.stop()
    except Interrupted as error:
        return error
    return Interrupted("stopped")
