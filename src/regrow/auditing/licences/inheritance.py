"""Which clauses of ancestors' licences the audited model inherits, along the relations that each clause reaches."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property

from regrow.auditing.facts import Evidence, Relation, Scope
from regrow.auditing.licences.conclusion import Conclusion, conclude
from regrow.auditing.lineage import BY_PARAMETERS, WORDS, Lineage, Node
from regrow.licences.catalogue import DERIVATIVES, Clause, Licence


@dataclass(frozen=True)
class Inherited:
    """A clause of an ancestor's licence that reaches the audited model, or may reach it."""

    node: Node
    licence: Licence
    clause: Clause
    certain: bool


@dataclass(frozen=True, eq=False)
class Inheritance:
    """A lineage with what was concluded about the licences of the weights of its models."""

    lineage: Lineage
    _reached: dict[frozenset[str], tuple[frozenset[str], frozenset[str]]] = field(default_factory=dict, init=False)

    @property
    def first(self) -> Node:
        """The audited model."""
        return self.lineage.nodes[0]

    @cached_property
    def conclusions(self) -> Mapping[str, Conclusion]:
        """The licences of each model, by its id."""
        return {node.id: conclude(node.collected, Scope.WEIGHTS) for node in self.lineage.nodes}

    @cached_property
    def ancestors(self) -> tuple[Node, ...]:
        """All other models, the nearest first."""
        return tuple(sorted((node for node in self.lineage.nodes[1:]), key=lambda node: node.depth))

    def reached(self, reach: Collection[str]) -> tuple[frozenset[str], frozenset[str]]:
        """The ids of the ancestors from which a clause of this reach arrives, and of those from which it may."""
        key = frozenset(reach)
        if key not in self._reached:  # many clauses have the same reach
            relations = key | {*BY_PARAMETERS} if DERIVATIVES in key else key
            certain = self._ancestors(relations)
            possible = self._ancestors(relations | {Relation.UNKNOWN}) - certain if key else frozenset[str]()
            self._reached[key] = (certain, possible)
        return self._reached[key]

    def _ancestors(self, relations: frozenset[str]) -> frozenset[str]:
        return frozenset(self.lineage.ancestors(self.first.id, relations)) & self.conclusions.keys()

    @cached_property
    def clauses(self) -> tuple[Inherited, ...]:
        """Every clause of an ancestor that arrives or may arrive, the nearest ancestors first."""
        return tuple(self._clauses())

    def _clauses(self) -> Iterator[Inherited]:
        for node in self.ancestors:
            for licence in self.conclusions[node.id].licences:
                for clause in licence.clauses:
                    certain, possible = self.reached(clause.reach)
                    if node.id in certain or node.id in possible:
                        yield Inherited(node, licence, clause, node.id in certain)

    def evidence(self, *nodes: Node) -> tuple[Evidence, ...]:
        """Where the licences of models were read, the audited model's first."""
        return tuple(dict.fromkeys(at for node in (self.first, *nodes) for at in self.conclusions[node.id].evidence))

    def made(self, node: Node) -> str:
        """How the audited model was made from an ancestor, in words."""
        direct = [edge for edge in self.lineage.parents(self.first.id, tuple(Relation)) if edge.parent == node.id]
        return WORDS[direct[0].relation] if direct else "made from"
