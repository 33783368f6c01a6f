"""What the tables of a recipe are made of, below all that has one: a model's shape, training, a kind of stage."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import PydanticCustomError

Place = tuple[str | int, ...]
"""Keys and, inside an array, indices: ``("source", 0, "licence")``."""

LARGEST = 2**63 - 1
"""The largest whole number of TOML."""


class Parameters(BaseModel):
    """Base of every kind's parameters: immutable, strict about unknown keys, canonical as JSON.

    A field may have an alias: then that is what recipes call it, and its own name is what locks and keys call it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, populate_by_name=True)


class Section(Parameters, strict=True):
    """A table of the recipe: nothing is converted, nothing unknown is let through."""


def fault(what: str, *, hint: str, why: str = "", at: Place = ()) -> PydanticCustomError:
    """What a validator raises: an error in our words, about what is ``at`` that place inside the value."""
    return PydanticCustomError("regrow", "{what}", {"what": what, "why": why, "hint": hint, "at": at})


def first_fault(error: ValidationError) -> str:
    """The first of what is wrong, behind the keys that lead to it, in one line: ``key.0.size: what``."""
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    keys, what = ".".join(map(str, first["loc"])), first["msg"]
    return f"{keys}: {what}" if keys else what
