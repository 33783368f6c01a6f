"""A draft of the summary of training content that Article 53(1)(d) of the EU AI Act asks for, as Markdown.

The numbers of the sections are those of the Commission's template of July 2025. What the audit knows is filled in;
what only a person can know is marked as to be filled in; what nobody has told is "not shown", which is not "none".
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from regrow.audit.facts import Aspect, Availability, DataAspectFact, Relation, Role, TrainingFact
from regrow.audit.outputs import view
from regrow.audit.outputs.safe import markdown, whole
from regrow.audit.result import Audit
from regrow.report import ReportData, load
from regrow.report.render import size

NOT_SHOWN = "not shown"
_BILLION, _TRILLION = 10**9, 10**12
_TAUGHT = (Role.TRAINING, Role.FINETUNING, Role.UNKNOWN)
_MADE = (Relation.SYNTHETIC_DATA, Relation.DISTILLED)


@dataclass(frozen=True)
class _Set:
    """Data that was trained on."""

    name: str
    where: str
    licence: str
    availability: str
    bytes: int | None


def eu_summary(audit: Audit, release: Path | None = None) -> str:
    """The draft.

    Args:
        audit: what is known.
        release: the audited release, if it is one of ours: its manifest tells every source and its size.
    """
    data = load(release) if release else None
    sets = _sets(audit, data)
    parts = (_head(audit), _general(audit, sets, data), _sources(audit, sets, data), _processing(audit, data))
    return "\n".join(line for part in parts for line in part) + "\n"


def _person(what: str) -> str:
    return f"**[to be filled in: {what}]**"


def _sets(audit: Audit, data: ReportData | None) -> tuple[_Set, ...]:
    if data:
        return tuple(_Set(one.name, one.fetch, one.licence, one.availability, one.bytes) for one in data.sources)
    facts = (fact for fact in view.datasets(view.subject(audit)) if fact.role in _TAUGHT)
    return tuple(_Set(fact.name, fact.where, fact.licence, fact.availability, fact.bytes) for fact in facts)


def _head(audit: Audit) -> Iterator[str]:
    yield f"# Summary of training content: {markdown(audit.name)}"
    yield ""
    yield f"Draft made by regrow from an audit of {audit.date}, after the template for Article 53(1)(d) of Regulation"
    yield "(EU) 2024/1689. “Not shown” means that nothing says so; it does not mean that there is none. What stands in"
    yield "bold and brackets only the provider can know. The summary is to be renewed at least every six months."
    yield ""


def _general(audit: Audit, sets: Sequence[_Set], data: ReportData | None) -> Iterator[str]:
    yield from ("## 1. General information", "", "### 1.1 Provider", "")
    yield f"- Provider: {_person('name and contact')}"
    yield f"- Authorised representative in the Union: {_person('name and contact, or none')}"
    yield from ("", "### 1.2 Model", "")
    yield f"- Versioned name: {markdown(audit.name)}, version `{_code(audit.version)}`"
    yield from _dependencies(audit)
    yield f"- Date placed on the Union market: {_person('date')}"
    yield from ("", "### 1.3 Training data as a whole", "")
    yield f"- Modality: {_modality(audit)}"
    yield f"- Size of the training data: {_size(audit, sets)}"
    yield f"- Types of content: {_person('such as fiction, scientific text, legal text, source code')}"
    yield f"- Languages: {NOT_SHOWN}; {_person('languages')}"
    yield f"- Date of the latest data: {NOT_SHOWN}; {_person('month and year')}"
    if data:
        documents = sum(one.documents for one in data.sources)
        yield f"- Other: {documents:,} documents, each named by file, byte range, licence and sha256 in the release"
    yield ""


def _code(text: str) -> str:
    return whole(text).replace("`", "'") or NOT_SHOWN


def _dependencies(audit: Audit) -> Iterator[str]:
    edges = view.edges_from(audit, audit.lineage.nodes[0].id)
    models = [edge for edge in edges if edge.relation not in _MADE]
    if models:
        names = ", ".join(f"{edge.relation} of {markdown(edge.parent)}" for edge in models)
        yield f"- Model dependencies: {names}; {_person('links to the summaries of these models')}"
    elif view.subject(audit).kind == "release":
        yield "- Model dependencies: none, the parameters were trained from random initial values"
    else:
        yield f"- Model dependencies: {NOT_SHOWN}"


def _modality(audit: Audit) -> str:
    found = view.architecture(view.subject(audit))
    return ", ".join(markdown(one) for one in found.modalities) if found and found.modalities else NOT_SHOWN


def _size(audit: Audit, sets: Sequence[_Set]) -> str:
    """The template's range. A token is at least one byte, so few bytes are surely few tokens."""
    amounts = [one.bytes for one in sets]
    known = [amount for amount in amounts if amount is not None]
    total = sum(known)
    if known and len(known) == len(amounts) and total < _BILLION:
        return f"less than 1 billion tokens ({total:,} bytes of text)"
    training = view.best(view.subject(audit).facts, TrainingFact)
    if training is None or training.tokens is None:
        return f"{NOT_SHOWN}; {_person('range')}"
    tokens = training.tokens
    label = (
        "less than 1 billion tokens"
        if tokens < _BILLION
        else "1 billion to 10 trillion tokens"
        if tokens <= 10 * _TRILLION
        else "more than 10 trillion tokens"
    )
    return f"{label} ({tokens:,} seen in training, repeated ones counted each time)"


def _sources(audit: Audit, sets: Sequence[_Set], data: ReportData | None) -> Iterator[str]:
    kinds = {
        "2.1 Publicly available data sets": (Availability.OPEN, Availability.PUBLIC),
        "2.2 Private data sets of third parties": (Availability.OBTAINABLE, Availability.UNSHAREABLE),
        "Data whose availability is not shown": (Availability.UNKNOWN,),
    }
    yield from ("## 2. Sources of the data", "")
    if not sets:
        yield from (f"Training data: {NOT_SHOWN}. Nothing that was read names any.", "")
    for heading, availabilities in kinds.items():
        those = [one for one in sets if one.availability in availabilities]
        if those or heading.startswith("2"):
            yield from (f"### {heading}", "")
            yield from _table(those) if those else [_none(data)]
            yield ""
        if those and heading.startswith("2.2"):
            yield f"{_person('which of them are licensed commercially (2.2.1), and which come otherwise (2.2.2)')}"
            yield ""
    yield from _crawled(sets, data)
    yield from ("### 2.4 User data", "", _open_question(data, "those with data of users"), "")
    yield from _synthetic(audit, data)
    yield from ("### 2.6 Other", "", _open_question(data, "any other"), "")


def _none(data: ReportData | None) -> str:
    return "None: the release names every source, and none is of this kind." if data else f"{NOT_SHOWN.capitalize()}."


def _open_question(data: ReportData | None, what: str) -> str:
    if data:
        return (
            f"No source is marked as such; the sources above are all there are. {_person(f'confirm, or name {what}')}"
        )
    return f"{NOT_SHOWN.capitalize()}. {_person(what)}"


def _table(sets: Sequence[_Set]) -> Iterator[str]:
    yield "| name | from | licence | availability | size |"
    yield "|---|---|---|---|---:|"
    for one in sorted(sets, key=lambda one: (-(one.bytes or 0), one.name)):
        words = [markdown(text) or NOT_SHOWN for text in (one.name, one.where, one.licence, one.availability)]
        yield f"| {' | '.join(words)} | {NOT_SHOWN if one.bytes is None else size(one.bytes)} |"


def _crawled(sets: Sequence[_Set], data: ReportData | None) -> Iterator[str]:
    yield from ("### 2.3 Crawled and scraped data", "")
    if not data:
        names = "names, purpose and behaviour of crawlers, period, content, top domain names"
        yield from (f"{NOT_SHOWN.capitalize()}. {_person(names)}", "")
        return
    yield "No crawler was used: every source is a file or package that the recipe names, fetched by its sha256."
    hosts = sorted({host for one in sets if (host := _host(one.where))})
    if hosts:
        yield f"Files were fetched from these domains: {', '.join(map(markdown, hosts))}."
    yield from (f"{_person('whether a source was itself made by crawling, by whom and when')}", "")


def _host(where: str) -> str:
    try:
        return urlsplit(where).hostname or "" if where.startswith("https:") else ""
    except ValueError:
        return ""


def _synthetic(audit: Audit, data: ReportData | None) -> Iterator[str]:
    yield from ("### 2.5 Synthetic data", "")
    edges = view.edges_from(audit, audit.lineage.nodes[0].id)
    made = [
        f"{edge.relation} of {markdown(edge.parent)} ({markdown(edge.basis)})"
        for edge in edges
        if edge.relation in _MADE
    ]
    if made:
        yield from (f"- Models whose outputs were trained on: {'; '.join(made)}", f"- Modality: {_modality(audit)}")
    else:
        yield _open_question(data, "models whose outputs were trained on")
    yield ""


def _processing(audit: Audit, data: ReportData | None) -> Iterator[str]:
    yield from ("## 3. How the data was processed", "", "### 3.1 Opt-outs from text and data mining", "")
    yield f"{NOT_SHOWN.capitalize()}. {_person('measures to respect reservations of rights')}"
    yield from ("", "### 3.2 Removal of illegal content", "")
    yield f"{NOT_SHOWN.capitalize()}. {_person('measures, without giving away trade secrets')}"
    yield from ("", "### 3.3 Other", "")
    if data:
        yield from _exclusions(data)
    else:
        yield from _aspects(audit)


def _exclusions(data: ReportData) -> Iterator[str]:
    if not data.exclusions:
        yield "No document was left out."
        return
    yield from ("Documents that were read and not used:", "", "| stage | reason | documents |", "|---|---|---:|")
    for one in data.exclusions:
        yield f"| {markdown(one.stage)} | {markdown(one.reason)} | {one.documents:,} |"


def _aspects(audit: Audit) -> Iterator[str]:
    told = [
        fact
        for fact in view.of(view.subject(audit).facts, DataAspectFact)
        if fact.aspect in (Aspect.PROCESSING, Aspect.FILTERING, Aspect.SELECTION)
    ]
    yield from (f"- {fact.aspect}: {markdown(fact.text)}" for fact in told)
    if not told:
        yield f"{NOT_SHOWN.capitalize()}."
