"""A prompt of the release's own: asked of the finished model, and kept with its answer to be asked again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Self

from pydantic import Field, field_validator, model_validator

from regrow.evaluating.names import ANSWER, ANSWERS_FOLDER
from regrow.recipe.kind import Call, Context, Cost, Expected, Kind, Released, Table
from regrow.recipe.values import Texts
from regrow.sections import LARGEST, fault
from regrow.stages.costs import WRITING, asking
from regrow.stages.examining import INPUTS, Examinee, Examining, keep
from regrow.words import listed, shown

if TYPE_CHECKING:
    from regrow.evaluating.prompts import Answered

_ROLES = ("system", "user", "assistant")


class PromptParameters(Examining):
    """A prompt, or files of prompts; how tokens are chosen, and what the answer should be."""

    text: str = Field(
        default="",
        description="A text for the model to continue; where it has a chat template, a question to it. Or `sources`.",
        examples=["The river"],
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

    @field_validator("stop", "contains")
    @classmethod
    def _are_texts(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if not all(value):
            raise fault("one of the texts is empty", why="it stands in every answer", hint="leave it out")
        return value

    @model_validator(mode="after")
    def _asks(self) -> Self:
        if not self.text and not self.sources:
            raise fault("asks nothing", hint="write a `text`, or name `sources` with a prompt to a line", at=("text",))
        if self.text and self.sources:
            raise fault("asks twice", why="the lines of `sources` have a `text` each", hint="keep one", at=("text",))
        return self


def answered(wanted: PromptParameters, who: Examinee, where: str, context: Context) -> Answered:
    """What a model answers to one prompt.

    Raises:
        InputError: if it cannot be asked that.
    """
    from regrow.corpus.conversations import Message
    from regrow.evaluating.prompts import Answered, Prompt

    said = wanted.model_dump(exclude={"name", "sources", "expect", "contains"})
    messages = tuple(Message(one["role"], one["content"]) for one in said["messages"])
    prompt = Prompt(**{**said, "messages": messages})
    writing = prompt.writing(who.tokenizer, who.template, who.alone.room, where)
    (written,) = who.alone.written([writing])
    found = Answered.of(prompt, writing, written, wanted.expect, wanted.contains)
    if found.unmet:
        context.emit("warning", text=f"{where}: {found.unmet}")
    return found


def run(call: Call[PromptParameters]) -> None:
    """Let the model answer."""
    wanted = call.parameters
    found = answered(wanted, Examinee.of(call), f"prompt `{wanted.name}`", call.context)
    keep(call.output / ANSWER, found.document())


def cost(parameters: PromptParameters, inputs: Mapping[str, tuple[Expected, ...]]) -> Cost:
    """Estimate: what is written."""
    return Cost(seconds=WRITING * parameters.max_tokens, memory_bytes=asking(inputs))


KIND = Kind(
    name="prompt",
    version=1,
    parameters=PromptParameters,
    inputs=INPUTS,
    output="answer",
    run=run,
    exact=True,
    infers=True,
    libraries=("tokenizers",),
    summary="ask the finished model a prompt, and keep the answer",
    table=Table("prompt", about="A prompt that the release keeps with its answer, for `regrow test`.", many=True),
    asked=lambda said: not said.sources,
    cost=cost,
    released=(Released(ANSWER, ANSWERS_FOLDER, "{entry}.json", always=True),),
)
