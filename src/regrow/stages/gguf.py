"""The model as GGUF files, which llama.cpp and what is built on it read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from pydantic import Field, field_validator

from regrow.model.config import LONGEST
from regrow.recipe.facts import Telling
from regrow.recipe.kind import PROGRAM, Call, Cost, Expected, Kind, Released, Slot, Table
from regrow.sections import fault
from regrow.stages.costs import all_of

Type = Literal["F32", "F16", "BF16", "Q8_0", "Q4_0", "Q4_1", "Q5_0", "Q5_1"]


class GgufParameters(Telling):
    """Files for llama.cpp, Ollama, LM Studio and whatever else reads GGUF."""

    types: tuple[Type, ...] = Field(
        default=("Q8_0",),
        description="What numbers are stored as; a file for each. Those with fewer than eight bits keep the matrix "
        "that gives the logits in Q8_0; numbers that are one for each feature are F32 in all.",
        examples=[["F16", "Q8_0"]],
        min_length=1,
    )

    context: int = Field(
        default=0,
        description="Of a model whose rotary base grows with the length (`dynamic`), the one length, in tokens, whose "
        "base the files have: no engine knows the rule.",
        examples=[4096],
        ge=0,
        le=LONGEST,
        json_schema_extra={"fallback": "none"},
    )

    @field_validator("types")
    @classmethod
    def _are_distinct(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if twice := [one for i, one in enumerate(value) if one in value[:i]]:
            raise fault(f"{twice[0]} is there twice", hint="name each type once")
        return value


def run(call: Call[GgufParameters]) -> None:
    """Write a file for each type."""
    from regrow.exporting.gguf import file_name, prepared

    facts, types, context = call.parameters.facts, call.parameters.types, call.parameters.context
    for i, type in enumerate(types):
        call.context.emit("progress", done=i, total=len(types), unit="files")
        made = prepared(call.input("weights"), call.input("tokenizer"), type, facts, context=context or None)
        with (call.output / file_name(facts.name or "model", type)).open("xb") as file:
            made.write(file)
        for remark in made.model.remarks():
            call.context.emit("note", text=f"{type}: {remark}")


def cost(parameters: GgufParameters, inputs: Mapping[str, tuple[Expected, ...]]) -> Cost:
    """Estimate: every number is read once for each file, and takes from half a byte to four."""
    size = all_of(inputs, "weights").size
    count = len(parameters.types)
    return Cost(Expected(size=count * size), seconds=count * size / 1e8, memory_bytes=int(PROGRAM + 2 * size))


KIND = Kind(
    name="gguf",
    version=3,
    parameters=GgufParameters,
    inputs={"weights": Slot("weights"), "tokenizer": Slot("tokenizer")},
    output="gguf",
    run=run,
    libraries=("safetensors",),
    summary="write the model as GGUF files",
    table=Table("gguf"),
    cost=cost,
    released=(Released("*.gguf", folder="gguf"),),
)
