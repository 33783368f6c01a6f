"""What a build looks like while it runs: a line for each stage, and for the long ones something that moves.

On a terminal that is a bar; elsewhere a line every ten seconds, so that a log shows that the work goes on.
"""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from textwrap import shorten
from typing import TYPE_CHECKING, Any

from regrow.cli.console import Console, animated, coloured
from regrow.printable import escaped
from regrow.report.render import seconds, size

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID


Event = Mapping[str, Any]
_HEARTBEAT = 10.0
_BAR = 24
_WIDE = 110  # columns of a terminal that has room for a bar
_REASONS = 4
_WORDS = 60
_SUFFIXES = 4
_WORK = {"bytes": "Fetching", "steps": "Training", "samples": "Writing", "sequences": "Measuring"}
_DAMAGE = {
    "damaged": "was damaged in the store; it is built again",
    "missing": "was missing in the store; it is built again",
}


@contextmanager
def progress(console: Console) -> Iterator[Lines]:
    """A listener for the events of a build, which draws as long as the block lasts."""
    lines = Bars(console) if animated(sys.stderr) else Lines(console)
    try:
        yield lines
    finally:
        lines.close()


class Lines:
    """Draws line by line."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._spoke: dict[str, float] = {}
        self._fetched: dict[str, int] = {}
        self._compiled = set[str]()

    def __call__(self, event: Event) -> None:
        """Draw one event."""
        stage = str(event.get("stage", ""))
        if event.get("unit") == "bytes":
            self._fetched[stage] = event["done"]
        match event["event"]:
            case "lock":
                more = len(event["reasons"]) - _REASONS
                told = [*event["reasons"][:_REASONS], *([f"and {more:,} more"] if more > 0 else [])]
                self._console.verb("Locking", "; ".join(told), "cyan")
            case "selected":
                self._console.verb("Source", selection(event), "cyan")
            case "stage-start":
                self.begin(stage, "Running again" if event.get("again") else "Building")
            case "progress":
                self.move(stage, event)
                if "sample" in event or "validation_loss" in event:
                    self._console.verb("Validated", f"{stage} {validated(event)}", "cyan")
            case "metrics":
                self._console.verb("Metrics", event["path"], "cyan")
            case "resumed":
                self._console.verb("Resuming", f"{stage} {_amount(event)}", "cyan")
            case "compiling":
                self.compile(stage)
            case "stage-cached":
                self.end(stage, "Cached", "cyan", "")
            case "stage-done":
                fetched = f"  {size(self._fetched[stage])}" if stage in self._fetched else ""
                self.end(stage, "Built", "green", seconds(event["duration"]) + fetched)
            case "damaged" | "missing" as kind:
                self._console.verb("Warning", f"{stage} {_DAMAGE[kind]}", "yellow")
            case "tally":
                self._console.verb("Read", str(event["text"]), "yellow" if event["left_out"] else "green")
            case "warning":
                self._console.verb("Warning", str(event["text"]), "yellow")
            case "note" | "waiting":
                self._console.verb("Note", str(event["text"]), "yellow")
            case "interrupted" | "error":
                self.forget(stage)

    def begin(self, stage: str, verb: str) -> None:
        """A stage starts; the first heartbeat is due some time later."""
        self._spoke[stage] = time.monotonic()

    def move(self, stage: str, event: Event) -> None:
        """A stage got on."""
        now = time.monotonic()
        if now - self._spoke.setdefault(stage, now) >= _HEARTBEAT:
            self._spoke[stage] = now
            self._console.verb(verb_for(event), f"{stage} {details(event)}", "cyan")

    def compile(self, stage: str) -> None:
        """A stage waits for a kernel; that is said once of each, since the first one is seldom the last."""
        if stage not in self._compiled:
            self._compiled.add(stage)
            self._console.verb("Compiling", f"kernels for {stage}, once per installation", "cyan")

    def end(self, stage: str, verb: str, colour: str, took: str) -> None:
        """A stage is finished."""
        self.forget(stage)
        self._console.verb(verb, f"{stage:<28} {took}" if took else stage, colour)

    def forget(self, stage: str) -> None:
        """Nothing more is to be drawn for a stage."""
        self._spoke.pop(stage, None)

    def close(self) -> None:
        """Stop drawing."""


class Bars(Lines):
    """Draws a bar for each running stage, below the lines."""

    def __init__(self, console: Console) -> None:
        super().__init__(console)
        self._bars: Progress | None = None
        self._tasks: dict[str, TaskID] = {}

    def begin(self, stage: str, verb: str) -> None:
        """Show that a stage runs, before it has said how far it is."""
        self._task(stage, verb)

    def move(self, stage: str, event: Event) -> None:
        """Move the bar of a stage."""
        task, total = self._task(stage, ""), event.get("total")
        assert self._bars is not None
        verb = f"{verb_for(event):>12}"
        width = self._bars.console.width
        room = width - len(f"{verb} {escaped(stage)} ") - (_BAR + 1 if width >= _WIDE else 0)
        self._bars.update(task, total=total, completed=event["done"], verb=verb, details=details(event, room))

    def forget(self, stage: str) -> None:
        """Take the bar of a stage away."""
        task = self._tasks.pop(stage, None)
        if task is not None and self._bars is not None:
            self._bars.remove_task(task)

    def close(self) -> None:
        """Take everything away that moves."""
        if self._bars is not None:
            self._bars.stop()

    def _task(self, stage: str, verb: str) -> TaskID:
        if self._bars is None:  # rich is not imported for a build that finds everything in the store
            self._bars = _rich_bars()
            self._bars.start()
        if stage not in self._tasks:
            self._tasks[stage] = self._bars.add_task(escaped(stage), total=None, verb=f"{verb:>12}", details="")
        return self._tasks[stage]


def _rich_bars() -> Progress:
    from rich.console import Console as Terminal
    from rich.progress import BarColumn, Progress, TextColumn

    terminal = Terminal(stderr=True, no_color=not coloured(sys.stderr), highlight=False)
    columns = (
        TextColumn("[bold cyan]{task.fields[verb]}"),
        TextColumn("{task.description}", markup=False),
        *([BarColumn(bar_width=_BAR)] if terminal.width >= _WIDE else []),
        TextColumn("{task.fields[details]}", markup=False),
    )
    return Progress(*columns, console=terminal, transient=True, redirect_stdout=False, refresh_per_second=8)


def selection(event: Event) -> str:
    """Which files of a source are used, e.g. ``texts: 1 of 4 files selected; left out: 3 .md (not in `select`)``.

    What no pattern fits is counted by its suffix, which tells most.
    """
    used, all_there = event["selected"], event["of"]
    files = f"{all_there:,} file{'s' if all_there != 1 else ''}"
    if used != all_there:
        files = f"{used:,} of {files} selected"
    passed = event["not_selected"]
    parts = [f"{number:,} {suffix}" for suffix, number in list(passed.items())[:_SUFFIXES]]
    if rest := sum(list(passed.values())[_SUFFIXES:]):
        parts.append(f"{rest:,} others")
    if parts:
        parts[-1] += " (not in `select`)"
    parts += [f"{number:,} {reason}" for reason, number in event["left_out"].items()]
    return f"{event['source']}: {files}" + (f"; left out: {', '.join(parts)}" if parts else "")


def verb_for(event: Event) -> str:
    """What a stage is doing, as far as the unit tells."""
    return _WORK.get(str(event.get("unit")), "Building")


def details(event: Event, room: float = math.inf) -> str:
    """How far a stage is, and what else it tells, e.g. ``step 3/10, loss 4.210, 5,300 tokens/s, 2 min 3 s left``.

    Where there is no room for all of it, the speed goes first, and then the loss.
    """
    parts = {"amount": _amount(event)}
    if (loss := event.get("loss")) is not None:
        parts["loss"] = f"loss {loss:.3f}"
    if (speed := event.get("tokens_per_second")) is not None:
        parts["speed"] = f"{speed:,.0f} tokens/s"
    if (left := event.get("seconds_left")) is not None:
        parts["left"] = f"{seconds(left)} left"
    for spare in ("speed", "loss"):
        if len(", ".join(parts.values())) > room:
            parts.pop(spare, None)
    return ", ".join(parts.values())


def validated(event: Event) -> str:
    """What was measured on the way, e.g. ``step 50/800, loss 4.210, on validation text 4.305: "and the king"``."""
    parts = [_amount(event), f"loss {event['loss']:.3f}"]
    if (loss := event.get("validation_loss")) is not None:
        parts.append(f"on validation text {loss:.3f}")
    words = shorten(str(event.get("sample", "")), _WORDS, placeholder=" ...")
    return ", ".join(parts) + (f': "{words}"' if words else "")


def _amount(event: Event) -> str:
    done, total, unit = event["done"], event.get("total"), str(event.get("unit", ""))
    if unit == "bytes":
        return f"{size(done)} of {size(total)}" if total else size(done)
    if unit == "steps":
        return f"step {done:,}/{total:,}"
    of = f" of {event['phase']}" if event.get("phase") else ""
    return f"{done:,}/{total:,} {unit}{of}" if total else f"{done:,} {unit}{of}"
