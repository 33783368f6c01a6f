"""Licences of a lineage that cannot all hold for the audited model as it is labelled and named."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations, groupby

from regrow.auditing.facts import Collected, Finding, NameFact, Severity, places
from regrow.auditing.licences.inheritance import Inheritance, Inherited
from regrow.auditing.lineage import BY_OUTPUTS, BY_PARAMETERS, Node
from regrow.auditing.names import comparable, is_of_hub
from regrow.auditing.result import Conflict
from regrow.licences.catalogue import Licence

_PREFIX = "name-prefix"
_SAME = "same-licence"
_AGAINST_OUTPUTS = "train-others-on-output"
_AGAINST_SHARING = ("no-derivatives", "no-redistribution")
# A child's licence that says one of these says as much as the ancestor's clause.
_AS_GOOD = {
    "non-commercial": frozenset(("non-commercial", "research-only")),
    "field-list": frozenset(("field-list", "pass-use-limits")),
}


def of(inheritance: Inheritance) -> Iterator[Conflict]:
    """All conflicts, those with the nearest ancestors first."""
    for node, licence, clauses in _arrived(inheritance):
        if _same_publisher(inheritance, node):
            continue
        yield from _label(inheritance, node, licence, clauses)
        yield from _told(inheritance, node, licence, clauses)
    yield from _parents(inheritance)


def notes(inheritance: Inheritance) -> Iterator[Finding]:
    """Open questions, and licences that a publisher changed for its own model."""
    for node, licence, clauses in _arrived(inheritance):
        if licence.open and any(inherited.clause.name == _SAME for inherited in clauses):
            text = f"what the same-licence clause of {licence.id} ({node.name}) means for weights is an open question"
            yield Finding("share-alike-weights", Severity.NOTE, text, inheritance.conclusions[node.id].evidence)
        if _same_publisher(inheritance, node) and any(_label(inheritance, node, licence, clauses)):
            text = f"its publisher put it under another licence than {node.name}, which is under {licence.id}"
            yield Finding("licence-changed-by-publisher", Severity.NOTE, text, inheritance.evidence(node))


def _arrived(inheritance: Inheritance) -> Iterator[tuple[Node, Licence, list[Inherited]]]:
    """The clauses that certainly arrive, by ancestor and licence."""
    certain = [inherited for inherited in inheritance.clauses if inherited.certain]
    for _, group in groupby(certain, key=lambda inherited: (inherited.node.id, inherited.licence.id)):
        clauses = list(group)
        yield clauses[0].node, clauses[0].licence, clauses


def _label(inheritance: Inheritance, node: Node, licence: Licence, clauses: list[Inherited]) -> Iterator[Conflict]:
    """The model's own licence drops a clause that an ancestor's licence sends on."""
    own = inheritance.conclusions[inheritance.first.id].licences
    if not own or any(_keeps(ours, licence) for ours in own):
        return
    said = {clause.name for ours in own for clause in ours.clauses} - {_SAME}
    dropped = [inherited for inherited in clauses if _matters(inherited) and not said & _as_good(inherited.clause.name)]
    if dropped:
        worst = max(dropped, key=lambda inherited: len(inherited.clause.limits)).clause
        label = " and ".join(ours.id for ours in own)
        text = (
            f"labelled {label}, but {inheritance.made(node)} {node.name}, and {licence.id} goes with it: {worst.text}"
        )
        sides = (f"{inheritance.first.id} ({label})", f"{node.id} ({licence.id})")
        yield Conflict(text, sides, inheritance.evidence(node))


def _matters(inherited: Inherited) -> bool:
    """Whether a licence that drops the clause says less; notices can be kept beside any licence."""
    return inherited.clause.name == _SAME or not inherited.clause.open


def _as_good(clause: str) -> frozenset[str]:
    return _AS_GOOD.get(clause, frozenset((clause,)))


def _keeps(ours: Licence, theirs: Licence) -> bool:
    """Whether being under our licence keeps to theirs."""
    return not {ours.id, *ours.members}.isdisjoint((theirs.id, *theirs.compatible, *theirs.members))


def _told(inheritance: Inheritance, node: Node, licence: Licence, clauses: list[Inherited]) -> Iterator[Conflict]:
    """What an ancestor's licence forbids or asks whatever the model's own licence is."""
    sides = (inheritance.first.id, f"{node.id} ({licence.id})")
    for inherited in clauses:
        name = inherited.clause.name
        if name in _AGAINST_SHARING or (name == _AGAINST_OUTPUTS and _from_outputs(inheritance, node, licence)):
            text = f"{inheritance.made(node)} {node.name} ({licence.id}): {inherited.clause.text}"
            yield Conflict(text, sides, inheritance.evidence(node))
        elif name == _PREFIX:
            yield from _misnamed(inheritance, node, inherited, sides)


def _from_outputs(inheritance: Inheritance, node: Node, licence: Licence) -> bool:
    """Whether outputs of an ancestor were used for the model, and it is not itself made from one under that licence."""
    everywhere, _ = inheritance.reached(BY_OUTPUTS + BY_PARAMETERS)
    by_parameters, _ = inheritance.reached(BY_PARAMETERS)
    family = any(licence.id in inheritance.conclusions[id].ids for id in by_parameters)
    return node.id in everywhere - by_parameters and not family


def _misnamed(inheritance: Inheritance, node: Node, inherited: Inherited, sides: tuple[str, str]) -> Iterator[Conflict]:
    """The model has names, and none of them begins as the licence asks."""
    prefix, names = inherited.clause.value, list(_names(inheritance.first.collected))
    if names and not any(_plain(name).startswith(_plain(prefix)) for name in names):
        asked = f"{inherited.licence.id} of {node.name} asks for a name that begins with “{prefix}”"
        stated = places(inheritance.first.collected.of(NameFact))
        yield Conflict(f"{asked}, not “{names[0]}”", sides, (*inheritance.evidence(node), *stated))


def _names(model: Collected) -> Iterator[str]:
    """What a model is called: where it is published, and in its own files. A folder may be called anything."""
    if model.kind in ("release", "mot") or model.id.startswith("hf:"):
        yield model.name.rpartition("/")[2]
    yield from (fact.name for fact in model.of(NameFact))


def _plain(text: str) -> str:
    return "".join(letter for letter in text.casefold() if letter.isalnum())


def _parents(inheritance: Inheritance) -> Iterator[Conflict]:
    """Two ancestors whose licences cannot both be kept: one asks for itself alone, and the other for more."""
    same: dict[str, Inherited] = {}
    strict: dict[str, Inherited] = {}
    for inherited in inheritance.clauses:
        if inherited.certain and inherited.clause.name == _SAME:
            same.setdefault(inherited.licence.id, inherited)
        if inherited.certain and _matters(inherited):
            strict.setdefault(inherited.licence.id, inherited)
    for pair in combinations(strict, 2):
        a, b = (strict[id].licence for id in pair)
        if not _keeps(a, b) and not _keeps(b, a) and (a.id in same or b.id in same):
            one, other = pair if a.id in same else pair[::-1]
            yield _apart(inheritance, same[one], strict[other])


def _apart(inheritance: Inheritance, one: Inherited, other: Inherited) -> Conflict:
    text = (
        f"what is made from {one.node.name} must be under {one.licence.id} and nothing stricter, "
        f"but {other.node.name} is under {other.licence.id}: {other.clause.text}"
    )
    sides = (f"{one.node.id} ({one.licence.id})", f"{other.node.id} ({other.licence.id})")
    return Conflict(text, sides, inheritance.evidence(one.node, other.node))


def _same_publisher(inheritance: Inheritance, node: Node) -> bool:
    """Whether one account of the hub published both; it may license its own work as it likes."""
    ours, theirs = _publisher(inheritance.first.id), _publisher(node.id)
    return bool(ours) and ours == theirs


def _publisher(id: str) -> str:
    return comparable(id).partition("/")[0] if is_of_hub(id) and "/" in id else ""
