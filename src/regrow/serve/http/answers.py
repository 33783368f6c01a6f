"""Answers in OpenAI's shape, whole or chunk by chunk, to completions and to conversations."""

from __future__ import annotations

import time
import uuid
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from regrow.model.sampling import Sampling
from regrow.serve.http.chosen import Chosen
from regrow.serve.http.prompts import Prompt
from regrow.serve.http.served import Served, Writer
from regrow.serve.http.texts import Piece, Place, Texts, Wanted


@dataclass(frozen=True)
class Shape:
    """What all texts of a request have in common.

    Attributes:
        most: tokens that may be written, if the context has room for them.
        stops: texts that they end before.
        likeliest: how many tokens are told of each place; None tells of none how likely it was.
        echo: whether what they begin with is told too.
    """

    most: int
    stops: tuple[str, ...]
    likeliest: int | None
    echo: bool = False


@dataclass(frozen=True)
class Answer(ABC):
    """How the texts of a request are told: ``each`` to the first prompt, then as many to the next.

    Attributes:
        served: what is served.
        writer: who of it writes them.
        chosen: how tokens are chosen.
        prompts: what they begin with.
        each: how many to a prompt.
        shape: of all of them, but for tokens and seeds.
        usage: whether a stream ends with what was used.
        id: of the answer.
        created: in seconds since 1970.
    """

    served: Served
    writer: Writer
    chosen: Chosen
    prompts: Sequence[Prompt]
    each: int
    shape: Shape
    usage: bool
    id: str = field(default_factory=lambda: uuid.uuid4().hex)
    created: int = field(default_factory=lambda: int(time.time()))

    whole: ClassVar[str]
    """What a whole answer is called."""
    chunk: ClassVar[str]
    """What a part of it is called."""
    prefix: ClassVar[str]
    """Of its id."""

    @abstractmethod
    def choice(self, number: int, piece: Piece) -> dict[str, Any]:
        """A whole text."""

    @abstractmethod
    def part(self, number: int, piece: Piece, first: bool) -> dict[str, Any]:
        """Of a text that comes in pieces."""

    @property
    def wanted(self) -> list[Wanted]:
        """The texts, in the order of their indexes."""
        samplings = self.chosen.samplings(self.each, self.served.generator.decoder.config.vocabulary)
        return [self._wanted(prompt, one) for prompt in self.prompts for one in samplings]

    @property
    def chances(self) -> int:
        """How many it may tell, of tokens and of those that are likeliest in their places."""
        if self.shape.likeliest is None:
            return 0
        places = sum(self._most(one) + self.shape.echo * len(one.tokens) for one in self.prompts)
        return places * self.each * (1 + self.shape.likeliest)

    async def told(self, texts: Texts) -> dict[str, Any]:
        """All texts, once they are written."""
        pieces: list[list[Piece]] = [[] for _ in range(self._count)]
        async for number, piece in texts:
            pieces[number].append(piece)
        choices = [self.choice(number, _joined(of_it)) for number, of_it in enumerate(pieces)]
        return {**self._head(self.whole), "choices": choices, "usage": self._usage(texts), "regrow": self._used()}

    async def parts(self, texts: Texts) -> AsyncGenerator[dict[str, Any]]:
        """The texts as they are written. The last part tells how, and how much if that is asked for."""
        begun, left = set[int](), self._count
        async for number, piece in texts:
            left -= piece.finish is not None
            part = {**self._head(self.chunk), "choices": [self.part(number, piece, number not in begun)]}
            begun.add(number)
            if self.usage:
                part["usage"] = None
            elif not left:
                part["regrow"] = self._used()
            yield part
        if self.usage:
            yield {**self._head(self.chunk), "choices": [], "usage": self._usage(texts), "regrow": self._used()}

    def _head(self, sort: str) -> dict[str, Any]:
        named = {"id": f"{self.prefix}-{self.id}", "object": sort, "created": self.created}
        return {**named, "model": self.writer.name, "system_fingerprint": self.writer.fingerprint}

    def _used(self) -> dict[str, Any]:
        """Everything beside the prompts that the texts depend on."""
        adapter = {"adapter": f"sha256:{self.writer.digest}"} if self.writer.adapter else {}
        return {
            **dict([self.served.origin.named]),
            **adapter,
            "sampling": dict(self.chosen.values),
            "seeds": list(self.chosen.seeds(self.each)),
            "usual": list(self.chosen.usual),
            "stop": list(self.shape.stops),
            "max_tokens": [self._most(prompt) for prompt in self.prompts],
            "dropped_prompt_tokens": [prompt.dropped for prompt in self.prompts],
        }

    def _usage(self, texts: Texts) -> dict[str, Any]:
        """As others count: each prompt once, and with a text the token that ends it."""
        read = sum(len(prompt.tokens) for prompt in self.prompts)
        return {
            "prompt_tokens": read,
            "completion_tokens": texts.written,
            "total_tokens": read + texts.written,
            "prompt_tokens_details": {"cached_tokens": sum(texts.cached[:: self.each])},
        }

    @property
    def _count(self) -> int:
        return len(self.prompts) * self.each

    def _wanted(self, prompt: Prompt, sampling: Sampling) -> Wanted:
        shape, most = self.shape, self._most(prompt)
        told = (shape.stops, shape.likeliest, shape.echo)
        return Wanted(prompt.tokens, most, sampling, *told, adapter=self.writer.adapter)

    def _most(self, prompt: Prompt) -> int:
        """A text ends where the context does: every token follows from all before it."""
        return min(self.shape.most, self.served.context - len(prompt.tokens) + 1)


class CompletionAnswer(Answer):
    """The answer of /v1/completions."""

    whole = chunk = "text_completion"
    prefix = "cmpl"

    def choice(self, number: int, piece: Piece) -> dict[str, Any]:
        """A text, with what it continues if that is asked for."""
        likely = None if self.shape.likeliest is None else self._likely(piece.places)
        return {"index": number, "text": piece.text, "logprobs": likely, "finish_reason": piece.finish}

    def part(self, number: int, piece: Piece, first: bool) -> dict[str, Any]:
        """As a whole one."""
        return self.choice(number, piece)

    def _likely(self, places: Sequence[Place]) -> dict[str, Any]:
        shown = Tokens(self.served)
        return {
            "tokens": [shown.text(one.token) for one in places],
            "token_logprobs": [one.chance.logprob if one.chance else None for one in places],
            "top_logprobs": [dict(_firsts(shown.likely(one))) if one.chance else None for one in places],
            "text_offset": [one.offset for one in places],
        }


class ConversationAnswer(Answer):
    """The answer of /v1/chat/completions."""

    whole, chunk = "chat.completion", "chat.completion.chunk"
    prefix = "chatcmpl"

    def choice(self, number: int, piece: Piece) -> dict[str, Any]:
        """A message."""
        return self._said(number, piece, "message", {"role": "assistant", "content": piece.text, "refusal": None})

    def part(self, number: int, piece: Piece, first: bool) -> dict[str, Any]:
        """A piece of one; the first says whose it is."""
        return self._said(number, piece, "delta", {**({"role": "assistant"} if first else {}), "content": piece.text})

    def _said(self, number: int, piece: Piece, name: str, said: Mapping[str, Any]) -> dict[str, Any]:
        likely = None if self.shape.likeliest is None else {"content": self._likely(piece.places)}
        return {"index": number, name: said, "logprobs": likely, "finish_reason": piece.finish}

    def _likely(self, places: Iterable[Place]) -> list[dict[str, Any]]:
        shown = Tokens(self.served)
        return [
            {
                **shown.told(one.token, one.chance.logprob),
                "top_logprobs": [shown.told(token, logprob) for token, logprob in one.chance.likeliest],
            }
            for one in places
            if one.chance
        ]


class Tokens:
    """Tokens as texts, of which some are no whole characters."""

    def __init__(self, served: Served) -> None:
        self._bytes = served.generator.tokenizer.bytes

    def text(self, token: int) -> str:
        """A token as OpenAI writes it: one that is half a character as ``bytes:\\xe2\\x80``."""
        said = self._said(token)
        try:
            return said.decode()
        except UnicodeDecodeError:
            return "bytes:" + "".join(f"\\x{byte:02x}" for byte in said)

    def told(self, token: int, logprob: float) -> dict[str, Any]:
        """A token with what it says and how likely it is."""
        return {"token": self.text(token), "bytes": list(self._said(token)), "logprob": logprob}

    def likely(self, place: Place) -> Iterable[tuple[str, float]]:
        """The likeliest tokens at a place, and the one that stands there."""
        if place.chance is not None:
            yield from ((self.text(token), logprob) for token, logprob in place.chance.likeliest)
            yield self.text(place.token), place.chance.logprob

    def _said(self, token: int) -> bytes:
        """Models may know more tokens than their tokenizers, which say nothing."""
        return self._bytes[token] if token < len(self._bytes) else f"<token {token}>".encode()


def _firsts(pairs: Iterable[tuple[str, float]]) -> Iterable[tuple[str, float]]:
    """Each name once, as it came first."""
    found: dict[str, float] = {}
    for name, value in pairs:
        found.setdefault(name, value)
    return found.items()


def _joined(pieces: Sequence[Piece]) -> Piece:
    text, places = "".join(one.text for one in pieces), tuple(place for one in pieces for place in one.places)
    return Piece(text, places, pieces[-1].finish)
