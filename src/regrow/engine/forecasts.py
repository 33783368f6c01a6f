"""What a build would do, without doing it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from regrow.engine.explain import why
from regrow.engine.key import ingredients, key_of
from regrow.recipe.graph import Graph, Stage
from regrow.recipe.pin import is_unpinned
from regrow.store import StoreReader


@dataclass(frozen=True)
class Forecast:
    """What is known about a stage before a build.

    Attributes:
        stage: its name.
        cached: True if its output is in the store.
        reasons: why it would run; empty if it is cached.
        digest: of its output, if that is known.
        done: the share of the work that a stopped run has done.
    """

    stage: str
    cached: bool
    reasons: tuple[str, ...]
    digest: str | None
    done: float = 0.0


def forecast(graph: Graph, store: StoreReader, scope: str) -> list[Forecast]:
    """Say for every stage whether it would run and why, in the order of the graph.

    Args:
        graph: the stages; a source need not be pinned.
        store: where outputs are.
        scope: what the recipe is known by in the store.

    Artifacts are not read, so damage shows only in the build. Where a stage runs, its successors' inputs are not known
    before it has; they may still turn out to be cached.
    """
    found: dict[str, Forecast] = {}
    for stage in graph.stages:
        found[stage.name] = _one(stage, store, scope, found)
    return list(found.values())


def _one(stage: Stage, store: StoreReader, scope: str, found: Mapping[str, Forecast]) -> Forecast:
    if is_unpinned(stage.parameters):
        return Forecast(stage.name, False, ("which files it has is not known before it is locked",), None)
    unknown = {name for names in stage.inputs.values() for name in names if found[name].digest is None}
    known = {
        slot: [digest for name in names if (digest := found[name].digest) is not None]
        for slot, names in stage.inputs.items()
        if unknown.isdisjoint(names)
    }
    now, last = ingredients(stage, known), store.last_ingredients(scope, stage.name)
    if unknown:
        # That a first build runs needs no second reason.
        others = [] if last is None else map(_because, sorted(unknown))
        return Forecast(stage.name, False, (*_known_reasons(last, now), *others), None)
    digest = store.lookup(key_of(now))
    if digest is not None and store.path(digest).is_dir():
        return Forecast(stage.name, True, (), digest)
    reasons = why(last, now) or ["its artifact is no longer in the store"]
    done = 0.0
    if (left := store.unfinished(key_of(now))) is not None:
        reasons.append("continues where it was stopped")
        done = stage.kind.done(stage.parameters, left) if stage.kind.done else 0.0
    return Forecast(stage.name, False, tuple(reasons), None, done)


def _known_reasons(last: dict[str, Any] | None, now: dict[str, Any]) -> list[str]:
    """The differences apart from the inputs that are not known yet."""
    if last is not None:
        last = {**last, "inputs": {slot: row for slot, row in last["inputs"].items() if slot in now["inputs"]}}
    return why(last, now)


def _because(name: str) -> str:
    return f"will run because {name} runs (unless {name} gives the same bytes)"
