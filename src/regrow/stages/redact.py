"""Write placeholders for personal data and keys in the texts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from pydantic import Field, field_validator

from regrow.corpus.documents import DOCUMENTS, DocumentsWriter, stream_exclusions
from regrow.corpus.tables import replaced
from regrow.evidence import EVIDENCE, Evidence, Rows
from regrow.evidence.block import Block, Span, spoken
from regrow.evidence.sorts import SORTS, WORDS, in_words
from regrow.evidence.tallies import Tally
from regrow.formats import parts
from regrow.recipe.kind import Kind, Phase, Released, Slot, Table, Task
from regrow.recipe.values import Texts
from regrow.sections import Parameters, fault
from regrow.stages.by_parts import part_of, parts_of
from regrow.stages.costs import texts_held, through_text
from regrow.stages.tags import LIMITS, by_source, pieces, sample
from regrow.store.digest import sha256_bytes
from regrow.words import counted, suggestion

if TYPE_CHECKING:
    import pyarrow


class RedactParameters(Parameters):
    """What is replaced."""

    what: Texts = Field(
        default=SORTS,
        description="What is replaced by placeholders, `<email>` and so on: `email`, `ip`, `phone` and `key`.",
        examples=[["email", "key"]],
        min_length=1,
    )

    @field_validator("what")
    @classmethod
    def _are_known(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if unknown := [name for name in value if name not in SORTS]:
            raise fault(
                f"`{unknown[0]}` is nothing that is looked for", hint=suggestion(unknown[0], SORTS, "there are")
            )
        return tuple(name for name in SORTS if name in value)


def write(task: Task[RedactParameters]) -> None:
    """Write the documents of a part with placeholders in them."""
    tally, wanted = Tally(), task.call.parameters.what
    with DocumentsWriter(parts.made(task.output, task.index, task.count)) as writer:
        for exclusion in stream_exclusions(part_of(task)):
            writer.exclude(exclusion)
        for batch in pieces(task):
            writer.documents.extend(_redacted(batch, wanted, tally))
    tally.write(parts.made(task.output, task.index, task.count))


def _redacted(batch: pyarrow.RecordBatch, wanted: Sequence[str], tally: Tally) -> pyarrow.RecordBatch:
    """Documents with placeholders in them, counted."""
    import pyarrow.compute as pc

    from regrow.evidence.places import places

    block = Block.of(spoken(batch))
    spans = [one for one in places(block) if one.sort in wanted]
    found: dict[int, list[tuple[Span, int, int]]] = {}
    for one, (row, start, end) in zip(spans, block.characters(spans), strict=True):
        found.setdefault(row, []).append((one, start, end))
        tally.places[one.sort][one.value] += 1
    sizes = pc.binary_length(batch.column("text")).to_numpy(zero_copy_only=False)
    for name, mask in by_source(batch):
        rows = mask.nonzero()[0]
        tally.look(name, len(rows), int(sizes[rows].sum()))
        for sort in wanted:
            chosen = [row for row in rows.tolist() if any(one.sort == sort for one, _, _ in found.get(row, ()))]
            if chosen:
                tally.tag(sort, name, len(chosen), (sample(batch, row) for row in chosen[:3]))
    if not found:
        return batch
    texts = {row: _written(batch.column("text")[row].as_py(), here) for row, here in found.items()}
    sums = {row: sha256_bytes(text.encode()) for row, text in texts.items()}
    return replaced(replaced(batch, "text", texts), "sha256", sums)


def _written(text: str, found: Sequence[tuple[Span, int, int]]) -> str:
    """A text with placeholders at some places, which are in order."""
    pieces, last = [], 0
    for one, start, end in found:
        pieces += [text[last:start], f"<{one.sort}>"]
        last = end
    return "".join([*pieces, text[last:]])


def record(task: Task[RedactParameters]) -> None:
    """Say what was replaced."""
    given = task.given("redact")
    folders = [task.files.path(parts.folder(output, part, len(given))) for part, output in enumerate(given)]
    told(Tally.together(folders), task.call.parameters.what).write(task.output)


def told(tally: Tally, wanted: Sequence[str]) -> Evidence:
    """What was replaced, in words."""
    found = {sort: tally.found(sort) for sort in wanted}
    some = [sort for sort in wanted if found[sort]]
    words = ", ".join(in_words(found[sort], sort) for sort in some)
    searched = counted(tally.total, "document")
    return Evidence(
        check="redact",
        question="What was replaced in the texts by placeholders?",
        answer=f"{words}, in {searched}." if some else f"Nothing: none was found in {searched}.",
        measures={
            "documents": tally.total,
            **{f"{sort}_replaced": found[sort] for sort in wanted},
            **{f"{sort}_documents": tally.has(sort) for sort in wanted},
        },
        tables=(
            Rows(
                "Placeholders",
                ("what", "placeholder", "replaced", "documents", "for instance"),
                tuple(
                    (WORDS[sort], f"<{sort}>", found[sort], tally.has(sort), "; ".join(tally.samples[sort]))
                    for sort in some
                ),
            ),
        )
        if some
        else (),
        limits=LIMITS,
        method=("What the check `tags` finds is replaced; a document keeps its id.",),
    )


KIND = Kind(
    name="redact",
    version=1,
    parameters=RedactParameters,
    inputs={"documents": Slot("documents")},
    output="documents",
    phases=(Phase("redact", write, tasks=parts_of, kept=True), Phase("record", record, kept=True)),
    libraries=("pyarrow", "detect-secrets"),
    summary="write placeholders for personal data and keys",
    table=Table("redact", about="Personal data and keys in the texts, for which placeholders are written."),
    after=("deduplicate",),
    cost=through_text("documents", 40e6),
    found=texts_held(DOCUMENTS),
    released=(Released(EVIDENCE, "evidence/{stage}", always=True),),
    on_documents="filter",
)
