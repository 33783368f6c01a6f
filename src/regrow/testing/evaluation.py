"""Scores of a release in tasks that somebody names."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from regrow.errors import InputError
from regrow.evaluating import tasks
from regrow.evaluating.scores import Score, Scores, judge, require_distinct
from regrow.testing.together import BATCH

if TYPE_CHECKING:
    from regrow.evaluating.tasks import Task
    from regrow.testing.subject import Subject

YAML = (".yaml", ".yml")
"""What tasks of lm-eval are called."""

Heard = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Options:
    """How tasks are put.

    Attributes:
        limit: items of each task to ask; None for all.
        batch: texts at a time; nothing depends on it.
        chat: whether questions go through the model's chat template.
        cuts: whether the beginning of a text is left out where the model has no room for it.
        code: whether tasks of lm-eval may bring Python.
    """

    limit: int | None = None
    batch: int = BATCH
    chat: bool = False
    cuts: bool = False
    code: bool = False


def _unheard(task: str, done: int, total: int) -> None:
    """Take news for those who do not care."""


def evaluate(folder: Path, names: Sequence[str], options: Options, heard: Heard = _unheard) -> Scores:
    """What a release reaches in tasks.

    Args:
        folder: of the release.
        names: of tasks that come along, or files.
        options: how they are put.
        heard: gets (task, items that are done, all of them).

    Raises:
        InputError: if there is no such task, or it or the model cannot be read; nothing is asked then.
        RecipeError: if two tasks have one name.
    """
    from regrow.testing.subject import subject

    found = [_found(name) for name in names]  # before a model is loaded, which may take long
    with subject(folder, options.batch) as who:
        scores = [score for one in found for score in _scores(one, who, options, heard)]
        require_distinct(one.task for one in scores)
        return Scores(who.weights, tuple(scores))


def _found(name: str) -> Task | Path:
    path = Path(name)
    if path.suffix not in YAML:
        return tasks.find(name)
    if not path.is_file():
        raise InputError("there is no such file", where=name)
    try:
        import lm_eval  # noqa: F401
    except ImportError as error:
        raise InputError(
            "a task of lm-eval needs lm-eval",
            where=name,
            why=f"there is no `{error.name}` here",
            hint="python -m pip install 'regrow[eval]'",
        ) from error
    return path


def _scores(task: Task | Path, who: Subject, options: Options, heard: Heard) -> Iterator[Score]:
    form = who.form(options.chat, options.cuts)
    if isinstance(task, Path):
        from regrow.testing import harness

        yield from harness.judge(task, form, who.answering, options.limit, options.code)
        return
    some = task if options.limit is None else task.first(options.limit)
    yield judge(some, form, who.answering, lambda done, total: heard(task.name, done, total))
