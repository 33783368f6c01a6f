"""From the files of a source to the items of a benchmark, which are looked for in what models are trained on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields, replace
from typing import Any

from pydantic import Field

from regrow.errors import InputError
from regrow.recipe.kind import PROGRAM, Call, Cost, Expected, Kind, Slot, Table
from regrow.recipe.roles import EVALUATION, of_role, saying
from regrow.recipe.values import Texts
from regrow.sources.archives import Refused
from regrow.sources.contents import Opened, opened
from regrow.sources.select import Choice
from regrow.stages.costs import all_of
from regrow.stages.sourced import SourceParameters
from regrow.words import some

_MEMORY = 20  # bytes for each of the file


class BenchmarkParameters(SourceParameters):
    """Which fields of a benchmark's rows are what."""

    question: Texts = Field(
        default=(),
        description="Of a benchmark: the field or fields with what is asked. By default the first that there is of "
        "`question`, `prompt`, `problem`, `query`, `instruction` and `text`.",
        examples=["prompt"],
    )
    choices: Texts = Field(
        default=(),
        description="Of a benchmark: the field with the list of what may be answered, or a field for each choice. By "
        "default `choices`, `options` or `endings`, if there is one.",
        examples=[["A", "B", "C", "D"]],
    )
    answer: Texts = Field(
        default=(),
        description="Of a benchmark: the field or fields with the right answer, in words or as the number, from 0, or "
        "the letter of a choice. By default the first that there is of `answer`, `canonical_solution`, `solution`, "
        "`answerKey`, `label` and `target`.",
        examples=["canonical_solution"],
    )
    item: Texts = Field(
        default=(),
        description="Of a benchmark: the field or fields with what an item is called. By default the first that there "
        "is of `task_id`, `id`, `question_id`, `_id` and `idx`, or else the file and row.",
        examples=["task_id"],
    )


def run(call: Call[BenchmarkParameters]) -> None:
    """Read all items, or say what is wrong with the first row that is none.

    Files that are no tables, and such as nobody has said of which field is the question, are passed over and counted.
    """
    from regrow.evidence.contamination.items import Benchmark, Item
    from regrow.evidence.contamination.shapes import NoQuestionError, Shape, items

    wanted = call.parameters
    shape = Shape(*(getattr(wanted, one.name) for one in fields(Shape)))
    seen: list[str] = []
    found: list[Item] = []
    strange: list[NoQuestionError] = []
    files = passed_over = 0
    for name, data in _files(call, seen):
        if isinstance(data, Refused):
            raise InputError("a benchmark cannot be read", where=name, why=data.reason, hint="leave it out: `exclude`")
        try:
            read = items(name, data, shape)
        except NoQuestionError as error:
            strange.append(error)
            continue
        if read is None:
            passed_over += 1
        else:
            told, more = read
            files, found = files + 1, found + more
    if not found:
        raise strange[0] if strange else _nothing(wanted, files, seen)
    named = {one.name: getattr(told, one.name) for one in fields(Shape)}
    passed_over += len(strange)
    Benchmark(wanted.source, wanted.availability, named, files, passed_over, _distinct(found)).write(call.output)


def _nothing(wanted: BenchmarkParameters, files: int, seen: Sequence[str]) -> InputError:
    what = "no item" if files else "no table"
    return InputError(
        f"{what} in the files of the benchmark `{wanted.source}`",
        why=f"it has {some(sorted(seen))}",
        hint="a benchmark is JSON, CSV, TSV or Parquet with an item to a row; `select` and `exclude` choose files",
    )


def _files(call: Call[BenchmarkParameters], seen: list[str]) -> Iterator[tuple[str, Opened | Refused]]:
    folder = call.input("files")
    choice = Choice(call.parameters.select, call.parameters.exclude)
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        yield from opened(path, path.relative_to(folder).as_posix(), choice, seen.append)


def _distinct(found: list[Any]) -> list[Any]:
    """Items with ids of their own: those that share one get their number too."""
    known: set[str] = set()
    for number, item in enumerate(found):
        if item.id in known:
            found[number] = replace(item, id=f"{item.id} (item {number + 1})")
        known.add(found[number].id)
    return found


def cost(parameters: BenchmarkParameters, inputs: Mapping[str, tuple[Expected, ...]]) -> Cost:
    """Estimate: the files are read as a whole."""
    size = all_of(inputs, "files").text
    return Cost(Expected(size=size), seconds=size / 2e7, memory_bytes=int(PROGRAM + _MEMORY * size))


KIND = Kind(
    name="benchmark",
    version=2,
    parameters=BenchmarkParameters,
    inputs={"files": Slot("files")},
    output="benchmark",
    run=run,
    summary="read the items of a benchmark",
    table=Table("source", many=True),
    asked=of_role(EVALUATION),
    asking=saying(EVALUATION),
    libraries=("pyarrow",),
    cost=cost,
)
