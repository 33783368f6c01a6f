"""The geometry of the report's drawings, in percent of their width and height.

Lines go into an SVG that is stretched to whatever room there is; texts stay HTML, placed by percent, so that they
are readable at any width.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from regrow.release.release import Loss
from regrow.report.data import StageRow

_POINTS = 400
_STRIPS = 80


@dataclass(frozen=True)
class Tick:
    """A labelled place on an axis."""

    at: float
    label: str


@dataclass(frozen=True)
class Strip:
    """A part of the width that shows a title when pointed at."""

    x: float
    width: float
    title: str


@dataclass(frozen=True)
class LossChart:
    """Training loss over steps: every step faintly, a running mean on top, the validation loss at the end."""

    raw: str
    smooth: str
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]
    strips: tuple[Strip, ...]
    validation: Tick | None
    first: Loss
    last: Loss


@dataclass(frozen=True)
class Node:
    """A stage in the drawing of the graph."""

    name: str
    label: str
    kind: str
    """Empty where the label says it already."""
    x: float
    y: float


@dataclass(frozen=True)
class GraphDrawing:
    """Stages from left to right, each to the right of its inputs. In units of one column and one row."""

    nodes: tuple[Node, ...]
    edges: tuple[tuple[Node, Node], ...]
    columns: int
    rows: float


def loss_chart(losses: Sequence[Loss], validation: float | None) -> LossChart | None:
    """Lay out the loss curve, or None if there is nothing to draw a line through."""
    losses = [row for row in losses if math.isfinite(row.loss)]
    if len(losses) < 2:
        return None
    means = running_mean([row.loss for row in losses], max(1, len(losses) // 40))
    steps = (losses[0].step, losses[-1].step)
    y_ticks = ticks(min(row.loss for row in losses), max(row.loss for row in losses), 6)
    if validation is not None:
        y_ticks = ticks(min(validation, y_ticks[0]), max(validation, y_ticks[-1]), 6)
    x_ticks = [tick for tick in ticks(*steps, 5) if steps[0] <= tick <= steps[1]]

    def x(step: float) -> float:
        return 100 * (step - steps[0]) / (steps[1] - steps[0])

    def y(loss: float) -> float:
        return 100 * (y_ticks[-1] - loss) / (y_ticks[-1] - y_ticks[0])

    shown = every(len(losses), _POINTS)
    return LossChart(
        raw=path([(x(losses[i].step), y(losses[i].loss)) for i in shown]),
        smooth=path([(x(losses[i].step), y(means[i])) for i in shown]),
        x_ticks=tuple(Tick(x(tick), f"{tick:,.0f}") for tick in x_ticks),
        y_ticks=tuple(Tick(y(tick), f"{tick:g}") for tick in y_ticks),
        strips=_strips([(x(losses[i].step), losses[i].step, means[i]) for i in every(len(losses), _STRIPS)]),
        validation=None if validation is None else Tick(y(validation), f"{validation:.3f}"),
        first=Loss(losses[0].step, means[0]),
        last=Loss(losses[-1].step, means[-1]),
    )


def running_mean(values: Sequence[float], reach: int) -> list[float]:
    """The mean of each value and up to ``reach`` neighbours on either side."""
    totals = [0.0]
    for value in values:
        totals.append(totals[-1] + value)
    spans = ((max(0, i - reach), min(len(values), i + reach + 1)) for i in range(len(values)))
    return [(totals[end] - totals[start]) / (end - start) for start, end in spans]


# A range that is narrower is drawn as if it were a single number: ticks are rounded to 12 decimals.
_LEAST_SPAN = 1e-9


def ticks(low: float, high: float, about: int) -> list[float]:
    """Round numbers, ``about`` so many, the first at or below ``low`` and the last at or above ``high``."""
    if high - low < _LEAST_SPAN:
        high = low + 1
    rough = (high - low) / about
    unit = 10.0 ** math.floor(math.log10(rough))
    step = next(unit * nice for nice in (1, 2, 5, 10) if unit * nice >= rough * (1 - 1e-9))
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(i * step, 12) for i in range(first, last + 1)]


def every(length: int, most: int) -> list[int]:
    """At most ``most`` indices, evenly spread, the first and the last always among them."""
    if length <= most:
        return list(range(length))
    return [round(i * (length - 1) / (most - 1)) for i in range(most)]


def path(points: Sequence[tuple[float, float]]) -> str:
    """The ``d`` of an SVG path through ``points``."""
    return "M" + "L".join(f"{x:.2f} {y:.2f}" for x, y in points)


def _strips(points: Sequence[tuple[float, int, float]]) -> tuple[Strip, ...]:
    edges = [0.0, *((a[0] + b[0]) / 2 for a, b in pairwise(points)), 100.0]
    return tuple(
        Strip(round(edges[i], 3), round(edges[i + 1] - edges[i], 3), f"step {step:,}: {loss:.3f} nats per token")
        for i, (_, step, loss) in enumerate(points)
    )


def graph_drawing(stages: Sequence[StageRow]) -> GraphDrawing | None:
    """Place stages in columns by their longest way from a source; ``stages`` come after their inputs."""
    if not stages:
        return None
    column: dict[str, int] = {}
    for stage in stages:
        column[stage.name] = 1 + max((column.get(name, -1) for _, name in stage.inputs), default=-1)
    members: dict[int, list[StageRow]] = {}
    for stage in stages:
        members.setdefault(column[stage.name], []).append(stage)
    rows = max(map(len, members.values()))
    nodes = {
        stage.name: _node(stage, x, (rows - len(those)) / 2 + i)
        for x, those in members.items()
        for i, stage in enumerate(those)
    }
    return GraphDrawing(tuple(nodes.values()), _edges(stages, nodes), len(members), rows)


def _node(stage: StageRow, x: float, y: float) -> Node:
    """A node named without its kind, which stands below the name: `fetch-bible` is `bible`, `fetch`."""
    label = stage.name.removeprefix(f"{stage.kind}-")
    return Node(stage.name, label, stage.kind if label != stage.kind else "", x, y)


def _edges(stages: Sequence[StageRow], nodes: Mapping[str, Node]) -> tuple[tuple[Node, Node], ...]:
    pairs = {(name, stage.name): None for stage in stages for _, name in stage.inputs if name in nodes}
    return tuple((nodes[a], nodes[b]) for a, b in pairs)
