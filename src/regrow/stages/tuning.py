"""What all stages that train given weights further have in common: what a recipe says of the run, and what it costs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Self, TypeVar

from pydantic import Field, model_validator

from regrow.errors import StageError
from regrow.recipe.kind import PROGRAM, Call, Cost, Expected, Sharing, Slot, Training
from regrow.sections import LARGEST, Parameters
from regrow.stages.costs import all_of
from regrow.stages.training import Schedule, part_of, require_a_step, settings_of
from regrow.train.checkpoints import newest
from regrow.train.section import MOST_MICRO_BATCHES, Train, needs

if TYPE_CHECKING:
    from regrow.stages.training import Run

T = TypeVar("T", bound="Tuning")

SLOTS: Mapping[str, Slot] = {
    "weights": Slot("weights"),
    "tokens": Slot("tokens"),
    "tokenizer": Slot("tokenizer"),
}
"""What such a stage takes."""

_FLOPS_PER_SECOND = 1.5e11


class Tuning(Train, Parameters):
    """Training a model further."""

    tokens: int = Field(
        description="Tokens to train on; the corpus is gone through again as often as it takes. Rounded down to "
        "whole steps of `micro_batch * micro_batches_per_step * context` tokens.",
        examples=[200_000],
        ge=1,
        le=LARGEST,
    )
    context: int = Field(
        default=256,
        description="Tokens of a sequence; at most those of the model.",
        examples=[1024],
        ge=2,
        le=2**17,
    )
    micro_batch: int = Field(
        default=4, description="Sequences in a micro-batch, the unit of arithmetic.", examples=[4], ge=1, le=2**16
    )
    micro_batches_per_step: int = Field(
        default=2,
        description="Micro-batches whose mean gradient makes a step.",
        examples=[2],
        ge=1,
        le=MOST_MICRO_BATCHES,
    )
    learning_rate: float = Field(default=1e-4, description="At its highest.", examples=[3e-5], gt=0, le=10)
    weight_decay: float = Field(
        default=0.0, description="Decoupled, of matrices only, not of gains.", examples=[0.01], ge=0, le=10
    )

    optimizer: Literal["new", "continue"] = Field(
        default="new",
        description="`continue`: go on with the run that made the weights, from its `keep_optimizer`; `tokens` and "
        "`stop_after` count from its beginning, and all else must be as it was.",
        examples=["continue"],
        exclude_if="new".__eq__,
    )

    @model_validator(mode="after")
    def _makes_a_step(self) -> Self:
        require_a_step(self, self.context)
        return self

    @property
    def steps(self) -> int:
        """How many."""
        return self.steps_of(self.context)

    @property
    def schedule(self) -> Schedule:
        """What its steps take."""
        return Schedule(self.seed, self.steps, self.sequences_per_step, self.context, links=self.checkpoint_every)

    def part(self, end: int, links: int = 0) -> Self:
        """Those of the same run up to a step."""
        return part_of(self, end, self.steps, links)


def run_of(call: Call[T]) -> Run:
    """The run of a stage that is fed as :data:`SLOTS` says, on the tokens of its model.

    Raises:
        StageError: if its sequences are longer than the model's, or its tokens another tokenizer's.
    """
    from regrow.corpus.tokens import TokenShards
    from regrow.model.weights import ends, load_config
    from regrow.stages.training import Run

    source, shards, parameters = call.input("weights"), TokenShards.open(call.input("tokens")), call.parameters
    config = load_config(source)
    if parameters.context > config.context:
        raise StageError(
            f"sequences of {parameters.context} tokens are longer than the model's {config.context}",
            where=call.name,
            hint=f"set `context` of this stage to {config.context} or less",
        )
    if shards.vocabulary > config.vocabulary:
        raise StageError(
            f"the tokens are {shards.vocabulary}, and the model knows {config.vocabulary}",
            where=call.name,
            why="they are those of another tokenizer",
            hint="leave out `[tokenizer]`: the base brings its own",
        )
    former = source if parameters.optimizer == "continue" else None
    return Run(config, settings_of(parameters, parameters.context), shards, ends(source), former=former)


def cost(parameters: Tuning, inputs: Mapping[str, tuple[Expected, ...]]) -> Cost:
    """Estimate from what is known of the model: three passes' worth of operations for each token."""
    given, count = all_of(inputs, "weights"), parameters.steps
    learned = given.parameters or int(given.size / 4)
    tokens = count * parameters.sequences_per_step * parameters.context
    flops = 6.0 * learned * tokens

    def memory(sharing: Sharing) -> int:
        return PROGRAM + needs(parameters, learned, sharing=sharing).memory

    seconds, takes = flops / _FLOPS_PER_SECOND, needs(parameters, learned)
    return Cost(
        replace(given, context=parameters.context, vocabulary=given.vocabulary),
        flops=flops,
        seconds=seconds,
        memory_bytes=PROGRAM + takes.memory,
        memory_of=memory,
        scratch_bytes=takes.scratch,
        training=Training(
            learned,
            tokens,
            count,
            seconds,
            parameters.micro_batches_per_step,
            *parameters.states_of(learned, parameters.context),
        ),
    )


def beside(other: Expected, trained: Cost) -> Cost:
    """The cost of training beside another model, by which every token passes too."""
    more = 2.0 * (other.parameters or other.size / 4) * (trained.training.tokens if trained.training else 0)
    flops = trained.flops + more
    seconds = trained.seconds * (flops / trained.flops if trained.flops else 1.0)

    def memory(sharing: Sharing) -> int:
        share = sharing.copies / sharing.workers
        return int(other.size * share) + (trained.memory_of(sharing) if trained.memory_of else trained.memory_bytes)

    return replace(trained, flops=flops, seconds=seconds, memory_bytes=memory(Sharing()), memory_of=memory)


def done(parameters: Tuning, scratch: Path) -> float:
    """The share of the steps up to the newest checkpoint."""
    return min(1.0, newest(scratch) / parameters.steps)
