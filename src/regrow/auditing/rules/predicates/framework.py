"""Components under an open licence, as the Model Openness Framework asks for them."""

from __future__ import annotations

from collections.abc import Sequence

from regrow.auditing.facts import Component, ComponentFact, DatasetFact, Evidence, Role, Scope, State, places
from regrow.auditing.lineage import Node, facts
from regrow.auditing.result import Outcome
from regrow.auditing.rules.case import Case
from regrow.auditing.rules.predicates.components import not_there, said_of
from regrow.auditing.rules.predicates.words import name_of, names_of
from regrow.auditing.rules.results import Result, all_of, not_met, not_shown, unique
from regrow.auditing.rules.rulesets import usual_licences
from regrow.licences import find, names_none


def included(
    case: Case, node: Node, *, name: str, kind: Sequence[str], scope: str, carriers: Sequence[str] = ()
) -> Result:
    """A component of the Model Openness Framework is there under an open licence.

    Args:
        case: everything.
        node: the model.
        name: of the component.
        kind: the types of content whose usual licences suit it.
        scope: whose licence it inherits if it has none of its own.
        carriers: documents that may contain it.
    """
    states = said_of(node, Component(name))
    words = name_of(Component(name))
    there = [fact for fact in states if fact.state is State.PRESENT]
    if not there:
        return _missing_component(node, words, states, carriers)
    return all_of([_licensed(case, node, fact, kind, scope) for fact in there])


def _missing_component(node: Node, words: str, states: list[ComponentFact], carriers: Sequence[str]) -> Result:
    add = f"add the {words} under an open licence"
    within = [fact for carrier in carriers for fact in said_of(node, Component(carrier))]
    may = [fact for fact in within if fact.state is not State.ABSENT]
    if may and not any(fact.state is State.PROMISED for fact in states):
        reason = f"missing: {words}: may be in the {name_of(may[0].component)}, which was not read"
        return not_shown(reason, may, missing=add)
    return not_there(f"missing: {words}", states, add)


def _licensed(case: Case, node: Node, fact: ComponentFact, kinds: Sequence[str], scope: str) -> Result:
    """What the licence of a component that is there makes of it: its own, else of its scope, else of everything."""
    words = name_of(fact.component)
    usual = frozenset[str]().union(*(usual_licences()[kind] for kind in kinds))
    names, outcome, reason, read = _terms_of(case, node, fact, scope, usual)
    missing = f"put the {words} under an open licence"
    if outcome is Outcome.NOT_MET:
        word = "invalid" if names else "unlicensed"
        return not_met(f"{word}: {words}: {reason}", [fact], missing=missing)
    if outcome is Outcome.NOT_SHOWN:
        return not_shown(f"unlicensed: {words}: {reason}", [fact], missing=missing)
    unusual = [name for name in names if not _called(name) & usual]
    note = f"{names_of(unusual)} is open, but not among the licences meant for {' or '.join(kinds)}"
    reasons = (f"included: {words} ({', '.join(names)})", *([note] if unusual else []))
    return Result(Outcome.MET, reasons, unique((fact.evidence, *read)))


def _terms_of(
    case: Case, node: Node, fact: ComponentFact, scope: str, usual: frozenset[str]
) -> tuple[tuple[str, ...], Outcome, str, tuple[Evidence, ...]]:
    """The licences of a component, whether they will do, why, and where they were read if not beside it."""
    tags = [fact.licence] if fact.licence else []
    read: tuple[Evidence, ...] = ()
    if not tags and fact.component is Component.EVALUATION_DATA:
        judging = [one for one in facts(node, DatasetFact) if one.role is Role.EVALUATION and one.licence]
        tags, read = [one.licence for one in judging], places(judging)
    if not tags:
        effective = case.effective(node, Scope(scope))
        if effective is None:
            return (), Outcome.NOT_SHOWN, "no licence was seen", ()
        meant = bool(effective.ids) and not effective.limited_by and all(_called(one) & usual for one in effective.ids)
        outcome = Outcome.MET if meant else effective.open
        return effective.ids, outcome, effective.reason, effective.evidence
    if any(map(names_none, tags)):
        return (), Outcome.NOT_MET, "it has no licence", read
    known = [licence for tag in tags if (licence := find(tag))]
    if len(known) < len(tags):
        return (), Outcome.NOT_SHOWN, f"its licence ({names_of(tags)}) is not known", read
    closed = [one for one in known if not (one.open or one.fsf or _called(one.id) & usual)]
    said = ", ".join(f"{licence.id} is {licence.kind}" for licence in closed or known)
    return unique(one.id for one in known), Outcome.NOT_MET if closed else Outcome.MET, said, read


def _called(name: str) -> set[str]:
    licence = find(name)
    return {name.lower(), licence.spdx.lower()} if licence and licence.spdx else {name.lower()}
