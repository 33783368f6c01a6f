"""A rule against a case: evaluate what it needs, for one model or along the whole chain of its parameters."""

from __future__ import annotations

from dataclasses import replace

from regrow.auditing.lineage import Ancestor, Node, chain, mechanical, without_known
from regrow.auditing.names import short
from regrow.auditing.result import Outcome, Verdict
from regrow.auditing.rules.case import Case
from regrow.auditing.rules.predicates import PREDICATES, TAKES_KNOWN
from regrow.auditing.rules.results import (
    Result,
    all_of,
    any_of,
    as_known,
    capped,
    limited,
    one_line,
    rank,
    unique,
)
from regrow.auditing.rules.rulesets import Leaf, Needs, Rule


def verdict(rule: Rule, case: Case) -> Verdict | None:
    """The verdict of a rule, or None if the rule does not apply to any model of the case."""
    result = judge(rule, case)
    if result is None:
        return None
    return Verdict(
        rule.id,
        rule.title,
        result.outcome,
        result.reason,
        reading=rule.reading or bool(result.limited_by),
        evidence=result.evidence,
        limited_by=result.limited_by,
        missing=result.missing,
    )


def judge(rule: Rule, case: Case) -> Result | None:
    """The result of a rule: of the audited model, or of the weakest in the chain of its parameters."""
    whole = chain(case.lineage) if rule.along else chain(case.lineage)[:1]
    line = tuple(one for one in whole if _applies(rule, case, one.node))
    if not line and rule.mechanical == "only":
        return None
    line = line or whole[:1]  # a circle of conversions: nothing in it was ever trained, so far as is told
    results = [_result(rule, case, one) for one in line]
    # The nearest of the worst decides: what the model itself lacks comes before what its ancestors lack.
    weakest = min(range(len(line)), key=lambda i: rank(results[i].outcome))
    node, result = line[weakest].node, results[weakest]
    if result.outcome is Outcome.MET:
        return replace(result, evidence=unique(place for one in results for place in one.evidence))
    return result if node is case.lineage.nodes[0] else _limited(result, node)


def _limited(result: Result, ancestor: Node) -> Result:
    """What an ancestor lacks, said of the audited model."""
    name = short(ancestor.id)
    reasons = (f"{limited(ancestor.id)}{result.reason}",)
    missing = tuple(f"of {name}: {line}" for line in result.missing)
    return replace(result, reasons=reasons, missing=missing, limited_by=ancestor.id)


def evaluate(needs: Needs, case: Case, node: Node) -> Result:
    """A tree of needs for one model."""
    if isinstance(needs, Leaf):
        return _asked(needs, case, node)
    results = [evaluate(need, case, node) for need in needs.needs]
    return all_of(results) if needs.how == "all" else any_of(results)


def _asked(leaf: Leaf, case: Case, node: Node) -> Result:
    """What a predicate says: the table of known models can speak against a model, and shows nothing of it.

    It may tell the origin of parameters, and terms, and the reason then says that they are known; but it has delivered
    nothing, and nobody has seen there what it says.
    """
    predicate, seen = PREDICATES[leaf.predicate], without_known(node)
    told = predicate(case, node, **leaf.parameters)
    takes_all = seen is node or leaf.predicate in TAKES_KNOWN
    read = told if takes_all else predicate(case, seen, **leaf.parameters)
    known = as_known(told.evidence)
    if rank(told.outcome) > rank(read.outcome):
        return replace(read, reasons=(*read.reasons, f"only {known}, not seen"))
    if Outcome.MET is told.outcome is read.outcome:
        return read
    return replace(told, reasons=(*told.reasons[:-1], f"{told.reasons[-1]}, {known}")) if known else told


def _result(rule: Rule, case: Case, ancestor: Ancestor) -> Result:
    result = _as_far_as_read(evaluate(rule.needs, case, ancestor.node), ancestor.node)
    return result if ancestor.sure else capped(result, "how the child was made from it is not told")


def _as_far_as_read(result: Result, node: Node) -> Result:
    """What was not shown may stand in a file that is too large to be read: that is no sign that it is nowhere."""
    large = [place for one in node.collected.findings if one.id == "file-too-large" for place in one.evidence]
    if result.outcome is not Outcome.NOT_SHOWN or not large:
        return result
    first, *others = result.reasons
    named = f"{one_line(large[0].file, 60)} is too large to be read"
    reasons = (f"{first}, as far as was read: {named}", *others)
    return replace(result, reasons=reasons, evidence=unique((*result.evidence, large[0])))


def _applies(rule: Rule, case: Case, node: Node) -> bool:
    if not rule.mechanical:
        return True
    return mechanical(case.lineage, node) == (rule.mechanical == "only")
