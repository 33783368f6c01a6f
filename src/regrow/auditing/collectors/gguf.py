"""GGUF files: what each says of itself in its metadata, and how its tensors are stored."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

from regrow.auditing import names
from regrow.auditing.collectors import legal, weights
from regrow.auditing.collectors.folder import At, Folder, Statement, printable
from regrow.auditing.facts import (
    ArchitectureFact,
    Availability,
    Basis,
    Component,
    ComponentFact,
    DatasetFact,
    Evidence,
    Finding,
    NameFact,
    ParentFact,
    Relation,
    Role,
    Scope,
    Severity,
    State,
)
from regrow.formats.gguf import PLAIN, Header, read_header

NAME = "gguf"
_NAMING = ("name", "repo_url", "url")
"""Keys of a base or of data, any of which is enough to say which it is."""

_BASE = re.compile(r"(?:general|regrow)\.(base_model|dataset)\.(\d{1,4})\.(\w+)")
"""A key of everybody's, or one of ours, which add where it was fetched, and its licence."""


def collect(folder: Folder) -> Iterator[Statement]:
    """Read what each GGUF file says of itself, and what is wrong with it."""
    yield from weights.read(folder, NAME, read_header, partial(_facts, folder))


def _facts(folder: Folder, path: str, header: Header, evidence: Evidence) -> Iterator[Statement]:
    def at(key: str) -> Evidence:
        return folder.evidence(path, NAME, f"key {key}", header.sha256)

    family = _string(header.values, "general.architecture")
    context = header.values.get(f"{family}.context_length")
    dtypes = tuple(sorted({tensor.dtype for tensor in header.tensors if tensor.dtype}))
    yield ArchitectureFact(
        Basis.FOUND,
        evidence,
        printable(family, 60),
        sum(tensor.count for tensor in header.tensors),
        dtypes,
        context=context if type(context) is int and context > 0 else None,
    )
    lacking = "header-past-end" in header.problems.found or not weights.whole(path, _there(folder))
    state = State.PROMISED if lacking else State.PRESENT
    yield ComponentFact(Basis.FOUND, evidence, Component.PARAMETERS, state, path)
    if family:
        yield ComponentFact(Basis.FOUND, at("general.architecture"), Component.ARCHITECTURE, State.PRESENT, path)
    if name := printable(_string(header.values, "general.name"), 100):
        yield NameFact(Basis.DECLARED, at("general.name"), name)
    yield from _licence(header.values, at)
    yield from _parents(header.values, _is_quantised(dtypes), at)
    yield from _datasets(header.values, at)
    if _is_quantised(dtypes):
        main = ", ".join(dtype for dtype in dtypes if dtype not in PLAIN)
        yield Finding("quantised", Severity.NOTE, f"{printable(path)} stores tensors as {main}", (evidence,))


def _there(folder: Folder) -> Iterator[str]:
    return (one.path for one in folder.find("weights") if one.size and not folder.is_pointer(one))


def _is_quantised(dtypes: tuple[str, ...]) -> bool:
    return any(dtype not in PLAIN for dtype in dtypes)


def _string(values: Mapping[str, Any], key: str) -> str:
    value = values.get(key)
    return value.strip() if isinstance(value, str) else ""


def _licence(values: Mapping[str, Any], at: At) -> Iterator[Statement]:
    raw, name, link = (_string(values, f"general.license{suffix}") for suffix in ("", ".name", ".link"))
    if raw or name:
        key = "general.license" if raw else "general.license.name"
        yield legal.declared(raw or name, Scope.WEIGHTS, at(key), name, link)


def _parents(values: Mapping[str, Any], quantised: bool, at: At) -> Iterator[Statement]:
    made = Relation.QUANTISED if quantised else Relation.CONVERTED
    own = names.plain(_string(values, "general.name"))
    for key in ("general.source.repo_url", "general.source.huggingface.repository", "general.source.url"):
        if source := names.model(_string(values, key)):
            yield ParentFact(Basis.DECLARED, at(key), source, made)
            break
    for number, fields in _numbered(values, "base_model"):
        address = names.model(fields.get("repo_url", "")) or names.model(fields.get("url", ""))
        called = fields.get("name", "")
        if (
            parent := address
            or printable(fields.get("fetch", ""), 100)
            or _joined(fields.get("organization", ""), called)
        ):
            # A converter copies the base that the card of its input declares. That input was tuned from the base
            # unless it is the base itself.
            tuned = bool(_string(values, "general.finetune")) and names.plain(called) != own
            relation = Relation.FINETUNE if tuned else made
            version = printable(fields.get("version", ""), 60)
            key = next((f"general.base_model.{number}.{key}" for key in _NAMING if fields.get(key)), "")
            licence = printable(fields.get("license", ""), 100)
            place = at(key or f"regrow.base_model.{number}.fetch")
            yield ParentFact(Basis.DECLARED, place, parent, relation, version, licence=licence)


def _datasets(values: Mapping[str, Any], at: At) -> Iterator[Statement]:
    for number, fields in _numbered(values, "dataset"):
        where = fields.get("repo_url") or fields.get("url") or ""
        if name := fields.get("name") or where:
            yield DatasetFact(
                Basis.DECLARED,
                at(f"general.dataset.{number}.{next(key for key in _NAMING if fields.get(key))}"),
                printable(name),
                Role.TRAINING,
                Availability.UNKNOWN,
                where=printable(where),
            )


def _numbered(values: Mapping[str, Any], kind: str) -> Iterator[tuple[int, Mapping[str, str]]]:
    found: dict[int, dict[str, str]] = {}
    for key, value in values.items():
        if (match := _BASE.fullmatch(key)) and match[1] == kind and isinstance(value, str):
            found.setdefault(int(match[2]), {})[match[3]] = value.strip()
    yield from sorted(found.items())


def _joined(organisation: str, name: str) -> str:
    return printable(f"{organisation}/{name}" if organisation and name else name, 100)
