"""What a check of a stranger's release would take, and whether that is wanted."""

from __future__ import annotations

from regrow.building.locking import Locked
from regrow.building.planning import planned
from regrow.engine.plan import duration
from regrow.errors import RecipeError
from regrow.store import Store

LONGEST = 86_400
"""Seconds that a check may be expected to take before it is asked whether that is wanted."""


def require_wanted(locked: Locked, store: Store, confirmed: bool) -> None:
    """Refuse to begin what is expected to take more than a day, or more than this machine has.

    Args:
        locked: what would be built.
        store: where; what is in it already takes nothing.
        confirmed: whether the user knows.

    Raises:
        RecipeError: with the estimate.
    """
    if confirmed:
        return
    plan = planned(locked, store, "verify")
    reasons = [*plan.warnings()]
    if plan.cost.seconds > LONGEST:
        reasons.insert(0, f"to build all of it takes about {duration(plan.cost.seconds)}")
    if reasons:
        raise RecipeError(
            "this release asks for much",
            where=str(locked.folder),
            why="; ".join(reasons),
            hint=f"`regrow plan {locked.folder}` says what for; with --yes it is checked nevertheless",
        )
