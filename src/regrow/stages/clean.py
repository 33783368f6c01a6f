"""Clean texts: one way to write what looks the same, and nothing too short to learn from."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import Field

from regrow.corpus.conversations import UnusableError, read, require_a_choice, written
from regrow.corpus.cuts import cuts, documents_between, exclusions_between
from regrow.corpus.documents import (
    DOCUMENTS,
    EXCLUDED,
    EXCLUDED_ORDER,
    ORDER,
    Document,
    DocumentsWriter,
    count,
    documents_of,
    holds_conversations,
    tables,
)
from regrow.corpus.glance import irregular
from regrow.corpus.normalise import normalise, normalised
from regrow.corpus.tables import Stretch, merged, replaced
from regrow.errors import StageError
from regrow.formats import parquet, parts
from regrow.recipe.kind import Call, Kind, Phase, Slot, Table, Task
from regrow.sections import LARGEST, Parameters
from regrow.stages.costs import texts_held, through_text
from regrow.store.digest import sha256_bytes

if TYPE_CHECKING:
    import pyarrow

MOST_SHARDS = 4096
_SHORT = "too short"


class CleanParameters(Parameters):
    """What is worth keeping."""

    minimum_characters: int = Field(
        default=200,
        alias="min_characters",
        description="Documents shorter than this, counted when clean, are left out. Conversations may be short.",
        examples=[200],
        ge=0,
        le=LARGEST,
    )
    shards: int = Field(
        default=1,
        description="In how many parts the corpus is kept and worked on. Each takes memory for itself, and several "
        "processes or machines work on as many at a time. What is learnt does not depend on it.",
        examples=[16],
        ge=1,
        le=MOST_SHARDS,
    )


def shards(call: Call[CleanParameters], results: Mapping[str, tuple[Path, ...]]) -> int:
    """How many parts the corpus has."""
    return call.parameters.shards


def cut(task: Task[CleanParameters]) -> None:
    """Decide which rows of the inputs make which part, by the sizes that the tables tell."""
    inputs = [task.files.path(artifact) for artifact in task.call.inputs["documents"]]
    count = task.call.parameters.shards
    documents, excluded = tables(DOCUMENTS, *inputs), tables(EXCLUDED, *inputs)
    borders = cuts(documents, count)
    kept, left_out = documents_between(documents, borders, count), exclusions_between(excluded, borders, count)
    for part in range(count):
        told = {DOCUMENTS: _told(kept[part], inputs), EXCLUDED: _told(left_out[part], inputs)}
        _plan(task.output, part).write_text(json.dumps(told), "utf-8")


def clean(task: Task[CleanParameters]) -> None:
    """Normalise the documents of a part and leave out those that are too short."""
    least = max(1, task.call.parameters.minimum_characters)
    (plans,) = task.given("cut")
    told = json.loads(task.files.path(_plan(plans, task.index)).read_text("utf-8"))
    with DocumentsWriter(parts.made(task.output, task.index, task.count)) as writer:
        for batch in merged(_stretches(told[EXCLUDED], task), EXCLUDED_ORDER):
            writer.exclusions.extend(batch)
        for batch in merged(_stretches(told[DOCUMENTS], task), ORDER):
            _clean(batch, least, writer)
            if task.call.context.stopping():
                task.call.context.stop()


def require_some(task: Task[CleanParameters]) -> None:
    """Raise if nothing is kept of any part."""
    given = task.given("clean")
    made = [parts.folder(output, part, len(given)) for part, output in enumerate(given)]
    if any(count(task.files.path(folder)) for folder in made):
        return
    reasons: Counter[str] = Counter()
    for table in tables(EXCLUDED, *map(task.files.path, made)):
        for batch in table.batches(["reason"]):
            reasons.update(batch.column("reason").to_pylist())
    least, look = task.call.parameters.minimum_characters, "look at the files that the sources select"
    raise StageError(
        "the corpus is empty",
        why=f"left out: {', '.join(f'{reason} ({n:,})' for reason, n in reasons.most_common())}"
        if reasons
        else "there are no texts in the files of the sources",
        hint=f"lower `corpus.min_characters`, which is {least:,}, or {look}" if reasons[_SHORT] else look,
    )


def _plan(folder: Path, part: int) -> Path:
    return folder / f"{part:05}.json"


def _told(stretches: Sequence[Stretch], inputs: Sequence[Path]) -> list[tuple[int, str, int, int | None]]:
    """Stretches by the number of the input and the path in it, which are the same on every machine."""
    of = {folder: number for number, artifact in enumerate(inputs) for folder in parts.folders(artifact)}
    found = ((of[one.path.parent], one) for one in stretches)
    return [(number, one.path.relative_to(inputs[number]).as_posix(), one.start, one.end) for number, one in found]


def _stretches(told: Sequence[tuple[int, str, int, int | None]], task: Task[CleanParameters]) -> list[Stretch]:
    inputs = task.call.inputs["documents"]
    return [Stretch(task.files.path(inputs[number] / path), start, end) for number, path, start, end in told]


def _clean(batch: pyarrow.RecordBatch, least: int, writer: DocumentsWriter) -> None:
    """Write what is kept of some documents, and what is not."""
    import pyarrow.compute as pc

    if holds_conversations(batch):
        for document in map(_cleaned, documents_of(batch)):
            if trouble := _trouble(document, least):
                writer.exclude(document.excluded("clean", *trouble))
            else:
                writer.add(document)
        return
    batch = _normalised(batch)
    stays = pc.greater_equal(pc.utf8_length(batch.column("text")), parquet.repeated(least, batch.num_rows))
    if pc.all(stays).as_py():
        writer.documents.extend(batch)
        return
    for document in documents_of(batch.filter(pc.invert(stays))):
        writer.exclude(document.excluded("clean", *_too_short(document, least)))
    writer.documents.extend(batch.filter(stays))


def _normalised(batch: pyarrow.RecordBatch) -> pyarrow.RecordBatch:
    """Documents with their texts normalised; those that change nothing by it are not looked at one by one."""
    import pyarrow as pa

    texts = batch.column("text")
    old = {row: parquet.said(texts, row) for row in irregular(texts)}
    new = ((row, data, normalised(memoryview(data))) for row, data in old.items())
    changed = {row: text for row, data, text in new if not data.equals(pa.py_buffer(text))}
    if not changed:
        return batch
    sums = {row: sha256_bytes(text) for row, text in changed.items()}
    return replaced(replaced(batch, "text", changed), "sha256", sums)


def _cleaned(document: Document) -> Document:
    """A document with its text normalised, or what is said in it."""
    if not document.conversation:
        return document.with_text(normalise(document.text))
    said = (
        tuple(replace(message, content=normalise(message.content)) for message in messages)
        for messages in read(document.text)
    )
    return document.with_text(written([*said]))


def _trouble(document: Document, least: int) -> tuple[str, str] | None:
    """Why a text is left out, and what is special to it."""
    if document.conversation:
        return _unusable(document.text)
    return _too_short(document, least) if len(document.text) < least else None


def _too_short(document: Document, least: int) -> tuple[str, str]:
    size = len(document.text)
    return _SHORT if size else "empty", f"{size} of {least} characters"


def _unusable(text: str) -> tuple[str, str] | None:
    """Why nothing is left to be learnt of conversations, if so."""
    found = read(text)
    if not all(message.content for messages in found for message in messages):
        return "empty", "a message says nothing"
    try:
        require_a_choice(found)
    except UnusableError as error:
        return error.reason, error.detail
    return None


KIND = Kind(
    name="clean",
    version=1,
    parameters=CleanParameters,
    inputs={"documents": Slot("documents", many=True)},
    output="documents",
    phases=(Phase("cut", cut), Phase("clean", clean, tasks=shards, kept=True), Phase("check", require_some)),
    libraries=("pyarrow",),
    summary="normalise the texts and drop the shortest",
    table=Table("corpus", about="How documents become the training corpus."),
    usual=True,
    cost=through_text("documents", 80e6),
    found=texts_held(DOCUMENTS),
    on_documents="filter",
)
