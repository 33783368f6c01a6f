"""An adapter that others have made: its pinned files, as they are."""

from __future__ import annotations

import shutil

from pydantic import Field

from regrow.recipe.kind import ADAPTER, Call, Kind, Table
from regrow.recipe.values import Licence, Patterns
from regrow.stages import base
from regrow.stages.base import BaseParameters
from regrow.stages.lora import ADAPTER_FILES
from regrow.store.atomic import remove_tree

_FILES = ("**/adapter_config.json", "**/adapter_model.safetensors", "**/adapter_model.bin", "**/base.json")


class AdapterParameters(BaseParameters):
    """An adapter to begin with, beside its base."""

    licence: Licence = Field(
        description="SPDX expression: the licence of the adapter, which what is made with it has to keep to.",
        examples=["Apache-2.0"],
        json_schema_extra={"settled": True, "why": "nobody could tell on which terms the new model may be used"},
    )
    select: Patterns = Field(
        default=_FILES,
        description="Patterns of its files, inside archives too.",
        examples=["tuned/*"],
        min_length=1,
        json_schema_extra={"fallback": "the files of PEFT, and which base they are for"},
    )


def run(call: Call[AdapterParameters]) -> None:
    """Get the pinned files, see that they are an adapter that can be read, and keep them as they are."""
    from regrow.model.adapters import files

    place = call.scratch / "files"
    remove_tree(place)  # of a run that was stopped
    place.mkdir(parents=True)
    base.run(Call(call.name, call.parameters, {}, place, call.scratch, call.context))
    folder = files.find(place)
    files.read(folder)
    for name in files.FILES:
        if (folder / name).exists():
            shutil.copyfile(folder / name, call.output / name)


KIND = Kind(
    name="adapter",
    version=1,
    parameters=AdapterParameters,
    inputs={},
    output=ADAPTER,
    run=run,
    libraries=("safetensors",),
    summary="get an adapter that others have made",
    table=Table("adapter", about="An adapter of PEFT for the base, and on which terms; it is merged."),
    cost=base.cost,
    released=ADAPTER_FILES,
    origin="imported",
)
