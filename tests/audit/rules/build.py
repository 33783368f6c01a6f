"""Models to judge, built from facts, and a small licence judge to judge them with."""

from __future__ import annotations

from collections.abc import Iterable

from regrow.auditing.facts import (
    AccessFact,
    AllDataFact,
    ArchitectureFact,
    Aspect,
    Availability,
    Basis,
    Collected,
    Component,
    ComponentFact,
    DataAspectFact,
    DatasetFact,
    Evidence,
    Fact,
    LicenceFact,
    OriginFact,
    Rebuild,
    RebuildFact,
    Relation,
    Role,
    Scope,
    State,
    TrainingFact,
    UsageFact,
)
from regrow.auditing.licences import Effective, Terms
from regrow.auditing.lineage import Edge, Lineage, Node
from regrow.auditing.result import Outcome
from regrow.auditing.rules import Judgement, judge
from regrow.licences import Right, find

MODEL = "path:model"
VERSION = "d" * 64


def at(file: str, locator: str = "") -> Evidence:
    return Evidence(file, locator, "0" * 64, "test", "2026-11-21")


# What one fact about a model looks like


def component(name: Component, state: State = State.PRESENT, licence: str | None = None) -> ComponentFact:
    basis = Basis.DECLARED if state is State.PROMISED else Basis.FOUND
    return ComponentFact(basis, at(f"files/{name}"), name, state, f"files/{name}", licence)


def licence(name: str | None, scope: Scope = Scope.EVERYTHING) -> LicenceFact:
    return LicenceFact(Basis.FOUND, at("LICENSE", str(name)), scope, name, name or "other")


def data(name: str = "plays", kind: Availability = Availability.OPEN, licence: str = "cc0-1.0") -> DatasetFact:
    place = at("regrow.lock", name)
    return DatasetFact(
        Basis.FOUND, place, name, Role.TRAINING, kind, licence, 1000, "12" * 32, f"https://example/{name}"
    )


def named(name: str, kind: Availability = Availability.UNKNOWN, where: str = "") -> DatasetFact:
    """Data that a card only names."""
    return DatasetFact(Basis.DECLARED, at("README.md", name), name, Role.TRAINING, kind, where=where)


def aspects() -> list[Fact]:
    return [DataAspectFact(Basis.FOUND, at("DATA.md", aspect), aspect, "told") for aspect in Aspect]


def rebuild(level: Rebuild, by: str = "", digest: str = VERSION) -> RebuildFact:
    return RebuildFact(Basis.FOUND, at("regrow.lock", f"{level} {by}"), level, by, digest)


def origin() -> OriginFact:
    return OriginFact(Basis.DECLARED, at("README.md", "origin"), "trained from scratch")


def flops(number: float) -> TrainingFact:
    return TrainingFact(Basis.FOUND, at("plan.json"), flops=number)


def architecture(parameters: int = 1_000_000) -> ArchitectureFact:
    return ArchitectureFact(Basis.FOUND, at("config.json"), "llama", parameters, ("F32",), ("text",), 256)


def usage() -> list[Fact]:
    topics = ("capabilities", "limitations", "modalities", "integration")
    return [UsageFact(Basis.DECLARED, at("README.md", topic), topic, "told") for topic in topics]


# Models


def complete() -> list[Fact]:
    """A release of our kind: everything there, pinned, and rebuilt on this machine."""
    return [
        *(component(name) for name in Component),
        *aspects(),
        *usage(),
        data(),
        AllDataFact(Basis.DECLARED, at("README.md", "all"), "This is all training data."),
        licence("apache-2.0"),
        architecture(),
        origin(),
        flops(1e15),
        AccessFact(Basis.FOUND, at("README.md", "access"), "open"),
        rebuild(Rebuild.DECLARED),
        rebuild(Rebuild.PINNED),
        rebuild(Rebuild.REBUILT_HERE),
    ]


def documented() -> list[Fact]:
    """Everything there and described, as the best known open models are; nobody here has built it again."""
    return [fact for fact in complete() if not isinstance(fact, RebuildFact)]


def weights_only(name: str | None = "apache-2.0") -> list[Fact]:
    """Weights, a configuration and a licence: what most so-called open models are."""
    there = Component.PARAMETERS, Component.ARCHITECTURE, Component.MODEL_CARD
    return [*map(component, there), architecture(8_000_000_000), licence(name), named("web")]


def adapter() -> list[Fact]:
    """An adapter that tells everything about itself."""
    return [fact for fact in documented() if not isinstance(fact, OriginFact)]


def without(facts: Iterable[Fact], *names: Component, state: State | None = None) -> list[Fact]:
    """Without these components, or with them in another state."""
    kept = [fact for fact in facts if not (isinstance(fact, ComponentFact) and fact.component in names)]
    return kept + ([component(name, state) for name in names] if state else [])


def drop(facts: Iterable[Fact], *kinds: type[Fact]) -> list[Fact]:
    return [fact for fact in facts if not isinstance(fact, kinds)]


def model(facts: Iterable[Fact], name: str = MODEL, kind: str = "release") -> Collected:
    return Collected(name, kind, name, VERSION, tuple(facts))


def alone(facts: Iterable[Fact], kind: str = "release") -> Lineage:
    return Lineage((Node(MODEL, 0, model(facts, kind=kind)),), ())


def derived(
    facts: Iterable[Fact], *parents: tuple[str, Relation, Iterable[Fact] | None], kind: str = "huggingface"
) -> Lineage:
    """A model made from parents; None stands for a parent that could not be read."""
    nodes = [Node(MODEL, 0, model(facts, kind=kind))]
    for name, _, told in parents:
        nodes.append(Node(name, 1, model(told or (), name, "huggingface" if told is not None else "unreached")))
    places = (at("README.md", "key base_model"),)
    edges = [Edge(MODEL, name, relation, "declared", places) for name, relation, _ in parents]
    return Lineage(tuple(nodes), tuple(edges))


# A licence judge, just large enough: each model by its own licences


def own_terms(lineage: Lineage) -> Terms:
    facts = lineage.nodes[0].collected.facts
    found = [fact for fact in facts if isinstance(fact, LicenceFact)]
    effective = {scope: _effective([one for one in found if one.scope in (scope, Scope.EVERYTHING)]) for scope in Scope}
    sources = [fact for fact in facts if isinstance(fact, DatasetFact)]
    if sources:
        tags = [LicenceFact(one.basis, one.evidence, Scope.DATA, one.licence or None, one.licence) for one in sources]
        effective[Scope.DATA] = _effective(tags)
    return Terms((), (), (), (), effective)


def _effective(found: list[LicenceFact]) -> Effective:
    places = tuple(one.evidence for one in found)
    known = [entry for one in found if one.id and (entry := find(one.id))]
    if not found or len(known) < len(found):
        return Effective((), *[Outcome.NOT_SHOWN] * 6, "no known licence", places)

    def each(tests: Iterable[bool]) -> Outcome:
        return Outcome.MET if all(tests) else Outcome.NOT_MET

    def right(name: Right) -> Outcome:
        limited = [any(name in clause.limits for clause in one.clauses) for one in known]
        return each(name in one.permits and not less for one, less in zip(known, limited, strict=True))

    return Effective(
        ids := tuple(one.id for one in known),
        each(one.open for one in known),
        each(one.osi for one in known),
        right(Right.USE),
        right(Right.COMMERCIAL),
        right(Right.MODIFY),
        right(Right.SHARE),
        ", ".join(ids),
        places,
    )


def judged(lineage: Lineage) -> Judgement:
    return judge(lineage, own_terms(lineage), terms_of=own_terms)


def outcomes(judgement: Judgement) -> dict[str, Outcome]:
    """Every rule and every whole, by name."""
    found = {one.rule: one.outcome for whole in judgement.definitions for one in whole.verdicts}
    found |= {f"whole {one.id}": one.outcome for one in judgement.definitions}
    words = {"yes": Outcome.MET, "no": Outcome.NOT_MET, "not shown": Outcome.NOT_SHOWN}
    return found | {f"answer {one.name}": words[one.answer] for one in (*judgement.parts, *judgement.freedoms)}
