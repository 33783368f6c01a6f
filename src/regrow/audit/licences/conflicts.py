"""Licences of a lineage that cannot all hold for the audited model as it is labelled and named."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations, groupby

from regrow.audit.facts import Finding, Severity
from regrow.audit.licences.lineage import BY_OUTPUTS, BY_PARAMETERS, Arrival, Travel, name
from regrow.audit.licences.table import Licence
from regrow.audit.result import Conflict, Node

_PREFIX = "name-prefix"
_SAME = "same-licence"
_AGAINST_OUTPUTS = "train-others-on-output"
# A child's licence that says one of these says as much as the ancestor's clause.
_AS_GOOD = {
    "non-commercial": frozenset(("non-commercial", "research-only")),
    "field-list": frozenset(("field-list", "pass-use-limits")),
}


def of(travel: Travel) -> Iterator[Conflict]:
    """All conflicts, those with the nearest ancestors first."""
    for node, licence, arrivals in _arrived(travel):
        if _same_publisher(travel, node):
            continue
        yield from _label(travel, node, licence, arrivals)
        yield from _told(travel, node, licence, arrivals)
    yield from _parents(travel)


def notes(travel: Travel) -> Iterator[Finding]:
    """Open questions, and licences that a publisher changed for its own model."""
    for node, licence, arrivals in _arrived(travel):
        if licence.open and any(arrival.clause.name == _SAME for arrival in arrivals):
            text = f"what the same-licence clause of {licence.id} ({name(node)}) means for weights is an open question"
            yield Finding("share-alike-weights", Severity.NOTE, text, travel.holdings[node.id].evidence)
        if _same_publisher(travel, node) and any(_label(travel, node, licence, arrivals)):
            text = f"its publisher put it under another licence than {name(node)}, which is under {licence.id}"
            yield Finding("licence-changed-by-publisher", Severity.NOTE, text, travel.evidence(node))


def _arrived(travel: Travel) -> Iterator[tuple[Node, Licence, list[Arrival]]]:
    """The clauses that certainly arrive, by ancestor and licence."""
    certain = [arrival for arrival in travel.arrivals if arrival.certain]
    for _, group in groupby(certain, key=lambda arrival: (arrival.node.id, arrival.licence.id)):
        arrivals = list(group)
        yield arrivals[0].node, arrivals[0].licence, arrivals


def _label(travel: Travel, node: Node, licence: Licence, arrivals: list[Arrival]) -> Iterator[Conflict]:
    """The model's own licence drops a clause that an ancestor's licence sends on."""
    own = travel.holdings[travel.first.id].licences
    if not own or any(_keeps(ours, licence) for ours in own):
        return
    said = {clause.name for ours in own for clause in ours.clauses} - {_SAME}
    dropped = [arrival for arrival in arrivals if _matters(arrival) and not said & _as_good(arrival.clause.name)]
    if dropped:
        worst = max(dropped, key=lambda arrival: len(arrival.clause.limits)).clause
        label = " and ".join(ours.id for ours in own)
        text = f"labelled {label}, but {travel.made(node)} {name(node)}, and {licence.id} goes with it: {worst.text}"
        sides = (f"{travel.first.id} ({label})", f"{node.id} ({licence.id})")
        yield Conflict(text, sides, travel.evidence(node))


def _matters(arrival: Arrival) -> bool:
    """Whether a licence that drops the clause says less; notices can be kept beside any licence."""
    return arrival.clause.name == _SAME or not arrival.clause.open


def _as_good(clause: str) -> frozenset[str]:
    return _AS_GOOD.get(clause, frozenset((clause,)))


def _keeps(ours: Licence, theirs: Licence) -> bool:
    """Whether being under our licence keeps to theirs."""
    return not {ours.id, *ours.members}.isdisjoint((theirs.id, *theirs.compatible, *theirs.members))


def _told(travel: Travel, node: Node, licence: Licence, arrivals: list[Arrival]) -> Iterator[Conflict]:
    """What an ancestor's licence forbids or asks whatever the model's own licence is."""
    sides = (travel.first.id, f"{node.id} ({licence.id})")
    for arrival in arrivals:
        if _bars_sharing(arrival) or (arrival.clause.name == _AGAINST_OUTPUTS and _from_outputs(travel, node, licence)):
            text = f"{travel.made(node)} {name(node)} ({licence.id}): {arrival.clause.text}"
            yield Conflict(text, sides, travel.evidence(node))
        elif arrival.clause.name == _PREFIX and not _named(travel, arrival.clause.value):
            called, prefix = travel.first.collected.name.rpartition("/")[2], arrival.clause.value
            text = f"{licence.id} of {name(node)} asks for a name that begins with “{prefix}”, not “{called}”"
            yield Conflict(text, sides, travel.evidence(node))


def _bars_sharing(arrival: Arrival) -> bool:
    return arrival.clause.name in ("no-derivatives", "no-redistribution")


def _from_outputs(travel: Travel, node: Node, licence: Licence) -> bool:
    """Whether outputs of an ancestor were used for the model, and it is not itself made from one under that licence."""
    everywhere, _ = travel.reached(BY_OUTPUTS | BY_PARAMETERS)
    by_parameters, _ = travel.reached(BY_PARAMETERS)
    family = any(licence.id in travel.holdings[id].ids for id in by_parameters)
    return node.id in everywhere - by_parameters and not family


def _named(travel: Travel, prefix: str) -> bool:
    called = travel.first.collected.name.rpartition("/")[2]
    return not called or _plain(called).startswith(_plain(prefix))


def _plain(text: str) -> str:
    return "".join(letter for letter in text.casefold() if letter.isalnum())


def _parents(travel: Travel) -> Iterator[Conflict]:
    """Two ancestors whose licences cannot both be kept: one asks for itself alone, and the other for more."""
    same: dict[str, Arrival] = {}
    strict: dict[str, Arrival] = {}
    for arrival in travel.arrivals:
        if arrival.certain and arrival.clause.name == _SAME:
            same.setdefault(arrival.licence.id, arrival)
        if arrival.certain and _matters(arrival):
            strict.setdefault(arrival.licence.id, arrival)
    for pair in combinations(strict, 2):
        a, b = (strict[id].licence for id in pair)
        if not _keeps(a, b) and not _keeps(b, a) and (a.id in same or b.id in same):
            one, other = pair if a.id in same else pair[::-1]
            yield _apart(travel, same[one], strict[other])


def _apart(travel: Travel, one: Arrival, other: Arrival) -> Conflict:
    text = (
        f"what is made from {name(one.node)} must be under {one.licence.id} and nothing stricter, "
        f"but {name(other.node)} is under {other.licence.id}: {other.clause.text}"
    )
    sides = (f"{one.node.id} ({one.licence.id})", f"{other.node.id} ({other.licence.id})")
    return Conflict(text, sides, travel.evidence(one.node, other.node))


def _same_publisher(travel: Travel, node: Node) -> bool:
    """Whether one account of the hub published both; it may license its own work as it likes."""
    ours, theirs = _publisher(travel.first.id), _publisher(node.id)
    return bool(ours) and ours == theirs


def _publisher(id: str) -> str:
    return id.removeprefix("hf:").partition("/")[0].casefold() if id.startswith("hf:") and "/" in id else ""
