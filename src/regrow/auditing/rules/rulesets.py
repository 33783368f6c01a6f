"""The rules as data: what a definition asks, where it says so, and what we look for.

A file in ``data/`` holds the rules of one definition. ``needs`` is a tree of ``all`` and ``any`` over *predicates*,
the functions in :mod:`regrow.auditing.rules.predicates`, each with its parameters:

    needs.any = [
        { predicate = "component", any_of = ["model-metadata"] },
        { predicate = "rebuilt", at_least = "pinned" },
    ]

So a reader can see what is judged and how without reading the code, and every verdict names the rule it is of.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from regrow.data import toml
from regrow.errors import RecipeError
from regrow.words import listed, nearest

FILES = ("osaid-1.0", "mof", "eu-ai-act-53-2", "ladder", "part", "freedom")
"""The definitions that are judged, in the order of the report, then parts and freedoms."""

ANSWERS = ("part", "freedom")
"""Of those, what is answered for itself and belongs to no definition."""


@dataclass(frozen=True)
class Leaf:
    """A predicate and its parameters."""

    predicate: str
    parameters: Mapping[str, Any]


@dataclass(frozen=True)
class Group:
    """Several needs of which ``all`` or ``any`` have to hold."""

    how: str
    needs: tuple[Needs, ...]


Needs = Leaf | Group


@dataclass(frozen=True)
class Rule:
    """One obligation.

    Attributes:
        id: ``definition/rule``, stable.
        version: rises when the judgement of the rule changes.
        title: a few words.
        obligation: what is asked, in our words.
        source: the document it is from; empty for what we define ourselves.
        place: where in the document.
        quote: a few words of the document where they matter, or empty.
        reading: whether this is our reading and not what the document says.
        how: how it is judged.
        along: whether the ancestors of the parameters have to fulfil it too; that they must is our reading.
        mechanical: what to do with models that were only converted, quantised or merged: judge them like others
            (empty), ``skip`` them, since they had no training of their own, or judge ``only`` them.
        required: whether the definition as a whole depends on it.
        level: the class or rung it belongs to, or empty.
        needs: what has to be there.
    """

    id: str
    version: int
    title: str
    obligation: str
    source: str
    place: str
    how: str
    needs: Needs
    quote: str = ""
    reading: bool = False
    along: bool = False
    mechanical: str = ""
    required: bool = True
    level: str = ""


@dataclass(frozen=True)
class RuleSet:
    """A definition: its id, its title with the version of the source, and its rules."""

    id: str
    title: str
    rules: tuple[Rule, ...]


@cache
def ruleset(definition: str) -> RuleSet:
    """The rules of a definition."""
    raw = toml("auditing.rules", definition)
    common = {"source": raw["source"], "version": raw["version"]}
    rules = [{**common, **rule, "id": f"{definition}/{rule['id']}", "needs": _needs(rule)} for rule in raw["rule"]]
    return RuleSet(definition, raw["title"], tuple(Rule(**rule) for rule in rules))


@cache
def usual_licences() -> Mapping[str, frozenset[str]]:
    """For code, data and documents: the licences that the Model Openness Framework calls appropriate, in lower case."""
    raw = toml("auditing.rules", "mof-licences")
    return {kind: frozenset(map(str.lower, raw[kind])) for kind in ("code", "data", "document")}


def ids() -> tuple[str, ...]:
    """The ids of all rules."""
    return tuple(rule.id for rule in _rules())


def explain(rule_id: str) -> Rule:
    """A rule by its id.

    Raises:
        RecipeError: if there is none; it lists the names that are near.
    """
    found = next((rule for rule in _rules() if rule.id == rule_id), None)
    if found is None:
        raise _unknown(rule_id)
    return found


def named(name: str) -> tuple[Rule, ...]:
    """The rules that a name means: one by its id, those of a part or a freedom, of a definition, or of a group in one.

    Raises:
        RecipeError: if there is none; it lists the names that are near.
    """
    asked = name.strip().strip("/").replace(" ", "-").lower()
    for start in (asked, *(f"{kind}/{asked}" for kind in ANSWERS)):
        if found := tuple(rule for rule in _rules() if f"{rule.id}/".startswith(f"{start}/")):
            return found
    raise _unknown(name)


def _rules() -> Iterator[Rule]:
    return (rule for definition in FILES for rule in ruleset(definition).rules)


def _unknown(name: str) -> RecipeError:
    known = dict.fromkeys(one for rule in _rules() for one in _names(rule.id))
    near = " or ".join(f"`{one}`" for one in nearest(name, known))
    hint = f"did you mean {near}?" if near else f"there are {listed(one for one in known if '/' not in one)}"
    return RecipeError(f"there is no rule `{name}`", hint=hint)


def _names(rule_id: str) -> Iterator[str]:
    """What one may call a rule, and what it belongs to."""
    steps = rule_id.split("/")
    if steps[0] in ANSWERS:
        yield steps[1]
    else:
        yield from ("/".join(steps[: i + 1]) for i in range(len(steps)))


def _needs(raw: Mapping[str, Any]) -> Needs:
    """The tree below ``needs``, or below ``all`` or ``any``."""
    if "needs" in raw:
        return _needs(raw["needs"])
    if "predicate" in raw:
        return Leaf(raw["predicate"], {key: value for key, value in raw.items() if key != "predicate"})
    ((how, needs),) = raw.items()
    if how not in ("all", "any"):
        raise ValueError(f"a need is a predicate, `all` or `any`, not `{how}`")
    return Group(how, tuple(map(_needs, needs)))
