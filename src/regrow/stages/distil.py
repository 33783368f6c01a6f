"""Distillation: a model trained to say what another one says, and how sure it is of the rest."""

from __future__ import annotations

import operator
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Self

from pydantic import Field, model_validator

from regrow.errors import InputError, StageError
from regrow.recipe.kind import MODEL, Call, Cost, Expected, Kind, Slot, Table
from regrow.recipe.values import Name
from regrow.sections import fault
from regrow.stages import tuning
from regrow.stages.costs import all_of
from regrow.stages.models import named, require_same_tokens
from regrow.stages.training import RECORDS
from regrow.stages.tuning import SLOTS, Tuning, done, run_of
from regrow.stages.weights import WEIGHTS

if TYPE_CHECKING:
    from torch import Tensor

    from regrow.model.config import DecoderConfig
    from regrow.stages.training import Run
    from regrow.train.tasks.distilling import Distilling, Made

_SHAPE = ("layers", "hidden", "width", "heads", "kv_heads")


class DistilParameters(Tuning):
    """Training a model by another's logits.

    Either ``teacher`` names the other one, and the weights are the student; or a shape is said, and the weights are the
    teacher of a student of that shape.
    """

    teacher: Name = Field(
        default="",
        description="The `[[parent]]` to learn from; without one the weights so far teach a student of another shape.",
        examples=["teacher"],
        exclude_if=operator.not_,
        json_schema_extra={"fallback": "none"},
    )
    layers: int = Field(
        default=0, description="Layers of the student; 0 for the teacher's.", examples=[6], ge=0, le=4096
    )
    hidden: int = Field(
        default=0,
        description="Width of its feed-forward layer; 0 for the teacher's.",
        examples=[512],
        ge=0,
        le=2**22,
    )
    width: int = Field(default=0, description="Its width; 0 for the teacher's.", examples=[256], ge=0, le=2**20)
    heads: int = Field(default=0, description="Its query heads; 0 for the teacher's.", examples=[4], ge=0, le=2**16)
    kv_heads: int = Field(
        default=0, description="Its key and value heads; 0 for the teacher's.", examples=[2], ge=0, le=2**16
    )
    temperature: float = Field(
        default=2.0,
        description="Divides the logits of both before they are compared; the comparison counts times its square, so "
        "that its gradients stay as large.",
        examples=[1.0],
        ge=0.1,
        le=100,
    )
    share: float = Field(
        default=0.5,
        description="Of the teacher's divergence in the loss; the rest is the cross-entropy of the text.",
        examples=[0.9],
        ge=0,
        le=1,
    )
    top: int = Field(
        default=0,
        description="How many of the teacher's likeliest tokens count at each place, made to add up to 1; of equal "
        "ones those with the smallest numbers; 0 for all.",
        examples=[50],
        ge=0,
        le=2**24,
    )

    @property
    def shape(self) -> dict[str, int]:
        """What it says of the student's."""
        said = {name: getattr(self, name) for name in _SHAPE}
        return {name: value for name, value in said.items() if value}

    @model_validator(mode="after")
    def _has_two_models(self) -> Self:
        if not self.teacher and not self.shape:
            raise fault(
                "nobody is to learn from anybody",
                why="neither a teacher is named nor the shape of a student",
                hint='write `teacher = "NAME"` for a `[[parent]]`, or what is smaller of the student, such as `layers`',
            )
        if self.teacher and self.shape:
            name = next(iter(self.shape))
            raise fault(
                f"`{name}` is the shape of a student, and with a teacher that is the weights so far",
                hint=f"leave out `{name}` or `teacher`",
                at=(name,),
            )
        return self


def run(call: Call[DistilParameters]) -> None:
    """Train the student on the tokens, by the teacher's logits for them."""
    from regrow.stages.training import train

    found = run_of(call)
    task = _from_a_student(call, found) if call.parameters.shape else _from_a_teacher(call, found)
    train(call, task, replace(found, config=task.config))


def _from_a_teacher(call: Call[DistilParameters], run: Run) -> Distilling:
    """The weights are the student."""
    from regrow.model.weights import load, load_config
    from regrow.train.given import given_in

    name = call.parameters.teacher
    folder, source = named(call, "teacher", (name,))[name], call.input("weights")
    require_same_tokens(call.input("tokenizer"), folder, name)
    theirs = load_config(folder)
    if theirs.context < call.parameters.context:
        raise StageError(
            f"sequences of {call.parameters.context} tokens are longer than the {theirs.context} of the teacher",
            where=call.name,
            hint=f"set `context` of this stage to {theirs.context} or less",
        )
    rows = run.config.vocabulary
    if theirs.vocabulary < rows:
        raise InputError(
            f"the teacher `{name}` has {theirs.vocabulary:,} rows for tokens, and the student {rows:,}",
            why="it cannot say how likely the rest is",
            hint="leave out the student's rows that no token has, or take another teacher",
        )
    return _task(
        call,
        run.config,
        replace(theirs, vocabulary=rows),
        lambda: load(source)[1],
        lambda: _cut(given_in(folder), rows),
    )


def _cut(parameters: Mapping[str, Tensor], rows: int) -> dict[str, Tensor]:
    """Without the rows behind those of the tokenizer, which models have for the sake of a round number."""
    return {name: x[:rows].contiguous() if name in ("embed", "head") else x for name, x in parameters.items()}


def _from_a_student(call: Call[DistilParameters], run: Run) -> Distilling:
    """The weights are the teacher."""
    from regrow.model.decoder import initialise
    from regrow.model.options import OptionError
    from regrow.model.shrinking import shrinks, shrunk
    from regrow.model.weights import load
    from regrow.train.given import given_in

    source = call.input("weights")
    shape: dict[str, Any] = dict(call.parameters.shape)
    if "width" in shape or "heads" in shape:
        shape["head_width"] = 0  # the heads share the width
    try:
        student = replace(run.config, **shape)
    except OptionError as error:
        raise InputError(
            f"there is no such student: {error.what}",
            where=f"{call.name}.{error.where}",
            why=error.why or "what is not said of it is as in the teacher",
            hint=error.hint or f"change `{error.where}`",
        ) from error
    seed = run.settings.seed

    def begin() -> Mapping[str, Tensor]:
        if shrinks(run.config, student):
            return shrunk(run.config, load(source)[1], student)
        return initialise(student, seed)

    return _task(call, student, run.config, begin, lambda: given_in(source))


def _task(call: Call[DistilParameters], student: DecoderConfig, teacher: DecoderConfig, *made: Made) -> Distilling:
    from regrow.train.tasks.distilling import Distilling

    said = call.parameters
    return Distilling(student, teacher, said.context, said.temperature, said.share, said.top, *made)


def cost(parameters: DistilParameters, inputs: Mapping[str, tuple[Expected, ...]]) -> Cost:
    """As training, with one more pass: the teacher's."""
    teacher = all_of(inputs, "teacher" if inputs.get("teacher") else "weights")
    return tuning.beside(teacher, tuning.cost(parameters, inputs))


KIND = Kind(
    name="distil",
    version=3,
    parameters=DistilParameters,
    inputs={**SLOTS, "teacher": Slot(MODEL, optional=True, named="teacher")},
    output="weights",
    run=run,
    exact=True,
    infers=True,
    libraries=("tokenizers",),
    summary="train a model by another's logits",
    table=Table("distil", about="Training a model by the logits of another one, on the same text."),
    after=("vocabulary",),  # whose tokenizer makes the tokens
    cost=cost,
    done=done,
    released=(*WEIGHTS, *RECORDS),
    origin="distilled",
)
