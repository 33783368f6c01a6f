"""Leave documents out by what can be told of them: rules for prose, and personal data and keys in them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import Field, field_validator

from regrow.corpus.documents import DOCUMENTS, DocumentsWriter, documents_of, stream_exclusions
from regrow.evidence.block import Block, spoken
from regrow.evidence.sorts import KEY
from regrow.formats import parts
from regrow.recipe.kind import Kind, Phase, Slot, Table, Task
from regrow.recipe.values import Texts
from regrow.sections import LARGEST, Parameters, fault
from regrow.stages.by_parts import part_of, parts_of
from regrow.stages.costs import texts_held, through_text
from regrow.stages.tags import SETS, broken, pieces
from regrow.words import suggestion

if TYPE_CHECKING:
    import pyarrow

_ALL = -1


class FilterParameters(Parameters):
    """What is left out."""

    rules: Texts = Field(
        default=(),
        alias="quality",
        description="Documents that break one of these rules are left out: all of `gopher`, `c4` or `fineweb`, or "
        "single ones, such as `gopher-symbols`. They were made for English web pages.",
        examples=[["gopher", "c4-lorem-ipsum"]],
    )
    most_personal: int = Field(
        default=_ALL,
        alias="max_personal",
        description="Documents with more e-mail addresses, public IP addresses and telephone numbers than this, all "
        "together, are left out; -1 leaves none out.",
        examples=[10],
        ge=_ALL,
        le=LARGEST,
    )
    without_keys: bool = Field(
        default=False, description="Whether documents with a key or token in them are left out.", examples=[True]
    )

    @field_validator("rules")
    @classmethod
    def _are_known(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        known = (*SETS, *rule_names())
        if unknown := [name for name in value if name not in known]:
            raise fault(f"there is no rule `{unknown[0]}`", hint=suggestion(unknown[0], known, "there are"))
        return tuple(name for name in known if name in value)


def keep(task: Task[FilterParameters]) -> None:
    """Write the documents of a part that stay, and those that do not."""
    with DocumentsWriter(parts.made(task.output, task.index, task.count)) as writer:
        for exclusion in stream_exclusions(part_of(task)):
            writer.exclude(exclusion)
        for batch in pieces(task):
            sort_out(batch, reasons(batch, task.call.parameters), "filter", writer)


def sort_out(batch: pyarrow.RecordBatch, why: dict[int, tuple[str, str]], stage: str, writer: DocumentsWriter) -> None:
    """Write documents, but for some of them the record that they are left out.

    Args:
        batch: the documents.
        why: row -> reason and detail.
        stage: the kind of stage that leaves them out.
        writer: gets both.
    """
    import pyarrow as pa

    if why:
        rows = sorted(why)
        for row, document in zip(rows, documents_of(batch.take(pa.array(rows, pa.int64()))), strict=True):
            writer.exclude(document.excluded(stage, *why[row]))
    writer.documents.extend(batch.filter(pa.array([row not in why for row in range(batch.num_rows)], pa.bool_())))


def reasons(batch: pyarrow.RecordBatch, wanted: FilterParameters) -> dict[int, tuple[str, str]]:
    """Which documents are left out: row -> the first reason, and its detail or what else they break."""
    found: dict[int, tuple[str, str]] = {}
    if wanted.without_keys or wanted.most_personal != _ALL:
        found |= _personal(batch, wanted)
    sets = tuple(name for name in SETS if any(rule.partition("-")[0] == name for rule in wanted.rules))
    for name, mask in broken(batch, sets).items():
        if not {name, name.partition("-")[0]} & {*wanted.rules}:
            continue
        for row in mask.nonzero()[0].tolist():
            reason, detail = found.get(row, ("", ""))
            found[row] = (reason, f"{detail}, {name}" if detail else name) if reason else (f"breaks {name}", "")
    return found


def _personal(batch: pyarrow.RecordBatch, wanted: FilterParameters) -> dict[int, tuple[str, str]]:
    from regrow.evidence.places import places

    block = Block.of(spoken(batch))
    spans = places(block)
    counts: dict[int, int] = {}
    keys: dict[int, str] = {}
    for one, (row, _, _) in zip(spans, block.characters(spans), strict=True):
        if one.sort == KEY:
            keys.setdefault(row, one.value)
        else:
            counts[row] = counts.get(row, 0) + 1
    found = {row: ("a key or token", sort) for row, sort in keys.items() if wanted.without_keys}
    if (most := wanted.most_personal) != _ALL:
        for row, number in counts.items():
            if number > most:
                found.setdefault(row, ("personal data", f"{number:,} places, where {most:,} may be"))
    return found


def _is_asked(said: Any) -> bool:
    return bool(said.rules or said.without_keys or said.most_personal != _ALL)


def rule_names() -> tuple[str, ...]:
    """The names of all rules."""
    from regrow.evidence.quality import RULES

    return tuple(rule.name for rule in RULES)


KIND = Kind(
    name="filter",
    version=1,
    parameters=FilterParameters,
    inputs={"documents": Slot("documents")},
    output="documents",
    phases=(Phase("keep", keep, tasks=parts_of, kept=True),),
    libraries=("pyarrow", "detect-secrets"),
    summary="leave documents out by rules for prose, personal data and keys",
    table=Table("filter", about="Documents that are left out for what can be told of them."),
    asked=_is_asked,
    after=("deduplicate",),
    cost=through_text("documents", 10e6),
    found=texts_held(DOCUMENTS),
    on_documents="filter",
)
