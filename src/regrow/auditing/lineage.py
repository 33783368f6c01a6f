"""Lineage: the models that the audited one was made from, how, and the one walk over them.

Relations fall into two kinds, by what a model takes from a parent: its parameters, or its outputs as training data.
Of what is related in an unknown way it may be either.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property

from regrow.auditing.facts import Basis, Collected, Evidence, F, OriginFact, Relation

MECHANICAL = (Relation.QUANTISED, Relation.CONVERTED, Relation.MERGE)
"""Making a model so involves no training, so it needs no training data beside the parents'."""

BY_PARAMETERS = (Relation.FINETUNE, Relation.ADAPTER, *MECHANICAL)
"""The parameters come from the parent's."""

BY_OUTPUTS = (Relation.DISTILLED, Relation.SYNTHETIC_DATA)
"""The parent's outputs were training data."""

DERIVING = (*BY_PARAMETERS, Relation.UNKNOWN)
"""The parameters come from the parent's, or could."""

WORDS = {
    Relation.FINETUNE: "fine-tuned from",
    Relation.ADAPTER: "an adapter of",
    Relation.MERGE: "merged from",
    Relation.QUANTISED: "quantised from",
    Relation.CONVERTED: "converted from",
    Relation.DISTILLED: "distilled from",
    Relation.SYNTHETIC_DATA: "trained on the outputs of",
    Relation.UNKNOWN: "made in an unknown way from",
}
"""How a model was made from a parent, for a sentence."""


@dataclass(frozen=True)
class Node:
    """A model of the lineage and what was read of it; the audited model is the first.

    Attributes:
        id: as in :class:`~regrow.auditing.facts.ParentFact`.
        depth: edges from the audited model.
        collected: the facts; ``kind`` is ``unreached`` if nothing could be read (facts from the table of known
            models may still be there).
    """

    id: str
    depth: int
    collected: Collected

    @property
    def name(self) -> str:
        """What to call it."""
        return self.collected.name or self.id


@dataclass(frozen=True)
class Edge:
    """``child`` was made from ``parent``; ``basis`` says whether that is declared, found or known."""

    child: str
    parent: str
    relation: Relation
    basis: str
    evidence: tuple[Evidence, ...] = ()


@dataclass(frozen=True)
class Lineage:
    """The closure over parents, breadth first, cycles cut (and reported as findings of the first node)."""

    nodes: tuple[Node, ...]
    edges: tuple[Edge, ...]

    def parents(self, child: str, relations: Collection[Relation] = DERIVING) -> tuple[Edge, ...]:
        """The edges of these relations from a model to its parents."""
        return tuple(edge for edge in self._edges.get(child, ()) if edge.relation in relations)

    def ancestors(self, start: str, relations: Collection[str] = tuple(Relation)) -> tuple[str, ...]:
        """Walk from a model over edges of these relations alone: the ids met, the nearest first, each once."""
        met = {start: None}
        queue = [start]
        for child in queue:  # grows while it is read; a cycle ends where everything in it was met
            for edge in self._edges.get(child, ()):
                if edge.relation in relations and edge.parent not in met:
                    met[edge.parent] = None
                    queue.append(edge.parent)
        return tuple(queue[1:])

    @cached_property
    def _edges(self) -> Mapping[str, list[Edge]]:
        """The edges, by the model that they start from."""
        found: dict[str, list[Edge]] = {}
        for edge in self.edges:
            found.setdefault(edge.child, []).append(edge)
        return found


@dataclass(frozen=True)
class Ancestor:
    """A model whose parameters went into the audited one, or that one itself.

    Attributes:
        node: the model.
        sure: False if every way to it has an edge that does not say how the child was made.
    """

    node: Node
    sure: bool


def chain(lineage: Lineage) -> tuple[Ancestor, ...]:
    """The audited model and all whose parameters went into it, nearest first, each once."""
    first = lineage.nodes[0]
    nodes = {node.id: node for node in lineage.nodes}
    sure = frozenset(lineage.ancestors(first.id, BY_PARAMETERS))
    line = [nodes.get(id) or _unreached(id) for id in lineage.ancestors(first.id, DERIVING)]
    return (Ancestor(first, True), *(Ancestor(node, node.id in sure) for node in line))


def _unreached(id: str) -> Node:
    return Node(id, 0, Collected(id, "unreached", id, ""))


def mechanical(lineage: Lineage, node: Node) -> bool:
    """Whether a model was made without training: only converted, quantised or merged."""
    edges = lineage.parents(node.id)
    return bool(edges) and all(edge.relation in MECHANICAL for edge in edges) and not facts(node, OriginFact)


def facts(node: Node, kind: type[F]) -> tuple[F, ...]:
    """The facts of a kind about a model."""
    return tuple(node.collected.of(kind))


def seen(found: tuple[F, ...]) -> Iterator[F]:
    """Those that rest neither on the maker's word nor on the table of known models: found in the bytes."""
    return (fact for fact in found if fact.basis is Basis.FOUND)


def without_known(node: Node) -> Node:
    """A model with what was read of it alone."""
    read = tuple(fact for fact in node.collected.facts if fact.basis is not Basis.KNOWN)
    return replace(node, collected=replace(node.collected, facts=read))
