"""Where things lie in a release, and which stage's output each comes from."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from regrow.engine import Evaluation, StageResult
from regrow.errors import RecipeError, RegrowError, StageError
from regrow.recipe.graph import Graph, Stage

SUMS = "SHA256SUMS"
RECIPE = "regrow.toml"
LOCK = "regrow.lock"
PAPER = "paper.md"
REPORT = "report.html"
BUILDINFO = "buildinfo"

UNCOVERED = (SUMS, REPORT, BUILDINFO)
"""What the release digest does not cover: itself, a rendering of what it covers, and what differs between machines."""


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


def is_release(folder: Path) -> bool:
    """True if the lock in a folder is part of a release, so that nobody may write to it."""
    sums = folder / SUMS
    return sums.is_file() and f"  {LOCK}\n" in sums.read_text("utf-8", "replace")


@contextmanager
def explained(destination: Path) -> Iterator[None]:
    """Say in plain words what is wrong with the place for a release."""
    try:
        yield
    except RegrowError:
        raise
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise StageError(
                "the disk is full", where=str(destination), hint="free some space, then run the same command again"
            ) from error
        raise RecipeError(
            "the output cannot be written",
            where=str(error.filename or destination),
            why=error.strerror or str(error),
            hint="choose a directory you may write to with --output",
        ) from error
