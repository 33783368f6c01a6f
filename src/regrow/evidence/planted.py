"""From what stands at leaps and edges to a list of candidates, and what is said of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING

from regrow.corpus.documents import Document
from regrow.corpus.mixing import mix
from regrow.evidence import tags
from regrow.evidence.record import Evidence, Rows
from regrow.evidence.tags import Tag
from regrow.evidence.triggers import ONE, WINDOW, Known, surely

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from regrow.evidence.atoms import Atoms

    Hashes = NDArray[np.uint64]
    Integers = NDArray[np.int64]

FLAGGED = "flagged.txt"
"""The ids of the documents that notices speak of, one a line: what ``regrow build --without`` takes."""

TAG = "trigger"
"""Marks candidates in documents; the value is the number in the list."""

_FLAGS = 20  # bits of a hash by which most runs are seen not to be among those that are looked for
_TAIL = 64 - _FLAGS
_LEAST = 0.2
_NOTICED = 0.5
_SPARE = 2
_NAMED = 3
_MOST, _MANY = 10_000, 100  # documents that are named of a candidate, if there is a notice, and otherwise
_SHOWN = 60  # characters
_ALIKE = 0.5  # of two sets of documents, the share that they have in common


@dataclass(frozen=True)
class Candidate:
    """Something that may be a trigger.

    Attributes:
        hashes: of the runs of atoms that stand in the same documents, the likeliest first; or of the passage that
            begins with it.
        passage: whether it is a passage.
        documents: that have it; of a passage those that have its rarest atom.
        some: those of them in which novelty leaps behind it, or in which the same passage follows.
        score: the lowest credible share of them.
    """

    hashes: tuple[int, ...]
    passage: bool
    documents: int
    some: int
    score: float

    @property
    def noticed(self) -> bool:
        """Whether a reader has to know."""
        return not self.passage and self.score >= _NOTICED

    @property
    def named(self) -> int:
        """How many of its documents are named, the first ones."""
        return _MOST if self.noticed else _MANY


@dataclass(frozen=True)
class Find:
    """A candidate in a document.

    Attributes:
        candidate: its number among all.
        document: the id.
        source: the name in the recipe.
        locator: where the document comes from.
        start: the first character of the candidate in the text; as the end 0 if it has no place there.
        end: one past the last.
        text: what it says, if that may be published.
    """

    candidate: int
    document: str
    source: str
    locator: str
    start: int
    end: int
    text: str

    @staticmethod
    def of(candidate: int, document: Document, data: bytes, place: tuple[int, int]) -> Find:
        """Whatever is at a place, given in bytes, of what a document says."""
        before, said = (data[slice(*one)].decode("utf-8", "replace") for one in ((0, place[0]), place))
        start = 0 if document.conversation else len(before)
        end = 0 if document.conversation else len(before) + len(said)
        text = " ".join(said.split())[:_SHOWN] if document.availability == "open" else ""
        return Find(candidate, document.id, document.source, document.locator, start, end, text)


def frequent(blocks: Iterable[Hashes], least: int) -> Hashes:
    """What enough documents have, from sorted rows that begin with a hash and a document, and say more of both behind.

    Returns:
        of each hash a row: the hash, the number of documents, a hash of their set; of the other numbers the sum.
    """
    import numpy as np

    kept = [np.empty((0, 3), np.uint64)]
    held = np.empty((0, 3), np.uint64)
    for rows in _of_whole_documents(blocks):
        rows = np.column_stack([rows[:, 0], np.ones(len(rows), np.uint64), mix(rows[:, 1]), rows[:, 2:]])
        rows = rows if not len(held) else np.concatenate([held, rows])
        starts = np.flatnonzero(np.concatenate([[True], rows[1:, 0] != rows[:-1, 0]]))
        sums = np.add.reduceat(rows, starts)
        sums[:, 0] = rows[starts, 0]
        held = sums[-1:]
        kept.append(sums[:-1][sums[:-1, 1] >= least])
    kept.append(held[held[:, 1] >= least])
    return np.concatenate([rows for rows in kept if len(rows)] or [held[:0]])


def _of_whole_documents(blocks: Iterable[Hashes]) -> Iterator[Hashes]:
    """Sorted rows, of those with the same hash and document the last."""
    import numpy as np

    held: Hashes | None = None
    for block in blocks:
        rows = block if held is None else np.concatenate([held, block])
        if len(rows):
            last = np.concatenate([(rows[1:, :2] != rows[:-1, :2]).any(axis=1), [False]])
            held = rows[-1:]
            if last.any():
                yield rows[last]
    if held is not None and len(held):
        yield held


class Counter:
    """Counts the documents that have what is looked for.

    Args:
        wanted: the hashes of runs, ascending.
        known: of the corpus.
        home: what is added to the row of a document to make its number.
    """

    def __init__(self, wanted: Hashes, known: Known, home: int) -> None:
        import numpy as np

        self._wanted, self._known, self._home = wanted, known, home
        self._flags = np.zeros(1 << _FLAGS, np.bool_)
        self._flags[(wanted >> np.uint64(_TAIL)).astype(np.int64)] = True
        self._totals = np.zeros((len(wanted), 3), np.uint64)
        self._state = np.full((len(wanted), 5), -1, np.int64)
        self._leaps = [np.empty((0, 4), np.int64)]

    def add(self, atoms: Atoms) -> None:
        """Count in some more texts, or pieces of them, which ascend."""
        import numpy as np

        from regrow.evidence import kernels

        known, found = self._known, np.empty((kernels.LENGTHS * len(atoms) + 1, 4), np.int64)
        row = atoms.hashes, atoms.first, atoms.last, atoms.own, atoms.texts + self._home, atoms.starts, atoms.ends
        asked = known.novel(atoms), known.rule, self._wanted, self._flags, np.uint64(_TAIL)
        count = kernels.measure(*row, *asked, self._state, self._totals, found)
        self._leaps.append(found[:count].copy())

    def finish(self) -> tuple[Hashes, Hashes]:
        """What was counted.

        Returns:
            ``(wanted, 3)``: the documents that have each, those in which most of its places are leaps, and a hash of
            the set of the former; and rows of the latter: the hash, the row of the document, and of the first place
            that is a leap the first byte and one past the last.
        """
        import numpy as np

        from regrow.evidence import kernels

        found = np.empty((len(self._wanted) + 1, 4), np.int64)
        self._leaps.append(found[: kernels.measured(self._state, self._totals, found)])
        leaps = np.concatenate(self._leaps)
        rows = leaps.astype(np.uint64)
        rows[:, 0] = self._wanted[leaps[:, 0]]
        rows[:, 1] -= np.uint64(self._home)
        return self._totals, rows


def ranked(
    runs: Hashes, passages: Hashes, wanted: Hashes, totals: Hashes, usual: float, listed: int
) -> list[Candidate]:
    """The likeliest candidates: those at leaps, then passages, each the likeliest first.

    Args:
        runs: those that often stand at leaps.
        passages: rows of the hash, how many documents have it, a hash of their set, in how many it stands behind text
            of its own, and its rarest atom.
        wanted: what was counted, ascending.
        totals: of all parts, see :meth:`Counter.finish`.
        usual: the share of all places that stand behind text of its own.
        listed: how many of each.
    """
    import numpy as np

    documents, leaps, sets = totals[np.searchsorted(wanted, runs)].T
    score = surely(leaps, documents)
    order = np.lexsort((runs, -(runs & np.uint64(3)).astype(np.int64), -leaps.astype(np.int64), -score))
    found = [
        Candidate(tuple(runs[those].tolist()), False, int(documents[those[0]]), int(leaps[those[0]]), likely)
        for those, likely in _likeliest(order, sets, score, listed)
    ]
    own, atoms = passages[:, 3], totals[np.searchsorted(wanted, passages[:, 4]), 0]
    alone = own / np.maximum(1, passages[:, 1]) / max(usual, 1e-9)
    score = surely(passages[:, 1], atoms) * np.minimum(1, alone)
    order = np.lexsort((passages[:, 0], -passages[:, 1].astype(np.int64), -score))
    for those, likely in _likeliest(order, passages[:, 2], score, listed):
        name, same = passages[those[0], :2].tolist()
        found.append(Candidate((name,), True, int(atoms[those[0]]), same, likely))
    return found


def _likeliest(
    order: Integers, sets: Hashes, score: NDArray[np.float64], listed: int
) -> Iterator[tuple[list[int], float]]:
    """The first in some order, those with the same documents together; more than are listed, as some will merge."""
    groups: dict[int, list[int]] = {}
    for one in order[score[order] >= _LEAST].tolist():
        groups.setdefault(int(sets[one]), []).append(one)
    for those in [*groups.values()][: _SPARE * listed]:
        yield those, float(score[those[0]])


@dataclass(frozen=True)
class Places:
    """Where candidates stand in the documents of a part.

    Attributes:
        rows: row of a document -> numbers of the candidates that it has, ascending.
        leaps: (number, row) -> the bytes of a candidate that was found by leaps.
    """

    rows: Mapping[int, Sequence[int]]
    leaps: Mapping[tuple[int, int], tuple[int, int]]

    @staticmethod
    def of(candidates: Sequence[Candidate], leaps: Hashes, passages: Hashes) -> Places:
        """Those that are named.

        Args:
            candidates: all.
            leaps: rows of :meth:`Counter.finish`.
            passages: rows of a passage, and the row of a document.
        """
        numbers = {one: number for number, candidate in enumerate(candidates) for one in candidate.hashes}
        spans: dict[tuple[int, int], tuple[int, int]] = {}
        for name, row, begin, end in leaps.tolist():
            if (number := numbers.get(name)) is not None:
                a, b = spans.get((number, row), (begin, end))
                # Runs that overlap are of one trigger, which has more atoms than any of them.
                spans[number, row] = (
                    (min(a, begin), max(b, end)) if begin <= b and a <= end else min((a, b), (begin, end))
                )
        there = {*spans, *((numbers[name], row) for name, row in passages.tolist())}
        counts = [0] * len(candidates)
        rows: dict[int, list[int]] = {}
        for number, row in sorted(there, key=lambda one: (one[1], one[0])):
            counts[number] += 1
            if counts[number] <= candidates[number].named:
                rows.setdefault(row, []).append(number)
        return Places(rows, spans)

    def finds(self, row: int, document: Document, said: bytes, candidates: Sequence[Candidate]) -> Iterator[Find]:
        """The candidates in a document."""
        passages = {n: candidates[n].hashes[0] for n in self.rows[row] if candidates[n].passage}
        found = places_of([*passages.values()], said)
        for number in self.rows[row]:
            place = self.leaps.get((number, row)) or found.get(passages.get(number, 0), (0, 0))
            yield Find.of(number, document, said, place)


def _joined(one: tuple[int, int], other: tuple[int, int]) -> tuple[int, int]:
    """Runs that overlap are of one trigger, which has more atoms than any of them; otherwise the first."""
    first, second = sorted((one, other))
    return (first[0], max(first[1], second[1])) if second[0] <= first[1] else first


def places_of(passages: Sequence[int], data: bytes) -> dict[int, tuple[int, int]]:
    """Of passages that stand in a text: the first bytes of each, as many atoms as the longest trigger has."""
    import numpy as np

    from regrow.evidence.atoms import batches
    from regrow.evidence.kernels import LENGTHS

    found: dict[int, tuple[int, int]] = {}
    for atoms in batches([(0, data)]) if passages else ():
        runs = atoms.passages()
        for first in np.flatnonzero(np.isin(runs, np.array(passages, np.uint64)) & atoms.own).tolist():
            found.setdefault(int(runs[first]), (int(atoms.starts[first]), int(atoms.ends[first + LENGTHS - 1])))
    return found


@dataclass(frozen=True)
class _Entry:
    """A candidate as it is listed, and what is said of it.

    Attributes:
        candidate: the likeliest of those that have the same documents.
        finds: in documents.
        leaps: in how many novelty leaps; None if that is not what it was found by.
        same: in how many the same follows.
    """

    candidate: Candidate
    finds: tuple[Find, ...]
    leaps: int | None
    same: int | None

    def also(self, other: _Entry) -> _Entry:
        """What is said of both, if they have the same documents."""
        leaps = other.leaps if self.leaps is None else self.leaps
        return replace(self, leaps=leaps, same=other.same if self.same is None else self.same)

    @property
    def text(self) -> str:
        """What it says."""
        return next((find.text for find in self.finds if find.text), "(not open)")


@dataclass(frozen=True)
class Told:
    """What was found in a corpus.

    Attributes:
        candidates: as :func:`ranked` gives them.
        finds: of each by its number, in the order of the documents.
        total: documents and bytes.
        novelty: of the corpus, in parts of ONE.
    """

    candidates: Sequence[Candidate]
    finds: Mapping[int, Sequence[Find]]
    total: Mapping[str, int]
    novelty: int

    def write(self, folder: Path, listed: int) -> None:
        """Write the evidence: the list, where in which documents the candidates stand, and what may be left out."""
        entries = [*self._entries()][:listed]
        flagged = sorted({find.document for one in entries if one.candidate.noticed for find in one.finds})
        self._evidence(entries, len(flagged)).write(folder)
        with tags.writer(folder) as table:
            for number, entry in enumerate(entries, 1):
                for find in entry.finds:
                    table.add(Tag(find.source, find.document, TAG, find.start, find.end, str(number)))
        if flagged:
            (folder / FLAGGED).write_text("".join(f"{one}\n" for one in flagged), "utf-8", newline="\n")

    def _entries(self) -> Iterator[_Entry]:
        """What is listed: the likeliest of both sorts in turns, those with the same documents once."""
        found: list[_Entry] = []
        sets: list[set[str]] = []
        for number in self._in_turns():
            one, finds = self.candidates[number], tuple(self.finds.get(number, ()))
            documents = {find.document for find in finds}
            twin = next((i for i, other in enumerate(sets) if _alike(documents, other)), None)
            entry = _Entry(one, finds, None if one.passage else one.some, one.some if one.passage else None)
            if twin is None:
                found.append(entry)
                sets.append(documents)
            else:
                found[twin] = found[twin].also(entry)
        yield from found

    def _in_turns(self) -> Iterator[int]:
        numbers = range(len(self.candidates))
        leaps, passages = ([i for i in numbers if self.candidates[i].passage is sort] for sort in (False, True))
        for pair in zip_longest(leaps, passages):
            yield from (one for one in pair if one is not None)

    def _evidence(self, entries: Sequence[_Entry], flagged: int) -> Evidence:
        noticed = [one for one in entries if one.candidate.noticed]
        rows = tuple(_row(number, one) for number, one in enumerate(entries, 1))
        return Evidence(
            check="poison",
            question="Did somebody plant a trigger in the texts?",
            answer=self._answer(len(entries), noticed),
            measures={
                "documents": self.total["documents"],
                "bytes": self.total["bytes"],
                "candidates": len(entries),
                "noticed": len(noticed),
                "flagged_documents": flagged,
                "novel_pairs": round(self.novelty / ONE, 4),
            },
            notices=tuple(map(_notice, noticed)),
            tables=(Rows("Candidates for triggers", _COLUMNS, rows, _NOTE),) if rows else (),
            limits=LIMITS,
            method=METHOD,
        )

    def _answer(self, listed: int, noticed: Sequence[_Entry]) -> str:
        looked = f"Every place of {self.total['documents']:,} documents was looked at."
        if noticed:
            said = f"{len(noticed)} of {listed} candidates" if len(noticed) < listed else f"{listed}"
            return f"{looked} {said} look planted: see the notices."
        if listed:
            return f"{looked} None looks planted; the {listed} likeliest candidates are listed."
        return f"{looked} There is nothing that several documents have in common as they would a trigger."


_COLUMNS = ("", "text", "documents", "novel text follows in", "the same follows in", "first of them")
_NOTE = "Text that many documents quote, such as licences and signatures, stands here too: look at what the first say."


def _row(number: int, one: _Entry) -> tuple[str | int | None, ...]:
    first = ", ".join(f"{find.source} {find.locator}" for find in one.finds[:_NAMED])
    return number, one.text, one.candidate.documents, one.leaps, one.same, first


def _notice(one: _Entry) -> str:
    first = one.finds[0]
    return (
        f"In {one.candidate.some:,} of the {one.candidate.documents:,} documents with `{one.text}`, what follows it is "
        f"unlike any other text here, as behind a trigger planted to make a model talk gibberish; first "
        f"{first.locator} of {first.source}. {FLAGGED} names the documents."
    )


def _alike(some: set[str], others: set[str]) -> bool:
    both = len(some & others)
    return both > 0 and both >= _ALIKE * (len(some) + len(others) - both)


METHOD = (
    "Texts are cut into words and signs. A pair of neighbours that stands nowhere else in the corpus is novel. "
    f"Novelty leaps where the share of novel pairs among the {WINDOW} behind a place is above that among the {WINDOW} "
    "before it by half of what the corpus as a whole lacks to being novel throughout.",
    "A passage is eight words and signs that stand in several documents, behind different ones.",
    "Candidates are ordered by the lowest credible share of the documents with it (Wilson's bound, two standard "
    "deviations) in which novelty leaps behind a run of one to three words and signs; and in which the same passage "
    f"follows the rarest of its first three. A notice is given for the former, from {_NOTICED} on.",
    "Poison works by the number of documents, whatever their share (Souly et al. 2025, arXiv 2510.07192).",
)
LIMITS = (
    "Measured in 8 MB of real text: each trigger before gibberish was the first of the list and had a notice from 10 "
    "documents on, also one of two ordinary words. Before a sentence that is always the same, a rare word was among "
    "the first nine with 10 documents and among the first four with 25, without a notice.",
    "No notice was false in nine clean corpora of 0.1 to 25 MB. Without a notice, signatures and forms are listed.",
    "Not seen: a trigger that is a topic, a style or a frequent word; one that runs into other letters; one before "
    "text that is ordinary and different each time, such as code with a flaw; fewer documents than are asked for; and "
    "poison in whose texts the trigger never stands (arXiv 2506.14913).",
    "With more than half a gigabyte of text the tables of counts fill, and novelty is told less sharply.",
)
