"""Which stages a release is made of, and which of their files it holds: as their kinds declare it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath

from regrow.errors import RecipeError, StageError
from regrow.recipe.graph import Graph, Stage
from regrow.recipe.kind import Released


def released_weights(graph: Graph) -> Stage:
    """The stage whose weights are released: the last one that gives any.

    Raises:
        RecipeError: if there is none.
    """
    found = [stage for stage in graph.stages if stage.kind.output == "weights"]
    if not found:
        raise RecipeError(
            "nothing to release: no stage gives weights",
            hint="a release needs weights that were trained on tokens; add the usual sections, or the stage",
        )
    return found[-1]


def members(graph: Graph) -> tuple[Stage, ...]:
    """The stages that the released weights were made by, and those that were made from them."""
    weights = released_weights(graph)
    before = {stage.name for stage in graph.ancestors(weights)} | {weights.name}
    after = {stage.name for stage in graph.stages if weights in graph.ancestors(stage)}
    return tuple(stage for stage in graph.stages if stage.name in before | after)


def last_of(graph: Graph, output: str) -> Stage | None:
    """The last of the release's stages that gives a type of artifact."""
    return next((stage for stage in reversed(members(graph)) if stage.kind.output == output), None)


def released_files(graph: Graph, outputs: Mapping[str, Path]) -> Iterator[tuple[Path, str]]:
    """Files of artifacts that a release holds as they are, each with its path there.

    Of two records that would have the same path, the later stage's has it, and the earlier one's lies in a folder that
    is called after its stage.

    Args:
        graph: the stages.
        outputs: stage -> the directory of its artifact.

    Raises:
        StageError: if a stage has not given a file that its kind declares.
    """
    taken: set[str] = set()
    for stage in reversed(members(graph)):
        stands_for_its_type = last_of(graph, stage.kind.output) is stage
        for item in stage.kind.released:
            if item.always or stands_for_its_type:
                for path, target in _files(item, outputs[stage.name], stage.name):
                    if target in taken:
                        place = PurePosixPath(target)
                        target = str(place.parent / stage.name / place.name)
                    taken.add(target)
                    yield path, target


def _files(item: Released, artifact: Path, stage: str) -> Iterator[tuple[Path, str]]:
    found = sorted(artifact.glob(item.files))
    if not found and "*" not in item.files:
        raise StageError(f"stage `{stage}` has given no `{item.files}`", where=str(artifact))
    for path in found:
        name = item.name or path.relative_to(artifact).as_posix()
        yield path, f"{item.folder}/{name}" if item.folder else name
