"""Training data: which there is, how others can have it, and what is told of it."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace

from regrow.auditing.facts import (
    AllDataFact,
    Aspect,
    Availability,
    Basis,
    Component,
    ComponentFact,
    DataAspectFact,
    DatasetFact,
    Role,
    State,
    places,
)
from regrow.auditing.lineage import Node, facts, seen
from regrow.auditing.names import plain
from regrow.auditing.result import Outcome
from regrow.auditing.rules.case import Case
from regrow.auditing.rules.predicates.components import delivered, said_of
from regrow.auditing.rules.predicates.words import in_brackets, names_of, wording
from regrow.auditing.rules.results import Result, all_of, met, not_met, not_shown, one_line, unique
from regrow.licences import find

TRAINING = (Role.TRAINING, Role.FINETUNING, Role.CALIBRATION, Role.UNKNOWN)
"""Data that went into the parameters; what is not said to be for evaluation may have."""

_OF_NOTHING = hashlib.sha256().hexdigest()
"""The hash of a file without content."""

_CARRIERS = (Component.DATA_CARD, Component.TECHNICAL_REPORT, Component.RESEARCH_PAPER)


def told(case: Case, node: Node, *, aspects: Sequence[str]) -> Result:
    """A description of the training data tells of these aspects."""
    found = _described(node)
    there = [found[Aspect(name)] for name in aspects if Aspect(name) in found]
    lacking = [name for name in aspects if Aspect(name) not in found]
    if not lacking:
        by = "" if all(fact.basis is not Basis.DECLARED for fact in there) else " by its maker, which nobody checked"
        return met(f"the training data is described{by}", there)
    missing = f"describe the training data: {', '.join(lacking)}"
    carriers = [said_of(node, name) for name in _CARRIERS]
    if all(states and {fact.state for fact in states} == {State.ABSENT} for states in carriers):
        reason = f"nothing describes the training data's {', '.join(lacking)}"
        return not_met(reason, [states[0] for states in carriers], missing=missing)
    return not_shown(f"not seen: the training data's {', '.join(lacking)}", there, missing=missing)


def data_named(case: Case, node: Node) -> Result:
    """All training data is named, each with one of the four kinds of availability."""
    sources = sources_of(node)
    missing = "list all training data, each with its availability and where to get it"
    unknown = [fact.name for fact in sources if fact.availability is Availability.UNKNOWN]
    # Of data that is listed as unshareable it is said as well that it is not given, and that is allowed.
    listed = any(fact.availability is Availability.UNSHAREABLE for fact in sources)
    withheld = [fact for fact in said_of(node, Component.DATASETS) if _is_withheld(fact) and not listed]
    if withheld and (unknown or not sources or not _complete(node, sources)):
        return not_met(f"its maker does not give the data{in_brackets(withheld[0])}", withheld, missing=missing)
    if not sources:
        return _without_sources(node, missing)
    if unknown:
        return not_shown(f"not told how one can get {names_of(unknown)}", sources, missing=missing)
    if not _complete(node, sources):
        return not_shown("data is named, but nothing says that this is all of it", sources, missing=missing)
    many = f"{len(sources)} sources of training data are named" if len(sources) > 1 else ""
    return met(many or "1 source of training data is named", sources)


def data_located(case: Case, node: Node, *, of: Sequence[str]) -> Result:
    """Of the training data, that of these kinds is listed with where to get it."""
    named = data_named(case, node)
    if named.outcome is not Outcome.MET:
        return named
    kinds = " or ".join(of)
    sources = [fact for fact in sources_of(node) if fact.availability in of]
    if lost := [fact.name for fact in sources if not _located(fact)]:
        return not_shown(
            f"not told where to get {names_of(lost)}", sources, missing=f"say where to get {names_of(lost)}"
        )
    return met(f"all {kinds} data is listed with where to get it" if sources else f"no {kinds} data", sources_of(node))


def data_seen(case: Case, node: Node, *, of: Sequence[str]) -> Result:
    """Of the training data, that of these kinds was seen: delivered, or pinned by its hash at an address."""
    named = data_named(case, node)
    if named.outcome is not Outcome.MET:
        return named
    unseen = [fact for fact in sources_of(node) if fact.availability in of and not _pinned(fact)]
    if not unseen:
        return met(f"all {' and '.join(of)} data is shared or pinned", sources_of(node))
    there = delivered(node, Component.DATASETS)
    if there.outcome is Outcome.MET:
        unseen = [fact for fact in unseen if len(sources_of(node)) > 1 and not _lies_here(node, fact)]
        if not unseen:
            return there
    names = names_of([fact.name for fact in unseen])
    missing = f"share {names}, or pin it by its hash at an address"
    if there.outcome is Outcome.NOT_MET:
        return not_met(f"{names}: looked for, not there", unseen, missing=missing)
    return not_shown(f"{names}: named, not seen", unseen, missing=missing)


def data_within(case: Case, node: Node, *, kinds: Sequence[str], listed: bool = True) -> Result:
    """All training data is of these kinds; unless it need not be ``listed``, it has to be told what all is."""
    named = data_named(case, node)
    outside = [fact for fact in sources_of(node) if fact.availability not in (*kinds, Availability.UNKNOWN)]
    if outside:
        each = {kind: names_of(fact.name for fact in outside if fact.availability is kind) for kind in Availability}
        reasons = tuple(f"{names} {wording('kinds')[kind]}" for kind, names in each.items() if names)
        missing = f"replace {names_of(fact.name for fact in outside)} by data of kind {' or '.join(kinds)}"
        return Result(Outcome.NOT_MET, reasons, places(outside), (missing,))
    return named if listed else met("no training data is said to be kept back")


def data_explained(case: Case, node: Node, *, aspects: Sequence[str]) -> Result:
    """What cannot be shared is allowed if it is told why, and these aspects of it: not only of the data as a whole."""
    named = data_named(case, node)
    if named.outcome is not Outcome.MET:
        return named
    sources = sources_of(node)
    kept = [fact for fact in sources if fact.availability is Availability.UNSHAREABLE]
    if not kept:
        return met("no unshareable data", sources)
    told: dict[str, list[DataAspectFact]] = {fact.name: [] for fact in kept}
    for fact in facts(node, DataAspectFact):
        # A lock tells of every source, and what is told of the only one is told of it.
        of_each = fact.basis is Basis.FOUND or len(sources) == 1
        for name in told if of_each else {fact.about} & told.keys():
            told[name].append(fact)
    return all_of([_explained(fact, aspects, told[fact.name]) for fact in kept])


def sources_of(node: Node) -> tuple[DatasetFact, ...]:
    """The training data, each source once. What is known speaks only where nothing that was read names any."""
    found: dict[str, DatasetFact] = {}
    used = [fact for fact in facts(node, DatasetFact) if fact.role in TRAINING]
    read = [fact for fact in used if fact.basis is not Basis.KNOWN]
    for fact in sorted(
        read or used, key=lambda fact: (fact.availability is Availability.UNKNOWN, not any(seen((fact,))))
    ):
        name = re.sub(r"[^a-z0-9]", "", fact.name.rpartition("/")[2].lower()) or fact.name
        first = found.setdefault(name, fact)
        if first.basis is fact.basis:
            twofold = fact.availability not in (first.availability, Availability.UNKNOWN)
            kind = Availability.UNKNOWN if twofold else first.availability
            found[name] = replace(first, availability=kind, where=first.where or fact.where)
    return tuple(found.values())


def _complete(node: Node, sources: Sequence[DatasetFact]) -> bool:
    """Whether a list of data is said to be all: by a lock, or by a description."""
    locked = node.collected.kind == "release" and any(fact.basis is Basis.FOUND for fact in sources)
    return locked or bool(facts(node, AllDataFact))


def _described(node: Node) -> Mapping[Aspect, DataAspectFact]:
    """What is told of all training data: of all at once, or of each source by itself."""
    spoken = facts(node, DataAspectFact)
    names = {fact.name for fact in sources_of(node)}
    of = {aspect: {fact.about for fact in spoken if fact.aspect is aspect} for aspect in Aspect}
    whole = [fact for fact in spoken if not fact.about or (names and names <= of[fact.aspect])]
    return {fact.aspect: fact for fact in (*whole, *seen(tuple(whole)))}  # what was seen stands above what is said


def _explained(source: DatasetFact, aspects: Sequence[str], spoken: Sequence[DataAspectFact]) -> Result:
    """Whether it is told of a source why it cannot be shared, and what it is."""
    name, licence = one_line(source.name, 60), find(source.licence)
    missing = f"say of {name} why it cannot be shared, and describe it by itself: {', '.join(aspects)}"
    if licence and licence.open:
        reason = f"{name} is called unshareable, but {licence.id} lets everyone share it"
        return not_shown(reason, [source], missing=f"share {name}, or say what forbids it")
    lacking = [aspect for aspect in aspects if aspect not in {fact.aspect for fact in spoken}]
    why = one_line(source.reason or source.licence, 100)
    if lacking or not why:
        untold = ", ".join([*([] if why else ["why"]), *lacking])
        allowed = "which the definition allows only of data that is described in every aspect"
        return not_shown(f"{name} cannot be shared, {allowed}; not told of it: {untold}", [source], missing=missing)
    by = "" if all(fact.basis is Basis.FOUND for fact in spoken) else " by its maker, which nobody checked"
    reason = f"{name} cannot be shared ({why}), which the definition allows: it is described in every aspect{by}"
    return met(reason, [source, *spoken])


def _without_sources(node: Node, missing: str) -> Result:
    there = delivered(node, Component.DATASETS)
    card = said_of(node, Component.DATA_CARD)
    if there.outcome is Outcome.NOT_MET and not any(one.state is not State.ABSENT for one in card):
        return Result(Outcome.NOT_MET, there.reasons, unique(there.evidence + places(card)), (missing,))
    return not_shown("no training data is named", missing=missing)


def _is_withheld(fact: ComponentFact) -> bool:
    """Whether it is said, and not only seen, that a component is not there."""
    return fact.state is State.ABSENT and fact.basis is not Basis.FOUND and bool(fact.where)


def _located(fact: DatasetFact) -> bool:
    """It is told where to get it; a path on its maker's machine is no such place."""
    return bool(fact.where) and not fact.where.startswith("file:")


def _pinned(fact: DatasetFact) -> bool:
    """Somebody saw it there: its hash is told. One digit again and again holds a place, and nothing has no content."""
    return _located(fact) and len(set(fact.sha256)) > 1 and fact.sha256 != _OF_NOTHING


def _lies_here(node: Node, fact: DatasetFact) -> bool:
    """Whether a file of data among the model's is called like a source."""
    name = plain(fact.name)
    paths = (file.path for file in node.collected.files if file.kind == "data")
    return bool(name) and any(name in plain(part) for path in paths for part in path.split("/"))
