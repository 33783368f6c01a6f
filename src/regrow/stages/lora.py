"""LoRA: narrow matrices that are trained beside those of a model, and kept apart from it as an adapter of PEFT."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Self

from pydantic import Field, model_validator

from regrow.errors import StageError
from regrow.recipe.kind import ADAPTER, PROGRAM, Call, Cost, Expected, Kind, Released, Sharing, Table
from regrow.recipe.values import Texts
from regrow.sections import fault
from regrow.stages import tuning
from regrow.stages.costs import all_of
from regrow.stages.prefer import BETA, require_pairs
from regrow.stages.training import RECORDS, Schedule
from regrow.stages.tuning import SLOTS, Tuning, done, run_of
from regrow.train.section import Needs, needs

if TYPE_CHECKING:
    from torch import Tensor

    from regrow.model.config import DecoderConfig
    from regrow.train.tasks.lora import Lora

FOLDER = "adapter"
"""Of a release, for the files of an adapter."""

ADAPTER_FILES = tuple(Released(name, FOLDER) for name in ("adapter_config.json", "adapter_model.safetensors", "base.*"))
"""Those of PEFT, and which base it was made for, where that is known."""


class LoraParameters(Tuning):
    """Training narrow matrices beside those of a model."""

    rank: int = Field(
        default=8, description="Rows of the first of two narrow matrices, columns of the second.", examples=[16], ge=1,
        le=1024,
    )  # fmt: skip
    alpha: float = Field(
        default=16, description="Their product counts `alpha / rank` times.", examples=[32], gt=0, le=1e6
    )
    rslora: bool = Field(
        default=False,
        description="Whether it counts `alpha / sqrt(rank)` times instead (Kalajdzievski, 2023).",
        examples=[True],
    )
    targets: Texts = Field(
        default=("*",),
        description="Which modules get a pair, by the ends of Hugging Face's names: `q_proj`, `layers.20-29.mlp.*`; by "
        "default every matrix of attention and MLP.",
        examples=[["q_proj", "v_proj"]],
        min_length=1,
    )
    also: Texts = Field(
        default=(),
        description="Modules that are trained as a whole besides and saved in the adapter: `embed_tokens`, `lm_head`, "
        "norms. A head that is the embedding is trained with it, and stays that.",
        examples=[["embed_tokens"]],
    )
    preferences: bool = Field(
        default=False,
        description="Whether to learn from pairs which of two answers is better, as `[prefer]` does; it takes a much "
        "smaller `learning_rate`, such as 1e-5.",
        examples=[True],
        exclude_if=False.__eq__,
    )
    beta: float = Field(
        default=BETA,
        description="With `preferences`, how much a change of an answer's log-probability counts.",
        examples=[0.05],
        gt=0,
        le=100,
        exclude_if=BETA.__eq__,
    )
    learning_rate: float = Field(default=3e-4, description="At its highest.", examples=[1e-4], gt=0, le=10)

    @property
    def schedule(self) -> Schedule:
        """What its steps take."""
        return replace(super().schedule, pairs=self.preferences)

    @model_validator(mode="after")
    def _measures_what_it_learns(self) -> Self:
        if self.beta != BETA and not self.preferences:
            raise fault(
                "only pairs of answers have a use for it",
                hint="write `preferences = true`, or leave it out",
                at=("beta",),
            )
        return self

    @model_validator(mode="after")
    def _is_one_run(self) -> Self:
        for key, asked in (("keep_optimizer", self.keep_optimizer), ("optimizer", self.optimizer == "continue")):
            if asked:
                raise fault(
                    "the training of an adapter cannot be continued",
                    why="it is merged, and the weights that come of it are not those that it trained",
                    hint=f"leave out `{key}`",
                    at=(key,),
                )
        return self


def run(call: Call[LoraParameters]) -> None:
    """Train the pairs on the tokens, in the order that the seed and the epoch fix."""
    from regrow.model.weights import digest
    from regrow.stages.training import train

    said, source = call.parameters, call.input("weights")
    run = replace(run_of(call), pairs=said.preferences)
    if said.preferences:
        require_pairs(call.name, run.shards)
    task, base = _task(call, run.config), digest(source)

    def write(folder: Path, parameters: Mapping[str, Tensor]) -> None:
        _write(folder, said, task, parameters, base)

    train(call, task, replace(run, write=write, seen=task.seen))


def _task(call: Call[LoraParameters], config: DecoderConfig) -> Lora:
    from regrow.model.adapters import modules
    from regrow.model.adapters.files import Settings
    from regrow.train.tasks.lora import Lora
    from regrow.train.tasks.lora_preference import LoraPreferring

    said, known = call.parameters, modules.modules(config)
    targets = modules.chosen(said.targets, modules.linear(known))
    whole = _whole(call, config, frozenset(targets))
    scale = Settings(said.rank, said.alpha, said.rslora).scale(targets[0])
    task = partial(LoraPreferring, beta=said.beta) if said.preferences else Lora
    return task(config, said.context, targets, said.rank, scale, whole, said.seed, call.input("weights"))


def _whole(call: Call[LoraParameters], config: DecoderConfig, targets: frozenset[str]) -> tuple[str, ...]:
    """Our names of what is trained as a whole."""
    from regrow.model.adapters import modules

    if not call.parameters.also:
        return ()
    alone = modules.alone(config)
    _require_alone(call, config, alone)
    names = modules.chosen(call.parameters.also, alone)
    if both := sorted(targets & set(names)):
        raise StageError(
            f"`{both[0]}` would get a pair and be trained as a whole",
            where=call.name,
            why="`targets` and `also` both choose it",
            hint="leave it out of one of them",
        )
    ours = {one for name in names for one in alone[name]}
    return tuple(name for name in config.shapes() if name in ours)


def _require_alone(call: Call[LoraParameters], config: DecoderConfig, alone: Mapping[str, object]) -> None:
    """A module that is there, and part of a matrix of ours, is no wrong name."""
    from regrow.model.adapters import modules
    from regrow.model.patterns import ends_with

    for pattern in call.parameters.also:
        some = [name for name in modules.modules(config) if ends_with(pattern, name)]
        if some and not any(ends_with(pattern, name) for name in alone):
            raise StageError(
                f"`{some[0]}` cannot be trained as a whole",
                where=call.name,
                why="here it is one matrix with those beside it",
                hint="make it one of the `targets`, or choose it in `[finetune]`",
            )


def _write(folder: Path, said: LoraParameters, task: Lora, parameters: Mapping[str, Tensor], base: str) -> None:
    """Write the adapter. A head that is the embedding is in it under both names, so that everybody loads it tied."""
    from regrow.model.adapters import files, modules
    from regrow.model.adapters.low_rank import tensors_of
    from regrow.train.tasks.lora import A, B

    known = modules.modules(task.config)
    tensors = {f"{name}{end}": parameters[f"{name}{end}"] for name in task.targets for end in (A, B)}
    saved = tensors_of(task.config, {name: parameters[name] for name in task.whole})
    settings = files.Settings(
        said.rank, said.alpha, said.rslora, targets=modules.briefly(task.targets, known),
        saved=tuple(sorted({name.rpartition(".")[0] for name in saved})),
    )  # fmt: skip
    turned = known[task.targets[0]].form.turned
    files.write(folder, settings, {**tensors, **saved}, base, turned=turned)


def cost(parameters: LoraParameters, inputs: Mapping[str, tuple[Expected, ...]]) -> Cost:
    """Estimate: without the products that give the gradients of frozen matrices, and without their moments; with
    those of the base, against which preferences are measured.
    """
    whole = tuning.cost(parameters, inputs)
    assert whole.training is not None
    learned, share = whole.training.parameters, 1.0 if parameters.preferences else 2 / 3
    # What files have in 16 bits stays so, and nothing in fewer.
    width = max(2.0, min(4.0, all_of(inputs, "weights").size / max(1, learned)))

    def taking(sharing: Sharing | None = None) -> Needs:
        return needs(parameters, learned // 50, frozen=learned, sharing=sharing, width=width)

    def memory(sharing: Sharing) -> int:
        return PROGRAM + taking(sharing).memory

    seconds, takes = whole.seconds * share, taking()
    return replace(
        whole,
        gives=replace(whole.gives, size=whole.gives.size / 50),
        flops=whole.flops * share,
        seconds=seconds,
        memory_bytes=PROGRAM + takes.memory,
        memory_of=memory,
        scratch_bytes=takes.scratch,
        training=replace(whole.training, seconds=seconds, states_bytes=whole.training.states_bytes // 50),
    )


KIND = Kind(
    name="lora",
    version=3,
    parameters=LoraParameters,
    inputs=SLOTS,
    output=ADAPTER,
    run=run,
    exact=True,
    infers=True,
    libraries=("tokenizers",),
    summary="train an adapter beside a model",
    table=Table("lora", about="Training an adapter beside a model, on text: LoRA."),
    after=("vocabulary",),  # whose tokenizer makes the tokens
    cost=cost,
    done=done,
    released=(*ADAPTER_FILES, *RECORDS),
)
