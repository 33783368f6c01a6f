"""Clean texts: one way to write what looks the same, and nothing too short to learn from."""

from __future__ import annotations

from dataclasses import replace

from pydantic import Field

from regrow.corpus.conversations import UnusableError, read, require_a_choice, written
from regrow.corpus.documents import DOCUMENTS, Document, Documents
from regrow.corpus.normalise import normalise
from regrow.errors import StageError
from regrow.recipe.kind import Call, Kind, Slot, Table
from regrow.sections import LARGEST, Parameters
from regrow.stages.costs import texts, through_text


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


def run(call: Call[CleanParameters]) -> None:
    """Normalise the documents of all sources and leave out those that are too short."""
    least = max(1, call.parameters.minimum_characters)
    given = Documents.open(*call.inputs["documents"])
    kept: list[Document] = []
    excluded = list(given.excluded)
    for document in given.kept:
        document = _cleaned(document)
        size = len(document.text)
        if document.conversation and (why := _unusable(document.text)):
            excluded.append(document.excluded("clean", why.reason, why.detail))
        elif size >= least or document.conversation:
            kept.append(document)
        else:
            excluded.append(
                document.excluded("clean", "too short" if size else "empty", f"{size} of {least} characters")
            )
    if not kept:
        raise StageError(
            "the corpus is empty",
            why=f"none of the {len(excluded)} texts has {least} characters"
            if excluded
            else "the sources have no texts",
            hint="lower `corpus.min_characters`, or look at what the sources select",
        )
    Documents(kept, excluded).write(call.output)


def _cleaned(document: Document) -> Document:
    """A document with its text normalised, or what is said in it."""
    if not document.conversation:
        return document.with_text(normalise(document.text))
    said = (
        tuple(replace(message, content=normalise(message.content)) for message in messages)
        for messages in read(document.text)
    )
    return document.with_text(written([*said]))


def _unusable(text: str) -> UnusableError | None:
    """Why nothing is left to be learnt of conversations, if so."""
    found = read(text)
    if not all(message.content for messages in found for message in messages):
        return UnusableError("empty", "a message says nothing")
    try:
        require_a_choice(found)
    except UnusableError as error:
        return error
    return None


KIND = Kind(
    name="clean",
    version=1,
    parameters=CleanParameters,
    inputs={"documents": Slot("documents", many=True)},
    output="documents",
    run=run,
    libraries=("pyarrow",),
    summary="normalise the texts and drop the shortest",
    table=Table("corpus", about="How documents become the training corpus."),
    usual=True,
    cost=through_text("documents", 20e6),
    found=texts(DOCUMENTS),
    on_documents="filter",
)
