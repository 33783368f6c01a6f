"""What kinds have in common that change matrices by what a text has them read."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from pydantic import Field

from regrow.errors import InputError, StageError
from regrow.recipe.kind import PROGRAM, Call, Cost, Expected, Slot
from regrow.recipe.values import Texts
from regrow.sections import LARGEST, Parameters
from regrow.stages.costs import all_of
from regrow.words import counted, listed

if TYPE_CHECKING:
    from torch import Tensor

    from regrow.compression.calibration import Read
    from regrow.model.config import DecoderConfig

INPUTS = {"weights": Slot("weights"), "tokens": Slot("tokens", optional=True)}

_TOKENS_PER_SECOND = 4e10  # times the parameters: a pass of the text and the sums of what every matrix reads
_ACTIVATIONS = 12  # times the width, in memory for each row that is in a layer
_ROWS = 1 << 12  # that are in one at a time

Record = dict[str, Any]
"""What was done to one matrix."""


class Calibrated(Parameters):
    """Which matrices, and the text that they read."""

    parameters: Texts = Field(
        default=("*",),
        description="Which matrices of the layers are changed, by the beginnings of our names: `layers.2-9` for some "
        "layers, `*.mlp` for a part of each. Embedding, head and norms stay as they are.",
        examples=[["*.mlp"]],
        min_length=1,
    )
    rows: int = Field(
        default=128,
        description="Sequences of the training text that the model reads for it, chosen by the seed; none are read "
        "where the method does not need them.",
        examples=[256],
        ge=1,
        le=2**20,
    )
    context: int = Field(
        default=256,
        description="Tokens of such a sequence; at most those of the model.",
        examples=[512],
        ge=2,
        le=2**17,
    )
    damping: float = Field(
        default=0.01,
        description="This share of the mean square of what the columns of a matrix read is added to each, so that "
        "no column counts for nothing.",
        examples=[0.1],
        ge=0,
        le=1,
    )
    seed: int = Field(
        default=1, description="Of the order from which the sequences are taken.", examples=[42], ge=0, le=LARGEST
    )


def matrices(config: DecoderConfig, patterns: tuple[str, ...]) -> tuple[str, ...]:
    """The matrices of layers that fit one of the patterns.

    Raises:
        InputError: if a pattern fits none.
    """
    from regrow.model.patterns import chosen

    every = tuple(config.shapes())
    there = {name: None for name, shape in config.shapes().items() if name.startswith("layers.") and len(shape) == 2}
    for pattern in patterns:
        if there.keys().isdisjoint(chosen((pattern,), every)):
            parts = dict.fromkeys(f"*.{name.split('.', 2)[2]}" for name in there)
            raise InputError(
                f"`{pattern}` fits no matrix of a layer",
                why="embedding, head and norms stay as they are",
                hint=f"there are {listed(parts)}",
            )
    return tuple(name for name in chosen(patterns, every) if name in there)


def calibrate(
    call: Call[Any],
    config: DecoderConfig,
    parameters: Mapping[str, Tensor],
    names: tuple[str, ...],
    change: Callable[[str, Tensor, Read], Tensor],
) -> None:
    """Change matrices one by one, each by what it reads of the calibration text once those before it are changed.

    Raises:
        StageError: if there is no such text, or too little.
    """
    from regrow.compression.calibration import changed
    from regrow.model.decoder import Decoder

    tokens = _sequences(call, config)
    done = 0

    def changing(name: str, matrix: Tensor, read: Read) -> Tensor:
        nonlocal done
        if call.context.stopping():
            call.context.stop()
        found = change(name, matrix, read)
        done += 1
        call.context.emit("progress", done=done, total=len(names), unit="matrices")
        return found

    changed(Decoder(config), parameters, names, tokens, changing)


def write_record(call: Call[Any], name: str, records: Iterator[Record] | list[Record]) -> None:
    """What was done to each matrix, one to a line."""
    lines = "".join(json.dumps(record, sort_keys=True) + "\n" for record in records)
    (call.output / name).write_text(lines, encoding="utf-8")


def cost(parameters: Calibrated, inputs: Mapping[str, tuple[Expected, ...]], reads: bool, share: float) -> Cost:
    """Estimate: the text goes through each layer one and a half times, and is added up by all matrices.

    Args:
        parameters: of the stage.
        inputs: as they are expected.
        reads: whether the text is read.
        share: of the bytes of the weights that are left.
    """
    given = all_of(inputs, "weights")
    learned = given.parameters or int(given.size / 4)
    tokens = parameters.rows * parameters.context if reads else 0
    flops = 5.0 * learned * tokens
    gives = Expected(
        size=given.size * share, vocabulary=given.vocabulary, parameters=given.parameters, context=given.context,
        sequence_flops=given.sequence_flops,
    )  # fmt: skip
    seconds = flops / _TOKENS_PER_SECOND + given.size / 1e8
    width = int((learned / 12) ** 0.5 / 4)
    memory = PROGRAM + 12 * learned + 4 * width * (2 * tokens + _ACTIVATIONS * min(tokens, _ROWS))
    return Cost(gives, flops=flops, seconds=seconds, memory_bytes=memory)


def _sequences(call: Call[Any], config: DecoderConfig) -> Tensor:
    """The tokens that the model reads, int64 ``(rows, context)``."""
    import numpy as np
    import torch

    from regrow.corpus import order
    from regrow.corpus.tokens import TokenShards

    asked = call.parameters
    if not call.inputs.get("tokens"):
        raise StageError(
            f"there is no text for the method `{asked.method}` to read",
            where=call.name,
            why="it chooses by what the matrices read",
            hint="add a `[[source]]`, or take a method that reads none",
        )
    shards = TokenShards.open(call.input("tokens"))
    if shards.vocabulary > config.vocabulary:
        raise StageError(
            f"the tokens are {shards.vocabulary}, and the model knows {config.vocabulary}",
            where=call.name,
            why="they are those of another tokenizer",
            hint="leave out `[tokenizer]`: the base brings its own",
        )
    if asked.context > config.context:
        raise StageError(
            f"sequences of {asked.context} tokens are longer than the model's {config.context}",
            where=call.name,
            hint=f"set `{call.name}.context` to {config.context} or less",
        )
    windows = order.windows(shards.tokens("train"), asked.context)  # of conversations too, one behind the other
    if windows < asked.rows:
        raise StageError(
            f"the training text makes {counted(windows, 'sequence')}, and {asked.rows} are to be read",
            where=call.name,
            why=f"a sequence has {asked.context} tokens",
            hint=f"add text, or lower `{call.name}.rows` or `{call.name}.context`",
        )
    found = order.window_at(asked.seed, 0, np.arange(asked.rows), windows)
    rows = np.stack([shards.read("train", w * asked.context, (w + 1) * asked.context) for w in found.tolist()])
    return torch.from_numpy(rows.astype(np.int64))
