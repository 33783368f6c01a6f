"""The lineage of any model, in the words of a release's: of what others made, who names whom is all there is to see."""

from __future__ import annotations

import datetime

from regrow.auditing import collectors, tracing
from regrow.auditing.facts import LicenceFact, Rebuild, RebuildFact, Relation, Scope
from regrow.auditing.lineage import Lineage, Node
from regrow.release.lineage import Model, Standing
from regrow.words import listed

_OF_WEIGHTS = (Scope.WEIGHTS, Scope.EVERYTHING)


def ancestry(target: str) -> Model:
    """The model and its ancestors, as its card and files name them and this machine's caches hold them.

    Raises:
        InputError: if there is nothing to read.
        RecipeError: if it is no model.
    """
    today = datetime.datetime.now(datetime.UTC).date().isoformat()
    start = collectors.collect(target, today=today, network=False)
    found, _ = tracing.trace(start, reach=tracing.reacher({}, today, False))
    return _model(found, found.nodes[0], ())


def _model(found: Lineage, node: Node, way: tuple[str, ...]) -> Model:
    """A model and those above it; a lineage has no cycles."""
    nodes = {one.id: one for one in found.nodes}
    edges = found.parents(node.id, tuple(Relation))
    standing, why = _standing(found, node)
    return Model(
        name=node.name,
        digest=node.collected.version,
        fetch=node.id if node.depth else "",
        licence=next((fact.raw for fact in node.collected.of(LicenceFact) if fact.scope in _OF_WEIGHTS), ""),
        standing=standing,
        why=why,
        parents=tuple(_model(found, nodes[edge.parent], (edge.relation.value,)) for edge in edges),
        relation=way,
    )


def _standing(found: Lineage, node: Node) -> tuple[Standing, str]:
    collected = node.collected
    if any(fact.level is Rebuild.REBUILT_HERE for fact in collected.of(RebuildFact)):
        return Standing.REBUILT, "this machine built it again and got the same"
    if collected.kind != "unreached":
        return Standing.PINNED, "its files are here; how they were made is only said, if at all"
    said = [place.file for edge in found.edges if edge.parent == node.id for place in edge.evidence]
    return Standing.UNKNOWN, f"only named, by {listed(dict.fromkeys(said))}" if said else "only named"
