"""What it would take to make a model again from the beginning.

The operations are those of the plan or as stated, else 6 x parameters x tokens. Hours are as stated: how long another
machine would take was not measured, and `regrow plan` tells it for the machine that it runs on.
"""

from __future__ import annotations

from regrow.auditing.facts import TrainingFact, places
from regrow.auditing.lineage import Lineage, facts
from regrow.auditing.result import Cost
from regrow.auditing.rules.compute import Operations, own, whole
from regrow.auditing.rules.results import as_known, one_line


def estimate(lineage: Lineage) -> Cost:
    """What making the first model of a lineage took, its ancestors included."""
    everything = whole(lineage)
    if everything.flops is not None and not everything.lacking:
        return _cost(lineage, everything.flops, _said(everything))
    alone = own(lineage, lineage.nodes[0])
    if alone.flops is None or not alone.facts:
        return _cost(lineage, None, everything.source)
    return _cost(lineage, alone.flops, f"{_said(alone)}; for the last stage only, not told for {everything.lacking}")


def _said(told: Operations) -> str:
    """How we know the operations; those that rest on the tables of known models say so."""
    known = as_known(places(told.facts))
    return f"{told.source}, {known}" if known else told.source


def _cost(lineage: Lineage, flops: float | None, source: str) -> Cost:
    stated = [fact for fact in facts(lineage.nodes[0], TrainingFact) if fact.accelerator_hours is not None]
    if stated and (flops is None or not lineage.parents(lineage.nodes[0].id)):
        hardware = one_line(stated[0].hardware, 80) or "hardware not named"
        how = source if flops is not None else f"hours stated; operations: {source}"
        return Cost(flops, stated[0].accelerator_hours, f"{hardware}, as stated", how)
    return Cost(flops, None, "", source)
