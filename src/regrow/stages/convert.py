"""The same model in files of half the size: bfloat16, each number the nearest one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Literal

from pydantic import Field

from regrow.recipe.kind import PROGRAM, Call, Cost, Expected, Kind, Slot, Table
from regrow.sections import Parameters
from regrow.stages.costs import all_of
from regrow.stages.weights import WEIGHTS


class ConvertParameters(Parameters):
    """What the numbers of the weights are stored as; matrices that are integers of few bits stay as they are."""

    dtype: Literal["bfloat16"] = Field(
        description="bfloat16 has the range of float32 and 8 of its 24 binary digits; halves go to the even one. "
        "Stages after this one compute in float32, and those that change the weights write float32.",
        examples=["bfloat16"],
    )


def run(call: Call[ConvertParameters]) -> None:
    """Write the weights anew."""
    from regrow.model.weights import ends, load, load_codes, save

    folder = call.input("weights")
    config, parameters = load(folder)
    save(call.output, config, parameters, ends(folder), load_codes(folder), dtype=call.parameters.dtype)


def cost(parameters: ConvertParameters, inputs: Mapping[str, tuple[Expected, ...]]) -> Cost:
    """Estimate: half the bytes."""
    given = all_of(inputs, "weights")
    gives = replace(given, size=given.size / 2, parameters=given.parameters or int(given.size / 4))
    return Cost(gives, seconds=given.size / 2e8, memory_bytes=int(PROGRAM + 2.5 * given.size))


KIND = Kind(
    name="convert",
    version=2,
    parameters=ConvertParameters,
    inputs={"weights": Slot("weights")},
    output="weights",
    run=run,
    libraries=("safetensors",),
    summary="store the weights in bfloat16",
    table=Table("convert"),
    cost=cost,
    released=WEIGHTS,
    origin="converted",
)
