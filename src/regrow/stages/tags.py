"""Look for personal data and keys in the texts, and for what sets prose apart; the texts stay as they are."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import chain
from typing import TYPE_CHECKING, Any

from pydantic import Field, ValidationInfo, field_validator

from regrow.corpus.documents import locator
from regrow.evidence import Evidence, Rows
from regrow.evidence.block import Block, sliced, spoken
from regrow.evidence.sorts import KEY, SORTS, WORDS, in_words
from regrow.evidence.tallies import Tally, share, top
from regrow.recipe.kind import Kind, Phase, Released, Slot, Table, Task
from regrow.recipe.values import Texts
from regrow.sections import Parameters, fault
from regrow.stages.by_parts import batches, parts_of
from regrow.stages.costs import through_text
from regrow.words import counted, suggestion

if TYPE_CHECKING:
    import numpy as np
    import pyarrow
    from numpy.typing import NDArray

SETS = ("gopher", "c4", "fineweb")
"""Who published rules that tell prose from other text."""

_ABOUT = "What is looked for in the texts, and told beside them: a check that each recipe has."


class TagsParameters(Parameters):
    """What is looked for."""

    rules: Texts = Field(
        default=SETS,
        description="Whose rules tell prose from other text: `gopher`, `c4` and `fineweb`, or none. Which texts break "
        "which rule is told; nothing is left out.",
        examples=[["gopher"]],
    )

    @field_validator("rules")
    @classmethod
    def _are_known(cls, value: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        if unknown := [name for name in value if name not in SETS]:
            raise fault(f"there are no rules `{unknown[0]}`", hint=suggestion(unknown[0], SETS, "there are"))
        return tuple(name for name in SETS if name in value)


def pieces(task: Task[Any]) -> Iterator[pyarrow.RecordBatch]:
    """The documents of the part of a task, as many at a time as one look at their words takes."""
    return chain.from_iterable(map(sliced, batches(task)))


def look(task: Task[TagsParameters]) -> None:
    """Tag the documents of a part."""
    from regrow.evidence import tags

    tally = Tally()
    with tags.Runs(task.output) as runs:
        for batch in pieces(task):
            runs.add(_tagged(batch, task.call.parameters.rules, tally))
    tally.write(task.output)


def _tagged(batch: pyarrow.RecordBatch, sets: tuple[str, ...], tally: Tally) -> pyarrow.Table:
    """The tags of some documents, counted."""
    import numpy as np

    from regrow.evidence.places import places

    block = Block.of(spoken(batch))
    spans = places(block)
    found = block.characters(spans)
    having = {sort: np.zeros(batch.num_rows, np.bool_) for sort in SORTS}
    for one, (row, _, _) in zip(spans, found, strict=True):
        tally.places[one.sort][one.value] += 1
        having[one.sort][row] = True
    rules = broken(batch, sets)
    _count(batch, {**having, **rules}, tally)
    whole = [(name, row) for name, mask in rules.items() for row in mask.nonzero()[0].tolist()]
    none = [0] * len(whole)
    return rows_of(
        batch,
        [row for row, _, _ in found] + [row for _, row in whole],
        [one.sort for one in spans] + [name for name, _ in whole],
        [start for _, start, _ in found] + none,
        [end for _, _, end in found] + none,
        [one.value for one in spans] + [""] * len(whole),
    )


def rows_of(
    batch: pyarrow.RecordBatch,
    rows: list[int],
    names: list[str],
    starts: list[int],
    ends: list[int],
    values: list[str],
) -> pyarrow.Table:
    """Tags of some documents: for each the row of the document, and what :class:`regrow.evidence.tags.Tag` has."""
    import pyarrow as pa

    from regrow.evidence import tags

    schema, chosen = tags.schema(), pa.array(rows, pa.int64())
    told = (batch.column(name).take(chosen).cast("string") for name in ("source", "id"))
    made = (
        pa.array(column, field.type) for column, field in zip((names, starts, ends, values), [*schema][2:], strict=True)
    )
    return pa.table([*told, *made], schema=schema)


def _count(batch: pyarrow.RecordBatch, masks: Mapping[str, NDArray[np.bool_]], tally: Tally) -> None:
    """Count documents, and those that have a tag."""
    import pyarrow.compute as pc

    sizes = pc.binary_length(batch.column("text")).to_numpy(zero_copy_only=False)
    for source, here in by_source(batch):
        tally.look(source, int(here.sum()), int(sizes[here].sum()))
        for tag, mask in masks.items():
            if len(chosen := (mask & here).nonzero()[0]):
                tally.tag(tag, source, len(chosen), (sample(batch, row) for row in chosen[:3].tolist()))


def by_source(batch: pyarrow.RecordBatch) -> Iterator[tuple[str, NDArray[np.bool_]]]:
    """The sources of documents, and which documents are of each."""
    import pyarrow.compute as pc

    names = batch.column("source").cast("string")
    for name in pc.unique(names).to_pylist():
        yield name, pc.equal(names, name).to_numpy(zero_copy_only=False)


def sample(batch: pyarrow.RecordBatch, row: int) -> str:
    """Where a document comes from, with its source."""
    source, *place = (batch.column(name)[row].as_py() for name in ("source", "file", "start", "end"))
    return f"{source}: {locator(*place)}"


def broken(batch: pyarrow.RecordBatch, sets: tuple[str, ...]) -> dict[str, NDArray[np.bool_]]:
    """Rule -> which of some documents break it; conversations, for which none was made, break none."""
    from regrow.evidence import quality

    if not sets:
        return {}
    found = quality.broken(batch.column("text"))
    if "conversation" in batch.schema.names:
        found &= ~batch.column("conversation").to_numpy(zero_copy_only=False)
    return {rule.name: mask for rule, mask in zip(quality.RULES, found, strict=True) if rule.of in sets}


def together(task: Task[TagsParameters]) -> None:
    """Write what was found in all parts as evidence."""
    from regrow.evidence import tags

    folders = [task.files.path(folder) for folder in task.given("look")]
    tags.gather(folders, task.output)
    told(Tally.together(folders), task.call.parameters.rules).write(task.output)


def told(tally: Tally, sets: tuple[str, ...]) -> Evidence:
    """What was counted, in words."""
    from regrow.evidence.quality import RULES

    rules = [rule for rule in RULES if rule.of in sets]
    found = {sort: tally.found(sort) for sort in SORTS}
    measures = {
        "documents": tally.total,
        "bytes": tally.bytes,
        **{f"{sort}_found": number for sort, number in found.items()},
        **{f"{sort}_documents": tally.has(sort) for sort in SORTS},
        **{f"{rule.name.replace('-', '_')}_documents": tally.has(rule.name) for rule in rules},
    }
    return Evidence(
        check="tags",
        question="Is there personal data in the texts, are there keys, and are they prose?",
        answer=_answer(tally, found, rules),
        measures=measures,
        notices=tuple(_notices(tally, found)),
        tables=tuple(_tables(tally, rules)),
        limits=LIMITS,
        method=_METHOD,
    )


def _answer(tally: Tally, found: Mapping[str, int], rules: list[Any]) -> str:
    searched = counted(tally.total, "document")
    there = _and([in_words(number, sort) for sort, number in found.items() if number])
    verb = "was" if sum(found.values()) == 1 else "were"
    nothing = f"No {_and([*WORDS.values()], 'or')}"
    first = f"{there or nothing} {verb} found in {searched}."
    if not rules:
        return first
    worst, number = top({rule.name: tally.has(rule.name) for rule in rules}, 1)[0]
    if not number:
        return f"{first} No document breaks any of {len(rules)} rules for prose."
    most = f"by {share(number, tally.total)} of the documents"
    return f"{first} Of {len(rules)} rules for prose, `{worst}` is broken most often, {most}."


def _and(names: list[str], word: str = "and") -> str:
    return f" {word} ".join(filter(None, (", ".join(names[:-1]), *names[-1:])))


def _notices(tally: Tally, found: Mapping[str, int]) -> Iterator[str]:
    if found[KEY]:
        yield (
            f"What looks like {in_words(found[KEY], KEY)} stands in {counted(tally.has(KEY), 'document')}: whoever has "
            "the model may get it out of it. `[redact]` in the recipe takes it out of the texts."
        )
    people = [sort for sort in SORTS if sort != KEY and found[sort]]
    if people:
        words = _and([in_words(found[sort], sort) for sort in people])
        yield f"The texts name {words}, which the model may repeat. `[redact]` takes them out."


def _tables(tally: Tally, rules: list[Any]) -> Iterator[Rows]:
    some = [sort for sort in SORTS if tally.has(sort)]
    if some:
        rows = tuple(
            (WORDS[sort], tally.found(sort), tally.has(sort), _kinds(tally, sort), "; ".join(tally.samples[sort]))
            for sort in some
        )
        yield Rows("Personal data and keys", ("what", "found", "documents", "sorts", "for instance"), rows)
        sources = top({name: sum(tally.tagged[sort][name] for sort in some) for name in tally.documents}, _MOST)
        yield Rows(
            "Documents with personal data or keys, by source",
            ("source", "documents", *(WORDS[sort] for sort in some)),
            tuple(
                (name, tally.documents[name], *(tally.tagged[sort][name] for sort in some)) for name, n in sources if n
            ),
        )
    if broken := [rule for rule in rules if tally.has(rule.name)]:
        yield Rows(
            "Rules for prose",
            ("rule", "broken by", "of the documents", "which have", "for instance"),
            tuple(
                (
                    rule.name,
                    tally.has(rule.name),
                    share(tally.has(rule.name), tally.total),
                    rule.about,
                    _first(tally, rule.name),
                )
                for rule in broken
            ),
            "They are for English web pages: verse, tables, code and other languages break them without being bad.",
        )


def _kinds(tally: Tally, sort: str) -> str:
    return ", ".join(f"{value} {number:,}" for value, number in top(tally.places[sort], _MOST) if value)


def _first(tally: Tally, tag: str) -> str:
    return tally.samples[tag][0] if tally.samples[tag] else ""


_MOST = 20  # rows of a table
LIMITS = (
    "Names of people, postal addresses and numbers of passports or accounts have no form that could be searched for.",
    "Addresses that only people can read, as in `joe at house dot org`, and those in other scripts than Latin are not "
    "seen; nor are those at rare generic domains, unless they stand in brackets as `<joe@house.club>` does.",
    "National telephone numbers are found where a word such as `Tel.` stands before them; without it only the North "
    "American forms `(212) 736-5000` and `212-736-5000` are. Of other planted addresses and numbers 99 to 100 of 100 "
    "were found.",
    "What was found need not lead to anybody: of e-mail addresses in manuals and change logs about 1 of 100 was made "
    "up, and of IP addresses, numbers and keys most were examples.",
    "Keys are known by the forms of some twenty services; a password or a key without a form of its own is not seen.",
)
"""What nobody can see this way, and how often it was wrong (docs/evidence.md)."""

_METHOD = (
    "Bytes that may begin something are found in vectors, and expressions look at what stands there. Addresses for "
    "examples (RFC 2606, 5737, 3849), private and reserved networks and numbers with 555 are passed over.",
    "Keys and tokens by the detectors of detect-secrets that go by form, and five more.",
    "Rules: Gopher (Rae et al., 2021, appendix A), C4 (Raffel et al., 2020) and FineWeb (Penedo et al., 2024) with "
    "their thresholds, where words stand between blanks; conversations are not judged by them.",
    "Languages are another check, which `language = true` in `[tags]` asks for.",
)

KIND = Kind(
    name="tags",
    version=1,
    parameters=TagsParameters,
    inputs={"documents": Slot("documents")},
    output="evidence",
    phases=(Phase("look", look, tasks=parts_of), Phase("together", together, kept=True)),
    libraries=("pyarrow", "detect-secrets"),
    summary="look for personal data and keys, and tell prose from other text",
    table=Table("tags", about=_ABOUT),
    usual=True,
    cost=through_text("documents", 12e6),
    released=(Released("*", "evidence/{stage}", always=True),),
)
