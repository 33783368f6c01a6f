"""What holds for a scope of the audited model, once its own licences and those of its ancestors are joined."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from regrow.audit.facts import Evidence, Scope
from regrow.audit.licences.holding import Holding, Status, hold
from regrow.audit.licences.lineage import BY_PARAMETERS, Travel, name
from regrow.audit.licences.table import Licence, Right
from regrow.audit.licences.terms import Effective
from regrow.audit.result import Outcome

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


def effective(travel: Travel, scope: Scope) -> Effective:
    """What holds for a scope; ancestors count where the parameters are in it."""
    holding = hold(travel.first.collected, scope)
    losses = [*_own(holding, name(travel.first))]
    if scope in (Scope.WEIGHTS, Scope.EVERYTHING):
        losses += [*_inherited(travel)]
    outcomes = {asked: _outcome(asked, losses) for asked in _ASKED}
    worst = next((loss for loss in losses if loss.certain), losses[0] if losses else None)
    far = [loss for loss in losses if loss.origin and loss.takes]
    return Effective(
        ids=tuple(dict.fromkeys((*holding.ids, *(id for loss in far if holding.ids for id in loss.ids)))),
        open=outcomes["open"],
        osi=outcomes["osi"],
        use=outcomes[Right.USE],
        commercial=outcomes[Right.COMMERCIAL],
        modify=outcomes[Right.MODIFY],
        share=outcomes[Right.SHARE],
        reason=worst.reason if worst else f"{', '.join(holding.ids)}, by {holding.how}",
        evidence=tuple(dict.fromkeys((*holding.evidence, *(at for loss in far for at in loss.evidence)))),
        limited_by=next((loss.origin for loss in sorted(far, key=lambda loss: not loss.certain)), ""),
    )


def _outcome(asked: str, losses: list[_Loss]) -> Outcome:
    taken = [loss.certain for loss in losses if asked in loss.takes]
    return Outcome.NOT_MET if any(taken) else Outcome.NOT_SHOWN if taken else Outcome.MET


def _own(holding: Holding, called: str) -> Iterator[_Loss]:
    """What the model's own licences take."""
    yield from _unsettled(holding, called)
    for licence in holding.licences:
        takes, clause = _takes(licence)
        if takes:
            yield _Loss(takes, True, f"{licence.id}, by {holding.how}: {clause}")


def _unsettled(holding: Holding, called: str, origin: str = "") -> Iterator[_Loss]:
    if holding.status is Status.ABSENT:
        yield _Loss(_ALL, True, f"{called} has no licence, so nothing is permitted", origin, (), holding.evidence)
    elif holding.status is Status.UNRESOLVED:
        yield _Loss(
            _ALL, False, f"the terms of {called} ({holding.how}) are not known here", origin, (), holding.evidence
        )
    elif holding.status is Status.DISPUTED:
        reason = f"what is said of the terms of {called} ({holding.how}) contradicts itself"
        yield _Loss(_ALL, False, reason, origin, (), holding.evidence)
    elif holding.status is Status.UNREAD:
        yield _Loss(_ALL, False, f"no licence of {called} could be read", origin)


def _takes(licence: Licence) -> tuple[frozenset[str], str]:
    """What a licence takes from the model that is under it, and the clause that takes most."""
    limiting = sorted((clause for clause in licence.clauses if not clause.open), key=lambda clause: -len(clause.limits))
    takes = {str(right) for clause in licence.clauses for right in clause.limits}
    takes |= {str(right) for right in Right if right not in licence.permits}
    takes |= {"open"} if limiting or not licence.open else set()
    takes |= {"osi"} if not licence.osi else set()
    return frozenset(takes), limiting[0].text if limiting else "not approved by OSI"


def _inherited(travel: Travel) -> Iterator[_Loss]:
    """What ancestors take, the nearest first."""
    certain, possible = travel.reached(BY_PARAMETERS)
    for node in travel.ancestors:
        holding, called = travel.holdings[node.id], name(node)
        by_parameters = node.id in certain
        if by_parameters or node.id in possible:
            for loss in _unsettled(holding, called, node.id):
                yield _Loss(loss.takes, loss.certain and by_parameters, loss.reason, node.id, (), loss.evidence)
            for licence in holding.licences:
                takes = {str(right) for right in Right if right not in licence.permits}
                takes |= set() if licence.open else {"open"}
                takes |= set() if licence.osi else {"osi"}
                if takes:
                    reason = f"{travel.made(node)} {called}, which is under {licence.id}"
                    yield _Loss(frozenset(takes), by_parameters, reason, node.id, (licence.id,), holding.evidence)
    for arrival in travel.arrivals:
        takes = {str(right) for right in arrival.clause.limits} | (set() if arrival.clause.open else {"open", "osi"})
        takes |= {str(Right.SHARE)} if arrival.clause.name == "no-derivatives" else set()
        if takes:
            holding, called = travel.holdings[arrival.node.id], name(arrival.node)
            may = "" if arrival.certain else "may apply: "
            reason = f"{may}{travel.made(arrival.node)} {called} ({arrival.licence.id}): {arrival.clause.text}"
            yield _Loss(
                frozenset(takes), arrival.certain, reason, arrival.node.id, (arrival.licence.id,), holding.evidence
            )
