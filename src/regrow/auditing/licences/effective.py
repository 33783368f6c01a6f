"""What holds for a scope of the audited model, once its own licences and those of its ancestors are joined."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from regrow.auditing.facts import Evidence, Scope
from regrow.auditing.licences.conclusion import Conclusion, Status, conclude
from regrow.auditing.licences.inheritance import Inheritance
from regrow.auditing.licences.terms import Effective
from regrow.auditing.lineage import BY_PARAMETERS
from regrow.auditing.result import Outcome
from regrow.licences.catalogue import Licence, Right

_ASKED = ("open", "osi", *Right)
_ALL = frozenset(_ASKED)


@dataclass(frozen=True)
class _Loss:
    """Something that takes some of what is asked, or may take it."""

    takes: frozenset[str]
    certain: bool
    reason: str
    origin: str = ""
    ids: tuple[str, ...] = ()
    evidence: tuple[Evidence, ...] = ()


def effective(inheritance: Inheritance, scope: Scope) -> Effective:
    """What holds for a scope; ancestors count where the parameters are in it."""
    conclusion = conclude(inheritance.first.collected, scope)
    inherits = scope in (Scope.WEIGHTS, Scope.EVERYTHING)
    losses = [*_own(conclusion, inheritance.first.name), *(_inherited(inheritance) if inherits else ())]
    read = _read(inheritance) if inherits else ()
    # That an open licence is not on a list of approved ones takes nothing that a reason would have to speak of.
    limiting = [loss for loss in losses if loss.takes != {"osi"}]
    worst = next((loss for loss in limiting if loss.certain), limiting[0] if limiting else None)
    far = [loss for loss in losses if loss.origin and loss.takes]
    return Effective(
        ids=tuple(dict.fromkeys((*conclusion.ids, *(id for loss in far if conclusion.ids for id in loss.ids)))),
        **{str(asked): _outcome(asked, losses) for asked in _ASKED},
        reason=worst.reason if worst else f"{', '.join(conclusion.ids)}, by {conclusion.how}",
        evidence=tuple(dict.fromkeys((*conclusion.evidence, *(at for loss in far for at in loss.evidence), *read))),
        limited_by=next((loss.origin for loss in sorted(far, key=lambda loss: not loss.certain)), ""),
    )


def _read(inheritance: Inheritance) -> tuple[Evidence, ...]:
    """Where the licences of all were read whose parameters are in the model, or may be."""
    certain, possible = inheritance.reached(BY_PARAMETERS)
    return tuple(
        at
        for node in inheritance.ancestors
        if node.id in certain | possible
        for at in inheritance.conclusions[node.id].evidence
    )


def _outcome(asked: str, losses: list[_Loss]) -> Outcome:
    taken = [loss.certain for loss in losses if asked in loss.takes]
    return Outcome.NOT_MET if any(taken) else Outcome.NOT_SHOWN if taken else Outcome.MET


def _own(conclusion: Conclusion, called: str) -> Iterator[_Loss]:
    """What the model's own licences take."""
    yield from _unsettled(conclusion, called)
    for licence in conclusion.licences:
        takes, clause = _takes(licence)
        if takes:
            yield _Loss(takes, True, f"{licence.id}, by {conclusion.how}: {clause}")


def _unsettled(conclusion: Conclusion, called: str, origin: str = "") -> Iterator[_Loss]:
    reasons = {
        Status.ABSENT: f"{called} has no licence, so nothing is permitted",
        Status.UNRESOLVED: f"the terms of {called} ({conclusion.how}) are not known here",
        Status.DISPUTED: f"what is said of the terms of {called} ({conclusion.how}) contradicts itself",
        Status.UNREAD: f"no licence of {called} could be read",
    }
    if reason := reasons.get(conclusion.status):
        yield _Loss(_ALL, conclusion.status is Status.ABSENT, reason, origin, (), conclusion.evidence)


def _takes(licence: Licence) -> tuple[frozenset[str], str]:
    """What a licence takes from the model that is under it, and the clause that takes most."""
    limiting = sorted((clause for clause in licence.clauses if not clause.open), key=lambda clause: -len(clause.limits))
    takes = _denies(licence) | {str(right) for clause in licence.clauses for right in clause.limits}
    return takes | ({"open"} if limiting else set()), limiting[0].text if limiting else "not approved by OSI"


def _denies(licence: Licence) -> frozenset[str]:
    """What a licence does not give, its clauses aside."""
    given = {"open": licence.open, "osi": licence.osi}
    return frozenset(str(asked) for asked in _ASKED if not given.get(asked, asked in licence.permits))


def _inherited(inheritance: Inheritance) -> Iterator[_Loss]:
    """What ancestors take, the nearest first."""
    certain, possible = inheritance.reached(BY_PARAMETERS)
    for node in inheritance.ancestors:
        conclusion, called = inheritance.conclusions[node.id], node.name
        by_parameters = node.id in certain
        if by_parameters or node.id in possible:
            for loss in _unsettled(conclusion, called, node.id):
                yield _Loss(loss.takes, loss.certain and by_parameters, loss.reason, node.id, (), loss.evidence)
            for licence in conclusion.licences:
                if takes := _denies(licence):
                    reason = f"{inheritance.made(node)} {called}, which is under {licence.id}"
                    yield _Loss(takes, by_parameters, reason, node.id, (licence.id,), conclusion.evidence)
    for one in inheritance.clauses:
        lost = {str(right) for right in one.clause.limits} | (set() if one.clause.open else {"open", "osi"})
        lost |= {str(Right.SHARE)} if one.clause.name == "no-derivatives" else set()
        if lost:
            may = "" if one.certain else "may apply: "
            made = f"{inheritance.made(one.node)} {one.node.name} ({one.licence.id})"
            read = inheritance.conclusions[one.node.id].evidence
            ids = (one.licence.id,)
            yield _Loss(frozenset(lost), one.certain, f"{may}{made}: {one.clause.text}", one.node.id, ids, read)
