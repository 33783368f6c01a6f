"""Which stage's output each part of a release comes from."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from regrow.engine import Evaluation, StageResult
from regrow.errors import RecipeError
from regrow.recipe.graph import Graph, Stage


@dataclass(frozen=True)
class Parts:
    """The stages whose outputs make a release."""

    weights: StageResult
    tokenizer: StageResult
    split: StageResult
    tokens: StageResult
    evaluation: StageResult | None


def parts(graph: Graph, evaluation: Evaluation) -> Parts:
    """The last weights of the graph, what they were made from, and what was found out about them.

    Raises:
        RecipeError: if the graph makes no weights.
    """
    weights = _last(graph.stages, "weights")
    before = tuple(ancestors(graph, weights))
    judges = [
        stage for stage in graph.stages if stage.kind.output == "evaluation" and weights in ancestors(graph, stage)
    ]
    results = evaluation.results
    return Parts(
        weights=results[weights.name],
        tokenizer=results[_last(before, "tokenizer").name],
        split=results[_last(before, "split").name],
        tokens=results[_last(before, "tokens").name],
        evaluation=results[judges[-1].name] if judges else None,
    )


def ancestors(graph: Graph, stage: Stage) -> Iterator[Stage]:
    """All stages that ``stage`` needs, directly or not, in the order of the graph."""
    needed = {stage.name}
    for other in reversed(graph.stages):
        if other.name in needed:
            needed.update(name for names in other.inputs.values() for name in names)
    return (other for other in graph.stages if other.name in needed and other.name != stage.name)


def _last(stages: tuple[Stage, ...], output: str) -> Stage:
    found = [stage for stage in stages if stage.kind.output == output]
    if not found:
        raise RecipeError(
            f"nothing to release: no stage gives {output}",
            hint="a release needs weights that were trained on tokens; add the usual sections, or the stage",
        )
    return found[-1]
