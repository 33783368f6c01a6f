"""Conversations as data: who says what, found in the common shapes of rows, and kept as one line of JSON."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from regrow.corpus.reading import Refusal
from regrow.corpus.rows import Row, names, refused, value_in_words
from regrow.words import listed, shown

SYSTEM, USER, ASSISTANT = ROLES = ("system", "user", "assistant")
"""Who speaks in a conversation. What the assistant says is what a model learns to say."""

_ROLES: Mapping[str, str] = {**{role: role for role in ROLES}, "human": USER, "gpt": ASSISTANT}
_LISTS = ("messages", "conversations", "conversation")
_WHO, _WHAT = ("role", "from"), ("content", "value")
_SHAPES = "a list of `messages` or `conversations`, or `prompt` and `completion`, or `instruction` and `output`"


@dataclass(frozen=True)
class Message:
    """What one side says.

    Attributes:
        role: of who says it, one of :data:`ROLES`.
        content: what is said.
    """

    role: str
    content: str


@dataclass
class _UnusableError(Exception):
    """Why a row is no conversation that can be learnt from."""

    reason: str
    detail: str


def written(messages: Sequence[Message]) -> str:
    """A conversation as a text, the same for the same messages."""
    return json.dumps([asdict(message) for message in messages], ensure_ascii=False, separators=(",", ":"))


def read(text: str) -> tuple[Message, ...]:
    """The messages of :func:`written`."""
    return tuple(Message(**message) for message in json.loads(text))


def conversation_row(start: int, end: int, values: Mapping[str, Any]) -> Row | Refusal:
    """The row of a conversation, in whichever of the common shapes it is: OpenAI's, ShareGPT's or Alpaca's, or a pair.

    Args:
        start: its first byte.
        end: one past its last.
        values: the object that stands there.
    """
    try:
        messages = tuple(_messages(values))
        _require_an_answer(messages)
    except _UnusableError as error:
        return refused(start, end, error.reason, error.detail)
    return Row(start, end, written(messages), "")


def _messages(values: Mapping[str, Any]) -> Iterator[Message]:
    for name in _LISTS:
        if name in values:
            yield from _listed(values[name], name)
            return
    if values.get("system"):
        yield _message("system", values["system"], "system")
    if "prompt" in values and "completion" in values:
        for name, role in (("prompt", USER), ("completion", ASSISTANT)):
            said = values[name]
            yield from _listed(said, name) if isinstance(said, list) else (_message(role, said, name),)
    elif "instruction" in values and "output" in values:
        asked = _message(USER, values["instruction"], "instruction").content
        more = values.get("input")
        yield Message(USER, f"{asked}\n\n{_message(USER, more, 'input').content}" if more else asked)
        yield _message(ASSISTANT, values["output"], "output")
    else:
        raise _UnusableError("no conversation", f"it has {names(values)}, and needs {_SHAPES}")


def _listed(said: Any, name: str) -> Iterator[Message]:
    if not isinstance(said, list):
        raise _UnusableError("no conversation", f"`{name}` is {value_in_words(said)}, and no list of messages")
    for number, one in enumerate(said, 1):
        place = f"{name} {number}"
        if not isinstance(one, dict):
            raise _UnusableError("no conversation", f"{place} is {value_in_words(one)}, and no object")
        who, what = (next((key for key in keys if key in one), None) for keys in (_WHO, _WHAT))
        if who is None or what is None:
            raise _UnusableError("no conversation", f"{place} has {names(one)}, and needs `role` and `content`")
        role = _ROLES.get(one[who]) if isinstance(one[who], str) else None
        if role is None:
            known = listed(_ROLES)
            raise _UnusableError("an unknown role", f"{place} is said by {shown(one[who])}, and known are {known}")
        yield _message(role, one[what], place)


def _message(role: str, content: Any, place: str) -> Message:
    if not isinstance(content, str):
        raise _UnusableError("a message that is no text", f"what {place} says is {value_in_words(content)}")
    if not content.strip():
        raise _UnusableError("an empty message", f"{place} says nothing")
    try:
        content.encode()
    except UnicodeEncodeError:
        raise _UnusableError("half a character", f"{place} holds a lone surrogate") from None
    return Message(role, content)


def _require_an_answer(messages: Sequence[Message]) -> None:
    """There is something to learn, and something that it answers."""
    if not messages:
        raise _UnusableError("a conversation without messages", "the list is empty")
    if all(message.role != ASSISTANT for message in messages):
        raise _UnusableError("a conversation without an answer", f"nothing in it is said by `{ASSISTANT}`")
    if messages[0].role == ASSISTANT:
        raise _UnusableError("a conversation that begins with an answer", "there is nothing that it answers")
