"""The table of matches: what one part of a corpus has of the items of benchmarks."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields
from itertools import groupby
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING

from regrow.corpus.conversations import read
from regrow.corpus.documents import DOCUMENTS, ORDER, Document, documents_of, holds_conversations
from regrow.corpus.documents import tables as tables_of
from regrow.corpus.tables import Order, Stretch, TableWriter, merged

if TYPE_CHECKING:
    import numpy as np
    import pyarrow
    from numpy.typing import NDArray

    from regrow.evidence.contamination.index import Index
    from regrow.evidence.contamination.search import Match, Search

_MATCHES = "matches.parquet"
_COUNTS = "counts.npz"
_ORDER = Order(("source", "document", "entry"))
_UNSHAREABLE = "unshareable"


@dataclass(frozen=True)
class Found:
    """A match, by its document.

    Attributes:
        entry: the number of the item's entry in the index.
        source: of the document.
        document: its id.
        locator: where it comes from.
        start: the first character of the stretch; of a conversation, both are 0.
        end: one past the last.
        coverage: as of a :class:`regrow.evidence.contamination.search.Match`, like what follows.
        choices: whether the choices are there, too.
        runs: where runs of words of the item begin and end, one after the other.
        times: in how many stretches of the document it may be.
        longest: words of the longest run.
        answer: whether the answer is there.
        words: the longest run as it stands there; nothing where it must not be shown.
    """

    entry: int
    source: str
    document: str
    locator: str
    start: int
    end: int
    coverage: float
    choices: bool
    runs: list[int]
    times: int
    longest: int
    answer: bool
    words: str

    @property
    def pairs(self) -> tuple[tuple[int, int], ...]:
        """The runs, each with its beginning and end."""
        return tuple(zip(self.runs[::2], self.runs[1::2], strict=True))

    @property
    def size(self) -> int:
        """How many words of the item are there."""
        return sum(end - begin for begin, end in self.pairs)


def hunt(part: Path, output: Path, search: Search, pause: Callable[[int], None]) -> None:
    """Search the documents of a part, and write what is found, and how often what words are there.

    Args:
        part: of an artifact of documents.
        output: a folder.
        search: for the items.
        pause: is told how many documents were searched.
    """
    import numpy as np

    done = 0
    with TableWriter(output / _MATCHES, _schema(), _ORDER) as writer:
        for batch in merged(tables_of(DOCUMENTS, part), ORDER):
            for row, matches in groupby(search.through(_texts(batch)), key=attrgetter("text")):
                (document,) = documents_of(batch.slice(row, 1))
                for found in _found([*matches], document, search.index):
                    writer.add(found)
            done += batch.num_rows
            pause(done)
    np.savez(output / _COUNTS, words=search.word_counts, pairs=search.pair_counts, documents=np.array([done]))


def tallies(outputs: Sequence[Path]) -> tuple[NDArray[np.int64], NDArray[np.int64], int]:
    """How often words and pairs are in all parts, and how many documents these have."""
    import numpy as np

    loaded = [np.load(output / _COUNTS) for output in outputs]
    words, pairs, documents = (sum(one[name] for one in loaded) for name in ("words", "pairs", "documents"))
    return words, pairs, int(documents[0])


def all_found(outputs: Sequence[Path]) -> Iterator[Found]:
    """The matches of all parts, in one order."""
    for batch in merged([Stretch(output / _MATCHES) for output in outputs], _ORDER):
        yield from (Found(**row) for row in batch.to_pylist())


def _texts(batch: pyarrow.RecordBatch) -> pyarrow.Array:
    """What the documents say; of conversations without who says it."""
    import pyarrow as pa

    column = batch.column("text")
    if not holds_conversations(batch):
        return column
    talks = batch.column("conversation").to_pylist()
    said = (_said(text) if talk else text for text, talk in zip(column.to_pylist(), talks, strict=True))
    return pa.array(said, pa.large_string())


def _said(text: str) -> str:
    return "\n".join(one.content for messages in read(text) for one in messages)


def _found(matches: Sequence[Match], document: Document, index: Index) -> Iterator[Found]:
    """The matches in a document."""
    places = _characters("" if document.conversation else document.text, matches)
    for match, (start, end) in zip(matches, places, strict=True):
        entry = index.entries[match.entry]
        shown = index.benchmarks[entry.benchmark].is_open and document.availability != _UNSHAREABLE
        yield Found(
            entry=match.entry,
            source=document.source,
            document=document.id,
            locator=document.locator,
            start=start,
            end=end,
            coverage=match.coverage,
            choices=match.choices,
            runs=[place for run in match.runs for place in run],
            times=match.times,
            longest=match.longest,
            answer=match.answer,
            words=" ".join(match.words.split()) if shown else "",
        )


def _characters(text: str, matches: Sequence[Match]) -> list[tuple[int, int]]:
    """The places of matches as characters; all 0 if there is no text to count in."""
    import numpy as np

    units = np.frombuffer(text.encode(), np.uint8)
    before = np.concatenate([[0], np.cumsum((units & 0xC0) != 0x80)])
    bounds = [min(place, len(units)) for match in matches for place in (match.start, match.end)]
    places = before[bounds].tolist()
    return [*zip(places[::2], places[1::2], strict=True)]


def _schema() -> pyarrow.Schema:
    import pyarrow as pa

    types = {"int": pa.int64(), "str": pa.string(), "float": pa.float64(), "bool": pa.bool_()}
    types["list[int]"] = pa.list_(pa.int64())
    return pa.schema([pa.field(one.name, types[str(one.type)], False) for one in fields(Found)])
