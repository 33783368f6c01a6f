"""Pretraining: from token shards to weights, with the loss at every step and a chain of state hashes."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field, ValidationInfo, field_validator

from regrow.errors import StageError
from regrow.model.architecture import Architecture, forward_flops, parameter_count
from regrow.recipe.kind import PROGRAM, Call, Cost, Expected, Kind, Released, Slot, Table, Training
from regrow.sections import Parameters, fault
from regrow.stages.costs import START, WRITING, all_of
from regrow.stages.validation import nats, spread
from regrow.stages.weights import WEIGHTS
from regrow.store import new_directory, sums
from regrow.train.checkpoints import newest
from regrow.train.section import Train, steps, training_flops, training_memory, training_seconds

if TYPE_CHECKING:
    from regrow.corpus.tokens import TokenShards
    from regrow.model.config import DecoderConfig
    from regrow.train.settings import Settings
    from regrow.train.state import State


_WORDS = 32  # tokens that the model writes on the way

SNAPSHOTS = "checkpoints"
SUMS = "snapshot.sha256"
"""Beside a snapshot in the scratch folder: what its files were when they were written."""


class PretrainParameters(Parameters):
    """What to train, and how."""

    architecture: Architecture = Field(description="The shape of the decoder.")
    train: Train = Field(description="The training run.")

    @field_validator("train")
    @classmethod
    def _makes_a_step(cls, value: Train, info: ValidationInfo) -> Train:
        shape = info.data.get("architecture")
        if shape is None:
            return value
        step = value.sequences_per_step * shape.context
        if value.tokens < step:
            raise fault(
                f"{value.tokens} tokens are less than one step",
                why=f"a step takes {value.micro_batch} * {value.micro_batches_per_step} sequences of {shape.context} "
                f"tokens, {step} in all",
                hint=f"write at least `tokens = {step}`, or lower micro_batch, micro_batches_per_step or the context",
                at=("tokens",),
            )
        return value


def run(call: Call[PretrainParameters]) -> None:
    """Train from random initial parameters on the tokens, in the order that the seed and the epoch fix."""
    from regrow.corpus.tokens import TokenShards
    from regrow.model.weights import save
    from regrow.train import loop
    from regrow.train.task import Batch, Pretraining

    shards = TokenShards.open(call.input("tokens"))
    parameters = call.parameters
    config = decoder_config(parameters.architecture, shards.vocabulary)
    settings = training_settings(parameters)
    _require_enough(call.name, shards.windows("train", config.context), settings)

    def progress(**fields: Any) -> None:
        call.context.emit("progress", **fields)

    def resumed(state: State) -> None:
        facts = {"done": state.step, "total": settings.steps, "unit": "steps"}
        tokens = state.step * settings.sequences_per_step * config.context
        call.context.emit("resumed", **facts, tokens=tokens, records=state.losses)

    def batch(step: int) -> Batch:
        return Batch(shards.batch(settings.seed, step, settings.sequences_per_step, config.context))

    def keep(state: State) -> None:
        with new_directory(_snapshot(call.scratch, state.step)) as folder:
            save(folder, config, state.parameters, shards.end_of_text)
            (folder / SUMS).write_text(sums(folder, (SUMS,)), encoding="utf-8")

    watch = loop.Watch(
        progress, call.context.stopping, call.context.stop, keep, _measure(call, config, shards, settings), resumed
    )
    workers: loop.WorkerGroup | None = call.context.surroundings.workers
    train = workers.train if workers else loop.train
    state = train(Pretraining(config, settings.seed), settings, batch, call.scratch, watch)
    save(call.output, config, state.parameters, shards.end_of_text)
    for step in settings.snapshot_steps:
        _release(_snapshot(call.scratch, step), call.output / SNAPSHOTS / f"step-{step:09}")
    for name, records in (("losses", state.losses), ("chain", state.chain)):
        lines = "".join(json.dumps(record, sort_keys=True) + "\n" for record in records)
        (call.output / f"{name}.jsonl").write_text(lines, encoding="utf-8")


def _measure(
    call: Call[PretrainParameters], config: DecoderConfig, shards: TokenShards, settings: Settings
) -> Callable[[State], dict[str, Any]]:
    """What to note of a state on the way: the loss on validation text if there is any, and a few words."""
    from regrow.corpus.tokenizer import Tokenizer
    from regrow.model.decoder import Decoder
    from regrow.model.sampling import Sampling, generate

    decoder, sampling = Decoder(config), Sampling(seed=settings.seed)
    tokenizer = Tokenizer.open(call.input("tokenizer")) if call.inputs.get("tokenizer") else None
    rows = spread(shards.windows("validation", config.context), settings.sequences_per_step)

    def measure(state: State) -> dict[str, Any]:
        import torch

        found: dict[str, Any] = {}
        if rows:
            tokens = torch.from_numpy(shards.read("validation").astype("int64"))
            found["validation_loss"] = nats(decoder, state.parameters, tokens, rows) / (len(rows) * config.context)
        if tokenizer is not None:
            words = generate(decoder, state.parameters, tokenizer.prompt(""), _WORDS, sampling, shards.end_of_text)
            found["sample"] = tokenizer.decode(list(words))
        return found

    return measure


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
    count = steps(parameters.architecture, train)
    return Settings(
        steps=count,
        micro_batch=train.micro_batch,
        micro_batches_per_step=train.micro_batches_per_step,
        learning_rate=train.learning_rate,
        warmup=max(1, int(count * train.warmup)),
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
        validate_every=train.validate_every,
    )


def _require_enough(stage: str, windows: int, settings: Settings) -> None:
    needed = settings.sequences_per_step
    if windows < needed:
        raise StageError(
            f"the corpus makes {windows} sequences, one step needs {needed}",
            where=stage,
            why="`train.micro_batch` times `train.micro_batches_per_step` sequences of `architecture.context` "
            "tokens are taken at each step",
            hint="add text, or lower `train.micro_batch`, `train.micro_batches_per_step` or `architecture.context`",
        )


def cost(parameters: PretrainParameters, inputs: Mapping[str, tuple[Expected, ...]]) -> Cost:
    """Count the parameters and the arithmetic, which are exact, and estimate the memory."""
    architecture, train, vocabulary = parameters.architecture, parameters.train, all_of(inputs, "tokens").vocabulary
    learned, count = parameter_count(architecture, vocabulary), steps(architecture, train)
    seconds = training_seconds(architecture, train, vocabulary)
    looks = (count - 1) // train.validate_every if train.validate_every else 0
    return Cost(
        Expected(
            size=4 * learned,
            vocabulary=vocabulary,
            parameters=learned,
            context=architecture.context,
            sequence_flops=forward_flops(architecture, vocabulary),
        ),
        flops=training_flops(architecture, train, vocabulary),
        seconds=START + seconds + looks * (WRITING * _WORDS + seconds / count / 3),
        memory_bytes=PROGRAM + training_memory(architecture, train, vocabulary),
        training=Training(learned, count * train.sequences_per_step * architecture.context, count, seconds),
    )


def done(parameters: PretrainParameters, scratch: Path) -> float:
    """The share of the steps up to the newest checkpoint."""
    return min(1.0, newest(scratch) / steps(parameters.architecture, parameters.train))


KIND = Kind(
    name="pretrain",
    version=2,
    parameters=PretrainParameters,
    inputs={"tokens": Slot("tokens"), "tokenizer": Slot("tokenizer", optional=True)},
    output="weights",
    run=run,
    exact=True,
    libraries=("tokenizers",),
    summary="train a decoder from random initial parameters",
    table=Table(),
    cost=cost,
    done=done,
    released=(
        *WEIGHTS,
        Released(f"{SNAPSHOTS}/*/*", always=True),
        *(Released(name, "training", always=True) for name in ("chain.jsonl", "losses.jsonl")),
    ),
    origin="random",
)
