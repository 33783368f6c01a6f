"""Scores of the finished model in tasks, kept with the release so that anyone can see them come out again."""

from __future__ import annotations

import json
from collections.abc import Mapping

from pydantic import Field, field_validator

from regrow.evaluating.names import SCORES, SCORES_FOLDER, known
from regrow.recipe.kind import Call, Cost, Expected, Kind, Released, Slot, Table
from regrow.recipe.values import Name, Texts
from regrow.sections import Parameters, fault
from regrow.stages.costs import all_of
from regrow.words import suggestion

_FLOPS_PER_SECOND = 5e10
_TEXTS, _TOKENS = 200, 20
"""Of a task that comes along, and of one of its texts."""


class ScoreParameters(Parameters):
    """In which tasks the model is judged."""

    name: Name = Field(
        description="What the scores are called, used in the name of their stage and of their file.",
        examples=["small"],
        json_schema_extra={"settled": True},
    )
    tasks: Texts = Field(
        description=f"The tasks, of those that come along: {', '.join(known())}.",
        examples=[["agreement", "copying"]],
        min_length=1,
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


def run(call: Call[ScoreParameters]) -> None:
    """Ask the model all items."""
    from regrow.corpus.chat import ChatTemplate
    from regrow.corpus.tokenizer import Tokenizer
    from regrow.errors import InputError
    from regrow.evaluating import tasks
    from regrow.evaluating.alone import Alone
    from regrow.evaluating.forms import Form
    from regrow.evaluating.scores import Scores, judge
    from regrow.model import weights

    tokenizer, template = Tokenizer.open(call.input("tokenizer")), ChatTemplate.open(call.input("tokenizer"))
    if call.parameters.chat and template is None:
        raise InputError("the model has no chat template", where=call.name, hint="leave `chat` out: it continues texts")
    alone = Alone.load(call.input("weights"), tokenizer)
    form = Form(tokenizer, alone.room, template if call.parameters.chat else None)

    def told(done: int, total: int) -> None:
        call.context.emit("progress", done=done, total=total, unit="items")
        if call.context.stopping():
            call.context.stop()

    found = tuple(judge(tasks.find(name), form, alone, told) for name in call.parameters.tasks)
    scores = Scores(weights.digest(call.input("weights")), found)
    text = json.dumps(scores.document(), indent=2, sort_keys=True, ensure_ascii=False)
    (call.output / SCORES).write_text(text + "\n", encoding="utf-8")


def cost(parameters: ScoreParameters, inputs: Mapping[str, tuple[Expected, ...]]) -> Cost:
    """Estimate: each text is read once."""
    weights = all_of(inputs, "weights")
    flops = weights.sequence_flops / max(1, weights.context) * _TOKENS * _TEXTS * len(parameters.tasks)
    return Cost(flops=flops, seconds=flops / _FLOPS_PER_SECOND)


KIND = Kind(
    name="score",
    version=1,
    parameters=ScoreParameters,
    inputs={"weights": Slot("weights"), "tokenizer": Slot("tokenizer")},
    output="scores",
    run=run,
    exact=True,
    infers=True,
    libraries=("tokenizers",),
    summary="judge the finished model in tasks",
    table=Table(
        "score", about="Tasks that the finished model is judged in; the release keeps what it reached.", many=True
    ),
    cost=cost,
    released=(Released(SCORES, SCORES_FOLDER, "{entry}.json", always=True),),
)
