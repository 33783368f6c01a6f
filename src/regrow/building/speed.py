"""How fast this machine is, as its builds or the self-test showed, beside the one on which costs were measured."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress

from regrow.engine.evaluation import StageResult
from regrow.engine.machine import Measured, Speeds
from regrow.engine.plan import estimated, products, seconds
from regrow.recipe.graph import Graph
from regrow.release.release import number
from regrow.stages import KINDS
from regrow.store import Beside, default_root, write_atomic

SCHEMA = "regrow/speed/3"
_KEPT = 5
_MEASURED_SCHEMA = "regrow/measured/2"
_DOUBT = {True: 20.0, False: 2.0}
"""Seconds, taken as expected, that are added to what was seen, of kinds that calculate and of others: a short run says
little of a long one.
"""


def speeds() -> Speeds:
    """How long the last builds took here, by kind, and what was measured."""
    known = _known()
    slowness = {kind: _slowness(pairs, _DOUBT[_is_exact(kind)]) for kind, pairs in known.items()}
    trained = [pair for kind, pairs in known.items() if _trains(kind) for pair in pairs]
    return Speeds(slowness, _slowness(trained, _DOUBT[True]) if trained else None, _measured())


def note_measured(products: float, numbers: float) -> None:
    """Take note of how many times as long exact products, and the rest of training, were measured to take here."""
    with suppress(OSError):  # a place that cannot be written to must not spoil a result
        text = json.dumps({"schema": _MEASURED_SCHEMA, "products": products, "numbers": numbers}) + "\n"
        write_atomic(default_root() / Beside.MEASURED, text)


def note(graph: Graph, results: Iterable[StageResult], tokens_per_second: Mapping[str, float]) -> None:
    """Take note of a build.

    Args:
        graph: of its stages.
        results: what they gave, and how long they took.
        tokens_per_second: of those that have trained, at their end.
    """
    given = {one.name: one for one in results}
    if all(one.cached for one in given.values()):
        return  # and nothing has to be estimated
    costs = estimated(graph, {name: one.path for name, one in given.items()})
    known, measured = {kind: [*pairs] for kind, pairs in _known().items()}, Speeds(measured=_measured())
    noted = False
    for stage in graph.stages:
        cost, took = costs[stage.name], given[stage.name].seconds
        if given[stage.name].cached or (expected := seconds(cost)) <= 0:
            continue
        if cost.training is not None:  # a run that was stopped before took longer than it did now
            if not (speed := tokens_per_second.get(stage.name)) or cost.training.seconds <= 0:
                continue
            expected, took = cost.training.seconds, cost.training.tokens / speed
        elif cost.download_bytes:
            continue  # that is the network's speed
        expected *= measured.expected(exact=stage.kind.exact, products=products(cost))
        known[stage.kind.name] = [*known.get(stage.kind.name, []), (expected, took)][-_KEPT:]
        noted = True
    if noted:
        with suppress(OSError):  # a place that cannot be written to must not spoil a result
            write_atomic(default_root() / Beside.SPEED, json.dumps({"schema": SCHEMA, "kinds": known}) + "\n")


def _slowness(pairs: Sequence[tuple[float, float]], doubt: float) -> float:
    return sum((taken for _, taken in pairs), doubt) / sum((expected for expected, _ in pairs), doubt)


def _measured() -> Measured | None:
    with suppress(OSError, ValueError, LookupError, TypeError, AttributeError):
        record = json.loads((default_root() / Beside.MEASURED).read_text("utf-8"))
        found = [number(record[name]) for name in ("products", "numbers")]
        products, numbers = (one if one and one > 0 else None for one in found)
        if record.get("schema") == _MEASURED_SCHEMA and products and numbers:
            return Measured(products, numbers)
    return None


def _is_exact(kind: str) -> bool:
    return kind in KINDS and KINDS[kind].exact


def _trains(kind: str) -> bool:
    """Whether stages of a kind train: others take a moment, and tell nothing of how long that takes."""
    return kind in KINDS and hasattr(KINDS[kind].parameters, "schedule")


def _known() -> dict[str, list[tuple[float, float]]]:
    """Of the last builds, by kind, the seconds that were expected, and those that it took."""
    found: dict[str, list[tuple[float, float]]] = {}
    with suppress(OSError, ValueError, LookupError, TypeError, AttributeError):
        record = json.loads((default_root() / Beside.SPEED).read_text("utf-8"))
        for kind, pairs in (record["kinds"] if record.get("schema") == SCHEMA else {}).items():
            read = [(number(expected), number(taken)) for expected, taken in pairs]
            if sound := [(one, other) for one, other in read if one and other and one > 0 and other > 0]:
                found[kind] = sound
    return found
