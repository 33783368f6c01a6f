"""The whole judgement: parts and freedoms in one word each, and each definition with its class and what is lacking."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import groupby
from typing import Literal

from regrow.auditing import licences
from regrow.auditing.facts import ComponentFact, Fact, Rebuild, RebuildFact, State
from regrow.auditing.licences import Terms
from regrow.auditing.lineage import BY_OUTPUTS, Lineage, Node, chain, facts
from regrow.auditing.names import short
from regrow.auditing.result import Answer, Claim, Definition, Outcome, Verdict
from regrow.auditing.rules import evaluation
from regrow.auditing.rules.case import Case
from regrow.auditing.rules.eu import notes as eu_notes
from regrow.auditing.rules.results import all_of, one_line, unique, worst
from regrow.auditing.rules.rulesets import Rule, RuleSet, ruleset

_WORDS = {Outcome.MET: "yes", Outcome.NOT_MET: "no", Outcome.NOT_SHOWN: "not shown"}
_CLASSES = ("III", "II", "I")
_RUNGS = tuple(rung.value for rung in Rebuild)


@dataclass(frozen=True)
class Judgement:
    """What the rules say of a model.

    Attributes:
        parts: data, training code, weights, inference.
        freedoms: use, study, modify, share, rebuild, fork.
        definitions: each with its verdicts.
        osaid: the outcome of the Open Source AI Definition.
        mof_class: ``I``, ``II``, ``III`` or None.
        mof_class_basis: whether that is the class as delivered, or as a listing has it.
    """

    parts: tuple[Answer, ...]
    freedoms: tuple[Answer, ...]
    definitions: tuple[Definition, ...]
    osaid: Outcome
    mof_class: str | None
    mof_class_basis: Literal["delivered", "listed"]


def judge(
    lineage: Lineage,
    terms: Terms,
    claims: Sequence[Claim] = (),
    terms_of: Callable[[Lineage], Terms] = licences.judge,
) -> Judgement:
    """Judge a model by every definition.

    Args:
        lineage: the model and its ancestors.
        terms: of the audited model.
        claims: what its maker says, against what was found.
        terms_of: gives the terms of an ancestor, taken for itself.
    """

    @cache
    def of(node: Node) -> Terms:
        return terms if node is lineage.nodes[0] else terms_of(Lineage((node,), ()))

    whole = {node.id: node for node in lineage.nodes}
    case = Case(lineage, lambda node: of(whole.get(node.id, node)))
    osaid = _definition("osaid-1.0", case, _osaid_notes(case, claims))
    eu = _definition("eu-ai-act-53-2", case, eu_notes(lineage))
    mof, listed = _mof(case), _as_listed(lineage.nodes[0], of)
    definitions = (osaid, mof, *listed, eu, _ladder(case))
    return Judgement(
        parts=_answers(ruleset("part"), case),
        freedoms=_answers(ruleset("freedom"), case),
        definitions=definitions,
        osaid=osaid.outcome,
        mof_class=(listed or (mof,))[0].level or None,
        mof_class_basis="listed" if listed else "delivered",
    )


def _answers(rules: RuleSet, case: Case) -> tuple[Answer, ...]:
    """One answer for the rules that share the first word of their ids."""
    named = groupby(rules.rules, key=lambda rule: rule.id.split("/")[1])
    return tuple(_answer(name, list(group), case) for name, group in named)


def _answer(name: str, rules: Sequence[Rule], case: Case) -> Answer:
    result = all_of([one for rule in rules if (one := evaluation.judge(rule, case))])
    return Answer(name, _WORDS[result.outcome], result.reason, result.evidence, result.limited_by)


def _verdicts(rules: RuleSet, case: Case) -> tuple[Verdict, ...]:
    return tuple(verdict for rule in rules.rules if (verdict := evaluation.verdict(rule, case)))


def _missing(verdicts: Iterable[Verdict]) -> tuple[str, ...]:
    return unique(line for verdict in verdicts for line in verdict.missing)


def _definition(name: str, case: Case, notes: Iterable[str]) -> Definition:
    """A definition that is met if all of its rules are."""
    rules = ruleset(name)
    verdicts = _verdicts(rules, case)
    outcome = worst(verdict.outcome for verdict in verdicts)
    return Definition(rules.id, rules.title, outcome, "", verdicts, _missing(verdicts), tuple(notes))


def _osaid_notes(case: Case, claims: Sequence[Claim]) -> Iterable[str]:
    yield "This is our verdict; nobody certifies systems under this definition."
    yield from _teachers(case)
    yield from (f"Claimed, not delivered: {one_line(one.text)}" for one in claims if one.outcome is not Outcome.MET)


def _teachers(case: Case) -> Iterable[str]:
    """Models whose outputs were training data: a fact to report, on which the definition is silent."""
    line = {ancestor.node.id for ancestor in chain(case.lineage)}
    for edge in case.lineage.edges:
        if edge.child in line and edge.relation in BY_OUTPUTS:
            yield (
                f"Outputs of {short(edge.parent)} were training data of {short(edge.child)}; the definition does not "
                "say whether such a teacher has to be open, so nothing here depends on it."
            )


def _mof(case: Case) -> Definition:
    rules = ruleset("mof")
    verdicts = _verdicts(rules, case)
    needed = {rule.id: rule.level for rule in rules.rules if rule.required}
    of = {level: [one for one in verdicts if needed.get(one.rule) == level] for level in _CLASSES}
    reached = ""
    for level in _CLASSES:
        if worst(one.outcome for one in of[level]) is not Outcome.MET:
            break
        reached = level
    following = _after(_CLASSES, reached)
    outcome = Outcome.MET if reached else worst(one.outcome for one in of[_CLASSES[0]])
    notes = tuple(f"{one.title}: {one.reason}" for one in verdicts if ", but not among" in one.reason)
    return Definition(rules.id, rules.title, outcome, reached, verdicts, _missing(of.get(following, ())), notes)


def _as_listed(node: Node, terms_of: Callable[[Node], Terms]) -> tuple[Definition, ...]:
    """The class that a listing gives the model, were all that it lists there; it knows of no ancestors."""
    if node.collected.kind != "mot":
        return ()
    believed = replace(node, collected=replace(node.collected, facts=tuple(map(_believed, node.collected.facts))))
    found = _mof(Case(Lineage((believed,), ()), terms_of))
    verdicts = tuple(replace(one, reason=f"as listed: {one.reason}") for one in found.verdicts)
    notes = ("This is what the listing says; none of it was seen.", *found.notes)
    return (replace(found, id=f"{found.id}-listed", title=f"{found.title}, as listed", verdicts=verdicts, notes=notes),)


def _believed(fact: Fact) -> Fact:
    if isinstance(fact, ComponentFact) and fact.state is State.PROMISED:
        return replace(fact, state=State.PRESENT)
    return fact


def _ladder(case: Case) -> Definition:
    rules = ruleset("ladder")
    verdicts = _verdicts(rules, case)
    levels = {rule.id: rule.level for rule in rules.rules}
    met = [levels[one.rule] for one in verdicts if one.outcome is Outcome.MET]
    reached = max(met, key=_RUNGS.index, default="")
    following = _after(_RUNGS, reached)
    lacking = _missing(one for one in verdicts if levels[one.rule] == following)
    outcome = Outcome.MET if reached else Outcome.NOT_SHOWN
    return Definition(rules.id, rules.title, outcome, reached, verdicts, lacking, tuple(_ladder_notes(case)))


def _ladder_notes(case: Case) -> Iterable[str]:
    model = case.lineage.nodes[0]
    found = facts(model, RebuildFact)
    counted = [fact for fact in found if fact.digest in ("", model.collected.version)]
    if others := {fact.by for fact in counted if fact.level is Rebuild.REBUILT_BY_OTHERS and fact.by}:
        names = ", ".join(one_line(name, 60) for name in sorted(others))
        yield f"Rebuilt by {len(others)} others: {names}."
    if away := len(found) - len(counted):
        yield f"Not counted, being about another digest: {away} of {len(found)} statements."
    if ancestors := [short(one.node.id) for one in chain(case.lineage)[1:]]:
        yield f"A rung speaks of the stages of this release only; it takes {', '.join(ancestors)} as given."


def _after(steps: Sequence[str], reached: str) -> str:
    """The step after the one that was reached, or empty."""
    index = steps.index(reached) + 1 if reached else 0
    return steps[index] if index < len(steps) else ""
