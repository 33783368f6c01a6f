"""No document vanishes: what a stage does not pass on, it has to record as left out, and a build tells it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from regrow.building.selection import members
from regrow.corpus.documents import DOCUMENTS, EXCLUDED, Tally, count
from regrow.corpus.split import PARTS, Split
from regrow.errors import StageError
from regrow.recipe.graph import Graph, Stage

_TABLES = {"documents": (DOCUMENTS, EXCLUDED), "split": (*(Split(Path()).path(part).name for part in PARTS), EXCLUDED)}
"""Types of artifacts that hold documents, and the tables in which each of them stands once."""


def require_every_document(graph: Graph, outputs: Mapping[str, Path]) -> None:
    """Count the documents that go into the stages of a release and those that come out, kept or left out.

    Args:
        graph: the stages.
        outputs: stage -> the directory of its artifact.

    Raises:
        StageError: naming a stage that lost some, or made some up.
    """
    known = {stage.name: stage for stage in graph.stages}
    for stage in members(graph):
        given = [known[name] for name in sorted(stage.needs) if known[name].kind.output in _TABLES]
        if given and stage.kind.output in _TABLES:
            before, after = sum(_count(one, outputs) for one in given), _count(stage, outputs)
            if before != after:
                raise StageError(
                    f"stage `{stage.name}` took {before} documents and accounts for {after}",
                    why="a release names every document that was read, and why it was left out if it was",
                    hint=f"let the kind `{stage.kind.name}` write an exclusion for each that it drops "
                    "(`Document.excluded`), and raise its version",
                )


def left_out(graph: Graph, outputs: Mapping[str, Path]) -> tuple[Tally, ...]:
    """What the stages that read files could not read, whether they ran now or long ago.

    Args:
        graph: the stages.
        outputs: stage -> the directory of its artifact.
    """
    found = (Tally.open(outputs[stage.name]) for stage in graph.stages if stage.kind.output in _TABLES)
    return tuple(tally for tally in found if tally is not None)


def _count(stage: Stage, outputs: Mapping[str, Path]) -> int:
    return sum(count(outputs[stage.name], table=name) for name in _TABLES[stage.kind.output])
