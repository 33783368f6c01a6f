"""Rows: the objects of JSON, the lines of a table of text, the rows of Parquet, each with its place in the file."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from regrow.corpus.beside import of_row
from regrow.corpus.reading import Reading, Refusal
from regrow.errors import StageError
from regrow.printable import escaped

LONGEST = 1 << 28
"""Characters of a row. A longer one is no text that anybody wrote."""

_NAMES = 8  # of fields that a message names
_LONGEST_NAME = 40


@dataclass(frozen=True)
class Row:
    """A text, its place, and what is beside it.

    Attributes:
        start: as of a :class:`regrow.corpus.reading.Piece`.
        end: as of a :class:`regrow.corpus.reading.Piece`.
        text: the text.
        key: the values it is grouped by, as one that equals another where they do.
        rights: what other fields say of its rights (:mod:`regrow.corpus.beside`).
    """

    start: int
    end: int
    text: str
    key: str
    rights: str = ""


def refused(start: int, end: int, reason: str, detail: str = "") -> Refusal:
    """A refusal of one row."""
    return Refusal(start, end, reason, detail, rows=1)


def row_of(start: int, end: int, values: Mapping[str, Any], reading: Reading) -> Row | Refusal:
    """A row of values by name, if the field that is asked for holds a text."""
    text = values.get(reading.field)
    if not isinstance(text, str):
        return refused(start, end, "no text", _missing(values, reading.field))
    try:
        if not text.isascii():
            text.encode()
    except UnicodeEncodeError:
        return refused(start, end, "half a character", f"field `{reading.field}` holds a lone surrogate")
    group = [values.get(name) for name in reading.group_by]
    key = json.dumps(group, default=repr) if group else ""
    return Row(start, end, text, key, of_row(values, reading.field))


def no_field(kind: str, field: str, known: Iterable[str]) -> str:
    """What is wrong if there is no field of a name, and which there are."""
    return f"there is no {kind} `{field}`, but {names(known)}"


def fields_told(message: str) -> list[str]:
    """The fields that there are, by what :func:`no_field` says; as many as it names."""
    _, told, known = message.partition("`, but `")
    return known.rstrip(". `").split("`, `") if told else []


def names(known: Iterable[str]) -> str:
    """Names of fields, as many as a line has room for."""
    found = list(known)
    shown = [f"`{escaped(name[:_LONGEST_NAME])}`" for name in found[:_NAMES]]
    return (", ".join(shown) + (" ..." if len(found) > _NAMES else "")) or "none"


def require_groups(reading: Reading, known: Iterable[str], kind: str) -> None:
    """Raise if a field to group by is in no row at all: every group would be the same.

    Raises:
        StageError: naming it, and those that there are.
    """
    found = set(known)
    if missing := [name for name in reading.group_by if name not in found]:
        raise StageError(
            f"{kind} `{missing[0]}`",
            why=f"those that there are: {names(sorted(found))}",
            hint="name fields that there are as `group_by`",
        )


def _missing(values: Mapping[str, Any], field: str) -> str:
    if field not in values:
        return no_field("field", field, values)
    return f"field `{field}` is {value_in_words(values[field])}"


def value_in_words(value: Any) -> str:
    """What a value is, in words: for a chat that is kept as a list of messages, what its messages have."""
    if value is None:
        return "null"
    if isinstance(value, str):
        return "a string"
    if isinstance(value, bool):
        return "true or false"
    if isinstance(value, int | float):
        return "a number"
    if isinstance(value, dict):
        return f"an object with {names(value)}"
    if isinstance(value, list):
        first = f" of objects with {names(value[0])}" if value and isinstance(value[0], dict) else ""
        return f"a list{first}"
    return "not a string"
