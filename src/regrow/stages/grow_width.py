"""A wider feed-forward layer: some of its units twice, each of the two with half of what the one gave."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from pydantic import Field

from regrow.errors import StageError
from regrow.recipe.kind import Call, Cost, Expected, Kind, Slot, Table
from regrow.sections import LARGEST, Parameters
from regrow.stages.costs import all_of, rewriting
from regrow.stages.weights import WEIGHTS

if TYPE_CHECKING:
    from torch import Tensor

    from regrow.model.config import DecoderConfig


class GrowWidthParameters(Parameters):
    """A wider feed-forward layer."""

    hidden: int = Field(
        description="Its new width. The units that are there twice are taken at even intervals.",
        examples=[2048],
        ge=2,
        le=2**22,
    )
    apart: float = Field(
        default=0.1,
        description="How far the two parts of what a unit gives are from its halves: by this, times a normal random "
        "number, of the half. Their sum stays what it was. At 0 they are equal, and training never tells them apart.",
        examples=[0.5],
        ge=0,
        le=1,
    )
    seed: int = Field(default=1, description="Of the random numbers.", examples=[2], ge=0, le=LARGEST)


def run(call: Call[GrowWidthParameters]) -> None:
    """Widen every layer in the same places, to the double at most at a time."""
    from regrow.model.weights import ends, load, save

    folder = call.input("weights")
    config, parameters = load(folder)
    wanted = call.parameters.hidden
    if wanted <= config.hidden:
        raise StageError(
            f"a feed-forward layer of {config.hidden} units does not grow to {wanted}",
            where=call.name,
            hint=f"set `grow-width.hidden` to more than {config.hidden}",
        )
    while config.hidden < wanted:
        wider = replace(config, hidden=min(wanted, 2 * config.hidden))
        parameters = {name: _widened(name, value, config, wider, call.parameters) for name, value in parameters.items()}
        config = wider
    save(call.output, config, parameters, ends(folder))


def _widened(
    name: str, value: Tensor, config: DecoderConfig, wider: DecoderConfig, parameters: GrowWidthParameters
) -> Tensor:
    import torch

    count = wider.hidden - config.hidden
    twice = torch.tensor([i * config.hidden // count for i in range(count)])
    part = name.partition(".mlp.")[2]
    if part.startswith("gate_up"):
        return torch.cat([half for both in value.chunk(2) for half in (both, both[twice])])
    if part.startswith("up"):
        return torch.cat((value, value[twice]))
    if part == "down":
        one, other = _halves(name, value[:, twice], wider.hidden, parameters)
        value = value.clone()
        value[:, twice] = one
        return torch.cat((value, other), dim=1)
    return value


def _halves(name: str, value: Tensor, hidden: int, parameters: GrowWidthParameters) -> tuple[Tensor, Tensor]:
    """Two numbers for each, whose sum it is to the bit: what is left of one number by another of half to twice its size
    needs no rounding (Sterbenz, 1974), so the larger of the two is drawn.
    """
    import torch

    from regrow.exact.random import normals

    drawn = torch.from_numpy(normals(parameters.seed, f"apart {hidden} {name}", value.numel())).view(value.shape)
    larger = (value.double() * 0.5 * (1.0 + (drawn.abs() * parameters.apart).clamp(max=1.0))).float()
    one = torch.where(drawn < 0, value - larger, larger)
    return one, value - one


def cost(parameters: GrowWidthParameters, inputs: Mapping[str, tuple[Expected, ...]]) -> Cost:
    """Reading and writing; how much larger it gets is not known before the model is, and taken for a third."""
    given = all_of(inputs, "weights")
    return rewriting(given, replace(given, size=given.size * 4 / 3, parameters=given.parameters * 4 // 3))


KIND = Kind(
    name="grow-width",
    version=1,
    parameters=GrowWidthParameters,
    inputs={"weights": Slot("weights")},
    output="weights",
    run=run,
    exact=True,
    summary="give the model a wider feed-forward layer",
    table=Table("grow-width", about="A wider feed-forward layer: some of its units twice."),
    cost=cost,
    released=WEIGHTS,
    origin="grown",
)
