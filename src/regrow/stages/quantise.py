"""Quantising: matrices as integers of 8 or 4 bits, rounded to the nearest or as GPTQ chooses them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from regrow.errors import StageError
from regrow.recipe.kind import Call, Cost, Expected, Kind, Released, Table
from regrow.stages import calibrating
from regrow.stages.calibrating import INPUTS, Calibrated, Record
from regrow.stages.weights import WEIGHTS

if TYPE_CHECKING:
    from torch import Tensor

    from regrow.compression.calibration import Read
    from regrow.compression.rounding import Grid
    from regrow.model.config import DecoderConfig
    from regrow.model.packed import Codes

RECORD = "quantised.jsonl"


class QuantiseParameters(Calibrated):
    """The matrices of the layers as small integers."""

    method: Literal["gptq", "nearest"] = Field(
        default="gptq",
        description="`gptq` lets the columns of a matrix make up for each other's rounding, for what they read of the "
        "training text (Frantar et al., 2023); `nearest` rounds each number by itself.",
        examples=["nearest"],
    )
    bits: Literal[4, 8] = Field(default=4, description="Of an integer.", examples=[8])
    group: Literal[32, 64] = Field(
        default=32, description="Neighbours in a row that share a scale; they divide the row.", examples=[64]
    )


def run(call: Call[QuantiseParameters]) -> None:
    """Round the matrices and write them packed."""
    from regrow.compression.rounding import Grid, nearest
    from regrow.model.weights import ends, load, require_packable, save

    source, asked = call.input("weights"), call.parameters
    config, parameters = load(source)
    require_packable(config)
    names = calibrating.matrices(config, asked.parameters)
    _require_groups(call, config, names)
    rounding = Rounding(Grid(asked.bits, asked.group), asked.damping)
    if asked.method == "gptq":
        calibrating.calibrate(call, config, parameters, names, rounding.gptq)
    else:
        for name in names:
            rounding.keep(name, nearest(parameters[name], rounding.grid), "nearest")
    save(call.output, config, parameters, ends(source), rounding.codes)
    calibrating.write_record(call, RECORD, rounding.records)


@dataclass
class Rounding:
    """The matrices that are rounded so far."""

    grid: Grid
    damping: float
    codes: dict[str, Codes] = field(default_factory=dict)
    records: list[Record] = field(default_factory=list)

    def gptq(self, name: str, matrix: Tensor, read: Read) -> Tensor:
        """Round by what the matrix reads; to the nearest, if that tells too little."""
        from regrow.compression.gram import Gram
        from regrow.compression.rounding import NOT_DEFINITE, gptq, nearest

        gram = Gram(read.width)
        for rows in read:
            gram.add(rows)
        sums = gram.total()
        unread = int((sums.diagonal() == 0).sum())
        if found := gptq(matrix, sums, self.grid, self.damping):
            return self.keep(name, found, "gptq", unread_columns=unread)
        return self.keep(name, nearest(matrix, self.grid), "nearest", unread_columns=unread, why=NOT_DEFINITE)

    def keep(self, name: str, codes: Codes, method: str, **more: object) -> Tensor:
        """Take note of a matrix, and give the numbers that it now stands for."""
        self.codes[name] = codes
        self.records.append({"matrix": name, "method": method, "bits": codes.bits, "group": codes.group, **more})
        return codes.values()


def _require_groups(call: Call[QuantiseParameters], config: DecoderConfig, names: tuple[str, ...]) -> None:
    group, shapes = call.parameters.group, config.shapes()
    for name in names:
        if rest := shapes[name][1] % group:
            smaller = "set `quantise.group` to 32, or " if group == 64 and not shapes[name][1] % 32 else ""
            raise StageError(
                f"groups of {group} do not divide the rows of `{name}`, of {shapes[name][1]} numbers",
                where=call.name,
                why=f"the last would have {rest}, and no format has such",
                hint=f"{smaller}leave the matrix out with `quantise.parameters`",
            )


def cost(parameters: QuantiseParameters, inputs: Mapping[str, tuple[Expected, ...]]) -> Cost:
    """Estimate: the embedding, which stays as it is, is not told apart."""
    share = parameters.bits / 32 + 1 / parameters.group
    return calibrating.cost(parameters, inputs, parameters.method == "gptq", share)


KIND = Kind(
    name="quantise",
    version=1,
    parameters=QuantiseParameters,
    inputs=INPUTS,
    output="weights",
    run=run,
    exact=True,
    summary="round the matrices to integers of 8 or 4 bits",
    table=Table("quantise", about="The matrices of the layers as small integers, with a scale for each group."),
    cost=cost,
    released=(*WEIGHTS, Released(RECORD, "changes", always=True)),
    origin="quantised",
)
