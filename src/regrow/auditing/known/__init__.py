"""What is generally known of well-known models, as tables with sources and a date for each entry.

A model is recognised by its id on the hub alone. Known facts fill gaps for ancestors that cannot be reached; what is
declared or found in a model's own files is always shown beside them. Nobody has seen here what they say: they can speak
against a model, and tell its origin and terms, but show nothing that had to be delivered.
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

from regrow.auditing import names
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

_MADE = (Component.TRAINING_CODE, Component.INTERMEDIATE_PARAMETERS, Component.RESEARCH_PAPER)


@dataclass(frozen=True)
class Entry:
    """A family of models.

    Attributes:
        family: its name.
        pattern: of the ids, without ``hf:``, in lower case.
        fields: what is known, as the table has it.
        file: the table, as evidence names it.
        sha256: of the table.
    """

    family: str
    pattern: re.Pattern[str]
    fields: Mapping[str, Any]
    file: str
    sha256: str

    @property
    def source(self) -> str:
        """Where the facts are from, and when they were looked at."""
        first, *more = self.fields["sources"]
        return f"{self.family}: {first}{f' and {len(more)} more' if more else ''}, {self.fields['date']}"

    def is_base(self, name: str) -> bool:
        """Whether the parameters of the model with this id were trained from random values."""
        return bool(re.fullmatch("|".join(self.fields.get("base", ())) or "(?!)", name.lower()))

    def parent(self, name: str) -> str:
        """The id of the base that the model with this id was tuned from, or empty."""
        for ending, base in self.fields.get("tuned", ()):
            if name.lower().endswith(ending):
                return f"hf:{name[: len(name) - len(ending)]}{base}"
        return ""


def find(id: str) -> Entry | None:
    """The entry for a model, or None. What a folder or a file is called is no id of the hub, whatever it looks like."""
    if not names.is_of_hub(id):
        return None
    name = _name(id).lower()
    return next((entry for entry in entries() if entry.pattern.fullmatch(name)), None)


def facts(id: str, date: str) -> tuple[Fact, ...]:
    """What is known of a model.

    Args:
        id: ``hf:org/name@revision``.
        date: today, for evidence.
    """
    entry = find(id)
    return told(entry, id, date) if entry is not None else ()


@cache
def entries() -> tuple[Entry, ...]:
    """All that is known, in the order in which it is looked through: the tables by name, their rows as they stand."""
    tables = (one for one in resources.files(__package__).iterdir() if one.name.endswith(".toml"))
    ordered = sorted(tables, key=lambda table: table.name)
    return tuple(entry for table in ordered for entry in read(table.name, table.read_bytes()))


def read(name: str, data: bytes) -> Iterator[Entry]:
    """The rows of a table.

    Args:
        name: of its file.
        data: its bytes.
    """
    sha256 = hashlib.sha256(data).hexdigest()
    for row in tomllib.loads(data.decode("utf-8"))["family"]:
        yield Entry(row["name"], re.compile("|".join(row["ids"])), row, f"known/{name}", sha256)


def told(entry: Entry, id: str, date: str) -> tuple[Fact, ...]:
    """The facts of an entry, of a model with this id."""
    at = Evidence(entry.file, entry.source, entry.sha256, Basis.KNOWN.value, date)
    return tuple(_facts(_name(id), entry, at))


def _name(id: str) -> str:
    return id.removeprefix("hf:").partition("@")[0]


def _facts(name: str, entry: Entry, at: Evidence) -> Iterator[Fact]:
    fields = entry.fields
    if tag := fields.get("licence"):
        yield replace(legal.declared(tag, Scope.WEIGHTS, at), basis=Basis.KNOWN)
    if fields.get("gated"):
        yield AccessFact(Basis.KNOWN, at, "gated", "the hub asks for consent before it gives the files")
    yield ComponentFact(Basis.KNOWN, at, Component.PARAMETERS, State.PROMISED, "on the hub")
    if fields.get("data_withheld"):
        yield ComponentFact(Basis.KNOWN, at, Component.DATASETS, State.ABSENT, "")
    if entry.is_base(name):  # how that was made tells nothing of what others were tuned on
        yield from _made(fields, at)
    elif parent := entry.parent(name):
        yield ParentFact(Basis.KNOWN, at, parent, Relation.FINETUNE)


def _made(fields: Mapping[str, Any], at: Evidence) -> Iterator[Fact]:
    """How a base was made."""
    yield OriginFact(Basis.KNOWN, at, "a base model: its maker trained it from random initial values")
    for row in fields.get("data", ()):
        availability = Availability(row.get("availability", "unknown"))
        licence, where = row.get("licence", ""), row.get("where", "")
        yield DatasetFact(Basis.KNOWN, at, row["name"], Role.TRAINING, availability, licence, where=where)
        yield ComponentFact(Basis.KNOWN, at, Component.DATASETS, State.PROMISED, row["name"])
    for component in _MADE:
        if where := fields.get(component.value):
            yield ComponentFact(Basis.KNOWN, at, component, State.PROMISED, where)
    if tokens := fields.get("tokens"):
        yield TrainingFact(Basis.KNOWN, at, tokens)
