"""Tables of a recipe, whichever room they live in: their base, and the words of what is wrong with them."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable
from typing import Any

from pydantic import BaseModel, ConfigDict
from pydantic_core import PydanticCustomError

Path = tuple[str | int, ...]
"""Keys and, inside an array, indices: ``("source", 0, "licence")``."""

_LONGEST = 60


class Parameters(BaseModel):
    """Base of every kind's parameters: immutable, strict about unknown keys, canonical as JSON."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Section(Parameters, strict=True):
    """A table of the recipe: nothing is converted, nothing unknown is let through."""


def fault(what: str, *, hint: str, why: str = "", at: Path = ()) -> PydanticCustomError:
    """What a validator raises: an error in our words, about what is ``at`` that place inside the value."""
    return PydanticCustomError("regrow", "{what}", {"what": what, "why": why, "hint": hint, "at": at})


def closest(word: str, known: Iterable[str]) -> str | None:
    """The known word that ``word`` was probably meant to be."""
    names = {name.lower(): name for name in known}
    match = difflib.get_close_matches(word.lower(), names, n=1, cutoff=0.6)
    return names[match[0]] if match else None


def listed(names: Iterable[str]) -> str:
    """Names in backticks, joined by commas."""
    return ", ".join(f"`{name}`" for name in names) or "none"


def shown(value: Any) -> str:
    """A value as a reader of the recipe knows it, in one short piece."""
    if isinstance(value, dict):
        return "a table"
    if isinstance(value, list) and any(isinstance(item, dict) for item in value):
        return "a list of tables"
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _LONGEST else text[: _LONGEST - 3] + "..."
