"""A recipe made explicit: its stages, with every input pinned, and what its lock promises they give.

The modes are those of package managers: a plain build renews a lock that is out of date and keeps the pins of what did
not change; ``--locked`` refuses instead; ``--frozen`` takes the lock for the truth and does not look at the recipe.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from regrow.engine import Listener
from regrow.recipe.graph import Graph


class Mode(Enum):
    """What to do about the lock."""

    RENEW = "renew"
    LOCKED = "locked"
    FROZEN = "frozen"


@dataclass(frozen=True)
class Locked:
    """A recipe with its lock.

    Attributes:
        folder: the folder of the recipe.
        recipe: the text of ``regrow.toml``, byte for byte.
        licence: of the weights, as an SPDX expression.
        graph: the stages, every input pinned and every default made explicit.
        promised: stage -> digest, as the lock has them; empty if the lock is new.
        promised_release: the release digest the lock has, if any.
        text: (outputs of the stages, release digest) -> the text of the lock with these.
    """

    folder: Path
    recipe: bytes
    licence: str
    graph: Graph
    promised: Mapping[str, str]
    promised_release: str | None
    text: Callable[[Mapping[str, str], str | None], str]


def locked_recipe(folder: Path, mode: Mode, *, sources: Path | None, offline: bool, listener: Listener) -> Locked:
    """Find the lock of a recipe, and renew it where the mode says so and it is needed. Nothing is written yet."""
    raise NotImplementedError


def as_locked(folder: Path, *, sources: Path | None, offline: bool) -> tuple[Locked, tuple[str, ...]]:
    """A recipe with its lock as they are, and the reasons, if any, why the lock is not the recipe's."""
    raise NotImplementedError
