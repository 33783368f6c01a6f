"""Data that comes with the model, and cards that describe data."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator
from pathlib import PurePosixPath

from regrow.auditing.collectors import croissant, hazards, prose
from regrow.auditing.collectors.card import licence, split
from regrow.auditing.collectors.folder import Folder, Statement, Text, printable
from regrow.auditing.collectors.prose import sources
from regrow.auditing.collectors.structured import read_yaml
from regrow.auditing.facts import Basis, Component, ComponentFact, Finding, Scope, Severity, State

NAME = "data-card"
_CARD = re.compile(r"(data[-_ ]?card|data[-_ ]?sheet|dataset[-_ ]?card|data[-_ ]?statement)[\w-]*\.(md|txt)", re.I)
_FOLDERS = frozenset(("data", "dataset", "datasets", "corpus"))
_TOKENIZED = frozenset((".npy", ".npz"))
_LIST = re.compile(r"(?:(?:data|datasets?|corpus)/)?(?:training[-_])?(?:data[-_])?sources\.[ct]sv", re.IGNORECASE)
_SAMPLE = re.compile(r"(^|[-_./])(examples?|samples?|demos?|toy|dummy|preview)(?=[-_./]|\d|$)", re.IGNORECASE)
_EVALUATION = re.compile(r"(^|/)(eval\w*|benchmarks?|test_?sets?)(/|$)", re.IGNORECASE)


def collect(folder: Folder) -> Iterator[Statement]:
    """Cards of data, and the data itself if it is there."""
    yield from folder.texts(filter(_is_card, folder.paths), NAME, _read)
    yield from folder.texts(filter(_LIST.fullmatch, folder.paths), NAME, _listed)
    yield from folder.texts(filter(croissant.PATH.fullmatch, folder.paths), croissant.NAME, croissant.read)
    there = (entry for entry in folder.find("data") if entry.size and not hazards.is_pointer(folder, entry))
    data = [entry.path for entry in there if _is_data(entry.path)]
    for wanted, component in ((False, Component.DATASETS), (True, Component.EVALUATION_DATA)):
        some = [path for path in data if bool(_EVALUATION.search(path)) is wanted]
        if any(PurePosixPath(path).suffix not in _TOKENIZED for path in some):
            yield ComponentFact(Basis.FOUND, folder.inventory(NAME), component, State.PRESENT, some[0])


def _is_data(path: str) -> bool:
    """Whether a file is among the data, and not one that only shows what the data is like or where it is."""
    shown = _SAMPLE.search(path) or _LIST.fullmatch(path)
    return PurePosixPath(path).parts[0].lower() in _FOLDERS and not shown


def _is_card(path: str) -> bool:
    place = PurePosixPath(path)
    in_folder = len(place.parts) > 1 and place.parts[0].lower() in _FOLDERS
    return bool(_CARD.fullmatch(place.name)) or (in_folder and place.name.lower() == "readme.md")


def _listed(text: Text) -> Iterator[Statement]:
    """A table of sources with the columns that a card's may have."""
    rows = csv.reader(io.StringIO(text.text), delimiter="\t" if text.path.endswith(".tsv") else ",")
    try:
        headings, *lines = [(row, rows.line_num) for row in rows if any(row)] or [([], 0)]
    except csv.Error as error:
        said = f"{printable(text.path)} cannot be read: {printable(str(error))}"
        yield Finding("card-unreadable", Severity.WARNING, said, (text.at(),))
        return
    if sources.is_list(headings[0]):
        yield from (sources.row(dict(zip(headings[0], row, strict=False)), text.line(line)) for row, line in lines)


def _read(text: Text) -> Iterator[Statement]:
    front, body, line = split(text.text)
    data = read_yaml(front, first_line=2)
    yield from data.findings(text, "card-unreadable")
    yield ComponentFact(Basis.FOUND, text.at(), Component.DATA_CARD, State.PRESENT, text.path)
    at = text.line(data.lines["license"]) if "license" in data.lines else text.at()
    yield from licence(data.value, at, Scope.DATA)
    yield from prose.aspects(text, body, line)
