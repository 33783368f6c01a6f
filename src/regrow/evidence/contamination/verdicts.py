"""From matches to verdicts: of each item, and of each benchmark."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING

from regrow.corpus.tables import Order, TableWriter
from regrow.evidence.contamination.chance import ENOUGH, Chance
from regrow.evidence.contamination.found import Found, all_found, tallies
from regrow.evidence.contamination.index import RUN, SEED, SHARED, Index
from regrow.evidence.contamination.items import Benchmark, Item
from regrow.evidence.record import Cell, Evidence, Rows
from regrow.evidence.tags import Tag
from regrow.evidence.tags import writer as tag_writer
from regrow.words import counted

if TYPE_CHECKING:
    import pyarrow

NAME = "contamination"
ITEMS = "items.parquet"

DIRTY, SUSPICIOUS, CLEAN = "dirty", "suspicious", "clean"
UNTOLD = "not searched"
VERDICTS = (DIRTY, SUSPICIOUS, CLEAN, UNTOLD)

_LEAST_EXPECTED = 0.01  # times that a match of few words may be expected by chance
_MANY, _MOST = 10, 0.01  # documents, and the share of them, that have what is an ordinary phrase
_SHOWN = 12  # items of a table
_SHOWN_TEXT = 120  # characters


@dataclass(frozen=True)
class Thresholds:
    """From which coverage on what is what.

    Attributes:
        dirty: of an item, its coverage by one document.
        suspicious: the same.
        benchmark: of a benchmark, the share of its items that are dirty.
    """

    dirty: float
    suspicious: float
    benchmark: float

    def of(self, coverage: float) -> str:
        """The verdict about an item."""
        return DIRTY if coverage >= self.dirty else SUSPICIOUS if coverage >= self.suspicious else CLEAN


@dataclass(frozen=True)
class Verdict:
    """What is said of an item.

    Attributes:
        benchmark: its name.
        number: of the item in it, from 1.
        item: the id of the item.
        sha256: of the item.
        words: of its question and choices.
        verdict: ``dirty``, ``suspicious``, ``clean``, or ``not searched``.
        reason: why it was not searched for.
        coverage: the largest share of its words that stand in one document.
        longest: words of the longest run in that document.
        choices: whether the choices stand there, too.
        answer: whether the answer does.
        documents: how many documents are dirty or suspicious for it.
        source: of the document with the largest coverage.
        document: its id.
        locator: where it comes from.
        text: the longest run as it stands there; nothing where it must not be shown.
    """

    benchmark: str
    number: int
    item: str
    sha256: str
    words: int
    verdict: str
    reason: str = ""
    coverage: float = 0.0
    longest: int = 0
    choices: bool = False
    answer: bool = False
    documents: int = 0
    source: str = ""
    document: str = ""
    locator: str = ""
    text: str = ""


class Judge:
    """Tells matches from ordinary phrases, by all of what was found.

    Args:
        index: of the items.
        outputs: what was found in each part.
    """

    def __init__(self, index: Index, outputs: Sequence[Path]) -> None:
        words, pairs, self.documents = tallies(outputs)
        self.index, self.words = index, int(words[-1])
        self._outputs = outputs
        self._chance = Chance(index, words, pairs)
        self._having: Counter[int] = Counter()
        for found in all_found(outputs):
            self._chance.without(index.entries[found.entry], found.pairs, found.times)
            self._having[found.entry] += 1

    def told(self) -> Iterator[tuple[Found, bool]]:
        """All matches, and whether each is more than an ordinary phrase."""
        for found in all_found(self._outputs):
            yield found, found.size >= ENOUGH or not self._is_ordinary(found)

    def _is_ordinary(self, found: Found) -> bool:
        if self._having[found.entry] > max(_MANY, _MOST * self.documents):
            return True
        return self._chance.expected(self.index.entries[found.entry], found.pairs) > _LEAST_EXPECTED


def left_out(judge: Judge, least: float) -> Iterator[tuple[str, str]]:
    """The ids of documents that hold an item, in order, each with the item that it has most of."""
    best: dict[str, Found] = {}
    for found, is_more in judge.told():
        if is_more and found.coverage >= least:
            other = best.get(found.document)
            if other is None or found.coverage > other.coverage:
                best[found.document] = found
    for document, found in sorted(best.items()):
        benchmark, item = judge.index.named[found.entry][0]
        yield document, f"{item.id} of {benchmark.name}, coverage {found.coverage:.2f}"


def write(judge: Judge, folder: Path, thresholds: Thresholds) -> None:
    """Write the evidence: the sum of it, every item, and the places in documents."""
    index = judge.index
    best: dict[int, Found] = {}
    documents: Counter[int] = Counter()
    ordinary: set[int] = set()
    with tag_writer(folder) as tags:
        for found, is_more in judge.told():
            if not is_more:
                ordinary.add(found.entry)
                continue
            documents[found.entry] += 1
            for benchmark, item in index.named[found.entry]:
                tags.add(_tag(found, benchmark, item))
            if (other := best.get(found.entry)) is None or found.coverage > other.coverage:
                best[found.entry] = found
    verdicts = [*_verdicts(index, best, documents, ordinary, thresholds)]
    with TableWriter(folder / ITEMS, _schema(), Order(("benchmark", "number"))) as table:
        for verdict in verdicts:
            table.add(verdict)
    _evidence(judge, verdicts, thresholds).write(folder)


def _tag(found: Found, benchmark: Benchmark, item: Item) -> Tag:
    value = f"{benchmark.name}/{item.id}"
    return Tag(found.source, found.document, "benchmark-item", found.start, found.end, value)


def _verdicts(
    index: Index, best: dict[int, Found], documents: Counter[int], ordinary: set[int], thresholds: Thresholds
) -> Iterator[Verdict]:
    for number, benchmark in enumerate(index.benchmarks):
        for place, item in enumerate(benchmark.items):
            entry = index.same.get((number, place), -1)
            size = len(index.entries[entry].words) if entry >= 0 else 0
            verdict = Verdict(benchmark.name, place + 1, item.id, item.sha256, size, CLEAN)
            if entry < 0:
                yield replace(verdict, verdict=UNTOLD, reason=index.untold[number, place])
            elif (found := best.get(entry)) is not None:
                yield _with(verdict, found, documents[entry], thresholds)
            elif entry in ordinary:
                yield replace(verdict, verdict=UNTOLD, reason="an ordinary phrase")
            else:
                yield verdict


def _with(verdict: Verdict, found: Found, documents: int, thresholds: Thresholds) -> Verdict:
    """What is said of an item that stands in some documents, most of it in one."""
    return replace(
        verdict,
        verdict=thresholds.of(found.coverage),
        coverage=round(found.coverage, 4),
        longest=found.longest,
        choices=found.choices,
        answer=found.answer,
        documents=documents,
        source=found.source,
        document=found.document,
        locator=found.locator,
        text=found.words,
    )


def _schema() -> pyarrow.Schema:
    import pyarrow as pa

    types = {"int": pa.int64(), "str": pa.string(), "float": pa.float64(), "bool": pa.bool_()}
    return pa.schema([pa.field(one.name, types[str(one.type)], False) for one in fields(Verdict)])


def _evidence(judge: Judge, verdicts: Sequence[Verdict], thresholds: Thresholds) -> Evidence:
    """The sum of all verdicts."""
    names = [benchmark.name for benchmark in judge.index.benchmarks]
    by_name = {name: Counter(one.verdict for one in verdicts if one.benchmark == name) for name in names}
    told = {name: _of_benchmark(counts, thresholds) for name, counts in by_name.items()}
    bad = [one for one in verdicts if one.verdict in (DIRTY, SUSPICIOUS)]
    measures: dict[str, int | float] = {"documents": judge.documents, "words": judge.words}
    for name, counts in by_name.items():
        measures |= {f"{name}.items": counts.total()}
        measures |= {f"{name}.{verdict.replace(' ', '-')}": counts[verdict] for verdict in VERDICTS}
    return Evidence(
        check=NAME,
        question="Do items of benchmarks stand in the training text?",
        answer=" ".join(_answer(name, told[name], counts, judge.documents) for name, counts in by_name.items()),
        measures=measures,
        notices=tuple(_notices(by_name, told)),
        tables=tuple(_tables(judge.index.benchmarks, by_name, told, bad)),
        limits=LIMITS,
        method=_method(thresholds),
    )


def _of_benchmark(counts: Counter[str], thresholds: Thresholds) -> str:
    searched = counts.total() - counts[UNTOLD]
    if counts[DIRTY] > thresholds.benchmark * searched:
        return DIRTY
    return SUSPICIOUS if counts[DIRTY] or counts[SUSPICIOUS] else CLEAN if searched else UNTOLD


def _answer(name: str, verdict: str, counts: Counter[str], documents: int) -> str:
    searched = counts.total() - counts[UNTOLD]
    also = f"; {counted(counts[UNTOLD], 'item')} could not be searched for" if counts[UNTOLD] else ""
    return (
        f"{name} is {verdict}: of {counted(searched, 'item')}, {counts[DIRTY]:,} stand in the text and "
        f"{counts[SUSPICIOUS]:,} stand there in part, in {counted(documents, 'document')}{also}."
    )


def _notices(by_name: dict[str, Counter[str]], told: dict[str, str]) -> Iterator[str]:
    for name, verdict in told.items():
        if verdict in (DIRTY, SUSPICIOUS):
            yield (
                f"Results on {name} say less than they seem to: of its items, {by_name[name][DIRTY]:,} stand in the "
                f"training text and {by_name[name][SUSPICIOUS]:,} stand there in part; {ITEMS} names them, and "
                "`[decontaminate]` leaves documents with an item out."
            )


def _tables(
    benchmarks: Sequence[Benchmark], by_name: dict[str, Counter[str]], told: dict[str, str], bad: Sequence[Verdict]
) -> Iterator[Rows]:
    rows: list[tuple[Cell, ...]] = [
        (one.name, told[one.name], *(by_name[one.name][verdict] for verdict in VERDICTS), one.files, one.passed_over)
        for one in benchmarks
    ]
    yield Rows("Benchmarks", ("benchmark", "verdict", *VERDICTS, "files", "files passed over"), tuple(rows))
    if bad:
        worst = sorted(bad, key=lambda one: (-one.coverage, -one.longest, one.benchmark, one.number))[:_SHOWN]
        yield Rows(
            "Items that stand in the text",
            ("benchmark", "item", "verdict", "coverage", "longest run", "documents", "answer too", "where", "text"),
            tuple(
                (
                    one.benchmark, one.item, one.verdict, one.coverage, f"{one.longest} of {one.words} words",
                    one.documents, "yes" if one.answer else "no", f"{one.source} {one.locator}",
                    _cut(one.text) or None,
                )
                for one in worst
            ),
            f"The first {len(worst):,} of {len(bad):,}; {ITEMS} has all." if len(worst) < len(bad) else "",
        )  # fmt: skip


def _cut(text: str) -> str:
    return text if len(text) <= _SHOWN_TEXT else f"{text[:_SHOWN_TEXT].rstrip()} ..."


def _method(thresholds: Thresholds) -> tuple[str, ...]:
    return (
        "Words are compared without regard to case, punctuation, line breaks and blanks; in scripts without blanks, "
        "characters are.",
        f"Where {SEED} words in a row are those of an item, and not of more than {SHARED} items, the text around is "
        f"compared with it: what counts are runs of {RUN} words and more, in any order, within about twice its length.",
        "The coverage of an item is the share of its words in such runs in one document; the smaller of that of all "
        "words alike, and that in which each word weighs one divided by the square of the number of items that have "
        "the same four words in a row around it, so that what many items have in common counts for little. It is "
        "taken of the question, and of question and choices, and the larger one counts.",
        f"An item is {DIRTY} from a coverage of {thresholds.dirty:g} on, and {SUSPICIOUS} from "
        f"{thresholds.suspicious:g} on. A benchmark is {DIRTY} if more than {thresholds.benchmark:.0%} of its items "
        f"are, {SUSPICIOUS} if any item is {DIRTY} or {SUSPICIOUS}.",
        f"Fewer than {ENOUGH} words are an ordinary phrase, and no evidence, if by the pairs of words of the rest of "
        f"the corpus they are expected in it more than {_LEAST_EXPECTED:g} times, or if more than one in a hundred "
        "documents, and more than ten, have them.",
        "One document is enough (a minimum count of one), and the longest run is told with the coverage, as in ConTAM: "
        "Singh et al., Evaluation data contamination in LLMs: how do we measure it and (when) does it matter?, 2024, "
        "arXiv 2411.03923.",
    )


LIMITS: tuple[str, ...] = (
    "Other wording, translations and summaries of an item are not found.",
    "Of 964 items planted in real text, 99.7 % were dirty where they stood verbatim, in other lines, within up to a "
    "hundred times as much other text, or without every 15th word; 99.3 % in other case and punctuation; all with "
    "their choices in another order; and 40 % where about one word in five was another, 87 % suspicious at least. None "
    "of 200 documents with nothing but the template of an item was taken for it, and none of 1,088 without any item "
    "was dirty; for 7 of the items one or more of them were suspicious.",
    "Items of fewer than three words, and those that have nothing of their own beside what many share, are not "
    "searched for.",
    "An answer that stands without its question is not looked for.",
    "That an item stands in the text says nothing of whether a model has learned it.",
)
