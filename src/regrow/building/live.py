"""Files beside a release that tell what happens while it is built, and become part of it when it is done."""

from __future__ import annotations

import csv
import io
import json
import os
import secrets
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, TextIO

from regrow.building.place import explained
from regrow.engine import Listener
from regrow.engine.context import DETAILS
from regrow.errors import StageError


class LiveFile:
    """A file that is written line by line. Whoever begins one of the same name writes to another file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file: TextIO | None = None

    def begin(self) -> None:
        """Put an empty file into its place."""
        aside = self.path.with_name(f".{self.path.name}.{secrets.token_hex(8)}")
        with explained(self.path):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._file = aside.open("x+", encoding="utf-8", newline="\n")
            aside.replace(self.path)  # another build of the same release goes on writing to the file it opened

    @property
    def begun(self) -> bool:
        """Whether there is a file."""
        return self._file is not None

    def write(self, text: str) -> None:
        """Add to the file, for others to see at once."""
        assert self._file is not None, "the file was begun"
        with explained(self.path):
            self._file.write(text)
            self._file.flush()

    def text(self) -> str:
        """Everything so far."""
        assert self._file is not None, "the file was begun"
        self._file.seek(0)
        return self._file.read()

    def remove(self) -> None:
        """Remove the file, unless it is another build's by now."""
        assert self._file is not None, "the file was begun"
        with suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(self._file.fileno()), self.path.stat()):
                self.path.unlink()

    def close(self) -> None:
        """Write no more. A file in which nothing stands goes."""
        if self._file is not None:
            if not os.fstat(self._file.fileno()).st_size:
                self.remove()
            self._file.close()
            self._file = None


class EventLog:
    """Writes every event to a file beside the release as it happens, and passes it on.

    The file tells what happened if the build fails; of a build that does not, it becomes part of ``buildinfo/``. A
    line's ``seconds`` are those since the build began, so that the lines are in the order of time.
    """

    def __init__(self, release: Path, listener: Listener) -> None:
        self._file = LiveFile(release.with_name(f"{release.name}.events.jsonl"))
        self._listener = listener
        self._started = (time.monotonic(), datetime.now(UTC))

    def __enter__(self) -> EventLog:
        self._file.begin()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        if isinstance(error, StageError) and error.hint == DETAILS:
            error.hint = f"{self._file.path} has the details"
        self._file.close()

    def __call__(self, event: Mapping[str, Any]) -> None:
        """Note an event and pass it on."""
        if self._file.begun:
            now = {"seconds": round(time.monotonic() - self._started[0], 3)}
            # Whatever a stage calls `seconds` is not the time of the event. Earlier steps stand in the metrics.
            told = {name: value for name, value in event.items() if name != "records"}
            self._file.write(json.dumps({**now, **told, **now}, ensure_ascii=False, default=str) + "\n")
        self._listener(event)

    def text(self) -> str:
        """Everything so far."""
        return self._file.text()

    def dates(self) -> dict[str, str]:
        """When the build began, and now."""
        times = {"started": self._started[1], "finished": datetime.now(UTC)}
        return {name: when.isoformat(timespec="seconds") for name, when in times.items()}

    def remove(self) -> None:
        """Remove the file, unless it is another build's by now: what it says lies in the release."""
        self._file.remove()


TRAINED = "trained"
"""The event that tells of a whole training run of an earlier build."""

COLUMNS = (
    "step",
    "tokens",
    "loss",
    "learning_rate",
    "gradient_norm",
    "validation_loss",
    "tokens_per_second",
    "sample",
    "stage",
)
"""What is told of a training step: all that the loop reports of it, where it is known."""


def rows(event: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """The training steps that an event tells of: one that was just done, or those of an earlier run."""
    if event.get("unit") != "steps":
        return
    if "records" in event:
        for record in event["records"]:
            yield _row({**record, "tokens": event["tokens"] * record["step"] // event["done"], "stage": event["stage"]})
    elif event["event"] == "progress" and "loss" in event:
        yield _row({**event, "step": event["done"]})


def _row(told: Mapping[str, Any]) -> dict[str, Any]:
    return {name: told[name] for name in COLUMNS if told.get(name) is not None}


class Metrics:
    """Writes a line for every training step to a CSV file beside the release as it happens, and passes events on.

    Of a build that ends well, the file becomes part of ``buildinfo/``.

    Attributes:
        tokens_per_second: how fast each stage trained that did, at its last step so far.
    """

    def __init__(self, release: Path, listener: Listener, people: Listener) -> None:
        self._file = LiveFile(release.with_name(f"{release.name}.metrics.csv"))
        self._listener = listener
        self.tokens_per_second: dict[str, float] = {}
        self._people = people  # where the file lies is for them, and not for a log that others may read

    def __enter__(self) -> Metrics:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self._file.close()

    def __call__(self, event: Mapping[str, Any]) -> None:
        """Note the training steps that an event tells of, and pass it on."""
        self._listener(event)
        if found := list(rows(event)):
            if not self._file.begun:
                self._file.begin()
                self._file.write(",".join(COLUMNS) + "\n")
                if event["event"] != TRAINED:  # then it goes into the release at once
                    self._people({"event": "metrics", "path": str(self._file.path)})
            self._file.write(_lines(found))
            if (speed := found[-1].get("tokens_per_second")) is not None:
                self.tokens_per_second[str(event["stage"])] = speed

    def text(self) -> str | None:
        """Everything so far, if anything was trained."""
        return self._file.text() if self._file.begun else None

    def remove(self) -> None:
        """Remove the file, unless it is another build's by now: what it says lies in the release."""
        if self._file.begun:
            self._file.remove()


def _lines(found: list[dict[str, Any]]) -> str:
    text = io.StringIO(newline="")
    csv.DictWriter(text, COLUMNS, lineterminator="\n").writerows(found)
    return text.getvalue()
