"""Doing one stage of a recipe, or a share of it, for a scheduler that starts processes by itself."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from regrow.building.locking import Mode, locked_recipe
from regrow.engine import Listener, Stop, evaluate, share
from regrow.errors import RecipeError
from regrow.recipe.graph import Graph
from regrow.release.layout import LOCK
from regrow.store import Store, default_root


@dataclass(frozen=True)
class Piece:
    """What is to be done.

    Attributes:
        stage: its name in the recipe.
        phase: of its kind; empty for what remains of the stage.
        index: which share of the phase, from 0.
        of: how many shares there are.
    """

    stage: str
    phase: str = ""
    index: int = 0
    of: int = 1


def perform(recipe: Path, piece: Piece, *, offline: bool, store: Path | None, listener: Listener, stop: Stop) -> None:
    """Do a piece of a build. The lock is taken for the truth, since many processes cannot look at all sources again.

    Args:
        recipe: the folder, with a lock.
        piece: what to do.
        offline: never use the network.
        store: the root of the store; by default the user's.
        listener: gets the events.
        stop: see :func:`regrow.engine.evaluate`.

    Raises:
        RecipeError: if there is no such stage or phase.
        RegrowError: if what it needs is not there, or it fails.
    """
    locked = locked_recipe(recipe, Mode.FROZEN, offline=offline, listener=listener, stop=stop)
    _require_there(locked.graph, piece, recipe)
    with Store(store or default_root()) as opened:
        if not piece.phase:
            evaluate(
                locked.graph,
                opened,
                scope=str(recipe.resolve()),
                listener=listener,
                stop=stop,
                only=[piece.stage],
                surroundings=locked.surroundings,
            )
            return
        done = share(
            locked.graph,
            opened,
            piece.stage,
            piece.phase,
            index=piece.index,
            of=piece.of,
            listener=listener,
            stop=stop,
            surroundings=locked.surroundings,
        )
        if not done:
            listener({"event": "note", "text": f"stage `{piece.stage}` is built already"})


def _require_there(graph: Graph, piece: Piece, recipe: Path) -> None:
    names = [stage.name for stage in graph.stages]
    if piece.stage not in names:
        hint = f"its stages are {', '.join(names)}"
        raise RecipeError(f"the recipe has no stage `{piece.stage}`", where=str(recipe / LOCK), hint=hint)
    phases = [phase.name for phase in graph[piece.stage].kind.phases]
    if piece.phase and piece.phase not in phases:
        hint = f"its phases are {', '.join(phases)}" if phases else "it is done at once: leave the phase out"
        raise RecipeError(f"stage `{piece.stage}` has no phase `{piece.phase}`", where=str(recipe / LOCK), hint=hint)
