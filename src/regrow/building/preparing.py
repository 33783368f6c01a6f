"""Before a build: what it would do, and its lock, written without building."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from regrow.building.locking import Mode, locked_recipe, write_lock
from regrow.building.planning import planned
from regrow.engine import Listener
from regrow.engine.machine import Hosts
from regrow.engine.plan import Plan
from regrow.errors import RecipeError
from regrow.recipe.graph import Graph
from regrow.release import is_release
from regrow.release.layout import LOCK
from regrow.store import StoreReader, default_root


@dataclass(frozen=True)
class Prepared:
    """What a build would do.

    Attributes:
        plan: stage by stage.
        reasons: why the lock would be renewed; empty if it would not.
        graph: the stages.
    """

    plan: Plan
    reasons: tuple[str, ...]
    graph: Graph


@dataclass(frozen=True)
class Relocked:
    """A lock that is up to date.

    Attributes:
        path: the file.
        reasons: why it was written; empty if it was not.
    """

    path: Path
    reasons: tuple[str, ...]


def prepare(
    recipe: Path, *, offline: bool, store: Path | None, listener: Listener, hosts: Hosts | None = None
) -> Prepared:
    """Find out what a build of a recipe would do. Nothing is built, fetched or written, and no store is made.

    Args:
        recipe: the folder.
        offline: never use the network.
        store: the root of the store; by default the user's.
        listener: gets the events of looking up the files beside the recipe.
        hosts: who shares the training.
    """
    reasons = _Reasons(listener)
    locked = locked_recipe(recipe, Mode.DRAFT, offline=offline, listener=reasons)
    with StoreReader(store or default_root()) as opened:
        made = planned(locked, opened, str(recipe.resolve()), hosts)
    return Prepared(made, tuple(reasons.found), locked.graph)


def relock(recipe: Path, *, check: bool, offline: bool, listener: Listener) -> Relocked:
    """Write the lock of a recipe if it is not up to date.

    Args:
        recipe: the folder.
        check: raise instead of writing.
        offline: never use the network.
        listener: gets the events of looking up sources.

    Raises:
        RecipeError: if it is out of date and must not be written.
    """
    reasons = _Reasons(listener)
    locked = locked_recipe(recipe, Mode.LOCKED if check else Mode.RENEW, offline=offline, listener=reasons)
    path = recipe / LOCK
    if reasons.found and is_release(recipe):
        raise RecipeError(
            "the lock is part of a release",
            where=str(path),
            why="; ".join(reasons.found),
            hint="copy regrow.toml, and the files it speaks of, to a folder of their own and lock it there",
        )
    if reasons.found:
        locked.keep_secrets()
        write_lock(path, locked.text(locked.promised, locked.promised_release), locked.lists)
    return Relocked(path, tuple(reasons.found))


class _Reasons:
    """Keeps the reasons why a lock is out of date, and passes all other events on."""

    def __init__(self, listener: Listener) -> None:
        self.found: list[str] = []
        self._listener = listener

    def __call__(self, event: Mapping[str, Any]) -> None:
        """Take one event."""
        if event["event"] == "lock":
            self.found.extend(event["reasons"])
        else:
            self._listener(event)
