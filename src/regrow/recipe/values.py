"""Types of values that several tables of a recipe have."""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, WithJsonSchema

from regrow.recipe import licences
from regrow.sections import fault
from regrow.words import shown

UNSHAREABLE = "unshareable"
"""The availability of texts that may be learnt from and not be shared."""

_MANY = 20
_SYNTAX = "`*`, `?` and `[...]` stand for parts of a name, and `**` between slashes for folders"
_NAME = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")


def _texts(value: Any) -> Any:
    """A text alone stands for a list of one."""
    return (value,) if isinstance(value, str) else tuple(value) if isinstance(value, list) else value


def _count_or_places(value: Any) -> Any:
    values = value if isinstance(value, list | tuple) else [value]
    if bad := [one for one in values if not _is_whole(one)]:
        raise fault(
            f"must be a whole number or a list of some, not {shown(bad[0])}", hint="write, for example, `[3, 7]` or `2`"
        )
    return tuple(value) if isinstance(value, list) else value


def _pairs(value: Any) -> Any:
    for one in value if isinstance(value, list | tuple) else [value]:
        if not isinstance(one, list | tuple) or len(one) != 2 or not all(map(_is_whole, one)):
            raise fault(
                f"must be a list of pairs of whole numbers, and {shown(one)} is none",
                hint="write, for example, `[[0, 4], [2, 6]]`",
            )
    return tuple(map(tuple, value))


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


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
    if wrong := _misread(value):
        what, hint = wrong
        raise fault(f"{shown(value)} {what}", why=_SYNTAX, hint=hint)
    return value


def _misread(pattern: str) -> tuple[str, str] | None:
    """What a pattern means elsewhere and not here, if anything, and what to write instead."""
    if re.search(r"\{[^}]*,[^}]*\}", pattern):
        return "has braces, and `{...}` is no pattern", f"write a list: {shown(_spelled_out(pattern))}"
    if len(pieces := [piece.strip() for piece in pattern.split(",")]) > 1 and all(map(_looks_like_one, pieces)):
        return "is several patterns in one", f"write a list: {shown(pieces)}"
    if pattern.startswith("!"):
        return "begins with `!`, which negates nothing here", f"write exclude = {shown(pattern[1:])}"
    if pattern.endswith("/"):
        return "is a folder, not the files in it", f"write {shown(pattern + '**')}"
    if merged := next((part for part in pattern.split("/") if "**" in part and part.strip("*")), ""):
        return f"has `{merged}`, where `**` is no more than `*`", f"write {shown(pattern.replace('**', '**/*', 1))}"
    return None


def _looks_like_one(piece: str) -> bool:
    """Whether what stands between commas is a pattern or a name with a suffix, and no part of a title."""
    return re.fullmatch(r"\S*\*\S*|[\w/-]*\.\w+", piece) is not None


def _spelled_out(pattern: str) -> list[str]:
    """The patterns that one with braces stands for elsewhere; some of them, if they are many."""
    done: list[str] = []
    found = [pattern]
    while found and len(done) + len(found) < _MANY:
        one = found.pop(0)
        if (braces := re.search(r"\{([^{}]*)\}", one)) is None:
            done.append(one)
        else:
            found += [one[: braces.start()] + part.strip() + one[braces.end() :] for part in braces[1].split(",")]
    return list(dict.fromkeys(done + found))


_TEXTS = WithJsonSchema({"type": "text or list of texts"})

CountOrPlaces = Annotated[
    int | tuple[int, ...],
    BeforeValidator(_count_or_places),
    WithJsonSchema({"type": "whole number or list of whole numbers"}),
]
"""How many, or which: a whole number, or a list of them."""

Pairs = Annotated[tuple[tuple[int, int], ...], BeforeValidator(_pairs), WithJsonSchema({"type": "list of pairs"})]
"""A list of pairs of whole numbers."""

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
