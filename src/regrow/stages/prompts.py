"""Prompts out of files beside the recipe: asked of the finished model one by one, and kept with their answers."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping

from pydantic import ValidationError

from regrow.errors import InputError
from regrow.evaluating.names import ANSWERS, ANSWERS_FOLDER
from regrow.recipe.kind import Call, Cost, Expected, Kind, Released, Slot, Table
from regrow.recipe.problems import Origin, explain
from regrow.stages.costs import WRITING, all_of, asking
from regrow.stages.examining import FILES, INPUTS, Examinee, files, keep
from regrow.stages.prompt import PromptParameters, answered

_LINE = 100
"""Bytes of a prompt in a file, about."""


def run(call: Call[PromptParameters]) -> None:
    """Let the model answer each."""
    prompts = dict(_prompts(call))
    if not prompts:
        raise InputError("there is no prompt in the files", where=call.name, hint="each is a line, a JSON object")
    who, told = Examinee.of(call), []
    for done, (where, one) in enumerate(prompts.items(), 1):
        told.append({"name": one.name, **answered(one, who, where, call.context).document()})
        call.context.emit("progress", done=done, total=len(prompts), unit="prompts")
        if call.context.stopping():
            call.context.stop()
    keep(call.output / ANSWERS, *told, indent=None)


def _prompts(call: Call[PromptParameters]) -> Iterator[tuple[str, PromptParameters]]:
    """The prompts, each with its place: what its line does not say, the entry of the recipe does.

    Raises:
        InputError: naming the line that is none, or has the name of another.
    """
    from regrow.evaluating.lines import lines_of

    usual, names = call.parameters.model_dump(exclude={"name", "sources"}), dict[str, str]()
    for file, path in files(call):
        for line in lines_of(path, file):
            try:
                said = {**usual, "name": f"line-{len(names) + 1}", **line.row}
                one = PromptParameters.model_validate_json(json.dumps(said), strict=True)
            except ValidationError as error:
                wrong = next(explain(error, PromptParameters, Origin(line.where), lambda place: place))
                raise InputError(wrong.what, where=wrong.where, why=wrong.why, hint=wrong.hint) from error
            if one.sources:
                raise InputError("a prompt of a file names no other files", where=line.where, hint="write its `text`")
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
    inputs={**INPUTS, FILES: Slot("files", many=True, named="sources")},
    output="answers",
    run=run,
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
