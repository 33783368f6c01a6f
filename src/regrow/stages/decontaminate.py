"""Leave out the documents in which items of benchmarks stand."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace

from pydantic import Field

from regrow.corpus.documents import DOCUMENTS, DocumentsWriter, stream, stream_exclusions
from regrow.formats import parts
from regrow.recipe.kind import Cost, Expected, Kind, Phase, Slot, Table, Task
from regrow.sections import Parameters
from regrow.stages.by_parts import part_of, parts_of
from regrow.stages.contamination import BENCHMARKS, cost, hunted, index_of
from regrow.stages.costs import all_of, texts_held

REASON = "holds an item of a benchmark"
_LIST = "documents.json"
_STEP = 128  # documents between looks at whether to stop


class DecontaminateParameters(Parameters):
    """Which documents are left out."""

    coverage: float = Field(
        default=0.8,
        description="The share of the words of an item from which on a document with it is left out; the same as "
        "`dirty` of `[contamination]`.",
        examples=[0.8],
        ge=0.3,
        le=1,
    )


def search(task: Task[DecontaminateParameters]) -> None:
    """Search one part."""
    hunted(task, task.call.parameters.coverage)


def judge(task: Task[DecontaminateParameters]) -> None:
    """List the documents of all parts that are to go."""
    from regrow.evidence.contamination.verdicts import Judge, left_out

    outputs = [task.files.path(output) for output in task.given("search")]
    found = dict(left_out(Judge(index_of(task), outputs), task.call.parameters.coverage))
    (task.output / _LIST).write_text(json.dumps(found, ensure_ascii=False), "utf-8")


def keep(task: Task[DecontaminateParameters]) -> None:
    """Write the documents of a part, without those."""
    (listed,) = task.given("judge")
    details: dict[str, str] = json.loads(task.files.path(listed / _LIST).read_text("utf-8"))
    context = task.call.context
    part = part_of(task)
    with DocumentsWriter(parts.made(task.output, task.index, task.count)) as writer:
        for exclusion in stream_exclusions(part):
            writer.exclude(exclusion)
        for number, document in enumerate(stream(part)):
            if (detail := details.get(document.id)) is not None:
                writer.exclude(document.excluded("decontaminate", REASON, detail))
            else:
                writer.add(document)
            if number % _STEP == 0 and context.stopping():
                context.stop()


def _cost(parameters: DecontaminateParameters, inputs: Mapping[str, tuple[Expected, ...]]) -> Cost:
    """Estimate: what the search takes, and the text is written once."""
    text = all_of(inputs, "documents")
    return replace(cost(parameters, inputs), gives=replace(text, size=text.text))


KIND = Kind(
    name="decontaminate",
    version=1,
    parameters=DecontaminateParameters,
    inputs={"documents": Slot("documents"), BENCHMARKS: Slot("benchmark", many=True)},
    output="documents",
    phases=(
        Phase("search", search, parts_of),
        Phase("judge", judge),
        Phase("keep", keep, parts_of, kept=True),
    ),
    libraries=("pyarrow",),
    summary="leave out documents with items of benchmarks",
    table=Table("decontaminate", about="Documents in which items of benchmarks stand are left out."),
    after=("deduplicate",),
    cost=_cost,
    found=texts_held(DOCUMENTS),
    on_documents="filter",
)
