"""A draft of the summary of training content that Article 53(1)(d) of the EU AI Act asks for, as Markdown.

The numbers of the sections are those of the Commission's template of July 2025. What the audit knows is filled in;
what only a person can know is marked as to be filled in; what nobody has told is "not shown", which is not "none".
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from regrow.auditing.facts import Aspect, Availability, Basis, DataAspectFact, OriginFact, Role, TrainingFact, UsageFact
from regrow.auditing.lineage import BY_OUTPUTS
from regrow.auditing.outputs import view
from regrow.auditing.outputs.safe import markdown, whole
from regrow.auditing.outputs.templates import environment, source
from regrow.auditing.result import Audit
from regrow.report import ReportData, load
from regrow.report.render import size

NOT_SHOWN = "not shown"
_BILLION, _TRILLION = 10**9, 10**12
_TAUGHT = (Role.TRAINING, Role.FINETUNING, Role.UNKNOWN)
_PROCESSING = (Aspect.PROCESSING, Aspect.FILTERING, Aspect.SELECTION)
_KINDS = {
    "2.1 Publicly available data sets": (Availability.OPEN, Availability.PUBLIC),
    "2.2 Private data sets of third parties": (Availability.OBTAINABLE, Availability.UNSHAREABLE),
    "Data whose availability is not shown": (Availability.UNKNOWN,),
}


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
    sets = sorted(_sets(audit, data), key=lambda one: (-(one.bytes or 0), one.name))
    edges = view.edges_from(audit, audit.lineage.nodes[0].id)
    first = view.subject(audit)
    template = environment(autoescape=False, markdown=markdown, size=size).from_string(source("eu_summary.md.j2"))
    return template.render(
        audit=audit,
        data=data,
        started=next((fact.words for fact in first.of(OriginFact) if fact.basis is Basis.FOUND), ""),
        version=whole(audit.version).replace("`", "'"),
        models=[edge for edge in edges if edge.relation not in BY_OUTPUTS],
        teachers=[edge for edge in edges if edge.relation in BY_OUTPUTS],
        modality=_modality(audit),
        languages="; ".join(dict.fromkeys(fact.text for fact in first.of(UsageFact) if fact.topic == "languages")),
        amount=_amount(audit, sets),
        documents=sum(one.documents for one in data.sources) if data else 0,
        sets=sets,
        kinds=[(name, [one for one in sets if one.availability in among]) for name, among in _KINDS.items()],
        hosts=sorted(set(_hosts(sets))),
        processing=[fact for fact in first.of(DataAspectFact) if fact.aspect in _PROCESSING],
    )


def _sets(audit: Audit, data: ReportData | None) -> Iterator[_Set]:
    if data:
        return (_Set(one.name, one.fetch, one.licence, one.availability, one.bytes) for one in data.sources)
    facts = (fact for fact in view.datasets(view.subject(audit)) if fact.role in _TAUGHT)
    return (_Set(fact.name, fact.where, fact.licence, fact.availability, fact.bytes) for fact in facts)


def _modality(audit: Audit) -> str:
    found = view.architecture(view.subject(audit))
    return ", ".join(markdown(one) for one in found.modalities) if found and found.modalities else NOT_SHOWN


def _amount(audit: Audit, sets: Sequence[_Set]) -> str:
    """The template's range, or empty. A token is at least one byte, so few bytes are surely few tokens."""
    known = [one.bytes for one in sets if one.bytes is not None]
    if known and len(known) == len(sets) and sum(known) < _BILLION:
        return f"less than 1 billion tokens ({sum(known):,} bytes of text)"
    training = view.best(view.subject(audit), TrainingFact)
    if training is None or training.tokens is None:
        return ""
    label = (
        "less than 1 billion tokens"
        if training.tokens < _BILLION
        else "1 billion to 10 trillion tokens"
        if training.tokens <= 10 * _TRILLION
        else "more than 10 trillion tokens"
    )
    return f"{label} ({training.tokens:,} seen in training, repeated ones counted each time)"


def _hosts(sets: Iterable[_Set]) -> Iterator[str]:
    for one in sets:
        try:
            host = urlsplit(one.where).hostname if one.where.startswith("https:") else None
        except ValueError:
            continue
        if host:
            yield host
