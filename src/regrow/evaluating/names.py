"""What things are called: for those who must not load what computes with them."""

from __future__ import annotations

from functools import cache
from pathlib import Path

ANSWER, ANSWERS, SCORES = "answer.json", "answers.jsonl", "scores.json"
"""The files of the artifacts ``answer``, ``answers`` and ``scores``."""
ANSWERS_FOLDER, SCORES_FOLDER = "prompts", "scores"
"""The folders of a release in which they lie, each file called after its entry in the recipe."""
HUB_FOLDER = ".eval_results"
"""Where hubs look for scores in tasks that are data sets of theirs, in a release as elsewhere."""

SETS = Path(__file__).parent / "sets"
"""The tasks that come along, which we wrote."""


@cache
def known() -> tuple[str, ...]:
    """The names of the tasks that come along."""
    return tuple(sorted(path.stem for path in SETS.glob("*.jsonl")))
