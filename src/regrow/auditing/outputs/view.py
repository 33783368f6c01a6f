"""What several outputs ask of an audit."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from functools import cache
from typing import Any

from regrow.auditing.facts import (
    ArchitectureFact,
    Basis,
    Collected,
    DatasetFact,
    Evidence,
    F,
    LicenceFact,
    Scope,
    Severity,
)
from regrow.auditing.lineage import Edge
from regrow.auditing.names import short
from regrow.auditing.outputs.safe import plain
from regrow.auditing.result import Answer, Audit, Cost, Definition, Duty, Outcome, Verdict
from regrow.data import toml
from regrow.licences import find
from regrow.report.render import seconds

_RANK = {basis.value: rank for rank, basis in enumerate((Basis.FOUND, Basis.KNOWN, Basis.DECLARED))}
"""How far a fact or an edge can be relied on; 0 is best."""


def duties(audit: Audit) -> list[tuple[str, list[Duty]]]:
    """The duties by the moment at which they hold, with a heading for each."""
    headings = toml("auditing.outputs", "words")["moments"]
    moments = [*headings, *sorted({duty.when for duty in audit.duties} - set(headings))]
    grouped = [(headings.get(when, when), [duty for duty in audit.duties if duty.when == when]) for when in moments]
    return [(heading, found) for heading, found in grouped if found]


def reminders(audit: Audit) -> dict[str, str]:
    """How many duties there are and whose licences ask them, and what conflicts with what: a line each, or empty."""
    asking: dict[str, dict[str, None]] = {}
    for one in audit.duties:
        asking.setdefault(plain(one.licence), {})[plain(short(one.origin))] = None
    licences = "; ".join(f"{name} (of {', '.join(origins)})" for name, origins in asking.items())
    duties = f"{len({one.text for one in audit.duties})} from {licences}" if asking else ""
    conflicts = dict.fromkeys(" against ".join(map(plain, one.between)) for one in audit.conflicts)
    return {"duties": duties, "conflicts": "; ".join(conflicts)}


def subject(audit: Audit) -> Collected:
    """What was read of the audited model itself."""
    return audit.lineage.nodes[0].collected


def best(collected: Collected, kind: type[F]) -> F | None:
    """The fact of one kind to rely on: found before known before declared, the first of each."""
    return min(collected.of(kind), key=lambda fact: _RANK[fact.basis], default=None)


def architecture(collected: Collected) -> ArchitectureFact | None:
    """What the model is, as far as it was read."""
    return best(collected, ArchitectureFact)


def numbers(collected: Collected) -> Iterator[tuple[str, str]]:
    """The numbers that describe a model, by their names, and the types of its tensors."""
    if found := architecture(collected):
        told = {"parameters": found.parameters, "context": found.context}
        yield from ((name, str(value)) for name, value in told.items() if value is not None)
        yield from (("dtype", dtype) for dtype in found.dtypes)


def licence_facts(collected: Collected, *scopes: Scope) -> list[LicenceFact]:
    """Licences for any of the scopes, the found ones first."""
    facts = [fact for fact in collected.of(LicenceFact) if fact.scope in scopes]
    return sorted(facts, key=lambda fact: _RANK[fact.basis])


def licence_name(fact: LicenceFact) -> str:
    """What to call a licence: its id, or what was written where that says more, as which versions will do."""
    written = spdx_expression(fact.raw) if fact.id and fact.basis is not Basis.FOUND else None
    return written if written and written != spdx_expression(fact.id or "") else fact.id or fact.name or fact.raw


def concluded(fact: LicenceFact) -> bool:
    """Whether a licence was concluded from what was seen: its text was read, and is one that is known."""
    return fact.basis is Basis.FOUND and fact.id is not None


def billed_licence(fact: LicenceFact) -> str:
    """What to call a licence where many stand together: a text that nobody has identified by its place."""
    unknown = fact.basis is Basis.FOUND and fact.id is None
    return f"text in {fact.raw}, not identified" if unknown else licence_name(fact)


def remarks(audit: Audit) -> Iterator[str]:
    """Each conflict and each finding, with where it was read, for formats that have no field for either."""
    for conflict in audit.conflicts:
        between = " against ".join(conflict.between)
        yield f"conflict between licences: {conflict.text} ({between}){_at(conflict.evidence)}"
    for finding in audit.findings:
        yield f"{finding.severity}: {finding.id}: {finding.text}{_at(finding.evidence)}"


def _at(evidence: tuple[Evidence, ...]) -> str:
    return f" [{'; '.join(dict.fromkeys(map(place, evidence)))}]" if evidence else ""


def licence_names(collected: Collected) -> tuple[str, ...]:
    """What the licences of the weights are called, each once."""
    facts = licence_facts(collected, Scope.WEIGHTS) or licence_facts(collected, Scope.EVERYTHING)
    return tuple(dict.fromkeys(map(billed_licence, facts)))


def datasets(collected: Collected) -> tuple[DatasetFact, ...]:
    """The data, one fact per name and role: of several, the one to rely on."""
    groups: dict[tuple[str, str], list[DatasetFact]] = {}
    for fact in collected.of(DatasetFact):
        groups.setdefault((fact.name, fact.role), []).append(fact)
    return tuple(min(facts, key=lambda fact: _RANK[fact.basis]) for facts in groups.values())


def edges_from(audit: Audit, child: str) -> list[Edge]:
    """What a model was made from, each parent and relation once, the best known first."""
    ours = [edge for edge in audit.lineage.edges if edge.child == child]
    edges = sorted(ours, key=lambda edge: _RANK.get(edge.basis, len(_RANK)))
    return list({(edge.parent, edge.relation): edge for edge in reversed(edges)}.values())[::-1]


def limiting(audit: Audit) -> frozenset[str]:
    """The ancestors that limit an answer or a verdict."""
    judged: list[Answer | Verdict] = [*audit.parts, *audit.freedoms]
    judged += (verdict for definition in audit.definitions for verdict in definition.verdicts)
    return frozenset(one.limited_by for one in judged if one.limited_by)


def standing(definition: Definition) -> str:
    """How a model stands under a definition, in a word or two."""
    if has_classes(definition):
        none = "not shown" if definition.outcome is Outcome.NOT_SHOWN else "no class"
        return f"class {definition.level}" if definition.level else none
    return definition.level.replace("-", " ") or definition.outcome


def tone(definition: Definition) -> str:
    """How a standing is coloured. A rung of the ladder is good news from where somebody has rebuilt the model."""
    if definition.id == "ladder":
        return "met" if definition.level.startswith("rebuilt") else ""
    return outcome_class(definition.outcome)


def next_heading(definition: Definition) -> str:
    """What the list of next steps leads to."""
    if has_classes(definition):
        return "To reach the next class:"
    return "To reach the next rung:" if definition.id == "ladder" else "To meet it:"


def has_classes(definition: Definition) -> bool:
    """Whether it is the Model Openness Framework, as delivered or as listed."""
    return definition.id in ("mof", "mof-listed")


def outcome_class(value: str) -> str:
    """``met``, ``not-met`` or ``not-shown``, of an outcome or of an answer."""
    return {"yes": "met", "no": "not-met"}.get(value, value.replace(" ", "-"))


def cost_words(cost: Cost) -> str:
    """What a rebuild would take, in one line."""
    parts = []
    if cost.accelerator_hours is not None:
        parts.append(f"{_duration(cost.accelerator_hours)} on one {cost.accelerator or 'accelerator'}")
    if cost.flops is not None:
        parts.append(f"{_power(cost.flops)} operations")
    return f"{', '.join(parts)} ({cost.source})" if parts else f"not shown: {cost.source}"


def _duration(hours: float) -> str:
    if hours * 3600 < 1:
        return "less than a second"
    return seconds(hours * 3600) if hours < 48 else f"{hours:,.0f} hours"


def _power(value: float) -> str:
    return f"{value:.2g}".replace("e+", "e")


def alarms(audit: Audit) -> str:
    """What a reader of the answer alone must not miss, in one line; empty if there is nothing."""
    severities = Counter(finding.severity for finding in audit.findings)
    demands = Counter(check.outcome for check in audit.policy)
    counts = {
        "conflict between licences": len(audit.conflicts),
        "contradiction between facts": severities[Severity.CONFLICT],
        "warning": severities[Severity.WARNING],
    }
    told = [f"{count} {_plural(name, count)}" for name, count in counts.items() if count]
    policy = [
        f"{demands[outcome]} of {len(audit.policy)} demands of your policy {outcome}"
        for outcome in (Outcome.NOT_MET, Outcome.NOT_SHOWN)
        if demands[outcome]
    ]
    return ", ".join([*told, *policy])


def _plural(name: str, count: int) -> str:
    first, _, rest = name.partition(" ")
    return " ".join(filter(None, [first + "s" * (count != 1), rest]))


def place(evidence: Evidence) -> str:
    """Where something was read, in one line."""
    return f"{evidence.file}, {evidence.locator}" if evidence.locator else evidence.file


def digest_of(version: str) -> dict[str, str]:
    """A version as a set of digests, named as in-toto names them; empty if it is not one."""
    if re.fullmatch("[0-9a-f]{64}", version):
        return {"sha256": version}
    return {"gitCommit": version} if re.fullmatch("[0-9a-f]{40}", version) else {}


def spdx_expression(text: str) -> str | None:
    """A licence as an SPDX expression, or None if it is none, or names a licence that SPDX does not know."""
    from license_expression import ExpressionError

    if not text or len(text) > 200 or not text.isascii():
        return None
    try:
        parsed = _spdx().parse(text, validate=True)
    except (ExpressionError, RecursionError, IndexError):  # the last of brackets around nothing
        parsed = None
    if parsed is not None and "LicenseRef" not in str(parsed):  # what is parsed cannot be asked for its truth
        return str(parsed)
    known = find(text)
    return (known.spdx or None) if known else None


@cache
def _spdx() -> Any:
    from license_expression import get_spdx_licensing

    return get_spdx_licensing()


def outcome_word(outcome: Outcome) -> str:
    """Of a claim: what became of it."""
    return {Outcome.MET: "delivered", Outcome.NOT_MET: "not delivered"}.get(outcome, str(outcome))


def package_url(identity: str) -> str:
    """What the world calls a model with an id like ``hf:org/name@revision`` or ``pypi:name==version``; empty for any
    other id.
    """
    if match := re.fullmatch(r"hf:(\w[\w.-]*)/(\w[\w.-]*)(?:@(\w[\w.-]*))?", identity, re.ASCII):
        return f"pkg:huggingface/{match[1]}/{match[2]}" + (f"@{match[3].lower()}" if match[3] else "")
    if match := re.fullmatch(r"pypi:(\w[\w.-]*)==(\w[\w.]*)(?:#.*)?", identity, re.ASCII):
        return f"pkg:pypi/{re.sub(r'[-_.]+', '-', match[1]).lower()}@{match[2]}"
    return ""
