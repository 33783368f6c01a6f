"""What the licences of a lineage come to: the audited model's terms, its duties, and what contradicts what.

Each clause of each ancestor's licence travels down the lineage along the kinds of edge that it reaches, and no others.
What arrives is joined: a right is there only if nobody on the way took it. Along an edge of unknown kind a clause may
arrive; what it takes is then neither there nor not there.
"""

from __future__ import annotations

from collections.abc import Iterator

from regrow.auditing.facts import Finding, Scope, Severity
from regrow.auditing.licences import conflicts, datasets
from regrow.auditing.licences.conclusion import Conclusion, Status, conclude, scopes_told
from regrow.auditing.licences.effective import effective
from regrow.auditing.licences.inheritance import Inheritance
from regrow.auditing.licences.terms import Terms
from regrow.auditing.lineage import Lineage, Node
from regrow.auditing.result import Duty


def judge(lineage: Lineage) -> Terms:
    """The terms of the first model of a lineage."""
    first = lineage.nodes[0]
    inheritance = Inheritance(lineage)
    scopes = scopes_told(first.collected) | {Scope.WEIGHTS}
    if Scope.EVERYTHING in scopes:
        scopes = frozenset(Scope)
    data = datasets.judge(first.collected)
    return Terms(
        duties=tuple(dict.fromkeys((*_duties(inheritance), *data.duties))),
        conflicts=tuple(dict.fromkeys(conflicts.of(inheritance))),
        data=data.shares,
        findings=tuple(dict.fromkeys((*_findings(inheritance), *conflicts.notes(inheritance), *data.findings))),
        effective={scope: effective(inheritance, scope) for scope in Scope if scope in scopes},
    )


def _duties(inheritance: Inheritance) -> Iterator[Duty]:
    """The duties of the model's own licences, then those that arrive from ancestors, the nearest first."""
    own = inheritance.conclusions[inheritance.first.id]
    for licence in own.licences:
        for clause in licence.clauses:
            yield Duty(clause.text, licence.id, inheritance.first.id, clause.when, own.evidence)
    for inherited in inheritance.clauses:
        clause = inherited.clause
        text = clause.text if inherited.certain else f"may apply: {clause.text}"
        evidence = inheritance.conclusions[inherited.node.id].evidence
        yield Duty(text, inherited.licence.id, inherited.node.id, clause.when, evidence)


def _findings(inheritance: Inheritance) -> Iterator[Finding]:
    for node in inheritance.lineage.nodes:
        conclusion = inheritance.conclusions[node.id]
        yield from conclusion.findings
        yield from _missing(node, conclusion)
        for licence in conclusion.licences:
            if licence.mutable_terms:
                text = f"part of the terms of {licence.id} ({node.name}) can be changed by its owner; keep a dated copy"
                yield Finding("terms-can-change", Severity.NOTE, text, conclusion.evidence)
    for scope in scopes_told(inheritance.first.collected) - {Scope.WEIGHTS}:
        yield from conclude(inheritance.first.collected, scope).findings


def _missing(node: Node, conclusion: Conclusion) -> Iterator[Finding]:
    if conclusion.status is Status.ABSENT:
        text = f"{node.name} has no licence, so nothing is permitted by default"
        yield Finding("no-licence", Severity.WARNING, text, conclusion.evidence)
    elif conclusion.status is Status.UNREAD:
        text = f"the licence of {node.id} could not be read; find out what it asks"
        yield Finding("licence-unread", Severity.NOTE, text)
