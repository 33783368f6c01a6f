"""Source code among the files: what it does, as far as its own words make that plain, and its licence."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import PurePosixPath
from typing import Any

from regrow.auditing.collectors import kinds, legal
from regrow.auditing.collectors.folder import Folder, Statement, Text, printable
from regrow.auditing.collectors.structured import mapping, strings
from regrow.auditing.facts import Basis, Component, ComponentFact, Finding, Scope, Severity, State
from regrow.data import any_of, toml

NAME = "code"
_LIMIT = 1 << 20
_MOST_FILES = 2000
_MOST_NAMED = 3  # files for each component
_HEAD = 2048  # characters at the top of a file, where its licence stands
_LIBRARIES = re.compile(r"requirements[\w.-]*\.txt|pyproject\.toml|environment\.ya?ml|setup\.(py|cfg)|uv\.lock|Pipfile")
_IGNORED = frozenset(("tests", "test", "docs"))


@cache
def _signs() -> tuple[tuple[Component, re.Pattern[str], re.Pattern[str]], ...]:
    """For each component, what its files are called and what they say."""
    return tuple(
        (
            Component(name),
            re.compile(f"(?:^|[/_.-]){any_of(sign['path'])}", re.IGNORECASE),
            re.compile(any_of(sign["text"]), re.IGNORECASE if sign.get("any_case") else 0),
        )
        for name, sign in toml("auditing.collectors", "code").items()
    )


def collect(folder: Folder) -> Iterator[Statement]:
    """The code that comes with the model."""
    found: dict[Component, int] = {}
    licences: set[str] = set()
    sources = [entry.path for entry in folder.find("code") if _is_ours(entry.path)]
    sources.sort(key=lambda path: (not path.endswith(".py"), path))
    if len(sources) > _MOST_FILES:
        said = f"of {len(sources):,} source files the first {_MOST_FILES:,} were read"
        yield Finding("too-many-files", Severity.NOTE, said, (folder.inventory(NAME),))
    yield from folder.texts(sources[:_MOST_FILES], NAME, lambda text: _read(text, found, licences), _LIMIT)
    listed = [path for path in folder.paths if _LIBRARIES.fullmatch(PurePosixPath(path).name) and _is_ours(path)]
    yield from folder.texts(listed, NAME, _libraries)


def _is_ours(path: str) -> bool:
    return not (kinds.is_copied(path) or _IGNORED.intersection(PurePosixPath(path).parts[:-1]))


def _read(text: Text, found: dict[Component, int], licences: set[str]) -> Iterator[Statement]:
    tag = legal.TAG.search(text.text[:_HEAD])
    licence = tag["id"].strip() if tag else None
    for component, path, words in _signs():
        if path.search(text.path) and (match := words.search(text.text)):
            found[component] = found.get(component, 0) + 1
            if found[component] <= _MOST_NAMED:
                at = text.line(text.text.count("\n", 0, match.start()) + 1)
                yield ComponentFact(Basis.FOUND, at, component, State.PRESENT, text.path, licence)
    if tag and licence and licence not in licences:
        licences.add(licence)
        yield legal.declared(licence, Scope.CODE, text.line(text.text.count("\n", 0, tag.start()) + 1))


def _libraries(text: Text) -> Iterator[Statement]:
    yield ComponentFact(Basis.FOUND, text.at(), Component.LIBRARIES, State.PRESENT, text.path)
    if text.path == "pyproject.toml":
        try:
            project = mapping(tomllib.loads(text.text).get("project"))
        except (tomllib.TOMLDecodeError, RecursionError) as error:
            said = f"{text.path} cannot be read: {printable(str(error))}"
            yield Finding("config-unreadable", Severity.WARNING, said, (text.at(),))
            return
        for licence in _declared(project):
            line = next((number for number, row in enumerate(text.text.split("\n"), 1) if "licen" in row), 1)
            yield legal.declared(licence, Scope.CODE, text.line(line))


def _declared(project: Mapping[str, Any]) -> list[str]:
    said = project.get("license")
    return strings(said) or [name for name in strings(mapping(said).get("text")) if len(name) < 100]
