"""Look for the items of benchmarks in the documents that models are trained on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pydantic import Field, ValidationInfo, field_validator

from regrow.evidence.record import FOLDER
from regrow.recipe.kind import PROGRAM, Cost, Expected, Kind, Phase, Released, Slot, Table, Task
from regrow.sections import Parameters, fault
from regrow.stages.by_parts import part_of, parts_of
from regrow.stages.costs import all_of

if TYPE_CHECKING:
    from regrow.evidence.contamination.index import Index

BENCHMARKS = "benchmarks"
_SPEED = 4e7  # bytes in a second
_STREAM = 1 << 28  # bytes of rows and words in memory
_ITEMS = 40  # bytes for each of a benchmark


class ContaminationParameters(Parameters):
    """From which share of its words on an item stands in the training text."""

    dirty: float = Field(
        default=0.8,
        description="The share of the words of an item that makes a document contaminated by it. How it is taken, the "
        "evidence tells.",
        examples=[0.8],
        gt=0,
        le=1,
    )
    suspicious: float = Field(
        default=0.5,
        description="The share from which on an item is told of as one that stands in the text in part.",
        examples=[0.5],
        ge=0.3,
        le=1,
    )
    benchmark: float = Field(
        default=0.02,
        description="The share of dirty items from which on a benchmark as a whole is called dirty.",
        examples=[0.02],
        ge=0,
        le=1,
    )

    @field_validator("suspicious")
    @classmethod
    def _is_less(cls, value: float, info: ValidationInfo) -> float:
        dirty = info.data.get("dirty", 1.0)
        if value > dirty:
            raise fault(f"must not be more than `dirty`, which is {dirty:g}", hint="lower it, or raise `dirty`")
        return value


def index_of(task: Task[Any]) -> Index:
    """What is searched for."""
    from regrow.evidence.contamination.index import Index
    from regrow.evidence.contamination.items import Benchmark

    folders = (task.files.path(folder) for folder in task.call.inputs[BENCHMARKS])
    return Index.of(sorted(map(Benchmark.open, folders), key=lambda one: one.name))


def hunted(task: Task[Any], least: float) -> None:
    """Search the documents of a part.

    Args:
        task: one of as many as the documents have parts.
        least: the coverage of a match.
    """
    from regrow.evidence.contamination.found import hunt
    from regrow.evidence.contamination.search import Search

    context = task.call.context

    def pause(done: int) -> None:
        context.emit("progress", done=done, total=None, unit="documents")
        if context.stopping():
            context.stop()

    hunt(part_of(task), task.output, Search(index_of(task), least), pause)


def search(task: Task[ContaminationParameters]) -> None:
    """Search one part."""
    hunted(task, task.call.parameters.suspicious)


def judge(task: Task[ContaminationParameters]) -> None:
    """Say of every item and benchmark what was found in all parts."""
    from regrow.evidence.contamination.verdicts import Judge, Thresholds, write

    wanted = task.call.parameters
    outputs = [task.files.path(output) for output in task.given("search")]
    write(Judge(index_of(task), outputs), task.output, Thresholds(wanted.dirty, wanted.suspicious, wanted.benchmark))


def cost(parameters: Any, inputs: Mapping[str, tuple[Expected, ...]]) -> Cost:
    """Estimate: the text is gone through once."""
    items = all_of(inputs, BENCHMARKS).size
    memory = int(PROGRAM + _STREAM + _ITEMS * items)
    return Cost(Expected(size=items), seconds=all_of(inputs, "documents").text / _SPEED, memory_bytes=memory)


KIND = Kind(
    name="contamination",
    version=1,
    parameters=ContaminationParameters,
    inputs={"documents": Slot("documents"), BENCHMARKS: Slot("benchmark", many=True)},
    output="evidence",
    phases=(Phase("search", search, parts_of), Phase("judge", judge, kept=True)),
    libraries=("pyarrow",),
    summary="look for items of benchmarks in the documents",
    table=Table("contamination", about="When an item of a benchmark stands in the training text."),
    usual=True,
    cost=cost,
    released=(Released("*", f"{FOLDER}/{{stage}}", always=True),),
)
