"""The plan of a build on this machine."""

from __future__ import annotations

from regrow.building.locking import Locked
from regrow.building.speed import slowness
from regrow.engine import forecast
from regrow.engine.machine import machine
from regrow.engine.plan import Plan, plan
from regrow.store import StoreReader


def planned(locked: Locked, store: StoreReader, scope: str) -> Plan:
    """What a build of a locked recipe would do and cost here.

    Args:
        locked: the recipe.
        store: where its stages may be already.
        scope: what the recipe is known by in the store.
    """
    forecasts = forecast(locked.graph, store, scope)
    return plan(locked.model, locked.graph, forecasts, slowness=slowness(), machine=machine(store.root))
