"""What the licences of a model grant, and whether one can have it at all."""

from __future__ import annotations

from collections.abc import Sequence

from regrow.auditing.facts import (
    AccessFact,
    Component,
    ComponentFact,
    DataAspectFact,
    DatasetFact,
    LicenceFact,
    Scope,
    State,
)
from regrow.auditing.licences import Effective, says_none
from regrow.auditing.lineage import Node, facts
from regrow.auditing.result import Outcome
from regrow.auditing.rules.case import Case
from regrow.auditing.rules.predicates.components import said_of
from regrow.auditing.rules.predicates.words import name_of, names_of, wording
from regrow.auditing.rules.results import Result, all_of, met, not_met, not_shown, one_line
from regrow.licences import find


def terms(case: Case, node: Node, *, scope: str, right: str) -> Result:
    """The terms of a scope grant a right: ``open``, ``osi``, ``use``, ``commercial``, ``modify``, ``share``."""
    effective = case.effective(node, Scope(scope))
    return _nothing_there(node, effective, scope) or _granted(effective, scope, right)


def code_terms(case: Case, node: Node, *, of: Sequence[str], right: str) -> Result:
    """The licence of each of these components that is there grants ``open`` or ``osi``: its own, else that of code."""
    there = [fact for name in of for fact in said_of(node, Component(name)) if fact.state is State.PRESENT]
    results = [_own_terms(fact, right) for fact in there if fact.licence]
    if not there:
        return not_shown("no code was seen, so there is none to judge the licence of", missing=_under("code", right))
    if len(results) < len(there):
        results.append(_granted(case.effective(node, Scope.CODE), "code", right))
    return all_of(results)


def asserted(case: Case, node: Node, *, scope: str) -> Result:
    """A licence for this scope, or for everything, is shipped with the parameters."""
    told = (fact for fact in facts(node, LicenceFact) if fact.raw and not says_none(fact))
    found = [fact for fact in told if fact.scope in (scope, Scope.EVERYTHING)]
    if found:
        return met(f"the terms of the {scope} are told ({one_line(found[0].raw, 60)})", found)
    missing = f"say under which terms the {scope} are"
    here = any(fact.state is not State.ABSENT for fact in said_of(node, Component.PARAMETERS))
    if here and node.collected.complete and node.collected.kind in ("huggingface", "release"):
        return not_met(f"nothing says under which terms the {scope} are", missing=missing)
    return not_shown(f"not seen under which terms the {scope} are", missing=missing)


def licence_kinds(case: Case, node: Node, *, scope: str, met_by: Sequence[str], arguable: Sequence[str] = ()) -> Result:
    """Each licence of the scope is of a kind in ``met_by``; one of a kind in ``arguable`` leaves it open."""
    effective = case.effective(node, Scope(scope))
    missing = f"put the {scope} under a licence without such limits, e.g. Apache-2.0"
    if nothing := _nothing_there(node, effective, scope):
        return nothing
    if effective is None or effective.open is Outcome.NOT_SHOWN:
        return not_shown(effective.reason if effective else f"no licence of the {scope} was seen", missing=missing)
    if not effective.ids:
        return Result(Outcome.NOT_MET, (effective.reason,), effective.evidence, (missing,))
    worst = all_of([_kind(name, met_by, arguable, missing) for name in effective.ids])
    return Result(worst.outcome, worst.reasons, effective.evidence, worst.missing)


def terms_fixed(case: Case, node: Node, *, scope: str) -> Result:
    """No licence of the scope lets its owner change the terms later."""
    effective = case.effective(node, Scope(scope))
    missing = f"put the {scope} under a licence whose terms are fixed"
    if effective is None or not effective.ids or effective.open is Outcome.NOT_SHOWN:
        return not_shown(f"no licence of the {scope} was identified", missing=missing)
    changing = [name for name in effective.ids if (licence := find(name)) and licence.mutable_terms]
    if changing:
        reason = f"the owner may change the terms of {names_of(changing)}"
        return Result(Outcome.NOT_MET, (reason,), effective.evidence, (missing,))
    return Result(Outcome.MET, ("the terms cannot be changed later",), effective.evidence)


def access(case: Case, node: Node, *, told: bool = False) -> Result:
    """The model can be had without account, consent or payment; unless that must be ``told``, having it is enough."""
    found = facts(node, AccessFact)
    missing = "offer the weights without gate or payment"
    if closed := [fact for fact in found if fact.access in ("paid", "private")]:
        return not_met(f"access is {closed[0].access}", closed, missing=missing)
    if gated := [fact for fact in found if fact.access != "open"]:
        return not_shown("access is gated: one has to ask", gated, missing=missing)
    weights = [fact for fact in said_of(node, Component.PARAMETERS) if fact.state is State.PRESENT]
    if found:
        return met("access is open", found)
    if weights and not told:
        return met("no gate is known", weights)
    return not_shown("not told how the weights can be had", missing="say where anyone can get the weights")


def _own_terms(fact: ComponentFact, right: str) -> Result:
    """What the licence of a component itself grants."""
    words, tag = name_of(fact.component), one_line(fact.licence or "", 60)
    missing = f"put the {words} under terms that allow {wording('rights')[right]}"
    licence = find(fact.licence or "")
    if licence is None:
        return not_shown(f"{words}: its licence ({tag}) is not known", [fact], missing=missing)
    granted = licence.osi if right == "osi" else licence.open
    return met(f"code: {licence.id}", [fact]) if granted else not_met(f"{words}: {tag}", [fact], missing=missing)


def _under(scope: str, right: str) -> str:
    """What to do so that the terms of a scope grant a right."""
    if right == "osi":
        return f"put the {scope} under a licence that is approved by the Open Source Initiative"
    return f"put the {scope} under terms that allow {wording('rights')[right]}"


def _nothing_there(node: Node, effective: Effective | None, scope: str) -> Result | None:
    """Not shown, if what the terms would be of is not here: data information, or weights that nobody gives terms for.

    A licence in a repository of code is the code's. A model card speaks of the model even where its weights lie
    elsewhere, and a model is no freer than its ancestors; so what is said of absent weights counts, and no more.
    """
    states = said_of(node, Component.DATA_CARD if scope == Scope.DOCUMENTS else Component.PARAMETERS)
    absent = all(fact.state is State.ABSENT for fact in states)
    if scope == Scope.DOCUMENTS and absent and not facts(node, DataAspectFact) and not facts(node, DatasetFact):
        return not_shown("no data information was seen", missing="describe the training data under open terms")
    said = effective is not None and (effective.ids or effective.limited_by)
    if scope == Scope.WEIGHTS and absent and (node.collected.kind == "code" or (states and not said)):
        return not_shown("no weights were seen, nor terms for them", missing="share the weights under open terms")
    return None


def _granted(effective: Effective | None, scope: str, right: str) -> Result:
    missing = _under(scope, right)
    if effective is None:
        return not_shown(f"no licence of the {scope} was seen", missing=missing)
    outcome: Outcome = getattr(effective, right)
    lines, limiting = ((), "") if outcome is Outcome.MET else ((missing,), effective.limited_by)
    # An open licence that is not on the list of approved ones takes nothing else, so its reason does not say it.
    unlisted = right == "osi" and outcome is Outcome.NOT_MET and effective.open is Outcome.MET
    reason = f"{scope}: {effective.reason}{': not approved by OSI' if unlisted else ''}"
    return Result(outcome, (reason,), effective.evidence, lines, limiting)


def _kind(name: str, met_by: Sequence[str], arguable: Sequence[str], missing: str) -> Result:
    licence = find(name)
    if licence is None:
        return not_shown(f"{name} is not a licence we know", missing=missing)
    if limits := [clause.name for clause in licence.thresholds]:
        return not_met(f"{name} has limits of scale ({', '.join(limits)})", missing=missing)
    if licence.kind in met_by:
        return met(f"{name} is {licence.kind}")
    if licence.kind in arguable:
        return not_shown(f"{name} is {licence.kind}: arguable", missing=missing)
    return not_met(f"{name} is {licence.kind}", missing=missing)
