"""Types of values that several tables of a recipe have."""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, WithJsonSchema

from regrow.recipe import licences
from regrow.sections import fault
from regrow.words import shown

_NAME = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")


def _texts(value: Any) -> Any:
    """A text alone stands for a list of one."""
    return (value,) if isinstance(value, str) else tuple(value) if isinstance(value, list) else value


def _licence(value: str) -> str:
    if wrong := licences.fault(value):
        what, hint = wrong
        raise fault(what, hint=hint)
    return value


def _name(value: str) -> str:
    if not _NAME.fullmatch(value) or len(value) > 64:
        simple = re.sub(r"[^a-z0-9]+", "-", value.lower()).strip("-")[:64].strip("-")
        raise fault(
            f"{shown(value)} cannot be a name",
            why="a name has small letters, digits and single hyphens between them, at most 64 characters",
            hint=f'write "{simple}"' if simple else 'choose a name such as "plays"',
        )
    return value


def _pattern(value: str) -> str:
    parts = value.split("/")
    if not value or value.startswith("/") or ".." in parts or "\\" in value:
        raise fault(
            f"{shown(value)} does not select anything inside the source",
            why="patterns are relative to the source, with `/` between folders, and cannot leave it",
            hint='write a pattern such as "**/*.txt"',
        )
    return value


_TEXTS = WithJsonSchema({"type": "text or list of texts"})

Licence = Annotated[str, AfterValidator(_licence)]
"""An SPDX expression."""

Name = Annotated[str, AfterValidator(_name)]
"""Small letters, digits and single hyphens."""

Pattern = Annotated[str, AfterValidator(_pattern)]
"""Chooses files inside a source."""

Texts = Annotated[tuple[str, ...], BeforeValidator(_texts), _TEXTS]
"""One text, or a list of them."""

Patterns = Annotated[tuple[Pattern, ...], BeforeValidator(_texts), _TEXTS]
"""One pattern, or a list of them."""
