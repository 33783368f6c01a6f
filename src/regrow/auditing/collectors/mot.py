"""Files of the Model Openness Tool: what somebody filled into its form about a model.

Such a file is an opinion to compare with. That it lists a component does not show the component, so everything in it
is declared, and every component promised. What follows from the form's own rules is filled in: a component without a
licence of its own has that of its type of content, else that of the whole distribution, else none.
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
    Finding,
    OriginFact,
    ParentFact,
    Relation,
    Scope,
    Severity,
    State,
)
from regrow.licences import find

NAME = "mot"
UNLICENSED = "unlicensed"
"""What the form writes for a component without a licence."""

_TITLES = {re.sub(r"[^a-z]", "", component): component for component in Component}
_WHOLE = "distribution"
_SCOPES = {
    _WHOLE: (Scope.EVERYTHING,),
    "code": (Scope.CODE,),
    "data": (Scope.WEIGHTS, Scope.DATA),  # the framework counts parameters as data
    "document": (Scope.DOCUMENTS,),
}
_CODE = frozenset(component for component in Component if component.endswith("-code")) | {
    Component.ARCHITECTURE,
    Component.LIBRARIES,
}
_DATA = frozenset(
    (
        Component.PARAMETERS,
        Component.INTERMEDIATE_PARAMETERS,
        Component.DATASETS,
        Component.EVALUATION_DATA,
        Component.METADATA,
    )
)
_NOT_INCLUDED = re.compile(r"(component )*not included?\b", re.IGNORECASE)
_UNSAID = ("license not specified", UNLICENSED)
_NULL = ("~", "null", "Null", "NULL")  # as YAML writes it, where every scalar is read as a string
_NOTHING = re.compile(r"none|n/?a|-+", re.IGNORECASE)
_SCRATCH = re.compile(r"((pre-?)?trained )?(from )?scratch", re.IGNORECASE)
_NAMED = re.compile(r"[A-Za-z](?!\d*$)\S*?(\d|(?<=[a-z])[A-Z])")  # with a size, a version or a capital in the middle


def is_one(data: Data) -> bool:
    """Whether the file is of this kind."""
    return isinstance(data.value.get("framework"), dict) and isinstance(data.value.get("release"), dict)


def name(data: Data) -> str:
    """The name of the model."""
    return printable(_first(mapping(data.value.get("release")), "name"), 100)


def read(text: Text) -> Iterator[Statement]:
    """What the form says."""
    data = read_yaml(text.text)
    yield from data.findings(text, "card-unreadable")
    release = mapping(data.value.get("release"))
    kinds = {kind: mapping(mapping(release.get("license")).get(kind)) for kind in _SCOPES}
    yield from _licences(kinds, text)
    yield from _origin(release, text)
    components = release.get("components")
    for number, entry in enumerate(components if isinstance(components, list) else []):
        yield from _component(mapping(entry), kinds, text, number)


def _first(entry: Mapping[str, Any], *keys: str) -> str:
    """What stands under the first of the keys that has something."""
    return next((value for key in keys for value in strings(entry.get(key)) if value not in _NULL), "")


def _licences(kinds: Mapping[str, Mapping[str, Any]], text: Text) -> Iterator[Statement]:
    for kind, entry in kinds.items():
        if licence := _first(entry, "name"):
            at = text.at(f"key release.license.{kind}")
            for scope in _SCOPES[kind]:
                yield legal.declared(licence, scope, at, link=_first(entry, "path"))


def _origin(release: Mapping[str, Any], text: Text) -> Iterator[Statement]:
    origin, own, at = _first(release, "origin"), _first(release, "name"), text.at("key release.origin")
    if not origin or _NOTHING.fullmatch(origin) or names.plain(origin) == names.plain(own):
        return
    if _SCRATCH.fullmatch(origin):
        yield OriginFact(Basis.DECLARED, at, printable(origin))
    elif parent := _parent(origin, own):
        yield ParentFact(Basis.DECLARED, at, parent, Relation.UNKNOWN)
    else:
        said = f"the origin `{printable(origin, 100)}` does not look like the name of a model and was not followed"
        yield Finding("origin-unclear", Severity.NOTE, said, (at,))


def _parent(origin: str, own: str) -> str:
    """The model that an origin names; nothing where it is a sentence, a licence, or a word that can mean anything."""
    if parent := names.model(origin):
        return parent
    first, _, rest = origin.casefold().partition("-")
    sibling = rest and own.casefold().startswith(f"{first}-")  # Kitten-Base, of Kitten-Chat
    return origin if names.is_id(origin) and not find(origin) and (sibling or _NAMED.match(origin)) else ""


def _component(
    entry: Mapping[str, Any], kinds: Mapping[str, Mapping[str, Any]], text: Text, number: int
) -> Iterator[Statement]:
    component = _TITLES.get(re.sub(r"[^a-z]", "", str(entry.get("name", "")).lower()))
    if component is None:
        return
    at = text.at(f"key release.components.{number}")
    own = _first(entry, "license", "license_name") or _first(mapping(entry.get("license")), "name", "id")
    where = _first(entry, "component_path", "location")
    if _NOT_INCLUDED.match(own):
        yield ComponentFact(Basis.DECLARED, at, component, State.ABSENT, "")
        return
    licence = own or _first(kinds[_kind(component)], "name") or _first(kinds[_WHOLE], "name")
    told = printable(licence) if licence and licence.lower() not in _UNSAID else UNLICENSED
    yield ComponentFact(Basis.DECLARED, at, component, State.PROMISED, printable(where), told)
    if own and told != UNLICENSED and component is Component.PARAMETERS:
        yield legal.declared(own, Scope.WEIGHTS, at, link=_first(entry, "license_path"))


def _kind(component: Component) -> str:
    """The type of content of a component, as the framework sees it."""
    return "code" if component in _CODE else "data" if component in _DATA else "document"
