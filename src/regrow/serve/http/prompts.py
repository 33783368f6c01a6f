"""The tokens that a request begins with: of texts, of conversations, or given as they are."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from anyio import CapacityLimiter, to_thread

from regrow.corpus.conversations import SYSTEM, Message
from regrow.errors import RegrowError
from regrow.serve.http.asked import Asked, Completion, Conversation, Said, Texts
from regrow.serve.http.errors import RefusedError, plain
from regrow.serve.http.served import Served
from regrow.words import counted

_SHORTEST = 4
"""No normalisation makes the UTF-8 of a text less than a quarter as long, and a character has a byte at least."""


@dataclass(frozen=True)
class Prompt:
    """What is read before anything is written.

    Attributes:
        tokens: as many as fit.
        dropped: how many at its beginning were left out, because that was asked for.
    """

    tokens: tuple[int, ...]
    dropped: int = 0


class Prompts:
    """Makes prompts of what is asked, one at a time: the library needs a hundred bytes for each character."""

    def __init__(self, served: Served) -> None:
        self._served, self._turn = served, CapacityLimiter(1)

    async def of_texts(self, asked: Completion) -> list[Prompt]:
        """Those to continue.

        Raises:
            RefusedError: if they are none, or too long.
        """
        given = _several(asked.prompt)
        if len(given) > self._served.limits.texts:
            raise RefusedError(f"there are more than {counted(self._served.limits.texts, 'prompt')}", param="prompt")
        for one in given:
            self._require_likely(one, asked)
        return [self._fitting(await self._tokens(one, asked.add_special_tokens), asked) for one in given]

    async def of_conversation(self, asked: Conversation) -> Prompt:
        """The one to answer.

        Raises:
            RefusedError: if the model takes no conversations, or not this one, or it is too long.
        """
        return self._fitting(await self._answered(asked), asked)

    async def told(self, asked: Texts) -> list[int]:
        """The tokens of a text or a conversation, however many.

        Raises:
            RefusedError: if there is neither, or both.
        """
        if (asked.prompt is None) == (asked.messages is None):
            raise RefusedError("give either `prompt` or `messages`", param="prompt")
        if asked.prompt is not None:
            return await self._tokens(asked.prompt, asked.add_special_tokens)
        return await self._answered(Conversation.read({"messages": asked.messages}))

    def text(self, tokens: Sequence[int]) -> str:
        """What tokens say, special ones included.

        Raises:
            RefusedError: if one is none.
        """
        known = self._served.generator.tokenizer.vocabulary
        if wrong := [token for token in tokens if not 0 <= token < known]:
            raise RefusedError(f"there is no token {wrong[0]:,}: there are {known:,}, from 0", param="tokens")
        return self._served.generator.tokenizer.letters([tokens])[0]

    async def _answered(self, asked: Conversation) -> list[int]:
        template, meant = self._served.generator.template, self._served.generator.tokenizer.meant
        if template is None:
            why = "the model has no chat template: it continues texts and answers nobody"
            raise RefusedError(f"{why}; use /v1/completions", param="messages", code="no_chat_template")
        said = [_message(one) for one in asked.said]
        return await self._slowly(lambda: meant(template.render(said, prompt=True)), "messages")

    async def _tokens(self, given: str | Sequence[int], begins: bool) -> list[int]:
        if not isinstance(given, str):
            return self._known(given)
        tokenizer = self._served.generator.tokenizer
        return await self._slowly(lambda: (tokenizer.prompt if begins else tokenizer.meant)(given), "prompt")

    def _require_likely(self, given: str | Sequence[int], asked: Asked) -> None:
        """Refuse a text that cannot fit, before tokens are made of it."""
        most = self._served.context * max(map(len, self._served.generator.tokenizer.bytes)) * _SHORTEST
        if isinstance(given, str) and asked.truncate_prompt_tokens is None and len(given) > most:
            raise self._too_long(counted(len(given), "character"), "prompt")

    def _known(self, tokens: Sequence[int]) -> list[int]:
        known = self._served.generator.decoder.config.vocabulary
        for place, token in enumerate(tokens):
            if not 0 <= token < known:
                what = f"token {token:,}, number {place:,} of the prompt, is none: there are {known:,}, from 0"
                raise RefusedError(what, param="prompt", code="invalid_value")
        return list(tokens)

    def _fitting(self, tokens: list[int], asked: Asked) -> Prompt:
        most = self._served.context
        param = "messages" if isinstance(asked, Conversation) else "prompt"
        if not tokens:
            raise RefusedError("there is nothing to begin with: the prompt has no tokens", param=param)
        if asked.truncate_prompt_tokens is not None:
            kept = most if asked.truncate_prompt_tokens == -1 else asked.truncate_prompt_tokens
            if not 0 < kept <= most:
                why = f"`truncate_prompt_tokens` has to be from 1 to {most:,}, or -1 for as many as the model reads"
                raise RefusedError(why, param="truncate_prompt_tokens", code="invalid_value")
            return Prompt(tuple(tokens[-kept:]), max(0, len(tokens) - kept))
        if len(tokens) > most:
            raise self._too_long(counted(len(tokens), "token"), param)
        return Prompt(tuple(tokens))

    def _too_long(self, size: str, param: str) -> RefusedError:
        reads = f"the prompt has {size}, and the model reads {self._served.context:,} tokens at once"
        hint = "shorten it, or ask for its end only with `truncate_prompt_tokens`"
        return RefusedError(f"{reads}; {hint}", param=param, code="context_length_exceeded")

    async def _slowly(self, make: Callable[[], list[int]], param: str) -> list[int]:
        try:
            return await to_thread.run_sync(make, limiter=self._turn)
        except RegrowError as error:
            raise plain(error, param=param) from error


def _message(said: Said) -> Message:
    return Message(SYSTEM if said.role == "developer" else said.role, said.text, said.name or "")


def _several(prompt: Any) -> list[str | list[int]]:
    """The prompts of a request: one or several, as text or as tokens."""
    if isinstance(prompt, str) or _is_tokens(prompt):
        return [prompt]
    if prompt and all(isinstance(one, str) or _is_tokens(one) for one in prompt):
        return list(prompt)
    why = "`prompt` has to be a text, a list of texts, a list of tokens, or a list of lists of tokens"
    raise RefusedError(why, param="prompt", code="invalid_value")


def _is_tokens(prompt: Any) -> bool:
    return isinstance(prompt, list) and bool(prompt) and all(type(one) is int for one in prompt)
