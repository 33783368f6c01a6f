"""What the licences ask of whoever uses, changes or shares the audited model."""

from __future__ import annotations

from collections.abc import Iterator

from regrow.audit.licences.inheritance import Inheritance
from regrow.audit.result import Duty


def of(inheritance: Inheritance) -> Iterator[Duty]:
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
