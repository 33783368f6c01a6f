"""Ways to ask a lineage: a model's facts, its parents, and all whose parameters went into it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeVar

from regrow.audit.facts import Basis, Collected, Fact, OriginFact, Relation
from regrow.audit.result import Edge, Lineage, Node

F = TypeVar("F", bound=Fact)

MECHANICAL = (Relation.QUANTISED, Relation.CONVERTED, Relation.MERGE)
"""Making a model so involves no training, so it needs no training data beside the parents'."""

DERIVING = (Relation.FINETUNE, Relation.ADAPTER, *MECHANICAL, Relation.UNKNOWN)
"""The parameters come from the parent's. Unknown is among them because it could be."""

TEACHING = (Relation.DISTILLED, Relation.SYNTHETIC_DATA)
"""The parent's outputs were training data."""


@dataclass(frozen=True)
class Ancestor:
    """A model whose parameters went into the audited one, or that one itself.

    Attributes:
        node: the model.
        sure: False if every way to it has an edge that does not say how the child was made.
    """

    node: Node
    sure: bool


def facts(node: Node, kind: type[F]) -> tuple[F, ...]:
    """The facts of a kind about a model."""
    return tuple(fact for fact in node.collected.facts if isinstance(fact, kind))


def seen(found: tuple[F, ...]) -> Iterator[F]:
    """Those that do not rest on the maker's word: found in the bytes, or in the table of known models."""
    return (fact for fact in found if fact.basis is not Basis.DECLARED)


def short(node_id: str) -> str:
    """A model's id for people: without scheme and revision."""
    return node_id.removeprefix("hf:").removeprefix("path:").partition("@")[0]


def parents(lineage: Lineage, node: Node, relations: tuple[Relation, ...] = DERIVING) -> tuple[Edge, ...]:
    """The edges to a model's parents of these relations."""
    return tuple(edge for edge in lineage.edges if edge.child == node.id and edge.relation in relations)


def chain(lineage: Lineage) -> tuple[Ancestor, ...]:
    """The audited model and all whose parameters went into it, nearest first, each once."""
    unread = {
        edge.parent: Node(edge.parent, 0, Collected(edge.parent, "unreached", edge.parent, ""))
        for edge in lineage.edges
    }
    nodes = unread | {node.id: node for node in lineage.nodes}
    first = lineage.nodes[0].id
    sure = {first: True}
    queue = [first]
    for child in queue:  # grows while it is read
        for edge in parents(lineage, nodes[child]):
            here = sure[child] and edge.relation is not Relation.UNKNOWN
            if here > sure.get(edge.parent, -1):
                sure[edge.parent] = here
                queue.append(edge.parent)
    return tuple(Ancestor(nodes[name], known) for name, known in sure.items())


def mechanical(lineage: Lineage, node: Node) -> bool:
    """Whether a model was made without training: only converted, quantised or merged."""
    edges = parents(lineage, node)
    return bool(edges) and all(edge.relation in MECHANICAL for edge in edges) and not facts(node, OriginFact)
