"""What it would take to make a model again from the beginning.

The operations are those of the plan or as stated, else 6 x parameters x tokens. Hours are as stated, else computed
for one named accelerator at an assumed share of its peak, so that they can be compared; they are no forecast.
"""

from __future__ import annotations

from regrow.auditing.facts import TrainingFact
from regrow.auditing.lineage import Lineage, facts
from regrow.auditing.result import Cost
from regrow.auditing.rules.compute import own, whole
from regrow.auditing.rules.results import one_line

PEAK = 989e12
"""Operations a second of an H100 SXM in bf16 without sparsity, by its data sheet."""

UTILISATION = 0.4
"""Of the peak; long runs of dense models usually report between 0.3 and 0.5."""

ASSUMED = "H100 SXM, assuming bf16 at 40 % of 989 TFLOP/s"


def estimate(lineage: Lineage) -> Cost:
    """What making the first model of a lineage took, its ancestors included."""
    everything = whole(lineage)
    if everything.flops is not None and not everything.lacking:
        return _cost(lineage, everything.flops, everything.source)
    alone = own(lineage, lineage.nodes[0])
    if alone.flops is None or not alone.facts:
        return _cost(lineage, None, everything.source)
    return _cost(lineage, alone.flops, f"{alone.source}; for the last stage only, not told for {everything.lacking}")


def _cost(lineage: Lineage, flops: float | None, source: str) -> Cost:
    stated = [fact for fact in facts(lineage.nodes[0], TrainingFact) if fact.accelerator_hours is not None]
    if stated and (flops is None or not lineage.parents(lineage.nodes[0].id)):
        hardware = one_line(stated[0].hardware, 80) or "hardware not named"
        how = source if flops is not None else f"hours stated; operations: {source}"
        return Cost(flops, stated[0].accelerator_hours, f"{hardware}, as stated", how)
    if flops is None:
        return Cost(None, None, "", source)
    return Cost(flops, flops / (PEAK * UTILISATION) / 3600, ASSUMED, source)
