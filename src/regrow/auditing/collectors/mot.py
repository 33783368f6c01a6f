"""Files of the Model Openness Tool: what somebody filled into its form about a model.

Such a file is an opinion to compare with. That it lists a component does not show the component, so everything in it
is declared, and every component promised.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from regrow.auditing import names
from regrow.auditing.collectors import legal
from regrow.auditing.collectors.folder import Statement, Text, printable
from regrow.auditing.collectors.structured import Data, mapping, read_yaml, strings
from regrow.auditing.facts import (
    Basis,
    Component,
    ComponentFact,
    ParentFact,
    Relation,
    Scope,
    State,
)

NAME = "mot"
_TITLES = {re.sub(r"[^a-z]", "", component): component for component in Component}
_SCOPES = {
    "distribution": (Scope.EVERYTHING,),
    "code": (Scope.CODE,),
    "data": (Scope.WEIGHTS, Scope.DATA),  # the framework counts parameters as data
    "document": (Scope.DOCUMENTS,),
}
_NOT_INCLUDED = ("component not included", "not included")
_UNLICENSED = ("license not specified", "unlicensed")


def is_one(data: Data) -> bool:
    """Whether the file is of this kind."""
    return isinstance(data.value.get("framework"), dict) and isinstance(data.value.get("release"), dict)


def name(data: Data) -> str:
    """The name of the model."""
    return printable(next(iter(strings(mapping(data.value.get("release")).get("name"))), ""), 100)


def read(text: Text) -> Iterator[Statement]:
    """What the form says."""
    data = read_yaml(text.text)
    yield from data.findings(text, "card-unreadable")
    release = mapping(data.value.get("release"))
    yield from _licences(mapping(release.get("license")), text)
    yield from _origin(release, text)
    components = release.get("components")
    for number, entry in enumerate(components if isinstance(components, list) else []):
        yield from _component(mapping(entry), text, number)


def _licences(kinds: Mapping[str, Any], text: Text) -> Iterator[Statement]:
    for kind, scopes in _SCOPES.items():
        entry = mapping(kinds.get(kind))
        for licence in strings(entry.get("name")):
            at = text.at(f"key release.license.{kind}")
            for scope in scopes:
                yield legal.declared(licence, scope, at, link=str(entry.get("path", "")))


def _origin(release: Mapping[str, Any], text: Text) -> Iterator[Statement]:
    own = next(iter(strings(release.get("name"))), "")
    for origin in strings(release.get("origin"))[:1]:
        if names.plain(origin) not in (names.plain(own), "scratch", "none", "na"):
            parent = names.model(origin) or printable(origin, 100)
            yield ParentFact(Basis.DECLARED, text.at("key release.origin"), parent, Relation.UNKNOWN)


def _component(entry: Mapping[str, Any], text: Text, number: int) -> Iterator[Statement]:
    title = re.sub(r"[^a-z]", "", str(entry.get("name", "")).lower())
    component = _TITLES.get(title)
    if component is None:
        return
    licence = next(iter(strings(entry.get("license")) or strings(entry.get("license_name"))), "")
    where = next(iter(strings(entry.get("component_path")) or strings(entry.get("location"))), "")
    at = text.at(f"key release.components.{number}")
    if licence.lower() in _NOT_INCLUDED:
        yield ComponentFact(Basis.DECLARED, at, component, State.ABSENT, "")
        return
    own = "unlicensed" if licence.lower() in _UNLICENSED else printable(licence) or None
    yield ComponentFact(Basis.DECLARED, at, component, State.PROMISED, printable(where), own)
    if own and own != "unlicensed" and component is Component.PARAMETERS:
        yield legal.declared(own, Scope.WEIGHTS, at)
