"""More layers: copies that add nothing yet, or two overlapping halves of the model above each other."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from pydantic import Field, model_validator

from regrow.errors import StageError
from regrow.recipe.kind import Call, Cost, Expected, Kind, Released, Slot, Table
from regrow.recipe.values import CountOrPlaces
from regrow.sections import Parameters, fault
from regrow.stages.costs import all_of, rewriting
from regrow.stages.weights import WEIGHTS

if TYPE_CHECKING:
    from torch import Tensor

    from regrow.model.config import DecoderConfig

MOST = 4096
"""Layers of a decoder."""

RECORD = "layers.json"
"""Which layer each is a copy of, and whether it adds nothing yet: no configuration says so."""


class GrowDepthParameters(Parameters):
    """More layers."""

    method: Literal["expand", "stack"] = Field(
        default="expand",
        description="`expand`: copies that give 0, so that the model computes what it did; train them. `stack`: the "
        "lower layers and above them the upper ones, of which those in the middle are in both; train all.",
        examples=["stack"],
    )
    layers: CountOrPlaces = Field(
        description="How many more there will be: copies at even intervals, the last at the top. Or a list of layers, "
        "counted from 0, behind each of which its copy is put.",
        examples=[6],
    )

    @model_validator(mode="after")
    def _says_some(self) -> GrowDepthParameters:
        count = self.layers if isinstance(self.layers, int) else len(self.layers)
        if not 1 <= count <= MOST:
            raise fault(f"must be 1 to {MOST} layers, not {count}", hint="say how many, or which", at=("layers",))
        if self.method == "stack" and not isinstance(self.layers, int):
            hint = "say how many layers more there will be, or leave out `method`"
            raise fault("copies of single layers are not put in by `stack`", hint=hint, at=("layers",))
        return self


@dataclass(frozen=True)
class Place:
    """A layer of the grown model.

    Attributes:
        source: the layer that it is a copy of.
        silent: whether it adds nothing.
    """

    source: int
    silent: bool = False


def places(parameters: GrowDepthParameters, count: int) -> tuple[Place, ...]:
    """The layers of the grown model, from the bottom up.

    Raises:
        StageError: if a model of so many layers cannot grow so.
    """
    if not isinstance(more := parameters.layers, int):
        if beyond := [i for i in more if not 0 <= i < count]:
            raise StageError(
                f"there is no layer {beyond[0]}",
                why=f"the model has {count}, which are counted from 0",
                hint="correct `grow-depth.layers`",
            )
        return _expanded(count, more)
    if more > count:
        raise StageError(
            f"{more} layers cannot be added to {count} at once",
            why="each layer is copied once at most",
            hint=f"set `grow-depth.layers` to {count} or less",
        )
    if parameters.method == "stack":
        left_out = count - more
        upper = left_out // 2
        lower = count - (left_out - upper)
        return (*(Place(i) for i in range(lower)), *(Place(i) for i in range(upper, count)))
    return _expanded(count, [(i + 1) * count // more - 1 for i in range(more)])


def _expanded(count: int, after: Sequence[int]) -> tuple[Place, ...]:
    return tuple(Place(i, silent) for i in range(count) for silent in (False, *(True for place in after if place == i)))


def run(call: Call[GrowDepthParameters]) -> None:
    """Copy layers."""
    from regrow.model.weights import ends, load, save

    folder = call.input("weights")
    config, parameters = load(folder)
    grown = places(call.parameters, config.layers)
    if config.skips and call.parameters.method == "stack":
        raise StageError(
            "a model with extra connections cannot be stacked",
            where=call.name,
            why="it would not be known between which copies of a layer they lead",
            hint="let `[grow-depth]` come before `[skip]`, or set `method` to `expand`",
        )
    origin = {place.source: i for i, place in enumerate(grown) if not place.silent}
    larger = replace(config, layers=len(grown), skips=tuple((origin[a], origin[b]) for a, b in config.skips))
    save(call.output, larger, dict(_parameters(config, larger, grown, parameters)), ends(folder))
    layers = [{"layer": i, "copy_of": place.source, "adds_nothing": place.silent} for i, place in enumerate(grown)]
    (call.output / RECORD).write_text(json.dumps(layers, indent=1) + "\n", "utf-8", newline="\n")


def _parameters(
    config: DecoderConfig, larger: DecoderConfig, grown: tuple[Place, ...], parameters: Mapping[str, Tensor]
) -> Iterator[tuple[str, Tensor]]:
    from regrow.model.config import skip

    silent = _silent(config)
    connections = {skip(new): skip(old) for new, old in zip(larger.skips, config.skips, strict=True)}
    for name in larger.shapes():
        layer, part = _split(name)
        if name in connections or layer is None:
            yield name, parameters[connections.get(name, name)]
            continue
        place = grown[layer]
        value = parameters[f"layers.{place.source:03}.{part}"]
        yield name, value.new_zeros(value.shape) if place.silent and part.removesuffix(".bias") in silent else value


def _split(name: str) -> tuple[int | None, str]:
    """The layer of a parameter, if it is one's, and what it is called there."""
    if not name.startswith("layers."):
        return None, name
    _, number, part = name.split(".", 2)
    return int(number), part


def _silent(config: DecoderConfig) -> tuple[str, ...]:
    """What is 0 in a layer that adds nothing: what writes last to the residual stream.

    Where that is normalised, it is the gain: behind matrices of 0 the normalisation would divide by nothing but its
    epsilon, and make gradients of any size.
    """
    return ("attention.out", "mlp.down") if config.norm_place == "before" else ("attention.out_norm", "mlp.out_norm")


def cost(parameters: GrowDepthParameters, inputs: Mapping[str, tuple[Expected, ...]]) -> Cost:
    """Reading and writing; how much larger it gets is not known before the model is, and taken for a third."""
    given = all_of(inputs, "weights")
    return rewriting(given, replace(given, size=given.size * 4 / 3, parameters=given.parameters * 4 // 3))


KIND = Kind(
    name="grow-depth",
    version=1,
    parameters=GrowDepthParameters,
    inputs={"weights": Slot("weights")},
    output="weights",
    run=run,
    summary="give the model more layers",
    table=Table("grow-depth", about="More layers: copies of those there are."),
    cost=cost,
    released=(*WEIGHTS, Released(RECORD, "changes", always=True)),
    origin="grown",
)
