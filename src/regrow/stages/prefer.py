"""Preference: a model learns from pairs of answers which is better (DPO; Rafailov et al., 2023)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Self

from pydantic import Field, model_validator

from regrow.errors import StageError
from regrow.recipe.kind import Call, Cost, Expected, Kind, Table
from regrow.sections import fault
from regrow.stages import tuning
from regrow.stages.costs import all_of
from regrow.stages.training import RECORDS, Schedule
from regrow.stages.tuning import SLOTS, Tuning, done, run_of
from regrow.stages.weights import WEIGHTS
from regrow.words import counted

if TYPE_CHECKING:
    from regrow.corpus.tokens import TokenShards


BETA = 0.1
"""What is usual."""


class PreferParameters(Tuning):
    """Training a model on pairs of a chosen answer and a rejected one."""

    learning_rate: float = Field(
        default=1e-6,
        description="At its highest; smaller than for texts, since a change of few numbers changes which answer is "
        "likelier.",
        examples=[5e-7],
        gt=0,
        le=10,
    )
    beta: float = Field(
        default=BETA,
        description="How much a change of an answer's log-probability counts: the larger, the nearer the model stays "
        "to what it was.",
        examples=[0.05],
        gt=0,
        le=100,
    )

    @property
    def schedule(self) -> Schedule:
        """What its steps take."""
        return replace(super().schedule, pairs=True)

    @model_validator(mode="after")
    def _begins(self) -> Self:
        if self.optimizer == "continue":
            raise fault(
                "a run that learns from pairs cannot be gone on with",
                why="what it measures against is the model that it begins with, and that would be another one",
                hint="leave out `optimizer`, and raise `tokens`",
                at=("optimizer",),
            )
        return self


def run(call: Call[PreferParameters]) -> None:
    """Train from the parameters of the model on the pairs, in the order that the seed and the epoch fix."""
    from regrow.stages.training import train
    from regrow.train.tasks.preference import Preferring

    found, said = replace(run_of(call), pairs=call.parameters.schedule.pairs), call.parameters
    require_pairs(call.name, found.shards)
    train(call, Preferring(found.config, said.context, said.beta, call.input("weights")), found)


def require_pairs(stage: str, shards: TokenShards) -> None:
    """Refuse a corpus of anything but pairs.

    Raises:
        StageError: if it is one.
    """
    documents = shards.documents("train")
    if others := documents - shards.pairs("train"):
        raise StageError(
            "there is nothing in the texts that says which of two answers is better"
            if others == documents
            else f"{counted(others, 'document')} of {documents:,} are no pairs of answers",
            where=stage,
            why="preferences are learnt from pairs alone, and a text or a conversation without a second answer is none",
            hint='let each `[[source]]` have `format = "conversations"` and rows of `prompt`, `chosen` and `rejected`',
        )


def cost(parameters: PreferParameters, inputs: Mapping[str, tuple[Expected, ...]]) -> Cost:
    """As training, with one more pass: that of the model as it was."""
    return tuning.beside(all_of(inputs, "weights"), tuning.cost(parameters, inputs))


KIND = Kind(
    name="prefer",
    version=3,
    parameters=PreferParameters,
    inputs=SLOTS,
    output="weights",
    run=run,
    exact=True,
    infers=True,
    libraries=("tokenizers",),
    summary="train a model on which of two answers is better",
    table=Table("prefer", about="Training a model on pairs of a chosen answer and a rejected one (DPO)."),
    cost=cost,
    done=done,
    released=(*WEIGHTS, *RECORDS),
    origin="fine-tuned",
    after=("vocabulary",),  # whose tokenizer makes the tokens
)
