"""What the licences ask of whoever uses, changes or shares the audited model."""

from __future__ import annotations

from collections.abc import Iterator

from regrow.audit.licences.lineage import Travel
from regrow.audit.result import Duty


def of(travel: Travel) -> Iterator[Duty]:
    """The duties of the model's own licences, then those that arrive from ancestors, the nearest first."""
    own = travel.holdings[travel.first.id]
    for licence in own.licences:
        for clause in licence.clauses:
            yield Duty(clause.text, licence.id, travel.first.id, clause.when, own.evidence)
    for arrival in travel.arrivals:
        clause = arrival.clause
        text = clause.text if arrival.certain else f"may apply: {clause.text}"
        evidence = travel.holdings[arrival.node.id].evidence
        yield Duty(text, arrival.licence.id, arrival.node.id, clause.when, evidence)
