"""What clients ask for, field by field: what is known is checked, and what cannot be done is refused by its name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, ValidationError

from regrow.model.usual import HOTTEST
from regrow.serve.http.errors import RefusedError
from regrow.serve.parts import INSTEAD, UNREAD, unread
from regrow.words import suggestion

LARGEST_SEED = 2**64 - 1
_A_NAME = r"^[^\s<|\\/>]+$"
"""Of whoever speaks, as OpenAI has it: nothing of which a template could make a token of its own."""
_SHOWN = 60
"""Characters of a name that somebody gave."""

_ABOUT_CALLERS = frozenset(("user", "metadata", "store", "service_tier", "safety_identifier", "prompt_cache_key"))
"""Fields that say nothing of the answer."""


@dataclass(frozen=True)
class _Impossible:
    """A field that is known elsewhere and would change the answer here, if it were not one of some idle values."""

    why: str
    idle: tuple[Any, ...] = ()


_IMPOSSIBLE: Mapping[str, _Impossible] = {
    "suffix": _Impossible("the model writes forwards", ("",)),
    "tools": _Impossible("the model is not asked to call functions; describe them in a message", ([],)),
    "tool_choice": _Impossible("the model is not asked to call functions", ("none",)),
    "parallel_tool_calls": _Impossible("the model is not asked to call functions", (True, False)),
    "functions": _Impossible("the model is not asked to call functions; describe them in a message", ([],)),
    "function_call": _Impossible("the model is not asked to call functions", ("none",)),
    "response_format": _Impossible("answers are text that follows no schema", ({"type": "text"},)),
    "modalities": _Impossible("answers are text", (["text"],)),
    "audio": _Impossible("answers are text"),
    "prediction": _Impossible("there is no speculative decoding, which would change no answer"),
    "reasoning_effort": _Impossible("the model is not told how long to think", ("none",)),
    "verbosity": _Impossible("the model is not told how much to say", ("medium",)),
    "web_search_options": _Impossible("the model looks nothing up"),
    "min_p": _Impossible("no answer is written with it", (0, 0.0)),
    "repetition_penalty": _Impossible("no answer is written with it", (1, 1.0)),
    "min_tokens": _Impossible("no answer is written with it", (0,)),
    "ignore_eos": _Impossible("an answer ends where the model ends it", (False,)),
    "use_beam_search": _Impossible("one token is chosen after the other", (False,)),
    "guided_json": _Impossible("answers are text that follows no schema"),
    "guided_regex": _Impossible("answers are text that follows no pattern"),
    "continue_final_message": _Impossible("use /v1/completions for a text that goes on", (False,)),
    "add_generation_prompt": _Impossible("an answer begins where the template lets it begin", (True,)),
}


class _Object(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    @classmethod
    def read(cls, said: Mapping[str, Any]) -> Self:
        """What an object of JSON asks for.

        Raises:
            RefusedError: naming the first field that is wrong.
        """
        known = {name: value for name, value in said.items() if name in cls.model_fields or not _is_idle(name, value)}
        try:
            return cls.model_validate(known)
        except ValidationError as error:
            raise _refused(cls, error) from error


class StreamOptions(_Object):
    """Of a stream: whether one more chunk tells what was used."""

    include_usage: bool | None = None
    include_obfuscation: Literal[False] | None = None


class Asked(_Object):
    """What completions and conversations have in common. None is whatever is usual."""

    model: str | None = None
    temperature: Annotated[FiniteFloat, Field(ge=0, le=HOTTEST)] | None = None
    top_p: Annotated[FiniteFloat, Field(gt=0, le=1)] | None = None
    top_k: Annotated[int, Field(ge=-1)] | None = None
    seed: Annotated[int, Field(ge=0, le=LARGEST_SEED)] | None = None
    presence_penalty: Annotated[FiniteFloat, Field(ge=-2, le=2)] | None = None
    frequency_penalty: Annotated[FiniteFloat, Field(ge=-2, le=2)] | None = None
    logit_bias: dict[str, Annotated[FiniteFloat, Field(ge=-100, le=100)]] | None = None
    n: Annotated[int, Field(ge=1)] | None = None
    stop: str | list[str] | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    max_tokens: Annotated[int, Field(ge=0)] | None = None
    truncate_prompt_tokens: Annotated[int, Field(ge=-1)] | None = None

    @property
    def counts_usage(self) -> bool:
        """Whether a stream is to end with what was used."""
        return bool(self.stream_options and self.stream_options.include_usage)

    @property
    def stops(self) -> tuple[str, ...]:
        """The texts to stop at, if any are asked for."""
        return (self.stop,) if isinstance(self.stop, str) else tuple(self.stop or ())


class Completion(Asked):
    """To continue a text, or several."""

    prompt: str | list[Any]
    echo: bool | None = None
    logprobs: Annotated[int, Field(ge=0)] | None = None
    best_of: int | None = None
    add_special_tokens: bool = True


class Part(_Object):
    """A piece of a message."""

    type: Literal["text"]
    text: str


class Said(_Object):
    """A message of a conversation."""

    role: Literal["system", "developer", "user", "assistant"]
    content: str | list[Part]
    name: Annotated[str, Field(pattern=_A_NAME, max_length=64)] | None = None

    @property
    def text(self) -> str:
        """All of it."""
        return self.content if isinstance(self.content, str) else "".join(part.text for part in self.content)


class Conversation(Asked):
    """To answer."""

    messages: Annotated[list[dict[str, Any]], Field(min_length=1)]
    max_completion_tokens: Annotated[int, Field(ge=0)] | None = None
    logprobs: bool | None = None
    top_logprobs: Annotated[int, Field(ge=0)] | None = None

    @property
    def said(self) -> list[Said]:
        """The messages.

        Raises:
            RefusedError: if one is no text that somebody says.
        """
        return [_said(number, message) for number, message in enumerate(self.messages)]


class Texts(_Object):
    """To make tokens of a text or a conversation."""

    model: str | None = None
    prompt: str | None = None
    messages: list[dict[str, Any]] | None = None
    add_special_tokens: bool = True


class Tokens(_Object):
    """To make a text of tokens."""

    model: str | None = None
    tokens: list[int]


class Passage(_Object):
    """To say where its words stand in the training data."""

    text: str


def _said(number: int, message: Mapping[str, Any]) -> Said:
    if found := unread(message.get("content")):
        place, what = found
        param = f"messages[{number}].content[{place}]"
        raise RefusedError(f"{param}: {what}, and {UNREAD}; {INSTEAD}", param=param, code="unsupported_value")
    told = {name: value for name, value in message.items() if value not in (None, [])}  # as clients send answers back
    try:
        return Said.read(told)
    except RefusedError as error:
        error.message, error.param = f"messages[{number}]: {error.message}", f"messages[{number}].{error.param}"
        raise


def _is_idle(name: str, value: Any) -> bool:
    """Whether a field may be passed over, since it asks for nothing.

    Raises:
        RefusedError: if it asks for what cannot be done.
    """
    if name in _ABOUT_CALLERS:
        return True
    if (impossible := _IMPOSSIBLE.get(name)) is None:
        return False
    if value is not None and value not in impossible.idle:
        raise RefusedError(f"`{name}` is not supported: {impossible.why}", param=name, code="unsupported_parameter")
    return True


def _refused(cls: type[_Object], error: ValidationError) -> RefusedError:
    """The first field that is wrong; of one that may be of several sorts, what each would have to be."""
    first, *others = error.errors(include_url=False, include_context=False, include_input=False)
    parts = (str(part)[:_SHOWN] for part in first["loc"] if part != "str" and "[" not in str(part))
    name = ".".join(parts) or "body"
    if first["type"] == "extra_forbidden":
        hint = suggestion(str(first["loc"][-1]), cls.model_fields, "known are")
        return RefusedError(f"there is no field `{name}`: {hint}", param=name, code="unknown_parameter")
    if first["type"] == "missing":
        return RefusedError(f"`{name}` is missing", param=name, code="missing_required_parameter")
    if first["type"] == "too_short":
        return RefusedError(f"`{name}` is empty", param=name, code="invalid_value")
    of_it = (first, *(one for one in others if one["loc"][0] == first["loc"][0]))
    why = " or ".join(dict.fromkeys(_lower(one["msg"]) for one in of_it))
    return RefusedError(f"`{name}`: {why}", param=name, code="invalid_value")


def _lower(text: str) -> str:
    return text[:1].lower() + text[1:]
