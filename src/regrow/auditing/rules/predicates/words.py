"""Components, names and places in words, for the reasons that predicates give."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from regrow.auditing.facts import Component, ComponentFact
from regrow.auditing.rules.results import one_line, unique
from regrow.data import toml


def wording(table: str) -> Mapping[str, str]:
    """A table of ``data/words.toml``."""
    words: Mapping[str, str] = toml("auditing.rules", "words")[table]
    return words


def name_of(name: Component) -> str:
    """A component in words."""
    return wording("components").get(name, name.replace("-", " "))


def names_of(names: Iterable[str]) -> str:
    """Up to three names in words."""
    lines = [one_line(name, 60) for name in unique(names)]
    return ", ".join(lines[:3]) + (f" and {len(lines) - 3} more" if len(lines) > 3 else "")


def in_brackets(fact: ComponentFact) -> str:
    """Where a component is said to be, to go behind its name; or nothing."""
    return f" ({one_line(fact.where, 80)})" if fact.where else ""
