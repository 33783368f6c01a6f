"""A longer context: positions that are turned more slowly."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Literal

from pydantic import Field, model_validator

from regrow.errors import StageError
from regrow.recipe.kind import Call, Cost, Expected, Kind, Slot, Table
from regrow.sections import Parameters, fault
from regrow.stages.costs import all_of, rewriting
from regrow.stages.weights import WEIGHTS

_OPTIONS: Mapping[str, Mapping[str, str]] = {
    "linear": {},
    "yarn": {
        "beta_fast": "rope_beta_fast",
        "beta_slow": "rope_beta_slow",
        "attention_factor": "rope_attention_factor",
        "truncate": "rope_truncate",
    },
    "llama3": {"low_freq_factor": "rope_low_factor", "high_freq_factor": "rope_high_factor"},
    "dynamic": {},
}
"""The keys of each method, and the options that they are."""


class ExtendContextParameters(Parameters):
    """A longer context."""

    method: Literal["linear", "yarn", "llama3", "dynamic"] = Field(
        description="`linear`: all positions closer together. `yarn` and `llama3`: those of the slow pairs only. "
        "`dynamic`: none up to the old length, and beyond it a base that follows from the total length.",
        examples=["yarn"],
    )
    context: int = Field(description="The new length of the longest sequence.", examples=[8192], ge=2, le=2**17)
    factor: float = Field(
        default=0.0,
        description="How many times slower the slowest pairs are turned.",
        examples=[4.0],
        ge=0,
        le=1e6,
        json_schema_extra={"fallback": "the new length divided by the old"},
    )
    beta_fast: float = Field(
        default=32.0,
        description="Of `yarn`: pairs that turn so often over the old length stay as they are.",
        examples=[32.0],
        gt=0,
        le=1e6,
    )
    beta_slow: float = Field(
        default=1.0,
        description="Of `yarn`: pairs that turn no more often are slowed down in full.",
        examples=[1.0],
        gt=0,
        le=1e6,
    )
    attention_factor: float = Field(
        default=0.0,
        description="Of `yarn`: what is turned is multiplied by it.",
        examples=[1.2],
        ge=0,
        le=1e3,
        json_schema_extra={"fallback": "1 and a tenth of the logarithm of the factor"},
    )
    truncate: bool = Field(
        default=True, description="Of `yarn`: whether both places are rounded to whole pairs.", examples=[False]
    )
    low_freq_factor: float = Field(
        default=1.0,
        description="Of `llama3`: pairs that turn no more often over the old length are slowed down in full.",
        examples=[1.0],
        ge=1,
        le=1e6,
    )
    high_freq_factor: float = Field(
        default=4.0,
        description="Of `llama3`: pairs that turn at least so often stay as they are.",
        examples=[4.0],
        ge=1,
        le=1e6,
    )

    @model_validator(mode="after")
    def _keys_of_the_method(self) -> ExtendContextParameters:
        for method, keys in _OPTIONS.items():
            for key in keys:
                if method != self.method and getattr(self, key) != type(self).model_fields[key].default:
                    what = f"`{key}` is a key of the method `{method}`, and the method is `{self.method}`"
                    raise fault(what, hint=f"leave it out, or set `method` to `{method}`", at=(key,))
        if 0 < self.factor < 1:
            raise fault("a factor less than 1 makes a context shorter", hint="leave it out", at=("factor",))
        return self


def run(call: Call[ExtendContextParameters]) -> None:
    """Say how positions are turned from now on; no parameter changes."""
    from regrow.model.options import OptionError
    from regrow.model.weights import ends, load, save

    folder, wanted = call.input("weights"), call.parameters
    config, parameters = load(folder)
    if config.positions != "rotary":
        raise StageError(
            "the context of this model cannot be extended",
            where=call.name,
            why=f"it has learned a vector for each of its {config.context:,} positions, and turns nothing",
            hint="take a base with rotary positions",
        )
    if config.rope_scaling != "none":
        raise StageError(
            f"the context of this model is extended already, by `{config.rope_scaling}`",
            where=call.name,
            why="what two extensions would mean together is not defined",
            hint="begin with the model as it was before",
        )
    if wanted.context <= config.context:
        raise StageError(
            f"a context of {wanted.context:,} tokens is no longer than the model's {config.context:,}",
            where=call.name,
            hint=f"set `extend-context.context` to more than {config.context:,}",
        )
    said: dict[str, Any] = {option: getattr(wanted, key) for key, option in _OPTIONS[wanted.method].items()}
    if wanted.method != "linear":
        said["rope_original_context"] = config.context
    factor = wanted.factor or wanted.context / config.context
    try:
        longer = replace(config, context=wanted.context, rope_scaling=wanted.method, rope_factor=factor, **said)
    except OptionError as error:
        raise StageError(f"{error.where}: {error.what}", where=call.name, why=error.why, hint=error.hint) from error
    save(call.output, longer, parameters, ends(folder))


def cost(parameters: ExtendContextParameters, inputs: Mapping[str, tuple[Expected, ...]]) -> Cost:
    """Reading and writing."""
    given = all_of(inputs, "weights")
    return rewriting(given, replace(given, context=parameters.context))


KIND = Kind(
    name="extend-context",
    version=1,
    parameters=ExtendContextParameters,
    inputs={"weights": Slot("weights")},
    output="weights",
    run=run,
    summary="let the model read longer texts",
    table=Table("extend-context", about="A longer context: positions that are turned more slowly."),
    cost=cost,
    released=WEIGHTS,
    origin="edited",
)
