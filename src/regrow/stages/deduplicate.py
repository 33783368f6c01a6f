"""Keep one of each group of documents that say the same."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pydantic import Field, field_validator

from regrow.corpus.conversations import read
from regrow.corpus.documents import DOCUMENTS, Document, Documents, Exclusion
from regrow.recipe.kind import Call, Kind, Slot, Table
from regrow.sections import Parameters, fault
from regrow.stages.costs import texts, through_text


class DeduplicateParameters(Parameters):
    """When two documents are the same."""

    near_duplicates: float = Field(
        default=0.8,
        description="Of documents whose sets of runs of five words are at least this alike (Jaccard index), one is "
        "kept; 0 leaves only exact duplicates out. Less than 0.5 cannot be found with certainty. In scripts without "
        "blanks between words, such as Chinese, Japanese and Thai, each character counts as a word.",
        examples=[0.8],
        ge=0,
        le=1,
    )

    @field_validator("near_duplicates")
    @classmethod
    def _can_be_found(cls, value: float) -> float:
        if 0 < value < 0.5:
            raise fault(
                f"must be 0 or at least 0.5, not {value}",
                why="documents that have less in common are not found with certainty",
                hint="write, for example, `near_duplicates = 0.8`",
            )
        return value


def run(call: Call[DeduplicateParameters]) -> None:
    """Drop all but the first of each group, where "first" does not depend on any order of work."""
    given = Documents.open(call.input("documents"))
    kept, exact = _without_copies(given.kept)
    near = list(_near(kept, call)) if call.parameters.near_duplicates else []
    dropped = {exclusion.id for exclusion in near}
    distinct = [document for document in kept if document.id not in dropped]
    Documents(distinct, [*given.excluded, *exact, *near]).write(call.output)


def _without_copies(documents: Sequence[Document]) -> tuple[list[Document], list[Exclusion]]:
    """One document of each text, sorted by rank, and the exclusions of the others."""
    first: dict[str, Document] = {}
    excluded = []
    for document in sorted(documents, key=lambda document: document.rank):
        survivor = first.setdefault(document.sha256, document)
        if survivor is not document:
            excluded.append(document.excluded("deduplicate", "exact duplicate", f"of {survivor.id}"))
    return list(first.values()), excluded


def _near(documents: list[Document], call: Call[DeduplicateParameters]) -> Iterator[Exclusion]:
    from regrow.corpus.near_duplicates import groups, runs, similarity

    def progress(done: int) -> None:
        call.context.emit("progress", done=done, total=len(documents), unit="documents")

    for survivor, *others in groups(
        [_words(document) for document in documents], call.parameters.near_duplicates, progress
    ):
        kept = runs(_words(documents[survivor]))
        for place in others:
            alike = similarity(kept, runs(_words(documents[place])))
            detail = f"of {documents[survivor].id}, Jaccard {alike:.4f}"
            yield documents[place].excluded("deduplicate", "near-duplicate", detail)


def _words(document: Document) -> str:
    """What a document says; of a conversation without who says it."""
    if not document.conversation:
        return document.text
    return "\n".join(one.content for messages in read(document.text) for one in messages)


KIND = Kind(
    name="deduplicate",
    version=2,
    parameters=DeduplicateParameters,
    inputs={"documents": Slot("documents")},
    output="documents",
    run=run,
    libraries=("pyarrow", "rensa"),
    summary="keep one of each group of equal or nearly equal documents",
    table=Table("corpus"),
    usual=True,
    after=("clean",),
    cost=through_text("documents", 4e6),
    found=texts(DOCUMENTS),
    on_documents="filter",
)
