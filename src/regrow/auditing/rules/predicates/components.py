"""Whether components of a model are there, and what is told of its shape and use."""

from __future__ import annotations

from collections.abc import Sequence

from regrow.auditing.facts import ArchitectureFact, Basis, Component, ComponentFact, Fact, State, UsageFact
from regrow.auditing.lineage import Node, facts
from regrow.auditing.result import Outcome
from regrow.auditing.rules.case import Case
from regrow.auditing.rules.predicates.words import in_brackets, name_of
from regrow.auditing.rules.results import Result, met, not_met, not_shown, one_line, rank, unique


def component(case: Case, node: Node, *, any_of: Sequence[str]) -> Result:
    """One of these components of the Model Openness Framework is there."""
    return _first_best([delivered(node, Component(name)) for name in any_of])


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


def said_of(node: Node, name: Component) -> list[ComponentFact]:
    """The facts about a component."""
    return [fact for fact in facts(node, ComponentFact) if fact.component is name]


def delivered(node: Node, name: Component) -> Result:
    """Whether a component is there."""
    states, words = said_of(node, name), name_of(name)
    if there := [fact for fact in states if fact.state is State.PRESENT]:
        return met(f"{words}: there{in_brackets(there[0])}", there)
    promised = [fact for fact in states if fact.state is State.PROMISED]
    return not_there(words, promised or states, f"add the {words}")


def not_there(words: str, states: Sequence[ComponentFact], add: str) -> Result:
    """A component that was only promised, or looked for in vain, or of which nothing is told."""
    if any(fact.state is State.PROMISED for fact in states):
        return not_shown(f"{words}: promised, not seen", states, missing=add)
    if states:
        how = "looked for, not there" if any(fact.basis is Basis.FOUND for fact in states) else "not given"
        return not_met(f"{words}: {how}{in_brackets(states[0])}", states, missing=add)
    return not_shown(f"{words}: not seen", missing=add)


def _first_best(results: list[Result]) -> Result:
    """The first of the best; if none is met, what is missing is any one of them."""
    top = max(results, key=lambda one: rank(one.outcome))
    if top.outcome is Outcome.MET or len(results) == 1:
        return top
    read = unique(place for one in results for place in one.evidence)
    return Result(top.outcome, top.reasons, read, (", or ".join(unique(one.missing[0] for one in results)),))
