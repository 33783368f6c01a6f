"""Weights of others, in float32 and as the files of their family."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from typing import TYPE_CHECKING

from regrow.errors import InputError
from regrow.recipe.kind import MODEL_FILES, PROGRAM, Call, Cost, Expected, Kind, Slot
from regrow.sections import Parameters
from regrow.stages.costs import all_of
from regrow.stages.weights import WEIGHTS

if TYPE_CHECKING:
    from torch import Tensor

    from regrow.model.weights import Ends


class ImportWeightsParameters(Parameters):
    """There is nothing to choose."""


def run(call: Call[ImportWeightsParameters]) -> None:
    """Read a GGUF file or a folder of Hugging Face's, and write what every other stage takes.

    The state of the optimizer that one of our releases brings comes along.
    """
    from dataclasses import replace

    from regrow.corpus.answers import ending
    from regrow.corpus.tokenizer import Tokenizer
    from regrow.model import gguf, weights
    from regrow.model.foreign import find
    from regrow.train import former

    found, tokenizer = find(call.input("files")), Tokenizer.open(call.input("tokenizer"))
    if found.gguf is None:
        config, parameters = weights.load(found.folder)
        ends = weights.ends(found.folder, tokenizer.end_of_text)
    else:
        model = gguf.load(found.gguf)
        config, parameters, ends = model.config, model.parameters, gguf.ends(model.metadata)
    _require_fit(tokenizer.vocabulary, config.vocabulary)
    _require_tokens(ends, config.vocabulary)
    _require_numbers(parameters)
    pad = ends.pad if ends.pad in range(config.vocabulary) else None  # some write -1 where there is none
    ends = replace(ends, pad=pad).also(ending(call.input("tokenizer")))
    weights.save(call.output, config, parameters, ends)
    kept = found.folder / "training" / former.FILE
    if found.gguf is None and kept.is_file():
        shutil.copyfile(kept, call.output / former.FILE)


def _require_fit(tokens: int, rows: int) -> None:
    if tokens > rows:
        raise InputError(
            f"the tokenizer of the base has {tokens:,} tokens, and its model knows {rows:,}",
            why="the two were not made for each other",
            hint="choose the files of one model with `select`",
        )


def _require_tokens(ends: Ends, rows: int) -> None:
    for name, token in (("begins", ends.begin), *(("ends", token) for token in ends.stops)):
        if not 0 <= token < rows:
            raise InputError(
                f"the token that {name} a text of the base is {token:,}",
                why=f"its model knows {rows:,}, which are counted from 0",
                hint="correct its `generation_config.json` or `config.json`, or take another base",
            )


def _require_numbers(parameters: Mapping[str, Tensor]) -> None:
    """Training and text of a model with one number that is none are none, and say nothing of the cause."""
    bad = {name: count for name, x in parameters.items() if (count := x.numel() - int(x.isfinite().sum()))}
    if bad:
        name, count = next(iter(bad.items()))
        raise InputError(
            f"the base has parameters that are no numbers: {count:,} in `{name}`",
            why="they are infinite or not a number in its files, which may be damaged",
            hint="get the files again, or take another base",
        )


def cost(parameters: ImportWeightsParameters, inputs: Mapping[str, tuple[Expected, ...]]) -> Cost:
    """Estimate: quantised numbers become float32, which has up to eight times their bytes."""
    size = all_of(inputs, "files").size
    return Cost(Expected(size=5 * size), seconds=size / 5e7, memory_bytes=int(PROGRAM + 12 * size))


KIND = Kind(
    name="import-weights",
    version=3,
    parameters=ImportWeightsParameters,
    inputs={"files": Slot(MODEL_FILES), "tokenizer": Slot("tokenizer")},
    output="weights",
    run=run,
    libraries=("gguf", "safetensors"),
    summary="take over the weights of another model",
    usual=True,
    cost=cost,
    released=WEIGHTS,
    origin="imported",
)
