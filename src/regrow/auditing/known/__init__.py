"""What is generally known of well-known models, as a table with a source and a date for each entry.

A model is recognised by its id on the hub alone. Known facts fill gaps for ancestors that cannot be reached; what is
declared or found in a model's own files is always shown beside them.
"""

from __future__ import annotations

import hashlib
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache
from importlib import resources
from typing import Any

from regrow.auditing.collectors import legal
from regrow.auditing.facts import (
    AccessFact,
    Availability,
    Basis,
    Component,
    ComponentFact,
    DatasetFact,
    Evidence,
    Fact,
    OriginFact,
    ParentFact,
    Relation,
    Role,
    Scope,
    State,
    TrainingFact,
)

_FILE = "models.toml"
_NAME = "known"


@dataclass(frozen=True)
class Entry:
    """A family of models.

    Attributes:
        family: its name.
        pattern: of the ids, without ``hf:``, in lower case.
        fields: what is known, as the table has it.
    """

    family: str
    pattern: re.Pattern[str]
    fields: Mapping[str, Any]

    @property
    def source(self) -> str:
        """Where the facts are from, and when they were looked at."""
        return f"{self.family}: {', '.join(self.fields['sources'])}, {self.fields['date']}"


def find(id: str) -> Entry | None:
    """The entry for a model, or None."""
    name = id.removeprefix("hf:").partition("@")[0].lower()
    if id.startswith(("path:", "/")):
        return None
    return next((entry for entry in entries() if entry.pattern.fullmatch(name)), None)


def facts(id: str, date: str) -> tuple[Fact, ...]:
    """What is known of a model.

    Args:
        id: ``hf:org/name@revision``.
        date: today, for evidence.
    """
    entry = find(id)
    return told(entry, id, date) if entry is not None else ()


def entries() -> tuple[Entry, ...]:
    """All that is known, in the order in which it is looked through."""
    return _table()[0]


def told(entry: Entry, id: str, date: str) -> tuple[Fact, ...]:
    """The facts of an entry, of a model with this id."""
    at = Evidence(f"known/{_FILE}", entry.source, _table()[1], _NAME, date)
    return tuple(_facts(id, entry, at))


@cache
def _table() -> tuple[tuple[Entry, ...], str]:
    """The entries in their order, and the sha256 of the file."""
    data = resources.files(__package__).joinpath(_FILE).read_bytes()
    families = tomllib.loads(data.decode("utf-8"))["family"]
    entries = tuple(Entry(row["name"], re.compile("|".join(row["ids"])), row) for row in families)
    return entries, hashlib.sha256(data).hexdigest()


def _facts(id: str, entry: Entry, at: Evidence) -> Iterator[Fact]:
    fields = entry.fields
    if tag := fields.get("licence"):
        yield replace(legal.declared(tag, Scope.WEIGHTS, at), basis=Basis.KNOWN)
    if fields.get("gated"):
        yield AccessFact(Basis.KNOWN, at, "gated", "the hub asks for consent before it gives the files")
    yield from _beginning(id, entry, at)
    yield ComponentFact(Basis.KNOWN, at, Component.PARAMETERS, State.PRESENT, "on the hub")
    yield from _data(fields, at)
    for component in (Component.TRAINING_CODE, Component.INTERMEDIATE_PARAMETERS, Component.RESEARCH_PAPER):
        if where := fields.get(component.value):
            yield ComponentFact(Basis.KNOWN, at, component, State.PROMISED, where)
    if tokens := fields.get("tokens"):
        yield TrainingFact(Basis.KNOWN, at, tokens)


def _beginning(id: str, entry: Entry, at: Evidence) -> Iterator[Fact]:
    """Random values, or the base that was tuned."""
    name = id.removeprefix("hf:").partition("@")[0]
    if re.fullmatch("|".join(entry.fields.get("base", ())) or "(?!)", name.lower()):
        yield OriginFact(Basis.KNOWN, at, "a base model: its maker trained it from random initial values")
        return
    for ending, base in entry.fields.get("tuned", ()):
        if name.lower().endswith(ending):
            parent = f"hf:{name[: len(name) - len(ending)]}{base}"
            yield ParentFact(Basis.KNOWN, at, parent, Relation.FINETUNE)
            return


def _data(fields: Mapping[str, Any], at: Evidence) -> Iterator[Fact]:
    for row in fields.get("data", ()):
        availability = Availability(row.get("availability", "unknown"))
        yield DatasetFact(
            Basis.KNOWN,
            at,
            row["name"],
            Role.TRAINING,
            availability,
            row.get("licence", ""),
            where=row.get("where", ""),
        )
    if fields.get("data_withheld"):
        yield ComponentFact(Basis.KNOWN, at, Component.DATASETS, State.ABSENT, "the maker does not give the data")
    elif fields.get("data"):
        yield ComponentFact(Basis.KNOWN, at, Component.DATASETS, State.PROMISED, fields["data"][0]["name"])
