"""Scores of the finished model in tasks, kept with the release so that anyone can see them come out again."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from typing import TYPE_CHECKING, Self

from pydantic import Field, field_validator, model_validator

from regrow.evaluating.names import HUB_FOLDER, SCORES, SCORES_FOLDER, known
from regrow.recipe.kind import Call, Cost, Expected, Given, Kind, Released, Slot, Table
from regrow.recipe.values import Texts
from regrow.sections import fault
from regrow.stages.costs import BYTES_PER_TOKEN, all_of, asking
from regrow.stages.examining import FILES, INPUTS, Examinee, Examining, files, keep
from regrow.words import suggestion

if TYPE_CHECKING:
    from regrow.evaluating.tasks import Task

_FLOPS_PER_SECOND = 5e10
_TEXTS, _TOKENS = 200, 20
"""Of a task that comes along, and of one of its texts."""


class ScoreParameters(Examining):
    """In which tasks the model is judged."""

    tasks: Texts = Field(
        default=(),
        description=f"The tasks, of those that come along: {', '.join(known())}. Or `sources`, or both.",
        examples=[["agreement", "copying"]],
    )
    chat: bool = Field(default=False, description="Put questions through the model's chat template.", examples=[True])

    @field_validator("tasks")
    @classmethod
    def _are_known(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for task in value:
            if task not in known():
                raise fault(f"there is no task `{task}`", hint=suggestion(task, known(), "there are"))
        if len({*value}) < len(value):
            raise fault("a task is named twice", hint="name it once")
        return value

    @model_validator(mode="after")
    def _asks(self) -> Self:
        if not self.tasks and not self.sources:
            raise fault("asks nothing", hint="name `tasks` that come along, or `sources` that are some", at=("tasks",))
        return self


def check(given: Given[ScoreParameters]) -> None:
    """Read all that will be asked."""
    _asked(given)


def _asked(given: Given[ScoreParameters]) -> list[Task]:
    """The tasks that come along, and those in files.

    Raises:
        InputError: naming the line of a file that is no item.
        RecipeError: if two are called the same.
    """
    from regrow.evaluating import tasks
    from regrow.evaluating.scores import require_distinct

    found = [*map(tasks.find, given.parameters.tasks), *(tasks.read(path, name) for name, path in files(given))]
    require_distinct(one.name for one in found)
    return found


def run(call: Call[ScoreParameters]) -> None:
    """Ask the model all items."""
    from regrow.errors import InputError
    from regrow.evaluating import hub
    from regrow.evaluating.forms import Form
    from regrow.evaluating.scores import Scores, judge
    from regrow.model import weights
    from regrow.model.usual import stops

    asked = _asked(call)
    who = Examinee.of(call)
    if call.parameters.chat and who.template is None:
        raise InputError("the model has no chat template", where=call.name, hint="leave `chat` out: it continues texts")
    template = who.template if call.parameters.chat else None
    form = Form(who.tokenizer, who.alone.room, template, stops=stops(who.alone.usual))

    def told(done: int, total: int) -> None:
        call.context.emit("progress", done=done, total=total, unit="items")
        if call.context.stopping():
            call.context.stop()

    found = tuple(judge(task, form, who.alone, told) for task in asked)
    scores = Scores(weights.digest(call.input("weights")), found)
    keep(call.output / SCORES, scores.document())
    for number, (_, path) in enumerate(files(call), 1):  # to be asked again
        shutil.copyfile(path, call.output / f"{number}-{path.name}")
    if listed := hub.eval_results(scores):
        place = call.output / HUB_FOLDER / f"{call.parameters.name}.yaml"
        place.parent.mkdir()
        place.write_text(listed, encoding="utf-8")


def cost(parameters: ScoreParameters, inputs: Mapping[str, tuple[Expected, ...]]) -> Cost:
    """Estimate: each text is read once."""
    weights, brought = all_of(inputs, "weights"), all_of(inputs, FILES)
    tokens = _TOKENS * _TEXTS * len(parameters.tasks) + brought.size / BYTES_PER_TOKEN
    flops = weights.sequence_flops / max(1, weights.context) * tokens
    seconds = flops / _FLOPS_PER_SECOND
    return Cost(Expected(size=brought.size), flops=flops, seconds=seconds, memory_bytes=asking(inputs))


KIND = Kind(
    name="score",
    version=1,
    parameters=ScoreParameters,
    inputs={**INPUTS, FILES: Slot("files", many=True, optional=True, named="sources", checked=True)},
    output="scores",
    run=run,
    check=check,
    exact=True,
    infers=True,
    libraries=("tokenizers",),
    summary="judge the finished model in tasks",
    table=Table(
        "score", about="Tasks that the finished model is judged in; the release keeps what it reached.", many=True
    ),
    cost=cost,
    released=(
        Released(SCORES, SCORES_FOLDER, "{entry}.json", always=True),
        Released("*.jsonl", f"{SCORES_FOLDER}/{{entry}}", always=True, verbatim=True),
        Released("*.ndjson", f"{SCORES_FOLDER}/{{entry}}", always=True, verbatim=True),
        Released(f"{HUB_FOLDER}/*.yaml", always=True),
    ),
)
