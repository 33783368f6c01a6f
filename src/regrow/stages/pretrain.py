"""Pretraining: from token shards to weights, with the loss at every step and a chain of state hashes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Self

from pydantic import Field, ValidationInfo, field_validator

from regrow.model.architecture import Architecture, forward_flops, parameter_count
from regrow.recipe.kind import PROGRAM, Call, Cost, Expected, Kind, Sharing, Slot, Table, Training
from regrow.sections import Parameters
from regrow.stages.costs import WRITING, all_of
from regrow.stages.training import RECORDS, WORDS, Schedule, part_of, require_a_step, settings_of
from regrow.stages.weights import WEIGHTS
from regrow.train.checkpoints import newest
from regrow.train.section import Train, steps, training_flops, training_needs, training_seconds

if TYPE_CHECKING:
    from regrow.model.config import DecoderConfig


class PretrainParameters(Parameters):
    """What to train, and how."""

    architecture: Architecture = Field(description="The shape of the decoder.")
    train: Train = Field(description="The training run.")

    @property
    def schedule(self) -> Schedule:
        """What its steps take."""
        train, context = self.train, self.architecture.context
        count = steps(self.architecture, train)
        return Schedule(train.seed, count, train.sequences_per_step, context, links=train.checkpoint_every)

    def part(self, end: int, links: int = 0) -> Self:
        """Those of the same run up to a step."""
        return self.model_copy(update={"train": part_of(self.train, end, self.schedule.steps, links)})

    @field_validator("train")
    @classmethod
    def _makes_a_step(cls, value: Train, info: ValidationInfo) -> Train:
        shape = info.data.get("architecture")
        if shape is not None:
            require_a_step(value, shape.context)
        return value


def run(call: Call[PretrainParameters]) -> None:
    """Train from random initial parameters on the tokens, in the order that the seed and the epoch fix."""
    from regrow.corpus.tokens import TokenShards
    from regrow.model.weights import Ends
    from regrow.stages.training import Run, train
    from regrow.train.tasks.pretraining import Pretraining

    shards = TokenShards.open(call.input("tokens"))
    parameters = call.parameters
    config = decoder_config(parameters.architecture, shards.vocabulary)
    settings = settings_of(parameters.train, parameters.architecture.context)
    ends = Ends.both(shards.end_of_text)
    train(call, Pretraining(config, settings.seed), Run(config, settings, shards, ends))


def decoder_config(architecture: Architecture, vocabulary: int) -> DecoderConfig:
    """The decoder of a recipe's architecture."""
    from regrow.model.config import DecoderConfig

    return DecoderConfig(vocabulary=vocabulary, **architecture.model_dump())


def cost(parameters: PretrainParameters, inputs: Mapping[str, tuple[Expected, ...]]) -> Cost:
    """Count the parameters and the arithmetic, which are exact, and estimate the memory."""
    architecture, train, vocabulary = parameters.architecture, parameters.train, all_of(inputs, "tokens").vocabulary
    learned, count = parameter_count(architecture, vocabulary), steps(architecture, train)
    seconds = training_seconds(architecture, train, vocabulary)

    def memory(sharing: Sharing) -> int:
        return PROGRAM + training_needs(architecture, train, vocabulary, sharing).memory

    takes = training_needs(architecture, train, vocabulary)
    looks = (count - 1) // train.validate_every if train.validate_every else 0
    return Cost(
        Expected(
            size=takes.output,
            vocabulary=vocabulary,
            parameters=learned,
            context=architecture.context,
            sequence_flops=forward_flops(architecture, vocabulary),
        ),
        flops=training_flops(architecture, train, vocabulary),
        seconds=seconds + looks * (WRITING * WORDS + seconds / count / 3),
        memory_bytes=PROGRAM + takes.memory,
        memory_of=memory,
        scratch_bytes=takes.scratch,
        training=Training(
            learned,
            count * train.sequences_per_step * architecture.context,
            count,
            seconds,
            train.micro_batches_per_step,
            *train.states_of(learned, architecture.context),
        ),
    )


def done(parameters: PretrainParameters, scratch: Path) -> float:
    """The share of the steps up to the newest checkpoint."""
    return min(1.0, newest(scratch) / steps(parameters.architecture, parameters.train))


KIND = Kind(
    name="pretrain",
    version=5,
    parameters=PretrainParameters,
    inputs={"tokens": Slot("tokens"), "tokenizer": Slot("tokenizer", optional=True)},
    output="weights",
    run=run,
    after=("vocabulary",),  # which changes the tokens of a base, before there are any to train on
    exact=True,
    infers=True,
    libraries=("tokenizers",),
    summary="train a decoder from random initial parameters",
    table=Table(),
    cost=cost,
    done=done,
    released=(*WEIGHTS, *RECORDS),
    origin="random",
)
