"""What rules can ask about one model. Each is a pure function of the case, the model and its own parameters.

All keep to the same three values. *Met* needs a fact that shows it. *Not met* needs a fact that shows the contrary:
it was looked for and is not there, or the terms forbid it. Everything else, a promise included, is *not shown*.
What is only known, :mod:`regrow.auditing.rules.evaluation` keeps from all that ask for more.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace

from regrow.auditing.data import toml
from regrow.auditing.facts import (
    AccessFact,
    AllDataFact,
    ArchitectureFact,
    Aspect,
    Availability,
    Basis,
    Component,
    ComponentFact,
    DataAspectFact,
    DatasetFact,
    Evidence,
    Fact,
    LicenceFact,
    OriginFact,
    ParentFact,
    Rebuild,
    RebuildFact,
    Relation,
    Role,
    Scope,
    State,
    UsageFact,
    places,
)
from regrow.auditing.licences import Effective, find, names_none, says_none
from regrow.auditing.lineage import Node, facts, seen, without_known
from regrow.auditing.names import plain, short
from regrow.auditing.result import Outcome
from regrow.auditing.rules.case import Case
from regrow.auditing.rules.compute import whole
from regrow.auditing.rules.results import Result, all_of, met, not_met, not_shown, one_line, rank, unique
from regrow.auditing.rules.rulesets import usual_licences

TRAINING = (Role.TRAINING, Role.FINETUNING, Role.CALIBRATION, Role.UNKNOWN)
"""Data that went into the parameters; what is not said to be for evaluation may have."""

_CARRIERS = (Component.DATA_CARD, Component.TECHNICAL_REPORT, Component.RESEARCH_PAPER)
_RUNGS = tuple(Rebuild)


def component(case: Case, node: Node, *, any_of: Sequence[str]) -> Result:
    """One of these components of the Model Openness Framework is there."""
    results = [_component(node, Component(name)) for name in any_of]
    return _first_best(results)


def told(case: Case, node: Node, *, aspects: Sequence[str]) -> Result:
    """A description of the training data tells of these aspects."""
    found = _described(node)
    there = [found[Aspect(name)] for name in aspects if Aspect(name) in found]
    lacking = [name for name in aspects if Aspect(name) not in found]
    if not lacking:
        by = "" if all(fact.basis is not Basis.DECLARED for fact in there) else " by its maker, which nobody checked"
        return met(f"the training data is described{by}", there)
    missing = f"describe the training data: {', '.join(lacking)}"
    carriers = [_states(node, name) for name in _CARRIERS]
    if all(states and {fact.state for fact in states} == {State.ABSENT} for states in carriers):
        reason = f"nothing describes the training data's {', '.join(lacking)}"
        return not_met(reason, [states[0] for states in carriers], missing=missing)
    return not_shown(f"not seen: the training data's {', '.join(lacking)}", there, missing=missing)


def data_named(case: Case, node: Node) -> Result:
    """All training data is named, each with one of the four kinds of availability."""
    sources = _sources(node)
    missing = "list all training data, each with its availability and where to get it"
    unknown = [fact.name for fact in sources if fact.availability is Availability.UNKNOWN]
    # Of data that is listed as unshareable it is said as well that it is not given, and that is allowed.
    listed = any(fact.availability is Availability.UNSHAREABLE for fact in sources)
    withheld = [fact for fact in _states(node, Component.DATASETS) if _is_withheld(fact) and not listed]
    if withheld and (unknown or not sources or not _complete(node, sources)):
        return not_met(f"its maker does not give the data{_place(withheld[0])}", withheld, missing=missing)
    if not sources:
        return _without_sources(node, missing)
    if unknown:
        return not_shown(f"not told how one can get {_names(unknown)}", sources, missing=missing)
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
    sources = [fact for fact in _sources(node) if fact.availability in of]
    if lost := [fact.name for fact in sources if not _located(fact)]:
        return not_shown(f"not told where to get {_names(lost)}", sources, missing=f"say where to get {_names(lost)}")
    return met(f"all {kinds} data is listed with where to get it" if sources else f"no {kinds} data", _sources(node))


def data_seen(case: Case, node: Node, *, of: Sequence[str]) -> Result:
    """Of the training data, that of these kinds was seen: delivered, or pinned by its hash at an address."""
    named = data_named(case, node)
    if named.outcome is not Outcome.MET:
        return named
    unseen = [fact for fact in _sources(node) if fact.availability in of and not _pinned(fact)]
    if not unseen:
        return met(f"all {' and '.join(of)} data is shared or pinned", _sources(node))
    delivered = _component(node, Component.DATASETS)
    if delivered.outcome is Outcome.MET:
        unseen = [fact for fact in unseen if len(_sources(node)) > 1 and not _lies_here(node, fact)]
        if not unseen:
            return delivered
    names = _names([fact.name for fact in unseen])
    missing = f"share {names}, or pin it by its hash at an address"
    if delivered.outcome is Outcome.NOT_MET:
        return not_met(f"{names}: looked for, not there", unseen, missing=missing)
    return not_shown(f"{names}: named, not seen", unseen, missing=missing)


def data_within(case: Case, node: Node, *, kinds: Sequence[str], listed: bool = True) -> Result:
    """All training data is of these kinds; unless it need not be ``listed``, it has to be told what all is."""
    named = data_named(case, node)
    outside = [fact for fact in _sources(node) if fact.availability not in (*kinds, Availability.UNKNOWN)]
    if outside:
        each = {kind: _names(fact.name for fact in outside if fact.availability is kind) for kind in Availability}
        reasons = tuple(f"{names} {_words('kinds')[kind]}" for kind, names in each.items() if names)
        missing = f"replace {_names(fact.name for fact in outside)} by data of kind {' or '.join(kinds)}"
        return Result(Outcome.NOT_MET, reasons, places(outside), (missing,))
    return named if listed else met("no training data is said to be kept back")


def data_explained(case: Case, node: Node, *, aspects: Sequence[str]) -> Result:
    """What cannot be shared is allowed if it is told why, and these aspects of it: not only of the data as a whole."""
    named = data_named(case, node)
    if named.outcome is not Outcome.MET:
        return named
    sources = _sources(node)
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


def described(case: Case, node: Node, *, topics: Sequence[str]) -> Result:
    """Usage information covers these topics."""
    found: dict[str, Fact] = {fact.topic: fact for fact in facts(node, UsageFact)}
    if modal := [fact for fact in facts(node, ArchitectureFact) if fact.modalities]:
        found.setdefault("modalities", modal[0])
    lacking = [topic for topic in topics if topic not in found]
    there = [found[topic] for topic in topics if topic in found]
    if lacking:
        names = ", ".join(lacking)
        return not_shown(f"not told: {names}", there, missing=f"say in the model card: {names}")
    return met("capabilities, limits and integration are told", there)


def configured(case: Case, node: Node) -> Result:
    """The configuration of the parameters was read: family and shape of the model."""
    found = [fact for fact in facts(node, ArchitectureFact) if fact.basis is Basis.FOUND and fact.family]
    if found:
        return met(f"the configuration was read ({one_line(found[0].family, 40)})", found)
    declared = facts(node, ArchitectureFact)
    return not_shown("no configuration was seen", declared, missing="ship the model's configuration with the weights")


def terms(case: Case, node: Node, *, scope: str, right: str) -> Result:
    """The terms of a scope grant a right: ``open``, ``osi``, ``use``, ``commercial``, ``modify``, ``share``."""
    effective = case.effective(node, Scope(scope))
    return _nothing_there(node, effective, scope) or _granted(effective, scope, right)


def code_terms(case: Case, node: Node, *, of: Sequence[str], right: str) -> Result:
    """The licence of each of these components that is there grants ``open`` or ``osi``: its own, else that of code."""
    there = [fact for name in of for fact in _states(node, Component(name)) if fact.state is State.PRESENT]
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
    here = any(fact.state is not State.ABSENT for fact in _states(node, Component.PARAMETERS))
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
        reason = f"the owner may change the terms of {_names(changing)}"
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
    weights = [fact for fact in _states(node, Component.PARAMETERS) if fact.state is State.PRESENT]
    if found:
        return met("access is open", found)
    if weights and not told:
        return met("no gate is known", weights)
    return not_shown("not told how the weights can be had", missing="say where anyone can get the weights")


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
        made = f"not told whether and how it was made from {_names([short(edge.parent) for edge in edges])}"
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
    return not_shown(f"not {at_least.replace('-', ' ')}", found, missing=_words("steps")[at_least])


def compute(case: Case, node: Node, *, below: float) -> Result:
    """All training of the parameters, the ancestors' included, took fewer operations than ``below``."""
    told = whole(case.lineage)
    missing = "say how many operations the training took, or parameters and tokens"
    if told.flops is not None and told.flops > below:
        return not_met(f"training took {told.flops:.1e} operations, more than {below:.0e}", told.facts, missing=missing)
    if told.flops is None or told.lacking:
        return not_shown(f"not told how many operations training took ({told.lacking})", told.facts, missing=missing)
    return met(f"training took {told.flops:.1e} operations, at most {below:.0e}", told.facts)


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
    states = _states(node, Component(name))
    words = name_of(Component(name))
    there = [fact for fact in states if fact.state is State.PRESENT]
    if not there:
        return _missing_component(node, words, states, carriers)
    return all_of([_licensed(case, node, fact, kind, scope) for fact in there])


def _words(table: str) -> Mapping[str, str]:
    """A table of ``data/words.toml``."""
    words: Mapping[str, str] = toml("rules", "words")[table]
    return words


def name_of(name: Component) -> str:
    """A component in words."""
    return _words("components").get(name, name.replace("-", " "))


def _component(node: Node, name: Component) -> Result:
    states = _states(node, name)
    words = name_of(name)
    add = f"add the {words}"
    if there := [fact for fact in states if fact.state is State.PRESENT]:
        return met(f"{words}: there{_place(there[0])}", there)
    promised = [fact for fact in states if fact.state is State.PROMISED]
    return _unseen(words, promised or states, add)


def _unseen(words: str, states: Sequence[ComponentFact], add: str) -> Result:
    """A component that was only promised, or looked for in vain, or of which nothing is told."""
    if any(fact.state is State.PROMISED for fact in states):
        return not_shown(f"{words}: promised, not seen", states, missing=add)
    if states:
        how = "looked for, not there" if any(fact.basis is Basis.FOUND for fact in states) else "not given"
        return not_met(f"{words}: {how}{_place(states[0])}", states, missing=add)
    return not_shown(f"{words}: not seen", missing=add)


def _place(fact: ComponentFact) -> str:
    return f" ({one_line(fact.where, 80)})" if fact.where else ""


def _states(node: Node, name: Component) -> list[ComponentFact]:
    return [fact for fact in facts(node, ComponentFact) if fact.component is name]


def _first_best(results: list[Result]) -> Result:
    """The first of the best; if none is met, what is missing is any one of them."""
    top = max(results, key=lambda one: rank(one.outcome))
    if top.outcome is Outcome.MET or len(results) == 1:
        return top
    read = unique(place for one in results for place in one.evidence)
    return Result(top.outcome, top.reasons, read, (", or ".join(unique(one.missing[0] for one in results)),))


def _sources(node: Node) -> tuple[DatasetFact, ...]:
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
    names = {fact.name for fact in _sources(node)}
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
    delivered = _component(node, Component.DATASETS)
    card = _states(node, Component.DATA_CARD)
    if delivered.outcome is Outcome.NOT_MET and not any(one.state is not State.ABSENT for one in card):
        reasons = ("no training data is named", *delivered.reasons)
        return Result(Outcome.NOT_MET, reasons, unique(delivered.evidence + places(card)), (missing,))
    return not_shown("no training data is named", missing=missing)


def _is_withheld(fact: ComponentFact) -> bool:
    """Whether it is said, and not only seen, that a component is not there."""
    return fact.state is State.ABSENT and fact.basis is not Basis.FOUND and bool(fact.where)


def _located(fact: DatasetFact) -> bool:
    """It is told where to get it; a path on its maker's machine is no such place."""
    return bool(fact.where) and not fact.where.startswith("file:")


def _pinned(fact: DatasetFact) -> bool:
    """Somebody saw it there: its hash is told."""
    return _located(fact) and bool(fact.sha256)


def _lies_here(node: Node, fact: DatasetFact) -> bool:
    """Whether a file of data among the model's is called like a source."""
    name = plain(fact.name)
    paths = (file.path for file in node.collected.files if file.kind == "data")
    return bool(name) and any(name in plain(part) for path in paths for part in path.split("/"))


def _own_terms(fact: ComponentFact, right: str) -> Result:
    """What the licence of a component itself grants."""
    words, tag = name_of(fact.component), one_line(fact.licence or "", 60)
    missing = f"put the {words} under terms that allow {_words('rights')[right]}"
    licence = find(fact.licence or "")
    if licence is None:
        return not_shown(f"{words}: its licence ({tag}) is not known", [fact], missing=missing)
    granted = licence.osi if right == "osi" else licence.open
    return met(f"code: {licence.id}", [fact]) if granted else not_met(f"{words}: {tag}", [fact], missing=missing)


def _under(scope: str, right: str) -> str:
    """What to do so that the terms of a scope grant a right."""
    if right == "osi":
        return f"put the {scope} under a licence that is approved by the Open Source Initiative"
    return f"put the {scope} under terms that allow {_words('rights')[right]}"


def _nothing_there(node: Node, effective: Effective | None, scope: str) -> Result | None:
    """Not shown, if what the terms would be of is not here: data information, or weights that nobody gives terms for.

    A licence in a repository of code is the code's. A model card speaks of the model even where its weights lie
    elsewhere, and a model is no freer than its ancestors; so what is said of absent weights counts, and no more.
    """
    states = _states(node, Component.DATA_CARD if scope == Scope.DOCUMENTS else Component.PARAMETERS)
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


def _missing_component(node: Node, words: str, states: list[ComponentFact], carriers: Sequence[str]) -> Result:
    add = f"add the {words} under an open licence"
    within = [fact for carrier in carriers for fact in _states(node, Component(carrier))]
    may = [fact for fact in within if fact.state is not State.ABSENT]
    if may and not any(fact.state is State.PROMISED for fact in states):
        reason = f"missing: {words}: may be in the {name_of(may[0].component)}, which was not read"
        return not_shown(reason, may, missing=add)
    return _unseen(f"missing: {words}", states, add)


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
    note = f"{_names(unusual)} is open, but not among the licences meant for {' or '.join(kinds)}"
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
        return (), Outcome.NOT_SHOWN, f"its licence ({_names(tags)}) is not known", read
    closed = [one for one in known if not (one.open or one.fsf or _called(one.id) & usual)]
    said = ", ".join(f"{licence.id} is {licence.kind}" for licence in closed or known)
    return unique(one.id for one in known), Outcome.NOT_MET if closed else Outcome.MET, said, read


def _called(name: str) -> set[str]:
    licence = find(name)
    return {name.lower(), licence.spdx.lower()} if licence and licence.spdx else {name.lower()}


def _names(names: Iterable[str]) -> str:
    """Up to three names in words."""
    lines = [one_line(name, 60) for name in unique(names)]
    return ", ".join(lines[:3]) + (f" and {len(lines) - 3} more" if len(lines) > 3 else "")


PREDICATES: Mapping[str, Callable[..., Result]] = {
    function.__name__: function
    for function in (
        access,
        asserted,
        code_terms,
        component,
        compute,
        configured,
        data_explained,
        data_located,
        data_named,
        data_seen,
        data_within,
        described,
        included,
        licence_kinds,
        origin,
        rebuilt,
        terms,
        terms_fixed,
        told,
    )
}
"""By the names that the rules use."""

TAKES_KNOWN = frozenset((origin.__name__,))
"""Those that ask only what is told of a model, so that the table of known models may tell it."""
