"""Fine-tuning: all parameters of a model, or those that some patterns name, trained further on text."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from pydantic import Field, model_validator

from regrow.errors import StageError
from regrow.recipe.kind import PROGRAM, Call, Cost, Expected, Kind, Slot, Table, Training
from regrow.recipe.values import Texts
from regrow.sections import LARGEST, Parameters
from regrow.stages.costs import START, all_of
from regrow.stages.training import RECORDS, Schedule, require_a_step, settings_of
from regrow.stages.weights import WEIGHTS
from regrow.train.checkpoints import newest
from regrow.train.section import Train

_FLOPS_PER_SECOND = 1.5e11


class FinetuneParameters(Train, Parameters):
    """Training a model further on text."""

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
    parameters: Texts = Field(
        default=("*",),
        description="What is trained, by the beginnings of our names: `layers.20-29` for some layers, `*.attention` "
        "for a part of each, `*` for everything. A head that is the embedding is trained with it.",
        examples=[["layers.20-29", "norm"]],
        min_length=1,
    )
    micro_batch: int = Field(
        default=4, description="Sequences in a micro-batch, the unit of arithmetic.", examples=[4], ge=1, le=2**16
    )
    micro_batches_per_step: int = Field(
        default=2,
        description="Micro-batches whose mean gradient makes a step; their sum is exact up to 127.",
        examples=[2],
        ge=1,
        le=127,
    )
    learning_rate: float = Field(default=1e-4, description="At its highest.", examples=[3e-5], gt=0, le=10)
    weight_decay: float = Field(
        default=0.0, description="Decoupled, of matrices only, not of gains.", examples=[0.01], ge=0, le=10
    )

    @model_validator(mode="after")
    def _makes_a_step(self) -> FinetuneParameters:
        require_a_step(self, self.context)
        return self

    @property
    def schedule(self) -> Schedule:
        """What its steps take."""
        return Schedule(self.seed, _steps(self), self.sequences_per_step, self.context)


def run(call: Call[FinetuneParameters]) -> None:
    """Train from the parameters of the model on the tokens, in the order that the seed and the epoch fix."""
    from regrow.corpus.tokens import TokenShards
    from regrow.model.patterns import chosen
    from regrow.model.weights import ends, load_config
    from regrow.stages.training import Run, train
    from regrow.train.task import Finetuning

    source, shards, parameters = call.input("weights"), TokenShards.open(call.input("tokens")), call.parameters
    config = load_config(source)
    if parameters.context > config.context:
        raise StageError(
            f"sequences of {parameters.context} tokens are longer than the model's {config.context}",
            where=call.name,
            hint=f"set `finetune.context` to {config.context} or less",
        )
    if shards.vocabulary > config.vocabulary:
        raise StageError(
            f"the tokens are {shards.vocabulary}, and the model knows {config.vocabulary}",
            where=call.name,
            why="they are those of another tokenizer",
            hint="leave out `[tokenizer]`: the base brings its own",
        )
    names = chosen(parameters.parameters, tuple(config.shapes()))
    settings = settings_of(parameters, _steps(parameters))
    task = Finetuning(config, parameters.context, names, source)
    train(call, task, Run(config, settings, shards, ends(source)))


def _steps(parameters: FinetuneParameters) -> int:
    return parameters.tokens // (parameters.sequences_per_step * parameters.context)


def cost(parameters: FinetuneParameters, inputs: Mapping[str, tuple[Expected, ...]]) -> Cost:
    """Estimate from what is known of the model: three passes' worth of operations for each token."""
    given, count = all_of(inputs, "weights"), _steps(parameters)
    learned = given.parameters or int(given.size / 4)
    tokens = count * parameters.sequences_per_step * parameters.context
    flops = 6.0 * learned * tokens
    seconds = START + flops / _FLOPS_PER_SECOND
    return Cost(
        replace(given, context=parameters.context, vocabulary=given.vocabulary),
        flops=flops,
        seconds=seconds,
        memory_bytes=PROGRAM + 28 * learned,
        training=Training(learned, tokens, count, seconds),
    )


def done(parameters: FinetuneParameters, scratch: Path) -> float:
    """The share of the steps up to the newest checkpoint."""
    return min(1.0, newest(scratch) / _steps(parameters))


KIND = Kind(
    name="finetune",
    version=2,
    parameters=FinetuneParameters,
    inputs={"weights": Slot("weights"), "tokens": Slot("tokens"), "tokenizer": Slot("tokenizer")},
    output="weights",
    run=run,
    exact=True,
    infers=True,
    libraries=("tokenizers",),
    summary="train a model further",
    table=Table("finetune", about="Training a model further on text: all of it, or chosen parameters."),
    cost=cost,
    done=done,
    released=(*WEIGHTS, *RECORDS),
    origin="fine-tuned",
)
