"""Model cards: the front matter that model hubs read. What the text below it says is read in :mod:`prose`."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import accumulate
from typing import Any

from regrow.auditing import names
from regrow.auditing.collectors import legal, prose
from regrow.auditing.collectors.folder import At, Folder, Statement, Text, printable
from regrow.auditing.collectors.markdown import blocks, clean
from regrow.auditing.collectors.structured import Data, mapping, read_yaml, strings, tables
from regrow.auditing.facts import (
    AccessFact,
    Availability,
    Basis,
    Component,
    ComponentFact,
    DatasetFact,
    DenialFact,
    Evidence,
    Finding,
    LicenceFact,
    NameFact,
    ParentFact,
    Relation,
    Role,
    Scope,
    State,
    TrainingFact,
    UsageFact,
)
from regrow.data import toml

NAME = "card"
PATHS = ("README.md", "MODEL_CARD.md", "model_card.md")
FRONT_MATTER_LIMIT = 256 << 10
_SHORTEST = 40  # characters of a text that tells anything
_NAMED = (Relation.FINETUNE, Relation.ADAPTER, Relation.MERGE, Relation.QUANTISED)
_RELATIONS = {"quantized": Relation.QUANTISED, **{relation.value: relation for relation in _NAMED}}
_ARXIV_TAG = re.compile(r"arxiv:(\d{4}\.\d{4,5})", re.IGNORECASE)
_GATE = "extra_gated_"
_TITLE = re.compile(
    r"#[ \t]+(?P<marked>\S.{0,300})|<h1\b[^<>]{0,300}>(?P<tagged>[^<>]{1,300})</h1>|#{2,6}\s|\s{0,3}(?:```|~~~)"
)
_AROUND = re.compile(r"^model card (?:for|of|[:-])\s*|[\s:-]*\bmodel card$", re.IGNORECASE)
_NO_NAMES = re.compile(
    r"(?:model (?:id|card|details|summary)|(?:the )?model|read ?me|introduction|overview|about|usage|news)?\W*",
    re.IGNORECASE,
)


def split(text: str) -> tuple[str, str, int]:
    """Front matter, body, and the line the body begins on."""
    lines = text.split("\n")
    if lines[0].rstrip() != "---":
        return "", text, 1
    for number, line in enumerate(lines[1:], 1):
        if line.rstrip() == "---":
            return "\n".join(lines[1:number]), "\n".join(lines[number + 1 :]), number + 2
    return "", text, 1


def collect(folder: Folder) -> Iterator[Statement]:
    """What the card says, or that there is none."""
    paths = [path for path in PATHS if folder.has(path)]
    yield from folder.texts(paths, NAME, read)
    places = {path.rpartition("/")[0] for path in (entry.path for entry in folder.find("weights"))} - {""}
    beside = [path for place in sorted(places) for name in PATHS if folder.has(path := f"{place}/{name}")]
    yield from folder.texts(beside, NAME, _read_beside)
    if not paths and folder.complete:
        yield ComponentFact(Basis.FOUND, folder.inventory(NAME), Component.MODEL_CARD, State.ABSENT, "README.md")


def read(text: Text) -> Iterator[Statement]:
    """One card."""
    front, body, line = split(text.text)
    if len(front) > FRONT_MATTER_LIMIT:
        data = Data(fault=f"its front matter has more than {FRONT_MATTER_LIMIT:,} characters")
    else:
        data = read_yaml(front, first_line=2)
    yield from data.findings(text, "card-unreadable")
    lengths = accumulate(len(block.text) for block in blocks(body))
    if any(length >= _SHORTEST for length in lengths):
        yield ComponentFact(Basis.FOUND, text.at(), Component.MODEL_CARD, State.PRESENT, text.path)
    yield from _front(data, text)
    yield from _title(text, body, line)
    yield from prose.read(text, body, line)


def _read_beside(text: Text) -> Iterator[Statement]:
    """A card that lies beside weights further down: under which licence these are, and what they were made from."""
    for said in read(text):
        if isinstance(said, LicenceFact) and said.scope is Scope.EVERYTHING:
            yield replace(said, scope=Scope.WEIGHTS)
        elif isinstance(said, LicenceFact | DenialFact | ParentFact | Finding):
            yield said


def licence(fields: Mapping[str, Any], at: Evidence, scope: Scope) -> Iterator[LicenceFact]:
    """The licences that front matter declares, whoever's it is."""
    name = next(iter(strings(fields.get("license_name"))), "")
    link = next(iter(strings(fields.get("license_link"))), "")
    tags = strings(fields.get("license")) or (["other"] if name or link else [])
    for tag in tags:
        yield legal.declared(tag, scope, at, name, link)


def _front(data: Data, text: Text) -> Iterator[Statement]:
    fields = data.value

    def at(key: str) -> Evidence:
        return text.line(data.lines[key]) if key in data.lines else text.at()

    key = next((key for key in ("license", "license_name", "license_link") if key in fields), "license")
    yield from licence(fields, at(key), Scope.EVERYTHING)
    for name in strings(fields.get("model_name"))[:1]:
        yield NameFact(Basis.DECLARED, at("model_name"), printable(name, 100))
    yield from _access(fields, at)
    parents = list(_parents(fields, at))
    yield from parents
    role = Role.FINETUNING if parents else Role.TRAINING
    for dataset in strings(fields.get("datasets")):
        where = f"hf:datasets/{dataset}" if names.is_id(dataset) else ""
        yield DatasetFact(Basis.DECLARED, at("datasets"), printable(dataset), role, Availability.UNKNOWN, where=where)
        yield ComponentFact(Basis.DECLARED, at("datasets"), Component.DATASETS, State.PROMISED, printable(dataset))
    yield from _use(fields, at)
    yield from _results(fields, at)
    yield from _emissions(fields, at)


def _title(text: Text, body: str, line: int) -> Iterator[NameFact]:
    """What the card is headed with, if that is a name."""
    for number, row in enumerate(body.split("\n"), line):
        if match := _TITLE.match(row):
            name = _AROUND.sub("", clean(match["marked"] or match["tagged"] or ""))
            if not _NO_NAMES.fullmatch(name):
                yield NameFact(Basis.DECLARED, text.line(number), printable(name, 100))
            return


def _access(fields: Mapping[str, Any], at: At) -> Iterator[Statement]:
    gate = next((key for key in fields if key.startswith(_GATE)), None)
    if gate is not None or str(fields.get("gated", "")).lower() not in ("", "false", "null", "~"):
        asked = ", ".join(printable(key, 60) for key in mapping(fields.get("extra_gated_fields")))
        said = next(iter(strings(fields.get("extra_gated_prompt"))), "")
        yield AccessFact(
            Basis.DECLARED, at(gate or "gated"), "gated", printable(f"asks for {asked}" if asked else said)
        )


def _parents(fields: Mapping[str, Any], at: At) -> Iterator[ParentFact]:
    relation = _RELATIONS.get(str(fields.get("base_model_relation", "")).strip().lower(), Relation.UNKNOWN)
    tagged: dict[str, Relation] = {}
    for tag in strings(fields.get("tags")):
        if tag.startswith("base_model:"):
            head, _, rest = tag.removeprefix("base_model:").partition(":")
            name = rest if head in _RELATIONS else tag.removeprefix("base_model:")
            tagged[name] = _RELATIONS.get(head, tagged.get(name, relation))
    declared = strings(fields.get("base_model"))
    for name in declared:
        said = relation if relation is not Relation.UNKNOWN else tagged.get(name, relation)
        yield ParentFact(Basis.DECLARED, at("base_model"), names.on_hub(name) or printable(name), said)
    for name, said in tagged.items():
        if name not in declared:
            yield ParentFact(Basis.DECLARED, at("tags"), names.on_hub(name) or printable(name), said)


def _use(fields: Mapping[str, Any], at: At) -> Iterator[Statement]:
    task = next(iter(strings(fields.get("pipeline_tag"))), "")
    if task:
        modalities = ", ".join(toml("auditing.collectors", "tasks").get(task, ()))
        yield UsageFact(Basis.DECLARED, at("pipeline_tag"), "modalities", printable(modalities or task))
    if library := next(iter(strings(fields.get("library_name"))), ""):
        yield UsageFact(Basis.DECLARED, at("library_name"), "integration", f"loads with {printable(library)}")
    if languages := ", ".join(strings(fields.get("language"))):
        yield UsageFact(Basis.DECLARED, at("language"), "languages", printable(languages))


def _results(fields: Mapping[str, Any], at: At) -> Iterator[Statement]:
    models = tables(fields.get("model-index"))
    metrics = (one for model in models for run in tables(model.get("results")) for one in tables(run.get("metrics")))
    if any(one.get("value") for one in metrics):
        yield ComponentFact(
            Basis.FOUND, at("model-index"), Component.EVALUATION_RESULTS, State.PRESENT, "README.md model-index"
        )
    for tag in strings(fields.get("tags")):
        if match := _ARXIV_TAG.fullmatch(tag):
            yield ComponentFact(
                Basis.DECLARED, at("tags"), Component.RESEARCH_PAPER, State.PROMISED, f"arXiv:{match[1]}"
            )


def _emissions(fields: Mapping[str, Any], at: At) -> Iterator[Statement]:
    if hardware := next(iter(strings(mapping(fields.get("co2_eq_emissions")).get("hardware_used"))), ""):
        yield TrainingFact(Basis.DECLARED, at("co2_eq_emissions"), hardware=printable(hardware))
