"""What the licences of a lineage come to: the audited model's terms, its duties, and what contradicts what.

Each clause of each ancestor's licence travels down the lineage along the kinds of edge that it reaches, and no others.
What arrives is joined: a right is there only if nobody on the way took it. Along an edge of unknown kind a clause may
arrive; what it takes is then neither there nor not there.
"""

from __future__ import annotations

from collections.abc import Iterator

from regrow.audit.facts import Finding, Scope, Severity
from regrow.audit.licences import conflicts, datasets, duties
from regrow.audit.licences.effective import effective
from regrow.audit.licences.holding import Holding, Status, hold, told
from regrow.audit.licences.lineage import Travel, name
from regrow.audit.licences.terms import Terms
from regrow.audit.result import Lineage, Node


def judge(lineage: Lineage) -> Terms:
    """The terms of the first model of a lineage."""
    first = lineage.nodes[0]
    travel = Travel(lineage, {node.id: hold(node.collected, Scope.WEIGHTS) for node in lineage.nodes})
    scopes = told(first.collected) | {Scope.WEIGHTS}
    if Scope.EVERYTHING in scopes:
        scopes = frozenset(Scope)
    data = datasets.judge(first.collected)
    return Terms(
        duties=tuple(dict.fromkeys((*duties.of(travel), *data.duties))),
        conflicts=tuple(dict.fromkeys(conflicts.of(travel))),
        data=data.shares,
        findings=tuple(dict.fromkeys((*_findings(travel), *conflicts.notes(travel), *data.findings))),
        effective={scope: effective(travel, scope) for scope in Scope if scope in scopes},
    )


def _findings(travel: Travel) -> Iterator[Finding]:
    for node in travel.lineage.nodes:
        holding = travel.holdings[node.id]
        yield from holding.findings
        yield from _missing(travel, node, holding)
        for licence in holding.licences:
            if licence.mutable_terms:
                text = (
                    f"part of the terms of {licence.id} ({name(node)}) can be changed by its owner; keep a dated copy"
                )
                yield Finding("terms-can-change", Severity.NOTE, text, holding.evidence)
    for scope in told(travel.first.collected) - {Scope.WEIGHTS}:
        yield from hold(travel.first.collected, scope).findings


def _missing(travel: Travel, node: Node, holding: Holding) -> Iterator[Finding]:
    if holding.status is Status.ABSENT:
        yield Finding(
            "no-licence",
            Severity.WARNING,
            f"{name(node)} has no licence, so nothing is permitted by default",
            holding.evidence,
        )
    elif holding.status is Status.UNREAD:
        yield Finding(
            "licence-unread", Severity.NOTE, f"the licence of {node.id} could not be read; find out what it asks"
        )
