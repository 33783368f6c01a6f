"""One more model that a recipe takes something from: to merge with, or to learn from."""

from __future__ import annotations

import shutil
from collections.abc import Mapping

from pydantic import Field

from regrow.recipe.kind import MODEL, Call, Cost, Expected, Kind, Table
from regrow.recipe.values import Name
from regrow.sources import records
from regrow.stages import base, import_tokenizer, import_weights
from regrow.stages.base import BaseParameters
from regrow.stages.import_tokenizer import ImportTokenizerParameters
from regrow.stages.import_weights import ImportWeightsParameters
from regrow.store.atomic import remove_tree


class ParentParameters(BaseParameters):
    """One more model."""

    name: Name = Field(
        description="What other tables call it.", examples=["teacher"], json_schema_extra={"settled": True}
    )


def run(call: Call[ParentParameters]) -> None:
    """Get the pinned files, and take over tokenizer and weights, side by side in one folder."""
    files = call.scratch / "files"
    remove_tree(files)  # of a run that was stopped
    files.mkdir(parents=True)
    base.run(Call(call.name, call.parameters, {}, files, call.scratch, call.context))
    given = {"files": (files,), "tokenizer": (call.output,)}
    import_tokenizer.run(Call(call.name, ImportTokenizerParameters(), given, call.output, call.scratch, call.context))
    for path in (path for pattern in records.FILES for path in files.glob(pattern)):
        kept = call.output / path.relative_to(files)
        kept.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, kept)
    import_weights.run(Call(call.name, ImportWeightsParameters(), given, call.output, call.scratch, call.context))


def cost(parameters: ParentParameters, inputs: Mapping[str, tuple[Expected, ...]]) -> Cost:
    """As getting the files, and taking over the weights."""
    getting = base.cost(parameters, inputs)
    taking = import_weights.cost(ImportWeightsParameters(), {"files": (getting.gives,)})
    return Cost(
        taking.gives,
        seconds=getting.seconds + taking.seconds,
        memory_bytes=taking.memory_bytes,
        download_bytes=getting.download_bytes,
    )


KIND = Kind(
    name="parent",
    version=2,
    parameters=ParentParameters,
    inputs={},
    output=MODEL,
    run=run,
    libraries=("gguf", "safetensors", "tokenizers"),
    summary="get one more model and take it over",
    table=Table("parent", about="One more model, to merge with or to learn from, and on which terms.", many=True),
    cost=cost,
    released=base.RECORDS,
    origin="imported",
)
