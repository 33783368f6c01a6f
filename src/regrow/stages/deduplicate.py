"""Keep one of each group of documents that say the same.

It is the one with the smallest hash, so it does not depend on any order of work, nor on how many parts the documents
are in. Each part is read by a task of its own; what tasks have to know of each other goes through exchanges:

    part        the hash of each document, to the one who has all documents with hashes in a range
    range       of copies, the first; each of the others is told to its part
    part        of each text the numbers of the bands of its signature, to the one who has all texts with such numbers
    range       pairs of texts that share a band; each is told to the part of one of them, and runs are asked for
    part        the runs of texts that were asked for
    part        pairs that are alike
    all         groups of them, and their first; each of the others is told to its part, and runs are asked for
    part        the runs of texts that were asked for
    part        documents, without those that were told of
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import Field, field_validator

from regrow.corpus.conversations import read
from regrow.corpus.documents import (
    DOCUMENTS,
    Document,
    DocumentsWriter,
    count,
    documents_of,
    stream,
    stream_exclusions,
    tables,
)
from regrow.corpus.exchange import HELD, Exchange, Sender, spread
from regrow.corpus.lending import ASKED, borrowed, lend
from regrow.corpus.names import HASH, digits, homes, names, numbers
from regrow.formats import parts
from regrow.recipe.kind import PROGRAM, Call, Cost, Expected, Kind, Phase, Slot, Table, Task
from regrow.sections import Parameters, fault
from regrow.stages.costs import texts_held, through_text

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from regrow.corpus.lending import Lent

_STEP = 128  # documents

_HASHES = Exchange("hashes", 2 * HASH + 2)  # of a document: the hash of its text, its part, its row there, and its id
_TEXTS = Exchange("texts", 2)  # of the first of copies: its row, and a name
_COPIES = Exchange("copies", 1 + HASH)  # of another one: its row, and the id of the first
_NUMBERS = Exchange("numbers", 2)  # of a band of a signature: its number, and the name of the text
_PAIRS = Exchange("pairs", 2)  # the names of a text and of one before it
_ALIKE = Exchange("alike", 2)  # the same, of those whose runs were compared
_NEAR = Exchange("near", 2)  # the names of a text, and of the first of its group


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


def _hashes(task: Task[DeduplicateParameters]) -> None:
    """Tell of every document what its text is."""
    import numpy as np

    row = 0
    with _HASHES.sender(task.output, task.count) as sender:
        for table in tables(DOCUMENTS, _part(task)):
            for batch in table.batches(("sha256", "id")):
                sums, ids = (numbers(batch.column(name).to_pylist()) for name in ("sha256", "id"))
                rows = np.arange(row, row + len(sums), dtype=np.uint64)
                row += len(sums)
                part = np.full_like(rows, task.index)
                sender.put(spread(sums[:, 0], task.count), np.column_stack([sums, part, rows, ids]))


def _copies(task: Task[DeduplicateParameters]) -> None:
    """Give the first of copies a name, and tell the others."""
    import numpy as np

    from regrow.corpus.grouping import grouped

    named = 0
    with _TEXTS.sender(task.output, task.count) as texts, _COPIES.sender(task.output, task.count) as copies:
        for rows, first, known in grouped(_HASHES.received(task.files, task.given("hashes"), task.index), HASH, 1):
            new = first == np.arange(len(rows))
            new[:known] = False
            part, row, ids = rows[:, HASH], rows[:, HASH + 1], rows[:, HASH + 2 :]
            found = names(task.index, named, part[new])
            named += len(found)
            texts.put(part[new], np.column_stack([row[new], found]))
            again = np.flatnonzero(~new)[known:]
            copies.put(part[again], np.column_stack([row[again], ids[first[again]]]))


def _signatures(task: Task[DeduplicateParameters]) -> None:
    """Tell of every text the numbers that it shares with texts like it."""
    import numpy as np

    from regrow.corpus import near_duplicates

    texts = ((name, _words(document)) for name, document in _told(task) if name is not None)
    with _NUMBERS.sender(task.output, task.count) as sender:
        for found, bands in near_duplicates.numbers(texts):
            rows = np.column_stack([bands.ravel(), np.repeat(found, bands.shape[1])])
            sender.put(spread(rows[:, 0], task.count), rows)


def _pairs(task: Task[DeduplicateParameters]) -> None:
    """Pair texts that share a number, and have their runs brought to the part of the later one."""
    from regrow.corpus.grouping import pairs

    with _PAIRS.sender(task.output, task.count) as sender, ASKED.sender(task.output, task.count) as asked:
        for found in pairs(_NUMBERS.received(task.files, task.given("signatures"), task.index)):
            sender.put(homes(found[:, 0]), found)
            _ask(asked, found)


def _ask(asked: Sender, pairs: NDArray[np.uint64]) -> None:
    """Have the runs of both texts of some pairs brought to the part of the first one of each."""
    import numpy as np

    for texts in pairs.T:
        asked.put(homes(texts), np.column_stack([texts, homes(pairs[:, 0])]))


def _lend(task: Task[DeduplicateParameters], asking: str) -> None:
    """Send the runs of texts to where a phase has asked for them."""
    import numpy as np

    found = [np.empty((0, ASKED.width), np.uint64), *ASKED.received(task.files, task.given(asking), task.index)]
    asked = np.concatenate(found)
    texts = ((name, document.id, _words(document)) for name, document in _called(task, asked[:, 0]))
    lend(task.output, task.count, asked, texts)


def _compare(task: Task[DeduplicateParameters]) -> None:
    """Tell which pairs are alike."""
    from regrow.corpus.grouping import alike

    found = _PAIRS.received(task.files, task.given("pairs"), task.index)
    lenders = task.given("runs")
    with _ALIKE.sender(task.output, 1) as sender, borrowed(task.files, lenders, task.index, task.output) as lent:
        for pairs in alike(found, lent, task.call.parameters.near_duplicates):
            sender.put(0, pairs)


def _groups(task: Task[DeduplicateParameters]) -> None:
    """Tell all texts of a group but the first which one that is, and have the runs of both brought to their parts."""
    import numpy as np

    from regrow.corpus.grouping import components

    compared = task.given("compare")
    alike = np.concatenate([np.empty((0, 2), np.uint64), *_ALIKE.received(task.files, compared, 0)])
    texts, edges = np.unique(alike, return_inverse=True)
    least = components(edges.reshape(-1, 2), len(texts))
    later = least < np.arange(len(texts))
    pairs = np.column_stack([texts, texts[least]])[later]
    with _NEAR.sender(task.output, len(compared)) as near, ASKED.sender(task.output, len(compared)) as asked:
        near.put(homes(pairs[:, 0]), pairs)
        _ask(asked, pairs)


def _keep(task: Task[DeduplicateParameters]) -> None:
    """Write the documents of a part, without those that others stand for."""
    copies = (row for block in _COPIES.received(task.files, task.given("copies"), task.index) for row in block)
    lenders = task.given("runs-of-groups")
    folder = parts.made(task.output, task.index, task.count)
    with DocumentsWriter(folder) as writer, borrowed(task.files, lenders, task.index, task.output) as lent:
        near = _Near.open(task, lent)
        for exclusion in stream_exclusions(_part(task)):
            writer.exclude(exclusion)
        for name, document in _named(task):
            if name is None:
                of = digits(next(copies)[1:])
                writer.exclude(document.excluded("deduplicate", "exact duplicate", f"of {of}"))
            elif detail := near.detail(name):
                writer.exclude(document.excluded("deduplicate", "near-duplicate", detail))
            else:
                writer.add(document)


@dataclass(frozen=True)
class _Near:
    """Texts that the first one of their group stands for.

    Attributes:
        texts: their names, ascending.
        firsts: for each that of the first.
        lent: the runs of all.
    """

    texts: NDArray[np.uint64]
    firsts: NDArray[np.uint64]
    lent: Lent

    @staticmethod
    def open(task: Task[DeduplicateParameters], lent: Lent) -> _Near:
        """Those of a part."""
        import numpy as np

        found = [np.empty((0, 2), np.uint64), *_NEAR.received(task.files, task.given("groups"), task.index)]
        texts, firsts = np.ascontiguousarray(np.concatenate(found).T)
        return _Near(texts, firsts, lent)

    def detail(self, name: int) -> str:
        """Which text stands for one, and how alike they are; empty if none does."""
        import numpy as np

        from regrow.corpus.near_duplicates import similarity

        place = int(np.searchsorted(self.texts, np.uint64(name)))
        if place == len(self.texts) or self.texts[place] != name:
            return ""
        first, own = self.lent.places(np.array([self.firsts[place], name], np.uint64)).tolist()
        return f"of {self.lent.id(first)}, Jaccard {similarity(self.lent.runs(first), self.lent.runs(own)):.4f}"


def _named(task: Task[DeduplicateParameters]) -> Iterator[tuple[int | None, Document]]:
    """The documents of a part, each with the name of its text; None if it is a copy of another one."""
    known = _TEXTS.received(task.files, task.given("copies"), task.index)
    rows = (row for block in known for row in block.tolist())
    row, name = next(rows, (-1, None))
    for place, document in enumerate(stream(_part(task))):
        if place % _STEP == 0:
            _stop_if_asked(task)
        if place == row:
            yield name, document
            row, name = next(rows, (-1, None))
        else:
            yield None, document


def _called(task: Task[DeduplicateParameters], wanted: NDArray[np.uint64]) -> Iterator[tuple[int, Document]]:
    """The documents of a part whose texts have some names, each with its name; others are not looked at."""
    import numpy as np
    import pyarrow as pa

    blocks = _TEXTS.received(task.files, task.given("copies"), task.index)
    chosen = (block[np.isin(block[:, 1], wanted)] for block in blocks)
    rows = np.concatenate([np.empty((0, _TEXTS.width), np.uint64), *chosen])
    start = 0
    for table in tables(DOCUMENTS, _part(task)) if len(rows) else ():
        for batch in table.batches():
            _stop_if_asked(task)
            end = start + batch.num_rows
            here = rows[slice(*np.searchsorted(rows[:, 0], np.array([start, end], np.uint64)))]
            documents = documents_of(batch.take(pa.array(here[:, 0] - np.uint64(start))))
            yield from zip(here[:, 1].tolist(), documents, strict=True)
            start = end


def _told(task: Task[DeduplicateParameters]) -> Iterator[tuple[int | None, Document]]:
    """All documents of a part, as :func:`_named` has them, telling how many there were."""
    total = count(_part(task))
    for done, named in enumerate(_named(task), 1):
        yield named
        if done == total or done % _STEP == 0:
            task.call.context.emit("progress", done=done, total=total, unit="documents")


def _stop_if_asked(task: Task[DeduplicateParameters]) -> None:
    if task.call.context.stopping():
        task.call.context.stop()


def _part(task: Task[DeduplicateParameters]) -> Path:
    """The documents that a task reads."""
    return task.files.path(parts.folder(task.call.input("documents"), task.index, task.count))


def _words(document: Document) -> str:
    """What a document says; of a conversation without who says it."""
    if not document.conversation:
        return document.text
    return "\n".join(one.content for messages in read(document.text) for one in messages)


def _parts(call: Call[DeduplicateParameters], results: Mapping[str, tuple[Path, ...]]) -> int:
    return len(parts.folders(call.input("documents")))


def _near_parts(call: Call[DeduplicateParameters], results: Mapping[str, tuple[Path, ...]]) -> int:
    return _parts(call, results) if call.parameters.near_duplicates else 0


def _near_once(call: Call[DeduplicateParameters], results: Mapping[str, tuple[Path, ...]]) -> int:
    return 1 if call.parameters.near_duplicates else 0


def _cost(parameters: DeduplicateParameters, inputs: Mapping[str, tuple[Expected, ...]]) -> Cost:
    """That of going through the text a few times; what is held of it does not grow with it."""
    return replace(through_text("documents", 4e6)(parameters, inputs), memory_bytes=PROGRAM + 8 * HELD)


KIND = Kind(
    name="deduplicate",
    version=2,
    parameters=DeduplicateParameters,
    inputs={"documents": Slot("documents")},
    output="documents",
    phases=(
        Phase("hashes", _hashes, _parts),
        Phase("copies", _copies, _parts),
        Phase("signatures", _signatures, _near_parts),
        Phase("pairs", _pairs, _near_parts),
        Phase("runs", partial(_lend, asking="pairs"), _near_parts),
        Phase("compare", _compare, _near_parts),
        Phase("groups", _groups, _near_once),
        Phase("runs-of-groups", partial(_lend, asking="groups"), _near_parts),
        Phase("keep", _keep, _parts, kept=True),
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
