"""Prompts out of files beside the recipe: asked of the finished model one by one, and kept with their answers."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Self

from pydantic import ValidationError, model_validator

from regrow.errors import InputError
from regrow.evaluating.names import ANSWERS, ANSWERS_FOLDER
from regrow.recipe.kind import Call, Cost, Expected, Given, Kind, Released, Slot, Table
from regrow.recipe.problems import Origin, explain
from regrow.sections import fault
from regrow.stages.costs import WRITING, all_of, asking
from regrow.stages.examining import FILES, INPUTS, Examinee, files, keep
from regrow.stages.prompt import PromptParameters, answered

_LINE = 100
"""Bytes of a prompt in a file, about."""


class _Line(PromptParameters):
    """A line of a file: a prompt, and never more files."""

    @model_validator(mode="after")
    def _asks(self) -> Self:
        if self.sources:
            raise fault("a prompt of a file names no other files", hint="write its `text`", at=("sources",))
        if not self.text:
            raise fault("asks nothing", hint="write a `text`", at=("text",))
        return self


def run(call: Call[PromptParameters]) -> None:
    """Let the model answer each."""
    prompts = _prompts(call)
    who, told = Examinee.of(call), []
    for done, (where, one) in enumerate(prompts.items(), 1):
        told.append({"name": one.name, **answered(one, who, where, call.context).document()})
        call.context.emit("progress", done=done, total=len(prompts), unit="prompts")
        if call.context.stopping():
            call.context.stop()
    keep(call.output / ANSWERS, *told, indent=None)


def check(given: Given[PromptParameters]) -> None:
    """Read all that will be asked."""
    _prompts(given)


def _prompts(given: Given[PromptParameters]) -> dict[str, PromptParameters]:
    """The prompts by their places: what its line does not say, the entry of the recipe does.

    Raises:
        InputError: if there are none, or naming the line that is none, or has the name of another.
    """
    if not (found := dict(_read(given))):
        where = ", ".join(name for name, _ in files(given))
        raise InputError("there is no prompt in the files", where=where, hint="each is a line, a JSON object")
    return found


def _read(given: Given[PromptParameters]) -> Iterator[tuple[str, PromptParameters]]:
    from regrow.evaluating.lines import lines_of

    usual, names = given.parameters.model_dump(exclude={"name", "sources"}), dict[str, str]()
    for file, path in files(given):
        for line in lines_of(path, file):
            try:
                said = {**usual, "name": f"line-{len(names) + 1}", **line.row}
                one = _Line.model_validate_json(json.dumps(said), strict=True)
            except ValidationError as error:
                wrong = next(explain(error, _Line, Origin(line.where, is_json=True), lambda place: place))
                raise InputError(wrong.what, where=wrong.where, why=wrong.why, hint=wrong.hint) from error
            if one.name in names:
                why = f"the prompt at {names[one.name]} is called so"
                raise InputError(f"the name `{one.name}` is taken", where=line.where, why=why)
            names[one.name] = line.where
            yield line.where, one


def cost(parameters: PromptParameters, inputs: Mapping[str, tuple[Expected, ...]]) -> Cost:
    """Estimate: what is written."""
    seconds = WRITING * parameters.max_tokens * max(1, all_of(inputs, FILES).size // _LINE)
    return Cost(seconds=seconds, memory_bytes=asking(inputs))


KIND = Kind(
    name="prompts",
    version=1,
    parameters=PromptParameters,
    inputs={**INPUTS, FILES: Slot("files", many=True, named="sources", checked=True)},
    output="answers",
    run=run,
    check=check,
    exact=True,
    infers=True,
    libraries=("tokenizers",),
    summary="ask the finished model the prompts of files, and keep the answers",
    table=Table("prompt", many=True),
    asked=lambda said: bool(said.sources),
    asking="sources",
    cost=cost,
    released=(Released(ANSWERS, ANSWERS_FOLDER, "{entry}.jsonl", always=True, verbatim=True),),
)
