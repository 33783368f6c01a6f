"""The template by which a model takes a conversation as one text. ::

template = ChatTemplate.open(folder)
template.render([Message("user", "Where is Ulm?")], prompt=True)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from regrow.corpus.conversations import USER, Message
from regrow.corpus.templates import LARGEST, Template
from regrow.corpus.tokenizer import CONFIG, SPECIAL, TEMPLATE, Tokenizer, settings
from regrow.errors import InputError
from regrow.words import listed

__all__ = ["ChatTemplate", "Message"]

_TOKENS = tuple(f"{name}_token" for name in ("bos", "eos", "unk", "sep", "pad", "cls", "mask"))
_DEFAULT = "default"


@dataclass(frozen=True)
class ChatTemplate:
    """How a model takes a conversation as one text.

    Attributes:
        source: the template, in Jinja.
        tokens: the special tokens that it may name, as ``bos_token``.
        where: it lies, for messages.
    """

    source: str
    tokens: Mapping[str, str]
    where: str

    @staticmethod
    def open(folder: Path) -> ChatTemplate | None:
        """The template beside a tokenizer; None if there is none.

        Raises:
            InputError: if it cannot be read.
        """
        said = settings(folder / CONFIG)
        known = said if "added_tokens_decoder" in said else {**said, **settings(folder / SPECIAL)}
        tokens = {name: text for name in _TOKENS if (text := _text(known.get(name))) is not None}
        path = folder / TEMPLATE
        if path.is_file():
            return ChatTemplate(_read(path), tokens, str(path))
        where = f"{folder / CONFIG}: chat_template"
        found = said.get("chat_template")
        return None if found is None else ChatTemplate(_chosen(found, where), tokens, where)

    def render(self, messages: Sequence[Message], prompt: bool) -> str:
        """The text of a conversation; with ``prompt``, up to where the answer begins.

        What transformers' ``apply_chat_template`` gives, for ``add_generation_prompt=prompt``. There is no clock in it:
        a template that asks for ``strftime_now`` finds none.

        Raises:
            InputError: if the template uses what it may not, fails, does not end, or refuses the messages.
        """
        values = {"tools": None, "documents": None, **self.tokens}
        said = [message.plain for message in messages]
        return self._template.render({**values, "messages": said, "add_generation_prompt": prompt})

    @cached_property
    def _template(self) -> Template:
        return Template(self.source, self.where)


def opening(tokenizer: Tokenizer, template: ChatTemplate | None, prompt: str) -> list[int]:
    """The tokens before what a model writes: of a question to it if it has a template, or else of a text to continue.

    Raises:
        InputError: as :meth:`ChatTemplate.render` does.
    """
    if template is None:
        return tokenizer.prompt(prompt)
    return tokenizer.meant(template.render([Message(USER, prompt)], prompt=True))


def _read(path: Path) -> str:
    with path.open("rb") as file:
        data = file.read(4 * LARGEST + 1)
    try:
        return data.decode("utf-8").replace("\r\n", "\n").replace("\r", "\n")  # as a file of text is read
    except UnicodeDecodeError as error:
        raise InputError("the chat template is not UTF-8", where=str(path), why=str(error)) from error


def _chosen(found: Any, where: str) -> str:
    """The template of a setting, which may be a list of named ones."""
    if isinstance(found, str):
        return found
    named = found if isinstance(found, list) else []
    known = {one["name"]: one["template"] for one in named if isinstance(one, dict) and {"name", "template"} <= {*one}}
    template = known.get(_DEFAULT)
    if not isinstance(template, str):
        why = f"it is neither a text nor a list with one that is called `{_DEFAULT}`"
        hint = f"it has {listed(map(str, known))}; call one of them `{_DEFAULT}`" if known else ""
        raise InputError("the chat template cannot be read", where=where, why=why, hint=hint)
    return template


def _text(token: Any) -> str | None:
    """The text of a token, which may be a table that says more of it."""
    found = token.get("content") if isinstance(token, dict) else token
    return found if isinstance(found, str) else None
