"""Set some documents aside that training never sees."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from fractions import Fraction

from pydantic import Field

from regrow.corpus.documents import EXCLUDED, Document, Documents, Exclusion
from regrow.corpus.split import PARTS, Split
from regrow.errors import StageError
from regrow.recipe.kind import Call, Cost, Expected, Kind, Released, Slot, Table
from regrow.sections import Parameters
from regrow.stages.costs import texts, through_text
from regrow.store.digest import sha256_bytes


class SplitParameters(Parameters):
    """How much to set aside."""

    validation: float = Field(
        default=0.02,
        description="The share of the documents held out to measure the model.",
        examples=[0.02],
        gt=0,
        le=0.5,
    )


def run(call: Call[SplitParameters]) -> None:
    """Let a hash of its id decide for each document, so that it does not depend on the others."""
    given = Documents.open(call.input("documents"))
    documents = given.kept
    if not documents:
        raise StageError(
            "the corpus is empty",
            why=_left_out(given.excluded),
            hint="look at what the sources select and what was left out before",
        )
    if len(documents) == 1:
        raise StageError(
            "the corpus is a single document",
            where=documents[0].locator,
            why="; ".join(filter(None, ("some are held out to measure the model", _left_out(given.excluded)))),
            hint="add texts, or set `max_characters` of the source, which cuts long texts into several documents",
        )
    held_out = _held_out(documents, call.parameters.validation)
    parts = {part: [one for one in documents if (one.id in held_out) is (part == "validation")] for part in PARTS}
    Split.write(call.output, parts, given.excluded)


def _left_out(excluded: Sequence[Exclusion]) -> str:
    """How many documents are not there any more, and why; empty if none was left out."""
    reasons = Counter(one.reason for one in excluded)
    told = ", ".join(f"{reason} ({count:,})" for reason, count in reasons.most_common())
    return f"left out before: {told}" if told else ""


def _held_out(documents: Sequence[Document], share: float) -> set[str]:
    """The ids that are set aside: at least one, and not all."""
    chances = sorted((sha256_bytes(f"split\0{document.id}".encode()), document.id) for document in documents)
    count = sum(Fraction(int(chance, 16), 2**256) < Fraction(share) for chance, _ in chances)
    count = min(max(count, 1), len(chances) - 1)
    return {identity for _, identity in chances[:count]}


def cost(parameters: SplitParameters, inputs: Mapping[str, tuple[Expected, ...]]) -> Cost:
    """Estimate: a copy of the text, some of which is held out."""
    found = through_text("documents", 50e6)(parameters, inputs)
    return replace(found, gives=replace(found.gives, validation=parameters.validation))


KIND = Kind(
    name="split",
    version=1,
    parameters=SplitParameters,
    inputs={"documents": Slot("documents")},
    output="split",
    run=run,
    libraries=("pyarrow",),
    summary="set documents aside for validation",
    table=Table("corpus"),
    usual=True,
    cost=cost,
    found=texts("train.parquet", "validation.parquet"),
    released=(Released(EXCLUDED, "data"),),
)
