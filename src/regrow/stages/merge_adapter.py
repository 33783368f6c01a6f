"""An adapter and its base made one model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from regrow.errors import StageError
from regrow.recipe.kind import ADAPTER, PROGRAM, Call, Cost, Expected, Kind, Slot
from regrow.sections import Parameters
from regrow.stages.costs import all_of
from regrow.stages.weights import WEIGHTS

if TYPE_CHECKING:
    from torch import Tensor

    from regrow.model.config import DecoderConfig

_SEQUENCES, _POSITIONS = 2, 32
"""The size of the probe."""

_APART = 1e-3
"""Of the largest logit, by which those of the merged model may differ: some times what rounding has been seen to do."""


class MergeAdapterParameters(Parameters):
    """There is nothing to choose."""


def run(call: Call[MergeAdapterParameters]) -> None:
    """Add the adapter to the weights, write them, read them again, and see that they do what both did apart."""
    from regrow.model import weights
    from regrow.model.adapters import files
    from regrow.model.adapters.low_rank import fitted, merged, tensors_of, unmerged

    source = call.input("weights")
    adapter = files.read(call.input("adapter"))
    files.require_base(adapter.base, weights.digest(source))
    config, parameters = weights.load(source)
    fit = fitted(config, adapter, tensors_of(config, parameters))
    weights.save(call.output, *merged(config, parameters, fit), weights.ends(source))
    together = _logits(*weights.load(call.output))
    _require_same(call.name, _logits(*unmerged(config, parameters, fit)), together)


def _logits(config: DecoderConfig, parameters: Mapping[str, Tensor]) -> Tensor:
    """Those of fixed sequences of tokens from all over the vocabulary."""
    import torch

    from regrow.model.decoder import Decoder

    length = min(_POSITIONS, config.context)
    places = torch.arange(_SEQUENCES * length, dtype=torch.int64)
    tokens = (places * 7919 + places * places * 104729) % config.vocabulary
    with torch.no_grad():
        return Decoder(config).logits(parameters, tokens.view(_SEQUENCES, length))


def _require_same(stage: str, apart: Tensor, together: Tensor) -> None:
    largest, difference = float(apart.abs().max()), float((apart - together).abs().max())
    if not difference <= _APART * max(largest, 1.0):
        raise StageError(
            "the merged model is not the base with its adapter",
            where=stage,
            why=f"their logits differ by up to {difference:.3g}, and the largest is {largest:.3g}",
            hint="the adapter's numbers are too large to be added to the base's in float32; use it unmerged",
        )


def cost(parameters: MergeAdapterParameters, inputs: Mapping[str, tuple[Expected, ...]]) -> Cost:
    """Estimate: a pass over the weights for each rank, and two probes."""
    given = all_of(inputs, "weights")
    return Cost(given, seconds=given.size / 5e7, memory_bytes=int(PROGRAM + 4 * given.size))


KIND = Kind(
    name="merge-adapter",
    version=1,
    parameters=MergeAdapterParameters,
    inputs={"weights": Slot("weights"), "adapter": Slot(ADAPTER)},
    output="weights",
    run=run,
    libraries=("safetensors",),
    summary="add an adapter to its base",
    usual=True,
    after=("adapter", "lora"),
    cost=cost,
    released=WEIGHTS,
    origin="adapter",
)
