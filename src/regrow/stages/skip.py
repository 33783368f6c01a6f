"""Extra connections between layers, which add nothing until they are trained."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from pydantic import Field

from regrow.errors import StageError
from regrow.recipe.kind import Call, Cost, Expected, Kind, Slot, Table
from regrow.recipe.values import Pairs
from regrow.sections import Parameters
from regrow.stages.costs import all_of, rewriting
from regrow.stages.weights import WEIGHTS

FAMILY = "regrow"
"""The family of files that has such connections."""


class SkipParameters(Parameters):
    """Extra connections between layers."""

    connections: Pairs = Field(
        description="Pairs of layers, counted from 0: what the first reads is also added, normalised and times a gain "
        "that begins at 0, to what the second reads.",
        examples=[[[0, 4], [2, 6]]],
        min_length=1,
    )


def run(call: Call[SkipParameters]) -> None:
    """Add a gain of 0 for each connection; everything else stays as it is."""
    import torch

    from regrow.model.options import OptionError
    from regrow.model.weights import ends, load, save

    folder = call.input("weights")
    config, parameters = load(folder)
    try:
        joined = replace(config, skips=(*config.skips, *call.parameters.connections), family=FAMILY)
    except OptionError as error:
        raise StageError(error.what, where=call.name, why=error.why, hint="correct `skip.connections`") from error
    closed = {name: torch.zeros(shape) for name, shape in joined.shapes().items() if name not in parameters}
    save(call.output, joined, {**parameters, **closed}, ends(folder))


def cost(parameters: SkipParameters, inputs: Mapping[str, tuple[Expected, ...]]) -> Cost:
    """Reading and writing."""
    given = all_of(inputs, "weights")
    return rewriting(given, given)


KIND = Kind(
    name="skip",
    version=1,
    parameters=SkipParameters,
    inputs={"weights": Slot("weights")},
    output="weights",
    run=run,
    summary="connect layers that are far apart",
    table=Table("skip", about="Extra connections between layers, which add nothing until they are trained."),
    cost=cost,
    released=WEIGHTS,
    origin="grown",
)
