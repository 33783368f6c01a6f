"""How the parameters were made: of what, with how much computing, and whether anybody made them again."""

from __future__ import annotations

from regrow.auditing.facts import OriginFact, ParentFact, Rebuild, RebuildFact, Relation, places
from regrow.auditing.lineage import Node, facts, without_known
from regrow.auditing.names import short
from regrow.auditing.result import Outcome
from regrow.auditing.rules.case import Case
from regrow.auditing.rules.compute import whole
from regrow.auditing.rules.predicates.words import names_of, wording
from regrow.auditing.rules.results import Result, met, not_met, not_shown, one_line, unique

_RUNGS = tuple(Rebuild)


def origin(case: Case, node: Node) -> Result:
    """It is told what the parameters were made from: a parent, or random initial values."""
    started = facts(without_known(node), OriginFact) or facts(node, OriginFact)
    edges = case.lineage.parents(node.id)
    if told := [edge for edge in edges if edge.relation is not Relation.UNKNOWN]:
        read = unique(place for edge in told for place in edge.evidence)
        return Result(Outcome.MET, ("what it was made from is told",), read or places(facts(node, ParentFact)))
    if started:
        return met(started[0].words, started)
    missing = "say from which model the parameters were made, or that they were trained from random initial values"
    if edges:  # a name in a configuration is of whatever that was once loaded from
        made = f"not told whether and how it was made from {names_of([short(edge.parent) for edge in edges])}"
        return not_shown(made, facts(node, ParentFact), missing=missing)
    return not_shown("not told what the parameters were made from", missing=missing)


def rebuilt(case: Case, node: Node, *, at_least: str, exactly: bool = False) -> Result:
    """The release was checked up to this rung, or ``exactly`` so. What reached another digest does not count."""
    need = _RUNGS.index(Rebuild(at_least))
    found = [fact for fact in facts(node, RebuildFact) if fact.digest in ("", node.collected.version)]
    reaching = [fact for fact in found if _RUNGS.index(fact.level) >= need]
    if exactly:
        reaching = [fact for fact in reaching if fact.level == at_least]
    if reaching:
        top = max(reaching, key=lambda fact: _RUNGS.index(fact.level))
        others = sorted({fact.by for fact in reaching if fact.by and fact.level is Rebuild.REBUILT_BY_OTHERS})
        by = f" ({', '.join(one_line(name, 40) for name in others)})" if others else ""
        return met(f"{top.level.replace('-', ' ')}{by}", reaching)
    return not_shown(f"not {at_least.replace('-', ' ')}", found, missing=wording("steps")[at_least])


def compute(case: Case, node: Node, *, below: float) -> Result:
    """All training of the parameters, the ancestors' included, took fewer operations than ``below``."""
    told = whole(case.lineage)
    missing = "say how many operations the training took, or parameters and tokens"
    if told.flops is not None and told.flops > below:
        return not_met(f"training took {told.flops:.1e} operations, more than {below:.0e}", told.facts, missing=missing)
    if told.flops is None or told.lacking:
        return not_shown(f"not told how many operations training took ({told.lacking})", told.facts, missing=missing)
    return met(f"training took {told.flops:.1e} operations, at most {below:.0e}", told.facts)
