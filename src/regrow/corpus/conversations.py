"""Conversations as data: who says what, found in the common shapes of rows, and kept as one line of JSON.

A document holds one conversation, or two: a pair, whose answers to the same question people have compared. The chosen
answer comes first, the rejected one second.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from regrow.corpus.beside import of_row
from regrow.corpus.reading import Refusal
from regrow.corpus.rows import Row, names, refused, value_in_words
from regrow.words import listed, shown

SYSTEM, USER, ASSISTANT = ROLES = ("system", "user", "assistant")
"""Who speaks in a conversation. What the assistant says is what a model learns to say."""

_ROLES: Mapping[str, str] = {**{role: role for role in ROLES}, "human": USER, "gpt": ASSISTANT}
_LISTS = ("messages", "conversations", "conversation")
_WHO, _WHAT = ("role", "from"), ("content", "value")
_CHOSEN, _REJECTED = _PAIR = ("chosen", "rejected")
_SHAPES = (
    "a list of `messages` or `conversations`, or `prompt` and `completion`, or `instruction` and `output`, or `chosen` "
    "and `rejected`"
)


@dataclass(frozen=True)
class Message:
    """What one side says.

    Attributes:
        role: of who says it, one of :data:`ROLES`.
        content: what is said.
        name: of who says it, where several have one role; empty if it is not told.
    """

    role: str
    content: str
    name: str = ""

    @property
    def plain(self) -> dict[str, str]:
        """As plain data, which has no name where nobody gave one."""
        return {key: value for key, value in asdict(self).items() if value or key != "name"}


Conversation = tuple[Message, ...]


@dataclass
class UnusableError(Exception):
    """Why something is no conversation that can be learnt from.

    Attributes:
        reason: a few words, the same for all that are unusable for it.
        detail: what is special to this one.
    """

    reason: str
    detail: str


def written(conversations: Sequence[Sequence[Message]]) -> str:
    """A conversation, or a pair, as a text, the same for the same messages."""
    plain = [[message.plain for message in messages] for messages in conversations]
    said = plain[0] if len(plain) == 1 else dict(zip(_PAIR, plain, strict=True))
    return json.dumps(said, ensure_ascii=False, separators=(",", ":"))


def read(text: str) -> tuple[Conversation, ...]:
    """The one conversation, or the two, of :func:`written`."""
    said = json.loads(text)
    plain = [said] if isinstance(said, list) else [said[name] for name in _PAIR]
    return tuple(tuple(Message(**message) for message in messages) for messages in plain)


def in_common(conversations: Sequence[Conversation]) -> int:
    """With how many messages both of a pair begin, all of which are what is answered; of one conversation, none."""
    if len(conversations) == 1:
        return 0
    chosen, rejected = conversations
    alike = (one == other for one, other in zip(chosen, rejected, strict=False))
    return next((number for number, same in enumerate(alike) if not same), min(len(chosen), len(rejected)))


def require_a_choice(conversations: Sequence[Conversation]) -> None:
    """Refuse a pair that says nothing of which answer is better.

    Raises:
        UnusableError: if its answers are equal, or not to the same question.
    """
    if len(conversations) == 1:
        return
    chosen, rejected = conversations
    if chosen == rejected:
        raise UnusableError("a pair of equal answers", "the chosen one and the rejected one say the same")
    number = in_common(conversations)
    for name, messages in zip(_PAIR, conversations, strict=True):
        if messages[-1].role != ASSISTANT:
            raise UnusableError("a pair without an answer", f"`{name}` does not end with what `{ASSISTANT}` says")
        if number >= len(messages) or messages[number].role != ASSISTANT:
            what = "where the two begin to differ there is no answer"
            raise UnusableError("a pair of different questions", f"{what} in `{name}`")


def conversation_row(start: int, end: int, values: Mapping[str, Any]) -> Row | Refusal:
    """The row of a conversation, in whichever of the common shapes it is: OpenAI's, ShareGPT's or Alpaca's, a question
    and its answer, or TRL's with two answers.

    Args:
        start: its first byte.
        end: one past its last.
        values: the object that stands there.
    """
    try:
        found = _conversations(values)
        for messages in found:
            _require_an_answer(messages)
        require_a_choice(found)
    except UnusableError as error:
        return refused(start, end, error.reason, error.detail)
    return Row(start, end, written(found), "", of_row(values))


def _conversations(values: Mapping[str, Any]) -> tuple[Conversation, ...]:
    if all(name in values for name in _PAIR):
        return tuple(tuple(_answered(values, name)) for name in _PAIR)
    return (tuple(_messages(values)),)


def _answered(values: Mapping[str, Any], name: str) -> list[Message]:
    """The question and one of its answers, which may hold the question itself, as a list of messages."""
    asked = [_message(SYSTEM, values["system"], "system")] if values.get("system") else []
    if values.get("prompt"):
        asked.extend(_said(USER, values["prompt"], "prompt"))
    answer = list(_said(ASSISTANT, values[name], name))
    if not answer or answer[0].role == ASSISTANT or not values.get("prompt"):
        return asked + answer
    if answer[: len(asked)] != asked:
        raise UnusableError("a pair of different questions", f"`{name}` does not begin with what is in `prompt`")
    return answer


def _said(role: str, said: Any, name: str) -> Iterator[Message]:
    """A list of messages, or a text that someone says."""
    yield from _listed(said, name) if isinstance(said, list) else (_message(role, said, name),)


def _messages(values: Mapping[str, Any]) -> Iterator[Message]:
    for name in _LISTS:
        if name in values:
            yield from _listed(values[name], name)
            return
    if values.get("system"):
        yield _message("system", values["system"], "system")
    if "prompt" in values and "completion" in values:
        for name, role in (("prompt", USER), ("completion", ASSISTANT)):
            yield from _said(role, values[name], name)
    elif "instruction" in values and "output" in values:
        asked = _message(USER, values["instruction"], "instruction").content
        more = values.get("input")
        yield Message(USER, f"{asked}\n\n{_message(USER, more, 'input').content}" if more else asked)
        yield _message(ASSISTANT, values["output"], "output")
    else:
        raise UnusableError("no conversation", f"it has {names(values)}, and needs {_SHAPES}")


def _listed(said: Any, name: str) -> Iterator[Message]:
    if not isinstance(said, list):
        raise UnusableError("no conversation", f"`{name}` is {value_in_words(said)}, and no list of messages")
    for number, one in enumerate(said, 1):
        place = f"{name} {number}"
        if not isinstance(one, dict):
            raise UnusableError("no conversation", f"{place} is {value_in_words(one)}, and no object")
        who, what = (next((key for key in keys if key in one), None) for keys in (_WHO, _WHAT))
        if who is None or what is None:
            raise UnusableError("no conversation", f"{place} has {names(one)}, and needs `role` and `content`")
        role = _ROLES.get(one[who]) if isinstance(one[who], str) else None
        if role is None:
            known = listed(_ROLES)
            raise UnusableError("an unknown role", f"{place} is said by {shown(one[who])}, and known are {known}")
        yield _message(role, one[what], place)


def _message(role: str, content: Any, place: str) -> Message:
    if not isinstance(content, str):
        raise UnusableError("a message that is no text", f"what {place} says is {value_in_words(content)}")
    if not content.strip():
        raise UnusableError("an empty message", f"{place} says nothing")
    try:
        content.encode()
    except UnicodeEncodeError:
        raise UnusableError("half a character", f"{place} holds a lone surrogate") from None
    return Message(role, content)


def _require_an_answer(messages: Sequence[Message]) -> None:
    """There is something to learn, and something that it answers."""
    if not messages:
        raise UnusableError("a conversation without messages", "the list is empty")
    if all(message.role != ASSISTANT for message in messages):
        raise UnusableError("a conversation without an answer", f"nothing in it is said by `{ASSISTANT}`")
    if messages[0].role == ASSISTANT:
        raise UnusableError("a conversation that begins with an answer", "there is nothing that it answers")
