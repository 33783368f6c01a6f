"""What a model was made from, and what that was made from: the closure over declared, found and known parents.

The order is breadth first, so the audited model is the first node and depth never falls. A parent of which nothing can
be read is a node too: not knowing it is part of the answer.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from regrow.auditing import known, names
from regrow.auditing.collectors import collect, legal
from regrow.auditing.facts import (
    Basis,
    Collected,
    DatasetFact,
    Evidence,
    Finding,
    OriginFact,
    ParentFact,
    Relation,
    Scope,
    Severity,
    places,
)
from regrow.auditing.homes import without_homes
from regrow.auditing.lineage import BY_OUTPUTS, Edge, Lineage, Node
from regrow.auditing.names import comparable
from regrow.errors import RegrowError

MOST_NODES = 200
DEEPEST = 32
_RANK = {Basis.FOUND: 0, Basis.DECLARED: 1, Basis.KNOWN: 2}

Reach = Callable[[str], Collected | None]
"""What can be read of a parent; None for nothing."""


@dataclass
class _Tracing:
    """What is known so far; ``ids`` maps names that mean a model to its node's id."""

    reach: Reach
    date: str
    nodes: list[Node] = field(default_factory=list)
    edges: list[Edge] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    ids: dict[str, str] = field(default_factory=dict)

    @property
    def lineage(self) -> Lineage:
        """The lineage as far as it was followed."""
        return Lineage(tuple(self.nodes), tuple(self.edges))


def trace(start: Collected, *, reach: Reach) -> tuple[Lineage, tuple[Finding, ...]]:
    """Follow parents until there are none.

    Args:
        start: the audited model.
        reach: reads a parent.

    Returns:
        The lineage, and what its edges contradict each other about.
    """
    date = next((fact.evidence.date for fact in start.facts), "")
    tracing = _Tracing(reach, date)
    first = _add(tracing, start.id, 0, start)
    if names.is_of_hub(start.id):
        tracing.ids[comparable(start.id)] = start.id
    pending = deque([first])
    while pending:
        node = pending.popleft()
        for parent, facts in _parents(node.collected).items():
            found = _follow(tracing, node, parent, facts)
            if found is not None:
                pending.append(found)
    return tracing.lineage, (*tracing.findings, *_differences(start, tracing.lineage))


def reacher(
    parents: Mapping[str, Path], today: str, network: bool, recorded: Mapping[str, Collected] | None = None
) -> Reach:
    """A function that reads parents where the user says they lie, in the records of a release, in the hub's local
    cache, or from the network.

    A path that a model writes into its own files is never followed.

    Args:
        parents: id -> where it lies.
        today: the date for evidence.
        network: whether to look further than this machine.
        recorded: what a release has records of, by name.
    """
    kept = recorded or {}
    places = {comparable(without_homes(name)): path for name, path in parents.items()}

    def reach(parent: str) -> Collected | None:
        target = str(places.get(comparable(without_homes(parent)), parent))
        if target == parent and parent in kept:
            return kept[parent]
        if target == parent and not names.is_of_hub(parent):
            return None
        try:
            return collect(target, today=today, network=network)
        except RegrowError:
            return None

    return reach


def _add(tracing: _Tracing, id: str, depth: int, collected: Collected) -> Node:
    told = known.facts(id, tracing.date)
    missing = tuple(fact for fact in told if fact not in collected.facts)
    node = Node(id, depth, replace(collected, facts=(*collected.facts, *missing)))
    tracing.nodes.append(node)
    return node


def _follow(tracing: _Tracing, child: Node, parent: str, facts: list[ParentFact]) -> Node | None:
    """Draw the edge to a parent; gives its node if it is a new one."""
    id = tracing.ids.get(comparable(parent))
    facts = [fact for fact in facts if fact.basis is not Basis.KNOWN] or facts
    evidence = places(facts)
    new = None
    if id is not None and child.id in (id, *tracing.lineage.ancestors(id)):
        said = f"{id} is said to be made from {child.id}, and {child.id} from {id}; one of them is wrong"
        tracing.findings.append(Finding("lineage-cycle", Severity.CONFLICT, said, evidence))
        return None
    if id is None:
        if len(tracing.nodes) >= MOST_NODES or child.depth >= DEEPEST:
            said = f"the lineage is larger than {MOST_NODES} models or {DEEPEST} steps; the rest was not followed"
            finding = Finding("lineage-too-large", Severity.WARNING, said)
            if finding not in tracing.findings:
                tracing.findings.append(finding)
            return None
        id = _with_revision(parent, facts)
        reached = tracing.reach(id) or _unreached(id, facts)
        new = _add(tracing, id, child.depth + 1, reached)
        tracing.ids[comparable(id)] = id
    best = min(facts, key=lambda fact: _RANK[fact.basis])
    tracing.edges.append(Edge(child.id, id, _relation(child.collected, facts), best.basis.value, evidence))
    return new


def _with_revision(parent: str, facts: Iterable[ParentFact]) -> str:
    revision = next((fact.revision for fact in facts if fact.revision and fact.basis is Basis.FOUND), "")
    return f"{parent}@{revision}" if revision and names.is_of_hub(parent) and "@" not in parent else parent


def _unreached(id: str, facts: list[ParentFact]) -> Collected:
    version = next((fact.sha256 or fact.revision for fact in facts if fact.sha256 or fact.revision), "")
    licences = tuple(legal.declared(fact.licence, Scope.WEIGHTS, fact.evidence) for fact in facts if fact.licence)
    return Collected(id, "unreached", id.removeprefix("hf:"), version, licences)


def _parents(collected: Collected) -> dict[str, list[ParentFact]]:
    """The parents of a model, each with all facts that name it, without the model itself."""
    found: dict[str, list[ParentFact]] = {}
    for fact in collected.of(ParentFact):
        if fact.parent and not _is_self(fact, collected):
            name = next((one for one in found if names.same(one, fact.parent)), fact.parent)
            found.setdefault(name, []).append(fact)
    return found


def _is_self(fact: ParentFact, collected: Collected) -> bool:
    """A configuration may name the model that it is of, and a copy of a model is called like the original."""
    if fact.parent == collected.id or (
        names.is_of_hub(collected.id) and comparable(fact.parent) == comparable(collected.id)
    ):
        return True
    weak = fact.relation is Relation.UNKNOWN and fact.evidence.file == "config.json"
    # Of a model that is known, more hangs on its id than a name can take back: its terms hold for a copy as well.
    return (
        weak
        and known.find(fact.parent) is None
        and names.plain(fact.parent) in (names.plain(collected.id), names.plain(collected.name))
    )


def _relation(child: Collected, facts: list[ParentFact]) -> Relation:
    """What was said, or else what the files show."""
    ranked = sorted(facts, key=lambda fact: _RANK[fact.basis])
    said = next((fact.relation for fact in ranked if fact.relation is not Relation.UNKNOWN), None)
    if said is not None:
        return said
    files = {entry.path for entry in child.files}
    if "adapter_config.json" in files:
        return Relation.ADAPTER
    if files & {"mergekit_config.yml", "mergekit_config.yaml"}:
        return Relation.MERGE
    if any(finding.id == "quantised" for finding in child.findings) and not _is_tuned(child):
        return Relation.QUANTISED
    if child.kind == "gguf":
        return Relation.CONVERTED
    return _as_the_hub(child, facts)


def _is_tuned(child: Collected) -> bool:
    """Whether a card names what quantised weights were tuned on. GGUF files are not tuned: their cards are copies."""
    on_card = (fact.evidence.collector == "card" for fact in child.of(DatasetFact))
    return child.kind != "gguf" and any(on_card)


def _as_the_hub(child: Collected, facts: list[ParentFact]) -> Relation:
    """What the hub takes a declared base for where neither words nor files say more: weights of its own are tuned."""
    on_card = any(fact.evidence.collector == "card" for fact in facts)
    whole = any(entry.kind == "weights" for entry in child.files)
    return Relation.FINETUNE if on_card and whole else Relation.UNKNOWN


def _differences(start: Collected, lineage: Lineage) -> Iterator[Finding]:
    """Where the card and the files of the audited model do not agree on what it was made from."""
    parents = _parents(start)
    scratch = [fact.evidence for fact in start.of(OriginFact)]
    made = {name: said for name, said in parents.items() if _relation(start, said) not in BY_OUTPUTS}
    if scratch and made:
        said = f"it is said to be trained from random values, and also to be made from {', '.join(sorted(made))}"
        others = tuple(fact.evidence for facts in made.values() for fact in facts)
        yield Finding("origin-differs", Severity.CONFLICT, said, (*scratch, *others))
    facts = [(name, fact) for name, said in parents.items() for fact in said if fact.basis is not Basis.KNOWN]
    on_card = {name for name, fact in facts if fact.evidence.collector == "card"}
    ids = {comparable(node.id): node.id for node in lineage.nodes}
    near = [ids.get(comparable(name), name) for name in on_card]
    above = {comparable(id) for name in near for id in (name, *lineage.ancestors(name))}
    told: set[str] = set()
    for name, fact in facts:
        if fact.evidence.collector == "card" or name in on_card or name in told:
            continue
        told.add(name)
        place = f"{fact.evidence.file} ({fact.evidence.locator})"
        if not on_card:
            if start.kind != "release":  # whose statements are its makers' own word
                yield _undeclared(start, name, place, fact.evidence)
        elif not _explained(name, above, on_card, fact):
            on_it = tuple(one.evidence for other, one in facts if other in on_card)
            said = f"the card says the model is made from {', '.join(sorted(on_card))}, {place} says from {name}"
            yield Finding("base-differs", Severity.CONFLICT, said, (fact.evidence, *on_it))


def _undeclared(start: Collected, name: str, place: str, evidence: Evidence) -> Finding:
    """Files without a card cannot contradict it, but nobody says where they come from either."""
    has_card = any(entry.kind == "card" for entry in start.files)
    severity = Severity.CONFLICT if has_card else Severity.NOTE
    said = f"{place} says the model is made from {name}, its card says nothing; add `base_model: {name}` to it"
    return Finding("base-undeclared", severity, said.replace("base_model: hf:", "base_model: "), (evidence,))


def _explained(name: str, above: set[str], on_card: set[str], fact: ParentFact) -> bool:
    """A grandparent's name, or a folder on the maker's machine that is called like the parent, contradicts nothing."""
    if comparable(name) in above:
        return True
    return names.is_path(fact.parent) and any(names.plain(name) == names.plain(other) for other in on_card)
