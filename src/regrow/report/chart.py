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
from regrow.report.doubts import last_loss

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
class Point:
    """A marked place in a drawing, with its title."""

    x: float
    y: float
    title: str


@dataclass(frozen=True)
class Curve:
    """A quantity over steps."""

    name: str
    path: str
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]
    least: str
    most: str


@dataclass(frozen=True)
class LossChart:
    """Training loss over steps: every step faintly, a running mean on top, validation loss where it was measured."""

    raw: str
    smooth: str
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]
    strips: tuple[Strip, ...]
    points: tuple[Point, ...]
    """Where validation text was looked at."""
    between: str
    """The line through them."""
    validation: Tick | None
    first: Loss
    last: Loss
    """With the loss of the last steps together: one alone says little."""


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
    looks = [(row.step, row.validation) for row in losses if row.validation is not None]
    also = [loss for _, loss in looks] + ([] if validation is None else [validation])
    axes = _Axes.around([row.step for row in losses], [row.loss for row in losses], 6, also)
    shown = every(len(losses), _POINTS)
    points = [
        Point(axes.x(step), axes.y(loss), f"step {step:,}: {loss:.3f} on validation text") for step, loss in looks
    ]
    end = [] if validation is None else [(100.0, axes.y(validation))]
    return LossChart(
        raw=path([(axes.x(losses[i].step), axes.y(losses[i].loss)) for i in shown]),
        smooth=path([(axes.x(losses[i].step), axes.y(means[i])) for i in shown]),
        x_ticks=axes.x_ticks,
        y_ticks=axes.y_ticks,
        strips=_strips([(axes.x(losses[i].step), losses[i].step, means[i]) for i in every(len(losses), _STRIPS)]),
        points=tuple(points),
        between=path([*((point.x, point.y) for point in points), *end]) if points else "",
        validation=None if validation is None else Tick(axes.y(validation), f"{validation:.3f}"),
        first=losses[0],
        last=Loss(losses[-1].step, last_loss(losses)),
    )


def curve(name: str, points: Sequence[tuple[int, float | None]]) -> Curve | None:
    """Lay out a quantity over steps, or None if there is nothing to draw a line through."""
    known = [(step, value) for step, value in points if value is not None and math.isfinite(value)]
    if len(known) < 2:
        return None
    values = [value for _, value in known]
    axes = _Axes.around([step for step, _ in known], values, 3, [0.0])
    line = path([(axes.x(known[i][0]), axes.y(known[i][1])) for i in every(len(known), _POINTS)])
    return Curve(name, line, axes.x_ticks, axes.y_ticks, f"{min(values):.3g}", f"{max(values):.3g}")


@dataclass(frozen=True)
class _Axes:
    """From steps and values to percent."""

    steps: tuple[int, int]
    marks: tuple[float, ...]

    @staticmethod
    def around(steps: Sequence[int], values: Sequence[float], about: int, also: Sequence[float]) -> _Axes:
        """Axes on which all values have a place, with about so many marks before those were added that are ``also``."""
        marks = ticks(min(values), max(values), about)
        if also:
            marks = ticks(min(*also, marks[0]), max(*also, marks[-1]), about)
        return _Axes((steps[0], steps[-1]), tuple(marks))

    def x(self, step: float) -> float:
        """The place of a step."""
        return 100 * (step - self.steps[0]) / (self.steps[1] - self.steps[0])

    def y(self, value: float) -> float:
        """The place of a value, from the top."""
        return 100 * (self.marks[-1] - value) / (self.marks[-1] - self.marks[0])

    @property
    def x_ticks(self) -> tuple[Tick, ...]:
        """Marks of the axis of steps."""
        marks = (mark for mark in ticks(*self.steps, 5) if self.steps[0] <= mark <= self.steps[1])
        return tuple(Tick(self.x(mark), f"{mark:,.0f}") for mark in marks)

    @property
    def y_ticks(self) -> tuple[Tick, ...]:
        """Marks of the axis of values."""
        return tuple(Tick(self.y(mark), f"{mark:g}") for mark in self.marks)


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
