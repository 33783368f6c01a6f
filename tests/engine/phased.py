"""A kind of stage with phases, as those that go through much text have: lines go to the part of their hash, sorted."""

import errno
import hashlib
import os
import signal
import time
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from toy import WRITE, stage

from regrow.errors import Note, RecipeError
from regrow.formats import parts
from regrow.recipe.graph import Graph
from regrow.recipe.kind import Call, Kind, Parameters, Phase, Slot, Task


class Sort(Parameters):
    cuts: int = 3
    shards: int = 2
    log: str = ""
    trouble: str = ""
    once: str = ""
    seconds: float = 0.0


def noted(task: Task[Sort], phase: str) -> None:
    """Leave a line for each run of a task, and make the trouble that was asked for, once."""
    with Path(task.call.parameters.log).open("a") as file:
        file.write(f"{phase} {task.index} {os.getpid()}\n")
    time.sleep(task.call.parameters.seconds)
    what, _, place = task.call.parameters.trouble.partition(" at ")
    if place == f"{phase} {task.index}" and not (once := Path(task.call.parameters.once)).exists():
        once.touch()
        (task.output / "half").write_text("half of what there should be")
        trouble(what, task)


def trouble(what: str, task: Task[Sort]) -> None:
    if what == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if what == "leave":
        os._exit(7)
    if what == "full":
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(task.output / "half"))
    if what == "memory":
        raise MemoryError("for 3 GB")
    if what == "ours":
        raise RecipeError("no such word", where="regrow.toml: sort.word", why="it is not English", hint="write another")
    if what == "fault":
        raise ZeroDivisionError("by zero")
    if what == "odd":
        raise OddError(1, 2)
    if what == "wait":
        for _ in range(600):
            time.sleep(0.1)
    if what in ("lose", "flip"):
        (path,) = Path(task.call.parameters.log).parent.glob("*/work/*/**/cut/00001/offsets")
        path.write_text("odd") if what == "flip" else path.unlink()
    if what == "flip rows":
        (path,) = Path(task.call.parameters.log).parent.glob("*/work/*/**/cut/00001/lines")
        path.write_bytes(b"\xff" * path.stat().st_size)
    if what == "kill parent":
        os.kill(int(Path(task.call.parameters.log).with_name("parent").read_text()), signal.SIGKILL)
        time.sleep(600)


class OddError(RecipeError):
    """One that cannot be made again from what it tells."""

    def __init__(self, one: int, two: int) -> None:
        super().__init__(f"odd {one} {two}", hint="be even")


def cut(task: Task[Sort]) -> None:
    """Send each line of a share of the text to the segment of its hash: one file, and where its segments begin."""
    noted(task, "cut")
    text = task.files.path(task.call.input("text") / "deep" / "text.txt").read_text()
    lines = text.split(" ")[task.index :: task.count]
    segments: list[list[str]] = [[] for _ in range(task.call.parameters.shards)]
    for line in lines:
        segments[int(hashlib.sha256(line.encode()).hexdigest(), 16) % len(segments)].append(line)
    offsets = [0]
    with (task.output / "lines").open("wb") as file:
        for segment in segments:
            file.write("".join(f"{line}\n" for line in sorted(segment)).encode())
            offsets.append(file.tell())
    (task.output / "offsets").write_text(" ".join(map(str, offsets)))


def merge(task: Task[Sort]) -> None:
    """A part of the output: the lines of its segment, each once."""
    noted(task, "merge")
    task.call.context.emit("note", text=f"part {task.index}")
    found: set[str] = set()
    for folder in task.given("cut"):
        start, end = map(int, task.files.path(folder / "offsets").read_text().split()[task.index : task.index + 2])
        found.update(task.files.read(folder / "lines", start, end - start).decode().splitlines())
    place = parts.made(task.output, task.index, task.count)
    (place / "lines").write_text("\n".join(sorted(found)))


def tally(task: Task[Sort], name: str) -> None:
    noted(task, "tally")
    import warnings

    warnings.warn("counted", Note, stacklevel=1)
    lines = [
        line
        for index, folder in enumerate(task.given("merge"))
        for line in (parts.folder(task.files.path(folder), index, task.call.parameters.shards) / "lines")
        .read_text()
        .splitlines()
    ]
    (task.output / name).write_text(str(len(lines)))


def cuts(call: Call[Sort], results: Mapping[str, tuple[Path, ...]]) -> int:
    return call.parameters.cuts


def shards(call: Call[Sort], results: Mapping[str, tuple[Path, ...]]) -> int:
    assert len(results["cut"]) == call.parameters.cuts and all((path / "lines").is_file() for path in results["cut"])
    return call.parameters.shards


SORT = Kind(
    "sort",
    1,
    Sort,
    {"text": Slot("text")},
    "lines",
    phases=(
        Phase("cut", cut, cuts),
        Phase("merge", merge, shards, kept=True),
        Phase("tally", partial(tally, name="tally"), kept=True),
    ),
    libraries=("numpy",),
)

WORDS = " ".join(f"word{index * 7919 % 61}" for index in range(200))


def sorting(log: Path, **parameters: Any) -> Graph:
    """A text whose words are sorted."""
    return Graph(
        (
            stage("text", WRITE, text=WORDS),
            stage("sorted", SORT, {"text": ("text",)}, log=str(log), once=f"{log}-once", **parameters),
        )
    )


class Many(Parameters):
    tasks: int = 1000
    seconds: float = 0.0


def tiny(task: Task[Many]) -> None:
    (task.output / f"{task.index}").write_text("x")


def busy(task: Task[Many]) -> None:
    """A second of a processor's time, more or less, the same for each task."""
    found = 0
    for index in range(int(task.call.parameters.seconds * 12_000_000)):
        found = (found * 31 + index) & 0xFFFF
    (task.output / f"{task.index}").write_text(str(found))


def many(call: Call[Many], results: Mapping[str, tuple[Path, ...]]) -> int:
    return call.parameters.tasks


TINY = Kind("tiny", 1, Many, {}, "x", phases=(Phase("all", tiny, many, kept=True),))
BUSY = Kind("busy", 1, Many, {}, "x", phases=(Phase("all", busy, many, kept=True),))


def room(task: Task[Many]) -> None:
    """How many threads a library has that asks a variable."""
    (task.output / f"{task.index} of {task.count}").write_text(os.environ["RAYON_NUM_THREADS"])


ROOM = Kind("room", 1, Many, {}, "x", phases=(Phase("shared", room, many, kept=True), Phase("alone", room, kept=True)))


def who(call: Call[Parameters]) -> None:
    (call.output / "pid").write_text(str(os.getpid()))


WHO = Kind("who", 1, Parameters, {}, "pid", who)
