"""What texts from outside are for: to train on, or only to be looked for in what is trained on."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal

Role = Literal["training", "evaluation", "reference"]
"""What a source is for. No model sees a text of any but ``training``."""

TRAINING: Role = "training"
EVALUATION: Role = "evaluation"
REFERENCE: Role = "reference"


def role_of(table: Mapping[str, Any]) -> str:
    """The role of a source by its table, of a recipe or of a lock, which says none for training."""
    return str(table.get("role") or TRAINING)


def of_role(role: Role) -> Callable[[Any], bool]:
    """For :attr:`regrow.recipe.kind.Kind.asked`: whether an entry of ``[[source]]`` is for this."""
    return lambda entry: bool(entry.role == role)


def left_out(recipe: Mapping[str, Any]) -> frozenset[str]:
    """The sources that a recipe leaves out though it has them, by its table ``[without]``."""
    table = recipe.get("without")
    told = table.get("sources", ()) if isinstance(table, dict) else ()
    return frozenset([told] if isinstance(told, str) else map(str, told) if isinstance(told, list) else ())


def saying(role: Role) -> str:
    """For :attr:`regrow.recipe.kind.Kind.asking`: how an entry says it."""
    return f'role = "{role}"'
