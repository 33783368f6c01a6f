"""The model that a recipe begins with: its pinned files, out of whatever they are packed in."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import Field

from regrow.errors import InputError, StageError
from regrow.recipe.kind import MODEL_FILES, Call, Cost, Expected, Kind, Released, Table
from regrow.recipe.values import Licence, Patterns
from regrow.sources import records
from regrow.sources.archives import Refused
from regrow.sources.contents import contents
from regrow.sources.select import INSIDE, Choice
from regrow.stages import fetch
from regrow.stages.fetch import FetchParameters
from regrow.store.atomic import remove_tree

FILES = (
    "**/*.gguf", "**/*.safetensors", "**/*.safetensors.index.json", "**/config.json", "**/generation_config.json",
    "**/tokenizer.json", "**/tokenizer_config.json", "**/special_tokens_map.json", "**/chat_template.jinja",
    *records.FILES,
)  # fmt: skip
"""Patterns of the files of a model."""


RECORDS = tuple(Released(files, f"{records.FOLDER}/{{stage}}", always=True) for files in records.FILES)
"""What a release of a child keeps of a parent that is a release."""


class BaseParameters(FetchParameters):
    """The model to begin with."""

    licence: Licence = Field(
        description="SPDX expression: the licence of its weights, which what is made from it has to keep to.",
        examples=["Apache-2.0"],
        json_schema_extra={"settled": True, "why": "nobody could tell on which terms the new model may be used"},
    )
    select: Patterns = Field(
        default=FILES,
        description="Patterns of its files, inside archives too.",
        examples=["**/*Q4_1.gguf"],
        min_length=1,
        json_schema_extra={"fallback": "weights, configuration and tokenizer; of a release, its records too"},
    )
    exclude: Patterns = Field(
        default=("**/checkpoints/**", "checkpoints/**"),
        description="Patterns of files to leave out again.",
        examples=["**/*.Q8_0.gguf"],
    )


def run(call: Call[BaseParameters]) -> None:
    """Get the pinned files, and unpack those that are a model's."""
    packed = call.scratch / "packed"
    remove_tree(packed)  # of a run that was stopped
    packed.mkdir(parents=True)
    fetch.run(Call(call.name, call.parameters, call.inputs, packed, call.scratch, call.context))
    choice = Choice(call.parameters.select, call.parameters.exclude)
    for pin in call.parameters.pins:
        for name, data in contents(packed / pin.file, pin.file, choice, lambda name: None):
            if isinstance(data, Refused):
                raise InputError(f"`{name}` cannot be unpacked", where=call.parameters.fetch, why=data.reason)
            _place(call.output, name).write_bytes(data)
    if not any(call.output.iterdir()):
        raise StageError(
            f"there is no model in `{call.parameters.fetch}`",
            where=call.name,
            why="none of its files is one of weights, configuration or tokenizer",
            hint="look at what it holds, and name the files with `select`",
        )


def _place(folder: Path, name: str) -> Path:
    """Where a file of an archive goes: its path in the innermost one."""
    path = folder / name.rpartition(INSIDE)[2]
    if path.exists():
        raise StageError(f"`{name}` is there twice", why="two archives hold it", hint="choose one with `select`")
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def cost(parameters: BaseParameters, inputs: Mapping[str, tuple[Expected, ...]]) -> Cost:
    """The pinned bytes."""
    given: Any = fetch.cost(parameters, inputs)
    return Cost(
        Expected(size=given.gives.size), seconds=given.seconds, download_bytes=given.download_bytes
    )  # no text is in it


KIND = Kind(
    name="base",
    version=1,
    parameters=BaseParameters,
    inputs={},
    output=MODEL_FILES,
    run=run,
    summary="get the files of the model to begin with",
    table=Table("base", about="The model to begin with, and on which terms.", why="a model is made from another"),
    cost=cost,
    released=RECORDS,
)
