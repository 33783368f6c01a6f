"""What is judged: a lineage, with the terms of each model in it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from regrow.auditing.facts import Scope
from regrow.auditing.licences import Effective, Terms
from regrow.auditing.lineage import Lineage, Node


@dataclass(frozen=True)
class Case:
    """Everything that rules may ask.

    Attributes:
        lineage: the models and how they were made from each other.
        terms: gives the terms of one model, whichever of its facts a rule looks at.
    """

    lineage: Lineage
    terms: Callable[[Node], Terms]

    def effective(self, node: Node, scope: Scope) -> Effective | None:
        """The terms of a scope of a model; None if nothing is told."""
        return self.terms(node).effective.get(scope)
