"""How much of a corpus is under what: counts that can be added up over parts, and the evidence that they come to."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, astuple, dataclass, field, replace
from pathlib import Path

from regrow.evidence.record import Evidence, Rows
from regrow.evidence.rights.sorts import COPYRIGHT, LICENCE, OPT_OUT, RESERVED, RESTRICTION, TAG, TEXT
from regrow.evidence.rights.statements import Statement
from regrow.evidence.rights.verdict import SEVERAL, State, Verdict, asks_for_more, declares_none
from regrow.licences import find
from regrow.words import counted

_TALLY = "tally.json"
_SAMPLES = 5  # of a source and a state, each saying something else
_EXCERPT = 160  # characters
_ROWS = 60  # of a table
_NAMED = 3  # things said, in a sentence
_SHOWN = (State.CONTRADICTS, State.RESERVES, State.OTHER, State.FOUND)
_MAIL = re.compile(r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+")

WORDS: Mapping[State, str] = {
    State.CONTRADICTS: "text asks for more than is declared",
    State.RESERVES: "all rights reserved, no licence named",
    State.SEVERAL: "text lists licences of several works",
    State.OTHER: "text names another licence that asks for no more",
    State.FOUND: "found in the text, declared nowhere known",
    State.AGREES: "text says what is declared",
    State.DECLARED: "declared by the source, text names no licence",
    State.UNKNOWN: "unknown",
}

_RESTRICTIONS = {
    "no-republishing": "asks not to be republished",
    "permission-needed": "may not be copied without permission",
    "non-commercial": "is for non-commercial use",
    "personal-use": "is for personal use",
    "no-training": "may not be used to train models",
}


@dataclass(frozen=True)
class Group:
    """Documents of which the same is known.

    Attributes:
        source: their source.
        declared: its licence.
        state: how what they say goes with it.
        says: what they say, as :attr:`regrow.evidence.rights.verdict.Verdict.says`.
    """

    source: str
    declared: str
    state: State
    says: tuple[str, ...]


@dataclass(frozen=True)
class Elsewhere:
    """Documents that stand for equal or nearly equal ones of a source that declares something else.

    Attributes:
        source: their source.
        declared: its licence.
        other: the source of those that were left out.
        licence: what that one declares.
    """

    source: str
    declared: str
    other: str
    licence: str


@dataclass(frozen=True)
class Sample:
    """A document that shows what there is.

    Attributes:
        source: its source.
        document: its id.
        locator: where it comes from.
        state: as of its group, or that it opts out.
        says: what it says.
        excerpt: the statement, short, without addresses of e-mail.
    """

    source: str
    document: str
    locator: str
    state: str = ""
    says: tuple[str, ...] = ()
    excerpt: str = ""


@dataclass
class Ledger:
    """Counts of documents and bytes, and the first documents that show something.

    Attributes:
        documents: of each group.
        size: of the texts of each group, in bytes.
        statements: sort of a statement, and what it says -> in how many documents there is one.
        samples: in the order of the corpus.
        elsewhere: how many documents say what others had under other terms.
        dropped: for how many of those they stand.
    """

    documents: Counter[Group] = field(default_factory=Counter)
    size: Counter[Group] = field(default_factory=Counter)
    statements: Counter[tuple[str, str]] = field(default_factory=Counter)
    samples: list[Sample] = field(default_factory=list)
    elsewhere: Counter[Elsewhere] = field(default_factory=Counter)
    dropped: Counter[Elsewhere] = field(default_factory=Counter)
    _sampled: Counter[tuple[str, str]] = field(default_factory=Counter)
    _seen: set[tuple[str, str, tuple[str, ...]]] = field(default_factory=set)

    def add(self, group: Group, documents: int, size: int) -> None:
        """Count documents of a group."""
        self.documents[group] += documents
        self.size[group] += size

    def note(self, statements: Iterable[Statement]) -> None:
        """Count what a document says."""
        self.statements.update(
            {(one.sort, one.says if one.sort in (OPT_OUT, RESTRICTION) else "") for one in statements}
        )

    def show(self, sample: Sample) -> None:
        """Keep a document as a sample, if it is among the first of its source and state that say something new."""
        told, kind = (sample.source, sample.state, sample.says), (sample.source, sample.state)
        if told not in self._seen and self._sampled[kind] < _SAMPLES:
            self._seen.add(told)
            self._sampled[kind] += 1
            self.samples.append(sample)

    def meet(self, elsewhere: Elsewhere, dropped: int, documents: int = 1) -> None:
        """Count a document, or some, that stand for so many others."""
        self.elsewhere[elsewhere] += documents
        self.dropped[elsewhere] += dropped

    def join(self, other: Ledger) -> None:
        """Add what was found in a later part of the corpus."""
        for group, documents in other.documents.items():
            self.add(group, documents, other.size[group])
        self.statements.update(other.statements)
        self.elsewhere.update(other.elsewhere)
        self.dropped.update(other.dropped)
        for sample in other.samples:
            self.show(sample)

    def write(self, folder: Path) -> None:
        """Write it for a later phase."""
        groups = [[*asdict(group).values(), count, self.size[group]] for group, count in self.documents.items()]
        statements = [[*key, count] for key, count in self.statements.items()]
        samples = [asdict(one) for one in self.samples]
        elsewhere = [[*asdict(one).values(), count, self.dropped[one]] for one, count in self.elsewhere.items()]
        told = {"groups": groups, "statements": statements, "samples": samples, "elsewhere": elsewhere}
        (folder / _TALLY).write_text(json.dumps(told), "utf-8")

    @staticmethod
    def read(folder: Path) -> Ledger:
        """What was written."""
        told = json.loads((folder / _TALLY).read_text("utf-8"))
        ledger = Ledger(statements=Counter({(sort, says): count for sort, says, count in told["statements"]}))
        for source, declared, state, says, count, size in told["groups"]:
            ledger.add(Group(source, declared, State(state), tuple(says)), count, size)
        for *which, documents, dropped in told["elsewhere"]:
            ledger.meet(Elsewhere(*which), dropped, documents)
        for one in told["samples"]:
            ledger.show(Sample(**{**one, "says": tuple(one["says"])}))
        return ledger


def samples(sample: Sample, data: bytes, verdict: Verdict, told: Sequence[Statement]) -> Iterator[Sample]:
    """What a document is worth showing for.

    Args:
        sample: where it is.
        data: what may be quoted of it: its text as UTF-8, or nothing.
        verdict: what is known of it.
        told: what it says.
    """
    if verdict.state in _SHOWN and verdict.because:
        excerpt = _excerpt(data, verdict.because[0])
        yield replace(sample, state=verdict.state, says=verdict.says, excerpt=excerpt)
    if signals := [one for one in told if one.sort == OPT_OUT]:
        says = tuple(sorted({one.says for one in signals}))
        yield replace(sample, state=OPT_OUT, says=says, excerpt=_excerpt(data, signals[0]))


def _excerpt(data: bytes, statement: Statement) -> str:
    """A statement in a line; of the text of a licence nothing, since its name says it."""
    if statement.sort == TEXT:
        return ""
    said = " ".join(_MAIL.sub("[e-mail]", data[statement.start : statement.end].decode("utf-8", "ignore")).split())
    return said if len(said) <= _EXCERPT else f"... {said[-_EXCERPT:]}"


def spelt(expression: str) -> str:
    """Licences as SPDX spells them, where it has them; what is no licence as it is."""
    return " ".join(_spdx(word) for word in expression.split(" "))


def _spdx(id: str) -> str:
    """A licence as SPDX spells it; the catalogue has some together with their later versions."""
    known = find(id)
    if known is None:
        return id
    return known.spdx if known.id.endswith("-only") else known.spdx.removesuffix("-only") or known.id


def evidence(ledger: Ledger) -> Evidence:
    """What the counts of a corpus come to."""
    documents, size = ledger.documents.total(), ledger.size.total()
    by_state = {state: [group for group in ledger.documents if group.state is state] for state in State}
    counts = {state: sum(ledger.documents[group] for group in groups) for state, groups in by_state.items()}
    sizes = {state: sum(ledger.size[group] for group in groups) for state, groups in by_state.items()}
    opted = sum(count for (sort, _), count in ledger.statements.items() if sort == OPT_OUT)
    measures: dict[str, int | float] = {"documents": documents, "bytes": size, "opt-outs": opted}
    for state in State:
        measures |= {f"documents-{state}": counts[state], f"bytes-{state}": sizes[state]}
    measures["duplicates-under-other-terms"] = ledger.dropped.total()
    return Evidence(
        check="rights",
        question="On which terms may the texts be used, and do they say so themselves?",
        answer=_answer(documents, size, counts, sizes),
        measures=measures,
        notices=tuple(_notices(ledger)),
        tables=tuple(_tables(ledger)),
        limits=_LIMITS,
        method=_METHOD,
    )


def _answer(documents: int, size: int, counts: Mapping[State, int], sizes: Mapping[State, int]) -> str:
    if not documents:
        return "There are no documents."
    texts = f"{counted(documents, 'document')} ({_bytes(size)})"
    said = {
        State.CONTRADICTS: "asks for more than its source declares",
        State.RESERVES: "reserves all rights and names no licence",
    }
    against = [
        f"the text of {counts[one]:,} ({_bytes(sizes[one])}) {what}" for one, what in said.items() if counts[one]
    ]
    told = [
        f"Of {texts}, {' and '.join(against)}"
        if against
        else f"No text of {texts} contradicts what its source declares"
    ]
    if agreeing := counts[State.AGREES] + counts[State.OTHER]:
        told.append(f"; that of {agreeing:,} names a licence that asks for no more")
    told.append(".")
    if undeclared := counts[State.UNKNOWN] + counts[State.FOUND]:
        told.append(f" The sources of {undeclared:,} declare no terms that are known here; {counts[State.FOUND]:,} of")
        told.append(" these say something themselves.")
    return "".join(told)


def _notices(ledger: Ledger) -> Iterator[str]:
    """A sentence for each source that has something a reader must know."""
    for source in sorted({group.source for group in ledger.documents}):
        groups = [group for group in ledger.documents if group.source == source]
        whole = sum(ledger.documents[group] for group in groups)
        declared = ", ".join(sorted({group.declared for group in groups}))
        for state in (State.CONTRADICTS, State.RESERVES):
            if some := [group for group in groups if group.state is state]:
                number, size = sum(ledger.documents[one] for one in some), sum(ledger.size[one] for one in some)
                said = {
                    says: sum(ledger.documents[one] for one in some if says in one.says)
                    for one in some
                    for says in one.says
                }
                first = sorted(said, key=lambda says: (-said[says], says))[:_NAMED]
                what = "; ".join(f"{_in_words(says)} ({said[says]:,})" for says in first)
                yield (
                    f"The source `{source}` is declared {declared}, but the text of {number:,} of its "
                    f"{counted(whole, 'document')} ({_bytes(size)}) says otherwise: {what}."
                )
        unknown = sum(ledger.documents[group] for group in groups if declares_none(group.declared))
        if unknown:
            yield f"The source `{source}` declares no terms for its {counted(unknown, 'document')}: `{declared}`."
    for one, count in sorted(ledger.elsewhere.items(), key=lambda item: astuple(item[0])):
        if asks_for_more(one.licence, one.declared):
            yield (
                f"The text of {counted(count, 'document')} of the source `{one.source}`, declared {one.declared}, is "
                f"also in `{one.other}`, which is declared {one.licence} and asks for more."
            )
    opted = {says: count for (sort, says), count in sorted(ledger.statements.items()) if sort == OPT_OUT}
    if opted:
        what = ", ".join(f"{says} ({count:,})" for says, count in opted.items())
        yield f"A sign that machines are not to use a text is in {counted(sum(opted.values()), 'document')}: {what}."


def _in_words(says: str) -> str:
    return _RESTRICTIONS.get(says, spelt(says))


def _tables(ledger: Ledger) -> Iterator[Rows]:
    groups = sorted(ledger.documents, key=lambda one: (one.source, -ledger.size[one], one.state, one.says))
    rows = [
        (one.source, one.declared, WORDS[one.state], _listed(one.says), ledger.documents[one], ledger.size[one])
        for one in groups
    ]
    columns = ("source", "declared", "what is known", "the text says", "documents", "bytes")
    yield _cut("Text by source and licence", columns, rows)
    rank = [*State, OPT_OUT]
    told = sorted(ledger.samples, key=lambda one: (rank.index(one.state), one.source))
    if told:
        yield _cut(
            "Documents to look at",
            ("source", "what is known", "the text says", "where", "document", "in its words"),
            [
                (one.source, _of_state(one.state), _listed(one.says), one.locator, one.document, one.excerpt)
                for one in told
            ],
            "The first documents of each source that say something new; all are in tags.parquet.",
        )
    if ledger.elsewhere:
        most = sorted(ledger.elsewhere.items(), key=lambda item: (-item[1], astuple(item[0])))
        yield _cut(
            "The same text under other terms",
            ("source", "declared", "also in", "declared there", "documents", "left out there"),
            [(*astuple(one), count, ledger.dropped[one]) for one, count in most],
            "Of equal or nearly equal texts one is kept; what the others say of themselves is not read.",
        )
    if ledger.statements:
        yield Rows(
            "What texts say of their rights",
            ("statement", "sort", "documents"),
            tuple(
                (_SORTS.get(sort, sort), says or None, count)
                for (sort, says), count in sorted(ledger.statements.items(), key=lambda item: (-item[1], item[0]))
            ),
        )


_SORTS = {
    TAG: "tag of SPDX",
    TEXT: "text of a licence",
    LICENCE: "placed under a licence",
    COPYRIGHT: "notice of copyright",
    RESERVED: "all rights reserved",
    RESTRICTION: "something is forbidden",
    OPT_OUT: "machines are not to use it",
}


def _of_state(state: str) -> str:
    return WORDS[State(state)] if state in list(State) else _SORTS[state]


def _listed(says: Sequence[str]) -> str | None:
    return "; ".join(map(_in_words, says)) or None


def _cut(title: str, columns: tuple[str, ...], rows: Sequence[tuple[str | int | None, ...]], note: str = "") -> Rows:
    """A table of some rows, and a note of how many are not shown."""
    if len(rows) > _ROWS:
        note = " ".join(filter(None, (note, f"{len(rows) - _ROWS:,} more rows are not shown.")))
    return Rows(title, columns, tuple(rows[:_ROWS]), note)


def _bytes(size: int) -> str:
    return f"{size / 1e6:,.1f} MB" if size >= 100_000 else f"{size:,} bytes"


_METHOD = (
    "Declared is what the recipe says of a source. In each text are sought: tags of SPDX, lines and headings that "
    "name a licence, sentences by which the text puts itself under one, links that say of themselves that they lead to "
    "the licence, texts of licences (the same words in the same order as those of one in the catalogue), "
    "notices of copyright, reserved rights, sentences that forbid, and the signs tdm-reservation, noai and robots.txt.",
    "What stands beside a text counts as if it began with it: such fields of its row, the head of its page and links "
    "there to its licence, and what the server said with it.",
    "A licence that is only spoken of counts for nothing: the sentence has to be about the text itself.",
    "A text contradicts its source if the freest licence that it offers asks for more than the freest declared one "
    "(nothing, notices, the same licence for changed files, the same licence for all, or terms that are not open), "
    "or if a sentence forbids what an open licence allows. Versions of one licence agree.",
    "Where a document was kept of several that are equal or nearly so, what is declared of the others counts as well.",
    f"A text that names {SEVERAL} or more licences is taken for a list of what others are under.",
)

_LIMITS = (
    "Only what is written in the text is seen. A text that says nothing may be anybody's, and what one claims may be "
    "false.",
    "Of 50 different sentences that were read as putting a text under a licence, in 60 MB of code and documentation, "
    "48 did; of documents that do, about 2 % were missed. In that text one sentence was wrongly read as forbidding.",
    "Where a file is cut into several documents, what it says of itself is seen in one of them.",
    "Sentences are read in English; tags, links and texts of licences in whatever language stands around them.",
    "Of what stands beside a text, only fields and heads whose names speak of licences, rights, copyright, robots or "
    "text mining are seen; not a licence in a file of its own, nor the robots.txt of the site that a page is from.",
)
