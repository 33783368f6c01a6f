"""A prompt of the release's own: asked of the finished model, and kept with its answer to be asked again."""

from __future__ import annotations

import json
from collections.abc import Mapping

from pydantic import Field, field_validator

from regrow.evaluating.names import ANSWER, ANSWERS_FOLDER
from regrow.recipe.kind import Call, Cost, Expected, Kind, Released, Slot, Table
from regrow.recipe.values import Name, Texts
from regrow.sections import LARGEST, Parameters, fault
from regrow.stages.costs import WRITING
from regrow.words import listed, shown

_ROLES = ("system", "user", "assistant")


class PromptParameters(Parameters):
    """A prompt, how tokens are chosen, and what the answer should be."""

    name: Name = Field(
        description="What the prompt is called, used in the name of its stage and of its file.",
        examples=["greeting"],
        json_schema_extra={"settled": True},
    )
    text: str = Field(
        description="A text for the model to continue; where it has a chat template, a question to it.",
        examples=["The river"],
        min_length=1,
    )
    messages: tuple[dict[str, str], ...] = Field(
        default=(),
        description="What was said before, if the text is the last question of a conversation.",
        examples=[[{"role": "user", "content": "Who are you?"}, {"role": "assistant", "content": "A model."}]],
        json_schema_extra={"type": "list of tables with `role` and `content`"},
    )
    system: str = Field(default="", description="What the system says before.", examples=["Answer in one word."])
    continues: bool = Field(
        default=False, description="Let it continue the text even if it has a chat template.", examples=[True]
    )
    max_tokens: int = Field(default=40, description="Tokens that it may write.", examples=[80], ge=1, le=2**20)
    stop: Texts = Field(default=(), description="Texts at which the answer ends.", examples=[["\n"]])
    temperature: float = Field(
        default=0.0, description="Divides the logits; 0 takes the likeliest token.", examples=[0.8], ge=0, le=100
    )
    top: int = Field(
        default=40,
        description="How many of the likeliest tokens may be chosen; 0 means all.",
        examples=[0],
        ge=0,
        le=2**24,
    )
    seed: int = Field(
        default=1, description="Of the random numbers that choose tokens.", examples=[42], ge=0, le=LARGEST
    )
    expect: Texts = Field(
        default=(),
        description="What the answer should be, or one of several; spaces around it do not count. `regrow test` fails "
        "if it is not; a build does not.",
        examples=["Paris."],
    )
    contains: Texts = Field(
        default=(), description="Texts that should all be in the answer, see `expect`.", examples=[["Paris"]]
    )

    @field_validator("messages")
    @classmethod
    def _are_messages(cls, value: tuple[dict[str, str], ...]) -> tuple[dict[str, str], ...]:
        for one in value:
            if {*one} != {"role", "content"} or one["role"] not in _ROLES or not one["content"]:
                raise fault(
                    f"{shown(one)} is no message" if len(one) == 2 else f"a message has {listed(one)}",
                    hint=f"give it a `role`, one of {listed(_ROLES)}, and `content`",
                )
        return value


def run(call: Call[PromptParameters]) -> None:
    """Let the model answer."""
    from regrow.corpus.chat import ChatTemplate, Message
    from regrow.corpus.tokenizer import Tokenizer
    from regrow.evaluating.alone import Alone
    from regrow.evaluating.prompts import Answered, Prompt

    said = call.parameters.model_dump(exclude={"name", "expect", "contains"})
    messages = tuple(Message(one["role"], one["content"]) for one in said["messages"])
    prompt = Prompt(**{**said, "messages": messages})
    tokenizer, template = Tokenizer.open(call.input("tokenizer")), ChatTemplate.open(call.input("tokenizer"))
    alone = Alone.load(call.input("weights"), tokenizer)
    writing = prompt.writing(tokenizer, template, alone.room, f"prompt `{call.parameters.name}`")
    (written,) = alone.written([writing])
    answered = Answered.of(prompt, writing, written, call.parameters.expect, call.parameters.contains)
    if answered.unmet:
        call.context.emit("warning", text=f"prompt `{call.parameters.name}`: {answered.unmet}")
    text = json.dumps(answered.document(), indent=2, sort_keys=True, ensure_ascii=False)
    (call.output / ANSWER).write_text(text + "\n", encoding="utf-8")


def cost(parameters: PromptParameters, inputs: Mapping[str, tuple[Expected, ...]]) -> Cost:
    """Estimate: what is written."""
    return Cost(seconds=WRITING * parameters.max_tokens)


KIND = Kind(
    name="prompt",
    version=1,
    parameters=PromptParameters,
    inputs={"weights": Slot("weights"), "tokenizer": Slot("tokenizer")},
    output="answer",
    run=run,
    exact=True,
    infers=True,
    libraries=("tokenizers",),
    summary="ask the finished model a prompt, and keep the answer",
    table=Table("prompt", about="A prompt that the release keeps with its answer, for `regrow test`.", many=True),
    cost=cost,
    released=(Released(ANSWER, ANSWERS_FOLDER, "{entry}.json", always=True),),
)
