"""Small kinds of stages, whose runs leave a line in a log so that they can be counted."""

import os
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from regrow.recipe.graph import Graph, Stage
from regrow.recipe.kind import Call, Kind, Parameters, Slot


class Write(Parameters):
    text: str = "hello"
    log: str = ""


class Join(Parameters):
    separator: str = "+"
    log: str = ""


class Count(Parameters):
    steps: int = 5
    log: str = ""
    kill_at: int = 0


def note(call: Call, text: str = "") -> None:
    if call.parameters.log:
        with Path(call.parameters.log).open("a") as file:
            file.write(f"{call.name}{text}\n")


def write(call: Call) -> None:
    note(call)
    (call.output / "deep").mkdir()
    (call.output / "deep" / "text.txt").write_text(call.parameters.text)


def join(call: Call) -> None:
    note(call)
    texts = [(path / "deep" / "text.txt").read_text() for path in call.inputs["texts"]]
    (call.output / "deep").mkdir()
    (call.output / "deep" / "text.txt").write_text(call.parameters.separator.join(texts) + ".")


def count(call: Call) -> None:
    """Counts to ``steps``, saving each step; once, at step ``kill_at``, it dies as by ``kill -9``."""
    done = call.scratch / "done"
    (call.output / "half").write_text("only half of what there should be")
    for step in range(int(done.read_text()) if done.exists() else 0, call.parameters.steps):
        if step == call.parameters.kill_at > 0 and not (call.scratch / "killed").exists():
            (call.scratch / "killed").touch()
            os.kill(os.getpid(), signal.SIGKILL)
        if call.context.stopping():
            call.context.stop()
        note(call, f" {step}")
        done.write_text(str(step + 1))
        call.context.emit("progress", done=step + 1, total=call.parameters.steps, unit="steps")
    (call.output / "half").rename(call.output / "whole")


WRITE = Kind("write", 1, Write, {}, "text", write)
JOIN = Kind("join", 1, Join, {"texts": Slot("text", many=True)}, "text", join)
COUNT = Kind("count", 1, Count, {}, "number", count)


def stage(name: str, kind: Kind, inputs: Mapping[str, tuple[str, ...]] | None = None, **parameters: Any) -> Stage:
    return Stage(name, kind, kind.parameters(**parameters), inputs or {})


def diamond(log: Path | str = "", text: str = "a", separator: str = "+") -> Graph:
    """left and right, both joined in `both`, which `end` takes alone."""
    return Graph(
        (
            stage("left", WRITE, text=text, log=str(log)),
            stage("right", WRITE, text="b", log=str(log)),
            stage("both", JOIN, {"texts": ("left", "right")}, separator=separator, log=str(log)),
            stage("end", JOIN, {"texts": ("both",)}, log=str(log)),
        )
    )
