"""Keep one of each group of documents that say the same.

It is the one with the smallest hash, so it does not depend on any order of work, nor on how many parts the documents
are in. Behind the phases of :mod:`regrow.stages.comparing`, which name the first of copies alone and tell its part of
each of the others, come these:

    all         groups of texts that are alike, and their first; each of the others is told to its part, and runs are
                asked for
    part        the runs of texts that were asked for
    part        documents, without those that were told of
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from pydantic import Field, field_validator

from regrow.corpus.documents import DOCUMENTS, DocumentsWriter, stream_exclusions
from regrow.corpus.duplicates import EXACT, NEAR, Duplicate
from regrow.corpus.exchange import HELD, Exchange
from regrow.corpus.names import HASH, digits, names
from regrow.formats import parts
from regrow.recipe.kind import PROGRAM, Cost, Expected, Kind, Phase, Slot, Table, Task
from regrow.sections import Parameters
from regrow.stages import comparing
from regrow.stages.comparing import HASHES, NAMES, TEXTS
from regrow.stages.costs import texts_held, through_text

_COPIES = Exchange("copies", 1 + HASH)  # of another one than the first of copies: its row, and the id of the first


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
        return comparing.require_found(value)


def _copies(task: Task[DeduplicateParameters]) -> None:
    """Give the first of copies a name, and tell the others."""
    import numpy as np

    from regrow.corpus.grouping import grouped

    named = 0
    with TEXTS.sender(task.output, task.count) as texts, _COPIES.sender(task.output, task.count) as copies:
        for rows, first, known in grouped(HASHES.received(task.files, task.given("hashes"), task.index), HASH, 1):
            new = first == np.arange(len(rows))
            new[:known] = False
            part, row, ids = rows[:, HASH], rows[:, HASH + 1], rows[:, HASH + 2 :]
            found = names(task.index, named, part[new])
            named += len(found)
            texts.put(part[new], np.column_stack([row[new], found]))
            again = np.flatnonzero(~new)[known:]
            copies.put(part[again], np.column_stack([row[again], ids[first[again]]]))


def _groups(task: Task[DeduplicateParameters]) -> None:
    """Tell all texts of a group but the first which one that is, and have the runs of both brought to their parts."""
    import numpy as np

    from regrow.corpus.grouping import components

    texts, edges = np.unique(comparing.pairs_alike(task), return_inverse=True)
    least = components(edges.reshape(-1, 2), len(texts))
    later = least < np.arange(len(texts))
    comparing.tell(task, np.column_stack([texts, texts[least]])[later])


def _keep(task: Task[DeduplicateParameters]) -> None:
    """Write the documents of a part, without those that others stand for."""
    copies = (row for block in _COPIES.received(task.files, task.given(NAMES), task.index) for row in block)
    folder = parts.made(task.output, task.index, task.count)
    with DocumentsWriter(folder) as writer, comparing.told(task) as near:
        for exclusion in stream_exclusions(comparing.part_of(task)):
            writer.exclude(exclusion)
        for name, document in comparing.named(task):
            if name is None:
                of = digits(next(copies)[1:])
                writer.exclude(document.excluded("deduplicate", EXACT, str(Duplicate(of))))
            elif (found := near.of(name)) is not None:
                writer.exclude(document.excluded("deduplicate", NEAR, str(found)))
            else:
                writer.add(document)


def _cost(parameters: DeduplicateParameters, inputs: Mapping[str, tuple[Expected, ...]]) -> Cost:
    """That of going through the text a few times; what is held of it does not grow with it."""
    return replace(through_text("documents", 10e6)(parameters, inputs), memory_bytes=PROGRAM + 8 * HELD)


KIND = Kind(
    name="deduplicate",
    version=2,
    parameters=DeduplicateParameters,
    inputs={"documents": Slot("documents")},
    output="documents",
    phases=(
        Phase("hashes", comparing.hashes, comparing.parts_given),
        Phase(NAMES, _copies, comparing.parts_given),
        *comparing.phases(_groups),
        Phase("keep", _keep, comparing.parts_given, kept=True),
    ),
    libraries=("pyarrow", "rensa"),
    summary="keep one of each group of equal or nearly equal documents",
    table=Table("corpus"),
    usual=True,
    after=("clean",),
    cost=_cost,
    found=texts_held(DOCUMENTS),
    on_documents="filter",
)
