"""What the EU AI Act's thresholds say of a model: facts and duties that remain, beside the exemption itself."""

from __future__ import annotations

from collections.abc import Iterator

from regrow.auditing.facts import ArchitectureFact
from regrow.auditing.lineage import BY_PARAMETERS, Edge, Lineage, Node, facts
from regrow.auditing.names import short
from regrow.auditing.rules.compute import Operations, own, whole

GENERAL_PURPOSE = 1e23
"""Operations above which a model that generates language, images or video indicatively is of general purpose."""


def notes(lineage: Lineage) -> tuple[str, ...]:
    """Lines for the report."""
    return (
        "Never exempt: a policy to comply with copyright, 53(1)(c), and a public summary of the training content, "
        "53(1)(d) (guidelines, paragraphs 73-75).",
        _general_purpose(lineage),
        *_modification(lineage),
        "Not legal advice.",
    )


def _general_purpose(lineage: Lineage) -> str:
    told = whole(lineage)
    place = "(guidelines: above 1e23 operations, and generating language, images or video)"
    if told.flops is None:
        return f"Whether it is a general-purpose model cannot be told: {told.source} {place}."
    if told.flops > GENERAL_PURPOSE:
        modalities = {name for fact in facts(lineage.nodes[0], ArchitectureFact) for name in fact.modalities}
        what = (
            "indicatively a general-purpose model" if "text" in modalities else "large enough for a general-purpose one"
        )
        return f"With {told.flops:.1e} operations of training it is {what} {place}."
    if told.lacking:
        return f"Whether it is a general-purpose model cannot be told: not told for {told.lacking} {place}."
    return f"With {told.flops:.1e} operations of training it is indicatively no general-purpose model {place}."


def _modification(lineage: Lineage) -> Iterator[str]:
    """The one-third rule: from where on whoever modifies a model becomes its provider."""
    model = lineage.nodes[0]
    nodes = {node.id: node for node in lineage.nodes}
    for edge in lineage.parents(model.id, BY_PARAMETERS):
        if edge.parent in nodes:
            yield _third(own(lineage, model), _original(lineage, nodes[edge.parent]), edge)


def _original(lineage: Lineage, parent: Node) -> Operations:
    """The training of a parent from its own beginning."""
    return whole(Lineage((parent, *(node for node in lineage.nodes if node.id != parent.id)), lineage.edges))


def _third(change: Operations, original: Operations, edge: Edge) -> str:
    parent = short(edge.parent)
    place = "(one-third rule, guidelines, paragraphs 60-70)"
    if change.flops is None:
        return f"Whether its maker is a provider of a new model cannot be told: {change.source} {place}."
    known = original.flops is not None and not original.lacking
    if known and (original.flops or 0.0) <= GENERAL_PURPOSE:
        return f"{parent} is indicatively no general-purpose model, so changing it makes no provider of one {place}."
    limit = (original.flops or 0.0) / 3 if known else GENERAL_PURPOSE / 3
    of = f"the training of {parent}" if known else f"1e23 (the training of {parent} is not told)"
    if change.flops > limit:
        return f"The modification took more than a third of {of}: its maker is the provider of a new model {place}."
    return f"The modification took at most a third of {of}: its maker is not the provider of a new model {place}."
