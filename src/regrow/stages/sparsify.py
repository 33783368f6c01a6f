"""Sparsifying: weights that matter least become 0."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from pydantic import Field, model_validator

from regrow.errors import StageError
from regrow.recipe.kind import Call, Cost, Expected, Kind, Released, Table
from regrow.sections import fault
from regrow.stages import calibrating
from regrow.stages.calibrating import INPUTS, Calibrated, Record
from regrow.stages.weights import WEIGHTS

if TYPE_CHECKING:
    from torch import Tensor

    from regrow.compression.calibration import Read
    from regrow.compression.pruning import Sparsity
    from regrow.model.config import DecoderConfig

RECORD = "sparsified.jsonl"


class SparsifyParameters(Calibrated):
    """Weights of the matrices of the layers that become 0, written as plain zeros."""

    method: Literal["magnitude", "wanda", "sparsegpt"] = Field(
        default="wanda",
        description="By what a weight matters: `magnitude` by its size; `wanda` by its size and by what its column "
        "reads of the training text (Sun et al., 2024); `sparsegpt` by what is lost once those that follow it make up "
        "for it, which they then do (Frantar and Alistarh, 2023). Of two that matter as little, the first stays.",
        examples=["magnitude"],
    )
    structure: Literal["any", "2:4"] = Field(
        default="any", description="Whether any weights become 0, or two of every four neighbours.", examples=["2:4"]
    )
    share: float = Field(
        default=0.5,
        description="How many of a matrix become 0 with `magnitude`, of a row with `wanda`, of every 128 neighbours in "
        "it with `sparsegpt`; rounded down. For 2:4 it is a half.",
        examples=[0.3],
        gt=0,
        lt=1,
    )

    @model_validator(mode="after")
    def _of_four_are_two(self) -> SparsifyParameters:
        if self.structure == "2:4" and self.share != 0.5:
            raise fault(
                f"two of four is a half, and not {self.share}", hint="leave `share` out, or `structure`", at=("share",)
            )
        return self


def run(call: Call[SparsifyParameters]) -> None:
    """Choose the weights, and write all of them, these as zeros."""
    from regrow.compression.pruning import Sparsity
    from regrow.model.weights import ends, load, save

    source, asked = call.input("weights"), call.parameters
    config, parameters = load(source)
    names = calibrating.matrices(config, asked.parameters)
    sparsity = Sparsity(asked.share, asked.structure == "2:4")
    _require_fours(call, config, names)
    pruning = _Pruning(asked.method, sparsity, asked.damping)
    if asked.method == "magnitude":
        for name in names:
            pruning.magnitude(name, parameters[name])
    else:
        calibrating.calibrate(call, config, parameters, names, pruning.by_reading)
    save(call.output, config, {**parameters, **pruning.found}, ends(source))
    calibrating.write_record(call, RECORD, pruning.records)


@dataclass
class _Pruning:
    """The matrices that are pruned so far."""

    method: str
    sparsity: Sparsity
    damping: float
    found: dict[str, Tensor] = field(default_factory=dict)
    records: list[Record] = field(default_factory=list)

    def magnitude(self, name: str, matrix: Tensor) -> Tensor:
        """By size."""
        from regrow.compression.pruning import magnitude

        return self._keep(name, magnitude(matrix, self.sparsity), self.method)

    def by_reading(self, name: str, matrix: Tensor, read: Read) -> Tensor:
        """By what the matrix reads; where SparseGPT cannot be had, as Wanda does."""
        from regrow.compression.gram import Gram, Squares
        from regrow.compression.pruning import sparsegpt, wanda
        from regrow.compression.rounding import NOT_DEFINITE

        sums = Squares(read.width) if self.method == "wanda" else Gram(read.width)
        for rows in read:
            sums.add(rows)
        total = sums.total()
        if self.method == "wanda":
            return self._keep(name, wanda(matrix, total, self.sparsity), self.method)
        pruned = sparsegpt(matrix, total, self.sparsity, self.damping)
        if pruned is not None:
            return self._keep(name, pruned, self.method)
        return self._keep(name, wanda(matrix, total.diagonal(), self.sparsity), "wanda", why=NOT_DEFINITE)

    def _keep(self, name: str, matrix: Tensor, method: str, **more: object) -> Tensor:
        self.found[name] = matrix
        zeros = int((matrix == 0).sum())
        self.records.append({"matrix": name, "method": method, "zeros": zeros, "of": matrix.numel(), **more})
        return matrix


def _require_fours(call: Call[SparsifyParameters], config: DecoderConfig, names: tuple[str, ...]) -> None:
    shapes = config.shapes()
    uneven = [name for name in names if shapes[name][1] % 4] if call.parameters.structure == "2:4" else []
    if uneven:
        raise StageError(
            f"the rows of `{uneven[0]}`, of {shapes[uneven[0]][1]} numbers, are no whole fours",
            where=call.name,
            hint="leave the matrix out with `sparsify.parameters`, or `structure` for any weights",
        )


def cost(parameters: SparsifyParameters, inputs: Mapping[str, tuple[Expected, ...]]) -> Cost:
    """Estimate: as many bytes come out as go in."""
    return calibrating.cost(parameters, inputs, parameters.method != "magnitude", 1.0)


KIND = Kind(
    name="sparsify",
    version=1,
    parameters=SparsifyParameters,
    inputs=INPUTS,
    output="weights",
    run=run,
    exact=True,
    summary="set the weights that matter least to 0",
    table=Table("sparsify", about="Weights that matter least become 0, as plain zeros in the files."),
    cost=cost,
    released=(*WEIGHTS, Released(RECORD, "changes", always=True)),
    origin="pruned",
)
