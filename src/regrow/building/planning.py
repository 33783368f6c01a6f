"""The plan of a build on this machine."""

from __future__ import annotations

from regrow.building.locking import Locked
from regrow.building.speed import speeds
from regrow.engine import forecast
from regrow.engine.machine import Hosts, machine
from regrow.engine.plan import Plan, plan
from regrow.store import StoreReader


def planned(locked: Locked, store: StoreReader, scope: str, hosts: Hosts | None = None) -> Plan:
    """What a build of a locked recipe would do and cost here.

    Args:
        locked: the recipe.
        store: where its stages may be already.
        scope: what the recipe is known by in the store.
        hosts: who shares the training.
    """
    forecasts = forecast(locked.graph, store, scope)
    there = {one.stage: store.path(one.digest) for one in forecasts if one.cached and one.digest}
    return plan(
        locked.model,
        locked.graph,
        forecasts,
        artifacts=there,
        speeds=speeds(),
        machine=machine(store.root),
        hosts=hosts,
        kept_at=locked.kept_at,
    )
