"""The tokens of a conversation, and which of them are learnt: what the assistant says, and where it ends.

What an answer is, is found by rendering: the text up to where the template asks for one, and the text with it. In
between lies what the model has to write. The two are cut into tokens apart, as they are when the model is asked.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from regrow.corpus.chat import ChatTemplate
from regrow.corpus.conversations import ASSISTANT, USER, Message
from regrow.corpus.tokenizer import Tokenizer
from regrow.errors import RegrowError, StageError

_MARKS = tuple(map(chr, range(0xFDD0, 0xFDF0)))
"""Codes that Unicode keeps free for such uses: one of them, within the name of a special token, makes letters of it."""


_ASKED = (Message(USER, "Why?"), Message(ASSISTANT, "So."))


@dataclass(frozen=True)
class Part:
    """Some of a conversation.

    Attributes:
        text: of it.
        tokens: of the text.
        learnt: how many of them, from the first, a model learns to write; 0 for what it is asked.
    """

    text: str
    tokens: tuple[int, ...]
    learnt: int


def parts(messages: Sequence[Message], template: ChatTemplate, tokenizer: Tokenizer, first: int = 0) -> list[Part]:
    """A conversation in the model's own tokens.

    A special token is what the template writes. A message that speaks of one is letters, as a document is.

    Args:
        messages: of the conversation.
        template: how the model takes it.
        tokenizer: of the model.
        first: of its messages, counted from 0, that are learnt, if they are answers.

    Raises:
        StageError: if the template does not say where an answer begins and ends.
        InputError: if it cannot be rendered.
    """
    mark = _mark(messages)
    said = [replace(message, content=_marked(message.content, mark, tokenizer)) for message in messages]
    return [_part(text, is_learnt, mark, tokenizer) for text, is_learnt in _cut(said, template, first)]


def ending(folder: Path) -> int | None:
    """The special token that ends an answer by the template beside a tokenizer; None if none is known to."""
    try:
        template, tokenizer = ChatTemplate.open(folder), Tokenizer.open(folder)
        if template is None:
            return None
        *_, answer = (part for part in parts(_ASKED, template, tokenizer) if part.learnt)
    except (RegrowError, ValueError):  # a template that cannot be used is refused where it is to be used
        return None
    last = answer.tokens[answer.learnt - 1]
    return last if last in tokenizer.special.values() else None


def _cut(messages: Sequence[Message], template: ChatTemplate, first: int) -> Iterator[tuple[str, bool]]:
    """The text of a conversation in parts, and whether each is an answer that is learnt."""
    whole, at = template.render(messages, prompt=False), 0
    for number, message in enumerate(messages):
        if message.role != ASSISTANT:
            continue
        asked = template.render(messages[:number], prompt=True)
        answered = template.render(messages[: number + 1], prompt=False)
        if not (answered.startswith(asked) and whole.startswith(answered) and at <= len(asked) < len(answered)):
            raise StageError(
                "the chat template does not say where an answer begins and ends",
                where=template.where,
                why=f"with message {number + 1} it changes what it made of those before, so the model would learn "
                "other texts than it is asked with",
                hint="leave conversations of several answers out, or begin with a model whose template only adds",
            )
        yield whole[at : len(asked)], False
        yield whole[len(asked) : len(answered)], number >= first
        at = len(answered)
    if at < len(whole):
        yield whole[at:], False


def _part(text: str, is_learnt: bool, mark: str, tokenizer: Tokenizer) -> Part:
    """What ends an answer is the special token behind all that it says; a template may have none."""
    special = tokenizer.special
    names = "|".join(re.escape(name) for name in sorted(special, key=len, reverse=True))
    pieces = [piece.replace(mark, "") for piece in (re.split(f"({names})", text) if names else [text])]
    letters = iter(tokenizer.documents(pieces[::2]))
    tokens: list[int] = []
    last = 0
    for number, piece in enumerate(pieces):
        if number % 2:
            tokens.append(special[piece])
            last = len(tokens)
        else:
            tokens.extend(next(letters))
            last = last if not piece.strip() else 0
    return Part("".join(pieces), tuple(tokens), (last or len(tokens)) if is_learnt else 0)


def _mark(messages: Sequence[Message]) -> str:
    """A code that no message has."""
    said = "".join(message.content for message in messages)
    mark = next((mark for mark in _MARKS if mark not in said), None)
    if mark is None:
        raise StageError("a conversation has all of the codes that Unicode keeps free", hint="leave it out")
    return mark


def _marked(content: str, mark: str, tokenizer: Tokenizer) -> str:
    for name in tokenizer.special:
        content = content.replace(name, name[0] + mark + name[1:])
    return content
