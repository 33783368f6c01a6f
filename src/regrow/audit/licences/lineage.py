"""Along which ways the clauses of ancestors arrive at the audited model."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

from regrow.audit.facts import Evidence, Relation
from regrow.audit.licences.holding import Holding
from regrow.audit.licences.table import Clause, Licence
from regrow.audit.result import Lineage, Node

BY_PARAMETERS = frozenset((Relation.FINETUNE, Relation.ADAPTER, Relation.MERGE, Relation.QUANTISED, Relation.CONVERTED))
BY_OUTPUTS = frozenset((Relation.DISTILLED, Relation.SYNTHETIC_DATA))
MADE = {
    Relation.FINETUNE: "fine-tuned from",
    Relation.ADAPTER: "an adapter of",
    Relation.MERGE: "merged from",
    Relation.QUANTISED: "quantised from",
    Relation.CONVERTED: "converted from",
    Relation.DISTILLED: "distilled from",
    Relation.SYNTHETIC_DATA: "trained on the outputs of",
    Relation.UNKNOWN: "made in an unknown way from",
}


@dataclass(frozen=True)
class Arrival:
    """A clause of an ancestor's licence that reaches the audited model, or may reach it."""

    node: Node
    licence: Licence
    clause: Clause
    certain: bool


class Travel:
    """A lineage with the licences of its models.

    Args:
        lineage: the first node is the audited model.
        holdings: the licences of each node, by its id.
    """

    def __init__(self, lineage: Lineage, holdings: Mapping[str, Holding]) -> None:
        self.lineage = lineage
        self.holdings = holdings
        self.first = lineage.nodes[0]
        self._nodes = {node.id: node for node in lineage.nodes}
        self._reached: dict[frozenset[str], tuple[frozenset[str], frozenset[str]]] = {}

    @property
    def ancestors(self) -> tuple[Node, ...]:
        """All other models, the nearest first."""
        return tuple(sorted((node for node in self.lineage.nodes[1:]), key=lambda node: node.depth))

    def reached(self, reach: Iterable[str]) -> tuple[frozenset[str], frozenset[str]]:
        """The ids of the ancestors from which a clause of this reach arrives, and of those from which it may."""
        key = frozenset(reach)
        if key not in self._reached:
            certain = self._upwards(key)
            possible = self._upwards(key | {Relation.UNKNOWN}) - certain if key else frozenset[str]()
            self._reached[key] = (certain, possible)
        return self._reached[key]

    def _upwards(self, relations: frozenset[str]) -> frozenset[str]:
        """The ancestors that edges of these relations alone lead to."""
        seen = {self.first.id}
        waiting = [self.first.id]
        while waiting:
            child = waiting.pop()
            for edge in self._parents.get(child, ()):
                if edge[0] in relations and edge[1] not in seen and edge[1] in self._nodes:
                    seen.add(edge[1])
                    waiting.append(edge[1])
        return frozenset(seen - {self.first.id})

    @cached_property
    def _parents(self) -> Mapping[str, tuple[tuple[str, str], ...]]:
        parents: dict[str, tuple[tuple[str, str], ...]] = {}
        for edge in self.lineage.edges:
            parents[edge.child] = (*parents.get(edge.child, ()), (edge.relation, edge.parent))
        return parents

    @cached_property
    def arrivals(self) -> tuple[Arrival, ...]:
        """Every clause of an ancestor that arrives or may arrive, the nearest ancestors first."""
        return tuple(self._arrivals())

    def _arrivals(self) -> Iterator[Arrival]:
        for node in self.ancestors:
            for licence in self.holdings[node.id].licences:
                for clause in licence.clauses:
                    certain, possible = self.reached(clause.reach)
                    if node.id in certain or node.id in possible:
                        yield Arrival(node, licence, clause, node.id in certain)

    def evidence(self, *nodes: Node) -> tuple[Evidence, ...]:
        """Where the licences of models were read, the audited model's first."""
        return tuple(dict.fromkeys(at for node in (self.first, *nodes) for at in self.holdings[node.id].evidence))

    def made(self, node: Node) -> str:
        """How the audited model was made from an ancestor, in words."""
        direct = [edge.relation for edge in self.lineage.edges if (edge.child, edge.parent) == (self.first.id, node.id)]
        return MADE[direct[0]] if direct else "made from"


def name(node: Node) -> str:
    """What to call a model."""
    return node.collected.name or node.id
