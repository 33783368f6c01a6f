"""What stages have in common that compare documents with each other: the way to pairs that say nearly the same.

What is found does not depend on any order of work, nor on how many parts the documents are in. Each part is read by a
task of its own; what tasks have to know of each other goes through exchanges:

    part        the hash of each document, to the one who has all documents with hashes in a range
    range       names, in the order of the hashes; each is told to its part
    part        of each text the numbers of the bands of its signature, to the one who has all texts with such numbers
    range       pairs of texts that share a band; each is told to the part of one of them, and runs are asked for
    part        the runs of texts that were asked for
    part        pairs that are alike
    all         for some texts another one of their group; each is told to its part, and runs are asked for
    part        the runs of texts that were asked for

How names are given, and which text is told of which, is a stage's own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from regrow.corpus.conversations import read
from regrow.corpus.documents import DOCUMENTS, Document, count, documents_of, stream, tables
from regrow.corpus.duplicates import Duplicate
from regrow.corpus.exchange import Exchange, Sender, spread
from regrow.corpus.lending import ASKED, borrowed, lend
from regrow.corpus.names import HASH, homes, numbers
from regrow.formats import parts
from regrow.recipe.kind import Call, Phase, Task
from regrow.sections import fault

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from regrow.corpus.lending import Lent

NAMES = "names"
"""The phase that gives texts their names, by :data:`HASHES`, and tells them by :data:`TEXTS`."""

HASHES = Exchange("hashes", 2 * HASH + 2)
"""Of a document: the hash of its text, its part, its row there, and its id."""

TEXTS = Exchange("texts", 2)
"""Of a text that is compared with others: its row in its part, and a name."""

_STEP = 128  # documents
_COMPARED = "compare"

_NEAR = Exchange("near", 2)  # the names of a text, and of another one that is told to it
_NUMBERS = Exchange("numbers", 2)  # of a band of a signature: its number, and the name of the text
_PAIRS = Exchange("pairs", 2)  # the names of a text and of one before it
_ALIKE = Exchange("alike", 2)  # the same, of those whose runs were compared and are alike; all go to one task


def require_found(value: float) -> float:
    """The value of ``near_duplicates``, if such documents can be found, as a validator does it."""
    if 0 < value < 0.5:
        raise fault(
            f"must be 0 or at least 0.5, not {value}",
            why="documents that have less in common are not found with certainty",
            hint="write, for example, `near_duplicates = 0.8`",
        )
    return value


def hashes(task: Task[Any]) -> None:
    """Tell of every document what its text is."""
    import numpy as np

    row = 0
    with HASHES.sender(task.output, task.count) as sender:
        for table in tables(DOCUMENTS, part_of(task)):
            for batch in table.batches(("sha256", "id")):
                sums, ids = (numbers(batch.column(name).to_pylist()) for name in ("sha256", "id"))
                rows = np.arange(row, row + len(sums), dtype=np.uint64)
                row += len(sums)
                part = np.full_like(rows, task.index)
                sender.put(spread(sums[:, 0], task.count), np.column_stack([sums, part, rows, ids]))


def _signatures(task: Task[Any]) -> None:
    """Tell of every text the numbers that it shares with texts like it."""
    import numpy as np

    from regrow.corpus import near_duplicates

    texts = ((name, _words(document)) for name, document in _counted(task) if name is not None)
    with _NUMBERS.sender(task.output, task.count) as sender:
        for found, bands in near_duplicates.numbers(texts):
            rows = np.column_stack([bands.ravel(), np.repeat(found, bands.shape[1])])
            sender.put(spread(rows[:, 0], task.count), rows)


def _pairs(task: Task[Any]) -> None:
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


def _lent(task: Task[Any], asking: str) -> None:
    """Send the runs of texts to where a phase has asked for them."""
    import numpy as np

    found = [np.empty((0, ASKED.width), np.uint64), *ASKED.received(task.files, task.given(asking), task.index)]
    asked = np.concatenate(found)
    texts = ((name, document.id, _words(document)) for name, document in _called(task, asked[:, 0]))
    lend(task.output, task.count, asked, texts)


def _compare(task: Task[Any]) -> None:
    """Tell which pairs are alike."""
    from regrow.corpus.grouping import alike

    found = _PAIRS.received(task.files, task.given("pairs"), task.index)
    lenders = task.given("runs")
    with _ALIKE.sender(task.output, 1) as sender, borrowed(task.files, lenders, task.index, task.output) as own:
        for pairs in alike(found, own, task.call.parameters.near_duplicates):
            sender.put(0, pairs)


def pairs_alike(task: Task[Any]) -> NDArray[np.uint64]:
    """(pairs, 2): the names of all texts that are alike, of those pairs that join groups."""
    import numpy as np

    compared = task.given(_COMPARED)
    return np.concatenate([np.empty((0, 2), np.uint64), *_ALIKE.received(task.files, compared, 0)])


def tell(task: Task[Any], pairs: NDArray[np.uint64]) -> None:
    """Tell each text in the first column its other one, and have the runs of both brought to its part."""
    count = len(task.given(_COMPARED))
    with _NEAR.sender(task.output, count) as near, ASKED.sender(task.output, count) as asked:
        near.put(homes(pairs[:, 0]), pairs)
        _ask(asked, pairs)


@dataclass(frozen=True)
class Near:
    """Texts for each of which there is another one that says nearly the same.

    Attributes:
        texts: their names, ascending.
        others: for each that of the other one.
        lent: the runs of all.
    """

    texts: NDArray[np.uint64]
    others: NDArray[np.uint64]
    lent: Lent

    def of(self, name: int) -> Duplicate | None:
        """Which text is like one, and how much; None if nobody told of one."""
        import numpy as np

        from regrow.corpus.near_duplicates import similarity

        place = int(np.searchsorted(self.texts, np.uint64(name)))
        if place == len(self.texts) or self.texts[place] != name:
            return None
        other, own = self.lent.places(np.array([self.others[place], name], np.uint64)).tolist()
        return Duplicate(self.lent.id(other), similarity(self.lent.runs(other), self.lent.runs(own)))


@contextmanager
def told(task: Task[Any]) -> Iterator[Near]:
    """What the texts of a part were told."""
    import numpy as np

    with borrowed(task.files, task.given("runs-of-groups"), task.index, task.output) as lent:
        found = [np.empty((0, 2), np.uint64), *_NEAR.received(task.files, task.given("groups"), task.index)]
        texts, others = np.ascontiguousarray(np.concatenate(found).T)
        yield Near(texts, others, lent)


def named(task: Task[Any]) -> Iterator[tuple[int | None, Document]]:
    """The documents of a part, each with the name of its text; None if it has none."""
    known = TEXTS.received(task.files, task.given(NAMES), task.index)
    rows = (row for block in known for row in block.tolist())
    row, name = next(rows, (-1, None))
    for place, document in enumerate(stream(part_of(task))):
        if place % _STEP == 0:
            stop_if_asked(task)
        if place == row:
            yield name, document
            row, name = next(rows, (-1, None))
        else:
            yield None, document


def _called(task: Task[Any], wanted: NDArray[np.uint64]) -> Iterator[tuple[int, Document]]:
    """The documents of a part whose texts have some names, each with its name; others are not looked at."""
    import numpy as np
    import pyarrow as pa

    blocks = TEXTS.received(task.files, task.given(NAMES), task.index)
    chosen = (block[np.isin(block[:, 1], wanted)] for block in blocks)
    rows = np.concatenate([np.empty((0, TEXTS.width), np.uint64), *chosen])
    start = 0
    for table in tables(DOCUMENTS, part_of(task)) if len(rows) else ():
        for batch in table.batches():
            stop_if_asked(task)
            end = start + batch.num_rows
            here = rows[slice(*np.searchsorted(rows[:, 0], np.array([start, end], np.uint64)))]
            documents = documents_of(batch.take(pa.array(here[:, 0] - np.uint64(start))))
            yield from zip(here[:, 1].tolist(), documents, strict=True)
            start = end


def _counted(task: Task[Any]) -> Iterator[tuple[int | None, Document]]:
    """All documents of a part, as :func:`named` has them, telling how many there were."""
    total = count(part_of(task))
    for done, one in enumerate(named(task), 1):
        yield one
        if done == total or done % _STEP == 0:
            task.call.context.emit("progress", done=done, total=total, unit="documents")


def stop_if_asked(task: Task[Any]) -> None:
    """Stop the work if the user wants it."""
    if task.call.context.stopping():
        task.call.context.stop()


def part_of(task: Task[Any]) -> Path:
    """The documents that a task reads."""
    return task.files.path(_folders(task.call)[task.index])


def _folders(call: Call[Any]) -> list[Path]:
    """All parts of what is in the slot ``documents``, one artifact after the other."""
    return [folder for artifact in call.inputs["documents"] for folder in parts.folders(artifact)]


def _words(document: Document) -> str:
    """What a document says; of a conversation without who says it."""
    if not document.conversation:
        return document.text
    return "\n".join(one.content for messages in read(document.text) for one in messages)


def parts_given(call: Call[Any], results: Mapping[str, tuple[Path, ...]]) -> int:
    """A task for each part of the documents."""
    return len(_folders(call))


def _near_parts(call: Call[Any], results: Mapping[str, tuple[Path, ...]]) -> int:
    """A task for each part, if near-duplicates are looked for."""
    return parts_given(call, results) if call.parameters.near_duplicates else 0


def _near_once(call: Call[Any], results: Mapping[str, tuple[Path, ...]]) -> int:
    """One task, if near-duplicates are looked for."""
    return 1 if call.parameters.near_duplicates else 0


def phases(groups: Callable[[Task[Any]], None]) -> tuple[Phase[Any], ...]:
    """The phases from names to pairs that are alike, and what :func:`told` has of them.

    Args:
        groups: makes of all pairs what texts are told, by :func:`tell`.
    """
    return (
        Phase("signatures", _signatures, _near_parts),
        Phase("pairs", _pairs, _near_parts),
        Phase("runs", partial(_lent, asking="pairs"), _near_parts),
        Phase(_COMPARED, _compare, _near_parts),
        Phase("groups", groups, _near_once),
        Phase("runs-of-groups", partial(_lent, asking="groups"), _near_parts),
    )
