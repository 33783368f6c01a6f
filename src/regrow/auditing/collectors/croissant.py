"""Croissant files beside a model: data sets described in JSON-LD, as hubs of data sets give them.

A data set is a source; one with ``hasPart`` is a list of them. How others can have it is said in
``conditionsOfAccess``, which begins with one of the four kinds and may go on with the reason (``unshareable: it holds
names of patients``). Where it does not, the licence and ``isAccessibleForFree`` tell.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from typing import Any

from regrow.auditing.collectors.folder import Statement, Text, printable
from regrow.auditing.collectors.markdown import Block, blocks
from regrow.auditing.collectors.prose import sources
from regrow.auditing.collectors.structured import mapping, read_json, strings
from regrow.auditing.facts import (
    AllDataFact,
    Availability,
    Basis,
    Component,
    ComponentFact,
    DatasetFact,
    Evidence,
    Role,
    State,
)
from regrow.licences.catalogue import find, linked

NAME = "croissant"
PATH = re.compile(r"(?:\w+/){0,2}(?:[\w.-]*croissant[\w.-]*|metadata)\.json", re.IGNORECASE)
_SPDX = re.compile(r"https?://spdx\.org/licenses/([\w.+-]{1,60}?)(?:\.html|\.json)?/?")
_MOST = 500


def read(text: Text) -> Iterator[Statement]:
    """One file; one that describes no data set says nothing."""
    data = read_json(text.text)
    if data.fault or not _is_dataset(data.value) or "croissant" not in str(_get(data.value, "conformsTo")).lower():
        return
    at = text.at()
    parts = [part for part in _list(_get(data.value, "hasPart")) if _is_dataset(part)]
    listed = [(part, text.at(f"key hasPart.{number}")) for number, part in enumerate(parts[:_MOST])]
    for part, place in listed or [(data.value, at)]:
        yield from _source(part, place)
    if len(parts) > _MOST:
        return
    for block, _ in _texts(_get(data.value, "description"), at):
        yield from (AllDataFact(Basis.DECLARED, at, said) for said in block.sentences() if sources.is_all(said))


def _source(data: Mapping[str, Any], at: Evidence) -> Iterator[Statement]:
    name = printable(_string(_get(data, "name")), 200) or "a source without a name"
    licence, (where, sha256) = _licence(data), _place(data)
    said, _, reason = _string(_get(data, "conditionsOfAccess")).partition(":")
    kind = sources.kind(said)
    if kind is Availability.UNKNOWN:
        kind = _kind(_get(data, "isAccessibleForFree"), licence, bool(where))
    yield DatasetFact(
        Basis.DECLARED, at, name, Role.TRAINING, kind, licence, sha256=sha256, where=where, reason=printable(reason)
    )
    if where:
        yield ComponentFact(Basis.DECLARED, at, Component.DATASETS, State.PROMISED, where)
    told = [value for key, value in data.items() if key.rpartition(":")[2] == "description" or key.startswith("rai:")]
    yield from sources.aspects(name, [found for value in told for found in _texts(value, at)])


def _kind(free: Any, licence: str, located: bool) -> Availability:
    """How others can have it, by whether it costs something and what its licence lets them do."""
    known = find(licence)
    if free in (False, "False", "false"):
        return Availability.OBTAINABLE
    if known and known.open and located:
        return Availability.OPEN
    return Availability.PUBLIC if free in (True, "True", "true") else Availability.UNKNOWN


def _place(data: Mapping[str, Any]) -> tuple[str, str]:
    """Where it is, and its sha256: the file's, or of several files that of the list of theirs."""
    files = [file for file in _list(_get(data, "distribution")) if not _get(file, "containedIn")]
    found = [(_string(_get(file, "contentUrl")), _string(_get(file, "sha256")).lower()) for file in files]
    page = next((one for one in (_string(_get(data, "url")), *strings(_get(data, "sameAs"))) if "://" in one), "")
    where = found[0][0] if len(found) == 1 and "://" in found[0][0] else page
    if not found or not all(re.fullmatch(r"[0-9a-f]{64}", sha256) for _, sha256 in found):
        return printable(where), ""
    lines = "".join(f"{sha256}  {address}\n" for address, sha256 in sorted(found))
    return printable(where), found[0][1] if len(found) == 1 else hashlib.sha256(lines.encode()).hexdigest()


def _licence(data: Mapping[str, Any]) -> str:
    """Its licences, an address of one by its name."""
    value = _get(data, "license")
    said = [_string(_get(item, "name")) or _string(_get(item, "url")) for item in _list(value)] or strings(value)
    named = (match[1] if (match := _SPDX.fullmatch(one)) else one for one in said)
    return printable(", ".join(known.id if (known := linked(one)) else one for one in named), 200)


def _texts(value: Any, at: Evidence) -> Iterator[tuple[Block, Evidence]]:
    for said in strings(value) or [_string(value)]:
        yield from ((block, at) for block in blocks(said))


def _is_dataset(data: Mapping[str, Any]) -> bool:
    return any(one.rpartition("/")[2].rpartition(":")[2] == "Dataset" for one in strings(data.get("@type")))


def _get(data: Mapping[str, Any], key: str) -> Any:
    """A field, with the prefix of its vocabulary or without."""
    return next((data[name] for name in (key, f"sc:{key}", f"cr:{key}", f"dct:{key}") if name in data), None)


def _string(value: Any) -> str:
    """A text, alone or with its language."""
    return next(iter(strings(mapping(value).get("@value", value))), "")


def _list(value: Any) -> list[Mapping[str, Any]]:
    """Objects, or the one."""
    return [item for item in (value if isinstance(value, list) else [value]) if isinstance(item, dict)]
