"""How fast this machine trains, as seen in its builds, beside the one on which the costs of stages were measured."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from statistics import median

from regrow.engine.plan import estimated
from regrow.recipe.graph import Graph
from regrow.release.release import number
from regrow.store import default_root, write_atomic

SCHEMA = "regrow/speed/1"
_KEPT = 5
_PLACE = "speed.json"


def slowness() -> float | None:
    """How many times as long training takes here, in the middle of the last builds; None before the first one."""
    known = _known()
    return median(known) if known else None


def note(graph: Graph, tokens_per_second: Mapping[str, float]) -> None:
    """Take note of a build.

    Args:
        graph: of its stages.
        tokens_per_second: of those that have trained, at their end.
    """
    costs = estimated(graph)
    seen = [
        training.tokens / speed / training.seconds
        for stage, speed in tokens_per_second.items()
        if speed > 0 and (training := costs[stage].training) is not None and training.seconds > 0
    ]
    if seen:
        text = json.dumps({"schema": SCHEMA, "slowness": [*_known(), *seen][-_KEPT:]})
        with suppress(OSError):  # a place that cannot be written to must not spoil a result
            write_atomic(default_root() / _PLACE, text + "\n")


def _known() -> list[float]:
    try:
        record = json.loads((default_root() / _PLACE).read_text("utf-8"))
        found = [number(one) for one in record["slowness"]] if record.get("schema") == SCHEMA else []
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return []
    return [one for one in found if one is not None and one > 0]
