"""How fast this machine trains, as seen in its builds, beside the one on which the costs of stages were measured."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress

from regrow.engine.plan import estimated
from regrow.recipe.graph import Graph
from regrow.release.release import number
from regrow.store import default_root, write_atomic

SCHEMA = "regrow/speed/1"
_KEPT = 5
_PLACE = "speed.json"
_DOUBT = 20.0
"""Seconds of training at the usual speed that are added to what was seen: a short run says little of a long one."""


def slowness() -> float | None:
    """How many times as long training takes here, by the last builds; None before the first one."""
    known = _known()
    if not known:
        return None
    expected, taken = sum(one for one, _ in known), sum(other for _, other in known)
    return (taken + _DOUBT) / (expected + _DOUBT)


def note(graph: Graph, tokens_per_second: Mapping[str, float]) -> None:
    """Take note of a build.

    Args:
        graph: of its stages.
        tokens_per_second: of those that have trained, at their end.
    """
    costs = estimated(graph)
    seen = [
        (training.seconds, training.tokens / speed)
        for stage, speed in tokens_per_second.items()
        if speed > 0 and (training := costs[stage].training) is not None and training.seconds > 0
    ]
    if seen:
        text = json.dumps({"schema": SCHEMA, "trained": [*_known(), *seen][-_KEPT:]})
        with suppress(OSError):  # a place that cannot be written to must not spoil a result
            write_atomic(default_root() / _PLACE, text + "\n")


def _known() -> list[tuple[float, float]]:
    """Of the last builds, the seconds of training that were expected, and those that it took."""
    try:
        record = json.loads((default_root() / _PLACE).read_text("utf-8"))
        pairs = record["trained"] if record.get("schema") == SCHEMA else []
        found = [(number(expected), number(taken)) for expected, taken in pairs]
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return []
    return [(one, other) for one, other in found if one is not None and other is not None and one > 0 and other > 0]
