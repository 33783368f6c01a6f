"""How much of works stands in a corpus: counts that can be added up over parts, and the evidence that they come to."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from regrow.evidence.fingerprints.lists import Fingerprints
from regrow.evidence.fingerprints.windows import WORDS
from regrow.evidence.record import Evidence, Rows
from regrow.words import counted

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_COUNTS, _SEEN = "overlap.json", "seen.bin"
_DOCUMENTS = 3  # of a work, that are named
_ROWS = 60
_NOTICES = 10
_TELLING = 0.01
"""The share of a work from which on a reader has to know of it: below it are quotations and what works share."""


@dataclass(frozen=True)
class Place:
    """A document that shares words with a work.

    Attributes:
        source: its source.
        document: its id.
        locator: where it comes from.
        words: how many words of it stand in the work, in runs of at least 50.
        longest: words of the longest run.
    """

    source: str
    document: str
    locator: str
    words: int
    longest: int


@dataclass
class Overlap:
    """What is found of a list in a corpus.

    Attributes:
        seen: for each row of the list, whether it was found.
        documents: work -> how many documents share words with it.
        places: work -> those that share the most, the first of equals in the order of the corpus.
        matched: how many documents share words with any.
        read: how many were looked through, and their bytes.
    """

    seen: NDArray[np.bool_]
    documents: dict[int, int] = field(default_factory=dict)
    places: dict[int, list[Place]] = field(default_factory=dict)
    matched: int = 0
    read: tuple[int, int] = (0, 0)

    def add(self, work: int, place: Place) -> None:
        """Note a document that shares words with a work."""
        self.documents[work] = self.documents.get(work, 0) + 1
        self._keep(work, [place])

    def join(self, other: Overlap) -> None:
        """Add what was found in a later part of the corpus."""
        self.seen |= other.seen
        self.matched += other.matched
        self.read = (self.read[0] + other.read[0], self.read[1] + other.read[1])
        for work, number in other.documents.items():
            self.documents[work] = self.documents.get(work, 0) + number
            self._keep(work, other.places[work])

    def _keep(self, work: int, places: Sequence[Place]) -> None:
        held = [*self.places.get(work, ()), *places]
        self.places[work] = sorted(held, key=lambda one: -one.words)[:_DOCUMENTS]

    def write(self, folder: Path) -> None:
        """Write it for a later phase."""
        import numpy as np

        places = {work: [vars(one) for one in held] for work, held in self.places.items()}
        told = {"documents": self.documents, "places": places, "matched": self.matched, "read": self.read}
        (folder / _COUNTS).write_text(json.dumps(told), "utf-8")
        (folder / _SEEN).write_bytes(np.packbits(self.seen).tobytes())

    @staticmethod
    def read_from(folder: Path, rows: int) -> Overlap:
        """What was written, of a list of so many rows."""
        import numpy as np

        told = json.loads((folder / _COUNTS).read_text("utf-8"))
        bits = np.frombuffer((folder / _SEEN).read_bytes(), np.uint8)
        return Overlap(
            np.unpackbits(bits, count=rows).astype(np.bool_),
            {int(work): number for work, number in told["documents"].items()},
            {int(work): [Place(**one) for one in held] for work, held in told["places"].items()},
            told["matched"],
            (told["read"][0], told["read"][1]),
        )


@dataclass(frozen=True)
class _Found:
    """A work of which something is in the corpus."""

    name: str
    windows: int
    found: int
    documents: int
    places: Sequence[Place]

    @property
    def share(self) -> float:
        """Of its windows, how many are in the corpus."""
        return self.found / max(1, self.windows)


def evidence(prints: Fingerprints, overlap: Overlap) -> Evidence:
    """What was found of a list in a corpus."""
    works = _found(prints, overlap)
    short = sum(not work.windows for work in prints.works)
    measures = {
        "documents": overlap.read[0],
        "bytes": overlap.read[1],
        "works": len(prints.works),
        "windows": len(prints.hashes),
        "works-found": len(works),
        "windows-found": int(overlap.seen.sum()),
        "documents-matched": overlap.matched,
    }
    return Evidence(
        check="references",
        question="How much of the reference texts stands in the training text?",
        answer=_answer(prints, works, overlap),
        measures=measures,
        notices=tuple(_notices(works)),
        tables=tuple(_tables(works)),
        limits=(
            *_LIMITS,
            *(
                (f"{counted(short, 'work')} of the list have fewer than {WORDS} words, and cannot be found.",)
                if short
                else ()
            ),
        ),
        method=_METHOD,
    )


def _found(prints: Fingerprints, overlap: Overlap) -> list[_Found]:
    import numpy as np

    counts = np.bincount(prints.work[overlap.seen], minlength=len(prints.works)).tolist()
    found = [
        _Found(work.name, work.windows, counts[number], overlap.documents[number], overlap.places[number])
        for number, work in enumerate(prints.works)
        if counts[number]
    ]
    return sorted(found, key=lambda one: (-one.share, -one.found, one.name))


def _answer(prints: Fingerprints, works: Sequence[_Found], overlap: Overlap) -> str:
    listed = f"{counted(len(prints.works), 'reference work')} ({len(prints.hashes):,} windows of {WORDS} words)"
    if not works:
        return f"Nothing of {listed} stands in the {counted(overlap.read[0], 'document')} of the corpus."
    return (
        f"Of {listed}, something of {len(works):,} is in {counted(overlap.matched, 'document')} of "
        f"{overlap.read[0]:,}; most is there of `{works[0].name}`, {works[0].share:.1%}."
    )


def _notices(works: Sequence[_Found]) -> list[str]:
    telling = [one for one in works if one.share >= _TELLING]
    told = [
        f"{one.share:.1%} of the reference text `{one.name}` are in {counted(one.documents, 'document')} of the corpus."
        for one in telling[:_NOTICES]
    ]
    more = len(telling) - _NOTICES
    return [*told, *([f"So it is with {counted(more, 'more reference text')}."] if more > 0 else [])]


def _tables(works: Sequence[_Found]) -> list[Rows]:
    if not works:
        return []
    cut = f"{len(works) - _ROWS:,} more works are not shown." if len(works) > _ROWS else ""
    rows = tuple((one.name, one.windows, one.found, one.share, one.documents) for one in works[:_ROWS])
    columns = ("work", "windows", "found", "share", "documents")
    places = tuple(
        (one.name, place.source, place.locator, place.document, place.words, place.longest)
        for one in works[:_ROWS]
        for place in one.places
    )
    where = ("work", "source", "where", "document", "words", "longest run")
    note = "The documents that share the most; all are in tags.parquet."
    return [Rows("Reference works in the corpus", columns, rows, cut), Rows("Where they stand", where, places, note)]


_METHOD = (
    f"Every run of {WORDS} words of every document is looked up in the list; case, punctuation and white space do not "
    "matter. Found are the different windows of a work; its share is of all of its windows. A document counts with a "
    f"single window. A share of {_TELLING:.0%} is a notice.",
    "The list has hashes of 64 bits: with 10 million rows, a billion windows of other texts give a false one with a "
    "chance of 1 in 1,800.",
)

_LIMITS = (
    f"Copies are found where {WORDS} words in a row are the same: a change in every {WORDS} words, a translation or a "
    "retelling is not.",
    "What a work quotes, or shares with others (licences, headings of editions, public-domain text), is found as well; "
    "a small share of a work says no more than that.",
    "Texts without spaces between their words have few windows, and are found by whole sentences only.",
)
