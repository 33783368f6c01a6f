"""What a check of a stranger's release would take, and whether that is wanted."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from regrow.building.locking import Locked
from regrow.building.planning import planned
from regrow.engine.machine import Hosts
from regrow.engine.plan import duration
from regrow.errors import RecipeError
from regrow.store import Store

LONGEST = 86_400
"""Seconds that a check may be expected to take before it is asked whether that is wanted."""


def require_wanted(
    locked: Locked, store: Store, confirmed: bool, shares: Mapping[str, float] = MappingProxyType({})
) -> None:
    """Refuse to begin what is expected to take more than a day, or more than this machine has.

    Args:
        locked: what would be built.
        store: where; what is in it already takes nothing.
        confirmed: whether the user knows.
        shares: how much of a stage would be, of those that are not built as a whole.

    Raises:
        RecipeError: with the estimate.
    """
    if confirmed:
        return
    plan = planned(locked, store, "verify", Hosts(recompute=locked.surroundings.recompute))
    reasons = [*plan.warnings()]
    seconds = sum(stage.cost.seconds * shares.get(stage.name, 1.0) for stage in plan.stages)
    if seconds > LONGEST:
        what = f"to check {', '.join(shares)} in part, and the rest," if shares else "to build all of it"
        reasons.insert(0, f"{what} takes about {duration(seconds)}")
    if reasons:
        raise RecipeError(
            "this release asks for much",
            where=str(locked.folder),
            why="; ".join(reasons),
            hint=f"`regrow plan {locked.folder}` says what for; with --yes it is checked nevertheless",
        )
