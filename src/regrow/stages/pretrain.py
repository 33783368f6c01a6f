"""Pretraining: from token shards to weights, with the loss at every step and a chain of state hashes."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field

from regrow.errors import RecipeError, StageError
from regrow.recipe.kind import Call, Kind, Parameters, Slot
from regrow.recipe.schema import Architecture, Train
from regrow.store import new_directory, sums

if TYPE_CHECKING:
    from regrow.model.config import DecoderConfig
    from regrow.train.settings import Settings


SNAPSHOTS = "checkpoints"
SUMS = "SHA256SUMS"


class PretrainParameters(Parameters):
    """What to train, and how."""

    architecture: Architecture = Field(description="The shape of the decoder.")
    train: Train = Field(description="The training run.")


def run(call: Call) -> None:
    """Train from random initial parameters on the tokens, in the order that the seed and the epoch fix."""
    from regrow.corpus.tokens import TokenShards
    from regrow.model.files import save
    from regrow.train import loop
    from regrow.train.state import State
    from regrow.train.task import Batch, Pretraining

    shards = TokenShards.open(call.input("tokens"))
    parameters: PretrainParameters = call.parameters
    config = decoder_config(parameters.architecture, shards.vocabulary)
    settings = training_settings(parameters)
    _require_enough(call.name, shards.windows("train", config.context), settings)

    def progress(**fields: Any) -> None:
        call.context.emit("progress", **fields)

    def batch(step: int) -> Batch:
        sequences = settings.micro_batch * settings.micro_batches_per_step
        return Batch(shards.batch(settings.seed, step, sequences, config.context))

    def keep(state: State) -> None:
        with new_directory(_snapshot(call.scratch, state.step)) as folder:
            save(folder, config, state.parameters, shards.end_of_text)
            (folder / SUMS).write_text(sums(folder, (SUMS,)), encoding="utf-8")

    watch = loop.Watch(progress, call.context.stopping, call.context.stop, keep)
    workers: loop.WorkerGroup | None = call.context.surroundings.workers
    train = workers.train if workers else loop.train
    state = train(Pretraining(config, settings.seed), settings, batch, call.scratch, watch)
    save(call.output, config, state.parameters, shards.end_of_text)
    for step in settings.snapshot_steps:
        _release(_snapshot(call.scratch, step), call.output / SNAPSHOTS / f"step-{step:09}")
    for name, records in (("losses", state.losses), ("chain", state.chain)):
        lines = "".join(json.dumps(record, sort_keys=True) + "\n" for record in records)
        (call.output / f"{name}.jsonl").write_text(lines, encoding="utf-8")


def _snapshot(scratch: Path, step: int) -> Path:
    return scratch / f"snapshot-{step:09}"


def _release(kept: Path, place: Path) -> None:
    """Take over what was kept on the way, which may have been long ago and in another process."""
    listed = kept / SUMS
    if not listed.is_file() or listed.read_text(encoding="utf-8") != sums(kept, (SUMS,)):
        raise StageError(
            "the intermediate parameters of a step are damaged",
            where=str(kept),
            why="its files are not those that were written",
            hint="delete the folder that it is in, and train again",
        )
    shutil.copytree(kept, place, ignore=shutil.ignore_patterns(SUMS))


def decoder_config(architecture: Architecture, vocabulary: int) -> DecoderConfig:
    """The decoder of a recipe's architecture."""
    from regrow.model.config import DecoderConfig

    return DecoderConfig(vocabulary=vocabulary, **architecture.model_dump())


def training_settings(parameters: PretrainParameters) -> Settings:
    """The run of a recipe: its token budget and fractions as steps."""
    from regrow.train.settings import Settings

    train = parameters.train
    steps = train.tokens // (train.micro_batch * train.micro_batches_per_step * parameters.architecture.context)
    return Settings(
        steps=steps,
        micro_batch=train.micro_batch,
        micro_batches_per_step=train.micro_batches_per_step,
        learning_rate=train.learning_rate,
        warmup=max(1, int(steps * train.warmup)),
        decay=train.decay,
        final_learning_rate=train.learning_rate * train.final_learning_rate,
        weight_decay=train.weight_decay,
        beta1=train.beta1,
        beta2=train.beta2,
        epsilon=train.epsilon,
        clip=train.clip,
        seed=train.seed,
        checkpoint_every=train.checkpoint_every,
        snapshots=train.snapshots,
    )


def _require_enough(stage: str, windows: int, settings: Settings) -> None:
    needed = settings.micro_batch * settings.micro_batches_per_step
    if settings.steps < 1:
        raise RecipeError(
            "`train.tokens` are less than one step",
            where=stage,
            why=f"a step takes {needed} sequences of `architecture.context` tokens",
            hint="train on more tokens, or with fewer at a time",
        )
    if windows < needed:
        raise StageError(
            f"the corpus makes {windows} sequences, one step needs {needed}",
            where=stage,
            why="`train.micro_batch` times `train.micro_batches_per_step` sequences of `architecture.context` "
            "tokens are taken at each step",
            hint="add text, or lower `train.micro_batch`, `train.micro_batches_per_step` or `architecture.context`",
        )


KIND = Kind(
    name="pretrain",
    version=1,
    parameters=PretrainParameters,
    inputs={"tokens": Slot("tokens")},
    output="weights",
    run=run,
    exact=True,
    summary="train a decoder from random initial parameters",
)
