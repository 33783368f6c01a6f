"""The geometry of the lineage: the audited model on top, what it was made from below it, a row per generation."""

from __future__ import annotations

from dataclasses import dataclass

from regrow.auditing.lineage import Edge, Node
from regrow.auditing.outputs import view
from regrow.auditing.outputs.safe import shorten
from regrow.auditing.result import Audit

WIDE, HIGH = 232, 76
_GAP, _DROP = 20, 62
_LABEL = 7.0  # a character of an edge's label
_MOST = 12  # models drawn in one generation; the list below the drawing has all
_NAME, _SMALL = 25, 30  # columns of text that fit


@dataclass(frozen=True)
class Box:
    """A model: its place, its number in the list of models, and three lines of text."""

    x: float
    y: float
    number: int
    name: str
    licence: str
    remark: str
    style: str
    title: str


@dataclass(frozen=True)
class Link:
    """A line from a model down to what it was made from, with a label where it arrives."""

    path: str
    x: float
    y: float
    wide: float
    label: str
    sure: bool


@dataclass(frozen=True)
class Drawing:
    """Boxes and links in a field of ``width`` by ``height``; ``left_out`` models had no room."""

    boxes: tuple[Box, ...]
    links: tuple[Link, ...]
    width: float
    height: float
    left_out: int


def lineage_drawing(audit: Audit) -> Drawing | None:
    """Place the models; None if there is nothing but the audited one."""
    rows: dict[int, list[tuple[int, Node]]] = {}
    for number, node in enumerate(audit.lineage.nodes):
        rows.setdefault(node.depth, []).append((number, node))
    if len(audit.lineage.nodes) < 2:
        return None
    limits = view.limiting(audit)
    width = max(min(len(row), _MOST) for row in rows.values()) * (WIDE + _GAP) + _GAP
    boxes: dict[str, Box] = {}
    for i, depth in enumerate(sorted(rows)):
        shown = rows[depth][:_MOST]
        left = (width - len(shown) * (WIDE + _GAP) + _GAP) / 2
        for j, (number, node) in enumerate(shown):
            place = (left + j * (WIDE + _GAP), 2 + i * (HIGH + _DROP))
            boxes[node.id] = _box(node, number, place, node.id in limits)
    height = 4 + len(rows) * HIGH + (len(rows) - 1) * _DROP
    return Drawing(tuple(boxes.values()), _links(audit, boxes), width, height, len(audit.lineage.nodes) - len(boxes))


def _box(node: Node, number: int, place: tuple[float, float], limits: bool) -> Box:
    licences = ", ".join(view.licence_names(node.collected))
    unread = node.collected.kind == "unreached"
    remark = "audited" if number == 0 else "limits the result" if limits else "could not be read" if unread else ""
    styles = ["root"] * (number == 0) + ["limits"] * (limits and number > 0) + ["unread"] * unread
    return Box(
        *place,
        number=number,
        name=shorten(node.name.rpartition("/")[2] or node.name, _NAME),
        licence=shorten(licences or "no licence seen", _SMALL),
        remark=remark,
        style=" ".join(styles),
        title=shorten(node.id, 200),
    )


def _links(audit: Audit, boxes: dict[str, Box]) -> tuple[Link, ...]:
    pairs = [(edge, boxes[edge.child], boxes[edge.parent]) for edge in _edges(audit, boxes)]
    links = []
    for edge, child, parent in pairs:
        x1, y1 = child.x + WIDE / 2, child.y + HIGH
        x2, y2 = parent.x + WIDE / 2, parent.y
        bend = (y2 - y1) / 2
        path = f"M{x1:g} {y1:g}C{x1:g} {y1 + bend:g} {x2:g} {y2 - bend:g} {x2:g} {y2:g}"
        label = f"{edge.relation} of"
        links.append(Link(path, x2, y2 - 20, len(label) * _LABEL + 10, label, edge.basis != "declared"))
    return tuple(links)


def _edges(audit: Audit, boxes: dict[str, Box]) -> list[Edge]:
    return [
        edge
        for node in audit.lineage.nodes
        for edge in view.edges_from(audit, node.id)
        if edge.child in boxes and edge.parent in boxes and boxes[edge.child].y < boxes[edge.parent].y
    ]
