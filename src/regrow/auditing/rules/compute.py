"""How many operations training took, as far as it is told or follows from parameters and tokens."""

from __future__ import annotations

from dataclasses import dataclass

from regrow.auditing.facts import ArchitectureFact, Basis, Fact, OriginFact, Relation, TrainingFact
from regrow.auditing.lineage import Lineage, Node, chain, facts, mechanical, seen
from regrow.auditing.names import short

PER_PARAMETER_AND_TOKEN = 6
"""Two operations of the forward and four of the backward pass; for a mixture of experts this is too many."""

FEWEST_TOKENS = 20
"""Fewer are a mistake: of the card, or of whoever read it."""

FEWEST_PER_PARAMETER = 0.01
"""Fewer tokens for each parameter, from random values on, make no model that says anything."""


@dataclass(frozen=True)
class Operations:
    """Operations of training.

    Attributes:
        flops: how many, or None.
        source: how we know: ``the plan``, ``stated``, ``estimated as ...``; if flops is None, why not.
        facts: what it rests on.
        lacking: of a whole chain, the models whose training is not told, in words; empty if all is.
    """

    flops: float | None
    source: str
    facts: tuple[Fact, ...] = ()
    lacking: str = ""


def own(lineage: Lineage, node: Node) -> Operations:
    """What making a model from its parents took."""
    told = facts(node, TrainingFact)
    shapes = facts(node, ArchitectureFact)
    sizes = [fact for fact in (*seen(shapes), *shapes) if fact.parameters]
    begun = not lineage.parents(node.id)
    stated = [fact for fact in (*seen(told), *told) if fact.flops is not None]
    if stated:
        if sizes and stated[0].basis is Basis.DECLARED:
            implied = (stated[0].flops or 0) / (PER_PARAMETER_AND_TOKEN * (sizes[0].parameters or 1))
            if doubt := _doubt(sizes[0].parameters or 0, implied, begun):
                return Operations(None, doubt, (sizes[0], stated[0]))
        ours = node.collected.kind == "release" and stated[0].basis is Basis.FOUND
        return Operations(stated[0].flops, "the plan" if ours else "stated", (stated[0],))
    if mechanical(lineage, node):
        return Operations(0.0, "nothing was trained")
    if any(edge.relation is Relation.ADAPTER for edge in lineage.parents(node.id)):
        return Operations(None, "the operations of training an adapter are not stated", tuple(told))
    tokens = [fact for fact in (*seen(told), *told) if fact.tokens]
    if tokens and (doubt := _doubt(sizes[0].parameters or 0 if sizes else 0, tokens[0].tokens or 0, begun)):
        return Operations(None, doubt, (*sizes[:1], tokens[0]))
    if sizes and tokens:
        flops = float(PER_PARAMETER_AND_TOKEN * (sizes[0].parameters or 0) * (tokens[0].tokens or 0))
        return Operations(flops, "estimated as 6 x parameters x tokens", (sizes[0], tokens[0]))
    lacking = [word for word, there in (("parameters", sizes), ("training tokens", tokens)) if not there]
    return Operations(None, f"not told: {' and '.join(lacking)}")


def _doubt(parameters: int, tokens: float, begun: bool) -> str:
    """Why a number of tokens cannot be what training took; empty if it can. Tuning may take few for each parameter."""
    few = tokens < FEWEST_TOKENS or (begun and tokens < FEWEST_PER_PARAMETER * parameters)
    return f"{tokens:,.0f} training tokens for {parameters:,} parameters cannot be right" if few else ""


def whole(lineage: Lineage) -> Operations:
    """What making a model took from the beginning, its ancestors included.

    ``flops`` is then the sum of what is told, which is a lower bound if ``lacking`` names something.
    """
    line = [ancestor.node for ancestor in chain(lineage)]
    each = [own(lineage, node) for node in line]
    lacking = [short(node.id) for node, one in zip(line, each, strict=True) if one.flops is None]
    lacking += [f"what {short(node.id)} was made from" for node in line if not _started(lineage, node)]
    told = [one for one in each if one.flops is not None]
    sources = dict.fromkeys(one.source for one in each if one.facts or one.flops is None)
    found = tuple(fact for one in each for fact in one.facts)
    flops = sum(one.flops or 0.0 for one in told) if told else None
    return Operations(flops, "; ".join(sources), found, ", ".join(lacking))


def _started(lineage: Lineage, node: Node) -> bool:
    return bool(lineage.parents(node.id) or facts(node, OriginFact))
