"""What a recipe says of a model as a whole, for stages that write it into what they make.

A stage knows its parameters and inputs alone, and the name of the model is neither. So such a kind has these facts
among its parameters: the recipe fills them in as it fills in pins, and they are part of the stage's key and of the
lock.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pydantic import Field

from regrow.recipe.pin import Pin, Pins
from regrow.sections import Parameters


class Brought(Parameters):
    """Something that a model is made from: another model, or a source of texts.

    Attributes:
        name: as the recipe calls it.
        fetch: where it was got.
        licence: as the recipe declares it.
        sha256: of its file; of several, of what ``sha256sum`` prints of them in the order of their names; of files that
            may not be shared, of their list with its secret.
    """

    name: str
    fetch: str
    licence: str = ""
    sha256: str = ""

    @staticmethod
    def of(name: str, fetch: str, licence: str, pins: Sequence[Pin]) -> Brought:
        """With the digest of what is pinned."""
        told = Pins.of(pins)
        sha256 = told.bare.sums if told.withheld else told.together
        return Brought(name=name, fetch=fetch, licence=licence, sha256=sha256)


class Facts(Parameters):
    """What is said of a model.

    Attributes:
        name: what it is called.
        licence: of its weights.
        description: a sentence about it.
        models: those that it is made from.
        texts: the sources of what it was trained on.
    """

    name: str = ""
    licence: str = ""
    description: str = ""
    models: tuple[Brought, ...] = ()
    texts: tuple[Brought, ...] = ()

    @staticmethod
    def of(model: Mapping[str, Any], models: Iterable[Brought], texts: Iterable[Brought]) -> Facts:
        """The facts in one order, whoever tells them.

        Args:
            model: the table ``[model]`` of the recipe.
            models: what it is made from.
            texts: what it was trained on.
        """
        said = {key: str(model.get(key) or "") for key in ("name", "licence", "description")}
        return Facts(**said, models=_sorted(models), texts=_sorted(texts))


class Telling(Parameters):
    """Parameters of a stage that writes down what the recipe says of the model."""

    facts: Facts = Field(
        default=Facts(),
        description="What the recipe says of the model.",
        json_schema_extra={"hidden": True, "settled": True},
    )


class Declaring(Parameters):
    """Parameters of a stage that sets what it finds beside what the recipe declares of its sources."""

    licences: dict[str, str] = Field(
        default={},
        description="Source -> its licence, as the recipe declares it.",
        json_schema_extra={"hidden": True, "settled": True},
    )


TOLD: Mapping[type[Telling | Declaring], str] = {Telling: "facts", Declaring: "licences"}
"""Parameters that a recipe fills by itself, and which one of them."""


def _sorted(brought: Iterable[Brought]) -> tuple[Brought, ...]:
    return tuple(sorted(brought, key=lambda one: one.name))
