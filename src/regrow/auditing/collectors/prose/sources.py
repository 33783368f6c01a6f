"""Tables and lists that give the training data source by source, each with how others can have it.

This is how a model card tells the four kinds of data of the Open Source AI Definition apart without any tool: a table
under a heading about training data with a column for the name and one for the availability, or a list whose items tell
it after the name. Whoever writes one says so, and nobody checked it: all facts here are *declared*.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cache

from regrow.auditing.collectors.folder import Statement, printable
from regrow.auditing.collectors.markdown import ITEM, Block, clean, links_in
from regrow.auditing.collectors.prose import described
from regrow.auditing.collectors.prose.words import PATTERNS
from regrow.auditing.facts import (
    AllDataFact,
    Aspect,
    Availability,
    Basis,
    Component,
    ComponentFact,
    DataAspectFact,
    DatasetFact,
    Evidence,
    Role,
    State,
)
from regrow.data import any_of, toml, whole_words
from regrow.licences.catalogue import find

Found = Sequence[tuple[Block, Evidence]]
"""The blocks of a text, each with its place."""

_MOST = 500  # rows that are read
_MOST_TOGETHER = 8  # sources that one sentence can be about
_GAP = 2  # lines from an item to the next of its list
_ITEM = re.compile(r"(?P<name>[^():;,]{1,200}?)\s*(?:[(:,;]|\s[-\u2013\u2014]\s)(?P<said>.*)")
_BETWEEN = re.compile(r"[;,()]|:\s|\.(?:\s|$)|\s[-\u2013\u2014]\s|\band\b")
_LICENSED = ("licen", "under licen", "agreement", "by agreement")
_WORD = re.compile(r"\w+")
_PINNED = re.compile(r"(?:^|[\s(,;:`])([0-9a-f]{64})(?![\w/.-]*\w)", re.IGNORECASE)  # no part of an address
_SHA256 = re.compile(r"(?:sha256:)?([0-9a-f]{64})", re.IGNORECASE)
_ADDRESS = re.compile(r"(?:doi:|hf:|git:|pypi:)\S{1,300}", re.IGNORECASE)
_CELL = re.compile(r"(?<!\\)\|")
_RULE = re.compile(r"\s*:?-+:?\s*")


def collect(found: Found) -> Iterator[Statement]:
    """What a text about data lists, whether that is all, and what it tells of each source that cannot be shared."""
    listed = _listed(found)[:_MOST]
    about = _about([fact.name for fact, _ in listed], found)
    for fact, notes in listed:
        texts = [*notes, *about.get(fact.name, ())]
        yield from aspects(fact.name, texts)
        yield replace(fact, reason=fact.reason or _why(texts))
        if fact.where:
            yield ComponentFact(Basis.DECLARED, fact.evidence, Component.DATASETS, State.PROMISED, fact.where)
    if len(listed) < _MOST and not any(_is_cut(block) for block, _ in found):
        for block, at in found:
            yield from (AllDataFact(Basis.DECLARED, at, printable(said)) for said in _sayings(block) if is_all(said))


def general(found: Found) -> Found:
    """What is about all of the data: neither a list of sources nor under a heading with the name of one."""
    named = _finder([fact.name for fact, _ in _listed(found)])
    return [(block, at) for block, at in found if not _lists(block) and not any(map(named, block.headings))]


def row(cells: Mapping[str, str], at: Evidence) -> DatasetFact:
    """What a row of a table says.

    Args:
        cells: by the headings of its columns.
        at: where it stands.
    """
    said = {column: cell for heading, cell in cells.items() if (column := _meaning("columns", heading))}
    use = _meaning("uses", said.get("use", ""))
    pinned = _SHA256.fullmatch(clean(said.get("sha256", "")))
    return DatasetFact(
        Basis.DECLARED,
        at,
        printable(clean(said.get("name", "")), 200) or "a source without a name",
        Role(use or Role.TRAINING),
        kind(said.get("availability", "")),
        printable(clean(said.get("licence", "")), 200),
        sha256=pinned[1].lower() if pinned else "",
        where=printable(_address(said.get("where", "")) or _address(said.get("name", ""))),
        reason=printable(clean(said.get("reason", ""))),
    )


def is_list(headings: Sequence[str]) -> bool:
    """Whether columns with these headings list data with its availability."""
    return {"name", "availability"} <= {_meaning("columns", heading) for heading in headings}


def kind(text: str) -> Availability:
    """The kind of availability that a text is the name of."""
    return Availability(_meaning("kinds", text) or Availability.UNKNOWN)


def aspects(name: str, texts: Found) -> Iterator[DataAspectFact]:
    """What texts about one source tell of it, each aspect once."""
    seen: set[Aspect] = set()
    for block, at in texts:
        if len(seen) == len(Aspect):
            return
        for fact in described.of_data(block, at):
            if isinstance(fact, DataAspectFact) and fact.aspect not in seen:
                seen.add(fact.aspect)
                yield replace(fact, about=name)


def is_all(said: str) -> bool:
    """Whether a sentence says that all training data is listed."""
    words = _words("complete")
    return bool(words["said"].search(said)) and not words["restricted"].search(said)


@cache
def _words(table: str) -> Mapping[str, re.Pattern[str]]:
    """A table of ``data/sources.toml``."""
    return {name: whole_words(words) for name, words in toml("auditing.collectors", "sources")[table].items()}


@cache
def _cells(table: str) -> Mapping[str, re.Pattern[str]]:
    """The same, for words that have to be all of a cell."""
    tables = toml("auditing.collectors", "sources")[table].items()
    return {name: re.compile(any_of(words), re.IGNORECASE) for name, words in tables}


def _meaning(table: str, text: str) -> str:
    """Which of a table's words a cell is; empty for none of them."""
    cell = clean(text).strip(" .:?!")
    return next((name for name, words in _cells(table).items() if words.fullmatch(cell)), "")


def _table(block: Block, at: Evidence) -> Iterator[tuple[DatasetFact, Found]]:
    """The sources of a table that lists data, each with what the row itself says of it."""
    rows = [_split(line) for line in block.text.split("\n")] if _lists(block) else []
    if len(rows) < 2 or not all(map(_RULE.fullmatch, rows[1])):
        return
    for number, row_cells in enumerate(rows[2:], block.line + 2):
        place, cells = replace(at, locator=f"line {number}"), dict(zip(rows[0], row_cells, strict=False))
        if any(row_cells):
            notes = (clean(cell) for heading, cell in cells.items() if _meaning("columns", heading) == "description")
            yield row(cells, place), [(replace(block, kind="text", text=". ".join(notes)), place)]


def _listed(found: Found) -> list[tuple[DatasetFact, Found]]:
    """Every source that is listed, with what its row or item itself says of it."""
    tables = [one for block, at in found for one in _table(block, at)]
    return tables + [one for items in _lists_of_items(found) for one in _told(items)]


def _lists_of_items(found: Found) -> Iterator[Found]:
    """The items that follow each other, without what is set in under one of them."""
    items: list[tuple[Block, Evidence]] = []
    for block, at in found:
        mark = ITEM.match(block.source) if block.kind == "text" else None
        if items and (mark is None or block.line > items[-1][0].last + _GAP):
            yield items
            items = []
        if mark and (not items or len(mark[1]) <= len(items[0][0].source) - len(items[0][0].source.lstrip())):
            items.append((block, at))
        elif items and mark:
            items[-1] = (replace(items[-1][0], last=block.last), items[-1][1])
    if items:
        yield items


def _told(items: Found) -> Iterator[tuple[DatasetFact, Found]]:
    """The sources of a list, if any of its items says how others can have it; of the other items it is unknown."""
    told = [_item(block, at) for block, at in items]
    if any(fact is not None for fact in told):
        for fact, (block, at) in zip(told, items, strict=True):
            name = printable(block.text, 60)
            unknown = DatasetFact(Basis.DECLARED, at, name, Role.TRAINING, Availability.UNKNOWN)
            yield fact or unknown, [(block, at)]


def _item(block: Block, at: Evidence) -> DatasetFact | None:
    """The source that an item names, if it says how others can have it: ``Tales (CC0-1.0): https://...``."""
    match = _ITEM.fullmatch(block.text)
    if match is None or _meaning("columns", match["name"]):  # `Licence: MIT` is about one, and is none
        return None
    parts = [part.strip() for part in _BETWEEN.split(match["said"]) if part.strip()]
    kinds = {told for part in parts if (told := kind(part)) is not Availability.UNKNOWN}
    licence = next((part for part in parts if find(part)), "")
    where = next(iter(block.links), "")
    if not kinds and (known := find(licence)) and known.open and where:
        kinds = {Availability.OPEN}
    if len(kinds) != 1:
        return None
    (availability,) = kinds
    licence = licence or next((part for part in parts if part.lower().startswith(_LICENSED)), "")
    pinned = {digest.lower() for digest in _PINNED.findall(block.text)}
    sha256 = next(iter(pinned)) if len(pinned) == 1 else ""
    name, terms = printable(match["name"], 200), printable(licence, 200)
    return DatasetFact(
        Basis.DECLARED, at, name, Role.TRAINING, availability, terms, sha256=sha256, where=printable(where)
    )


def _split(line: str) -> list[str]:
    """The cells of a row."""
    cells = _CELL.split(line.strip().removeprefix("|"))
    return [cell.strip().replace("\\|", "|") for cell in (cells if cells[-1].strip() else cells[:-1])]


def _is_cut(block: Block) -> bool:
    """Whether a table has rows that were not read."""
    return block.kind == "table" and block.text.count("\n") < block.last - block.line


def _sayings(block: Block) -> Iterator[str]:
    return block.sentences() if block.kind == "text" else iter(())


def _lists(block: Block) -> bool:
    """Whether a block is a table that lists sources."""
    return block.kind == "table" and is_list(_split(block.text.partition("\n")[0]))


def _about(names: Sequence[str], found: Found) -> Mapping[str, Found]:
    """What a text says of each source: under headings with its name, and in sentences with it."""
    named = _finder(names)
    told: dict[str, list[tuple[Block, Evidence]]] = {}
    for block, at in found:
        own = {name for title in block.headings for name in named(title)}
        said: dict[str, list[str]] = {}
        for sentence in _sayings(block):
            for name in named(sentence) - own:
                said.setdefault(name, []).append(sentence)
        for name in own:
            told.setdefault(name, []).append((block, at))
        for name, sentences in said.items():
            told.setdefault(name, []).append((replace(block, text=" ".join(sentences)), at))
    return told


def _finder(names: Sequence[str]) -> Callable[[str], frozenset[str]]:
    """A function that finds the sources that a text names: the longest names first, and only a few."""
    generic = PATTERNS["words"]["data-heading"]  # a source that is called `data` is not in every text about data
    spelt = {tuple(_WORD.findall(name.lower())): name for name in names if not generic.fullmatch(name)}
    lengths = sorted({len(words) for words in spelt} - {0}, reverse=True)

    @cache
    def find(text: str) -> frozenset[str]:
        words, place, found = tuple(_WORD.findall(text.lower())), 0, dict[str, None]()
        while place < len(words) and len(found) < _MOST_TOGETHER:
            length = next((one for one in lengths if words[place : place + one] in spelt), 0)
            if length:
                found[spelt[words[place : place + length]]] = None
            place += max(length, 1)
        return frozenset(found)

    return find


def _why(texts: Found) -> str:
    """The sentence that says why a source cannot be shared, or nothing."""
    words = _words("why")["unshareable"]
    said = (one for block, _ in texts for one in _sayings(block) if words.search(one))
    return printable(next(said, ""))


def _address(cell: str) -> str:
    """Where a cell leads; words lead nowhere."""
    found = links_in(cell)
    named = _ADDRESS.fullmatch(clean(cell))
    return next(found, "") or (named[0] if named else "")
