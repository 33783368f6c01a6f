"""Tell what was left out on purpose, and what went with it."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from regrow.corpus.removal import WENT_ALONG, Count, Facts, Removed, read
from regrow.evidence import EVIDENCE, FOLDER, Evidence, Rows
from regrow.evidence.record import Cell
from regrow.recipe.kind import Call, Kind, Released, Slot, Table
from regrow.sections import Parameters
from regrow.words import counted, listed

_MOST = 50
_ID = 12  # digits of an id that a table shows
_HEAD = (
    "Documents that were left out by name, or since they say what others say that were left out.",
    "A recipe without the sources that were left out makes the same weights if these are left out of it,",
    "as `documents` of `[without]`, or by `regrow build --without` and the name of this file.",
)
_PAPER = "a group of documents that say the same goes whole: the forget closure of arXiv:2508.12220."


class RemovedParameters(Parameters):
    """There is nothing to choose."""


def run(call: Call[RemovedParameters]) -> None:
    """Write the evidence, and a list of what went along with whole sources."""
    folder = call.input("removal")
    evidence(folder).write(call.output)
    with (call.output / WENT_ALONG).open("w", encoding="utf-8", newline="\n") as file:
        file.writelines(f"# {line}\n" for line in _HEAD)
        file.writelines(f"{one.id}\n" for one in read([folder]))


def evidence(folder: Path) -> Evidence:
    """What a removal says, for people."""
    facts = Facts.read(folder)
    whole, out = facts.whole, sum(not one.there for one in read([folder]))
    return Evidence(
        check="removed",
        question="What was left out on purpose, and what went with it?",
        answer=_answer(facts, out),
        measures={
            "documents": whole.documents,
            "bytes": whole.bytes,
            "left_out_documents": whole.gone,
            "left_out_bytes": whole.gone_bytes,
            "alike_documents": whole.alike,
            "alike_bytes": whole.alike_bytes,
            "alike_and_out_already": out,
        },
        tables=tuple(_tables(facts, folder)),
        limits=tuple(_limits(facts)),
        method=tuple(_method(facts)),
    )


def _answer(facts: Facts, out: int) -> str:
    whole = facts.whole
    what = [f"all of {listed(facts.sources)}"] if facts.sources else []
    what += [f"{counted(facts.named, 'document')} by name"] if facts.named else []
    share = 100 * (whole.gone_bytes + whole.alike_bytes) / whole.bytes if whole.bytes else 0.0
    with_it = f"{counted(whole.alike, 'document')} elsewhere ({_bytes(whole.alike_bytes)}) that "
    with_it += f"say{'s' if whole.alike == 1 else ''} the same"
    stay = f" {counted(out, 'document')} more stay{'s' if out == 1 else ''} out, for which one of them had been kept."
    return (
        f"Left out: {' and '.join(what)}, {counted(whole.gone, 'document')} ({_bytes(whole.gone_bytes)}), and "
        f"{with_it}; together {share:.1f} % of the corpus.{stay if out else ''}"
    )


def _bytes(count: int) -> str:
    return f"{count:,} bytes"


def _tables(facts: Facts, folder: Path) -> Iterator[Rows]:
    rows: list[tuple[Cell, ...]] = [(source, *_row(count)) for source, count in sorted(facts.counts.items())]
    yield Rows(
        "What went, by source",
        ("source", "documents", "bytes", "left out", "bytes left out", "says the same", "bytes that do"),
        tuple(rows),
    )
    alike = list(islice((one for one in read([folder]) if one.like), _MOST + 1))
    if alike:
        note = f"the first {_MOST}; all are in `data/excluded.parquet`." if len(alike) > _MOST else ""
        head = ("source", "locator", "document", "says what", "Jaccard index", "before")
        told = tuple(map(_told, alike[:_MOST]))
        yield Rows("What says the same elsewhere", head, told, note)


def _row(count: Count) -> tuple[int, ...]:
    return count.documents, count.bytes, count.gone, count.gone_bytes, count.alike, count.alike_bytes


def _told(one: Removed) -> tuple[Cell, ...]:
    like = one.like
    of, similarity = (like.of[:_ID], 1.0 if like.similarity is None else like.similarity) if like else ("", None)
    before = "was in the corpus" if one.there else "left out for the other one"
    return one.source, one.locator, one.id[:_ID], of, similarity, before


def _limits(facts: Facts) -> Iterator[str]:
    yield "Translations, summaries, and quotations in longer texts are other texts to this search, and stay."
    yield "Of pairs with a Jaccard index of 0.8, one in twenty million is missed; of pairs with 0.6, one in eighty."
    yield "Models that the recipe begins with are taken as they are: what they have learnt is not looked at."
    if not facts.near_duplicates:
        yield "Only what `deduplicate` took for duplicates was looked for."


def _method(facts: Facts) -> Iterator[str]:
    yield f"Of what `deduplicate` had grouped, and of groups found among what it kept, {_PAPER}"
    if facts.near_duplicates:
        yield (
            "Groups are joined by pairs whose sets of runs of five words have a Jaccard index of at least "
            f"{facts.near_duplicates:g}, which MinHash proposes and the sets themselves decide."
        )


KIND = Kind(
    name="removed",
    version=1,
    parameters=RemovedParameters,
    inputs={"removal": Slot("removal")},
    output="evidence",
    run=run,
    libraries=("pyarrow",),
    summary="tell what was left out on purpose",
    table=Table("without"),
    released=tuple(Released(name, f"{FOLDER}/{{stage}}", always=True) for name in (EVIDENCE, WENT_ALONG)),
)
