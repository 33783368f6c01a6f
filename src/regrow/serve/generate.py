"""Text from a release: its tokenizer, its weights, and our arithmetic."""

from __future__ import annotations

import queue
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from os import PathLike
from pathlib import Path
from typing import Any

from regrow.corpus.chat import ChatTemplate
from regrow.corpus.conversations import ROLES, SYSTEM, Message
from regrow.corpus.tokenizer import Tokenizer
from regrow.errors import InputError, RecipeError
from regrow.model.decoder import Decoder, Weights
from regrow.model.sampling import Sampling
from regrow.model.usual import SEED, Usual, stops
from regrow.serve.engine import Ended, Engine, Event, Model, Request, Written
from regrow.serve.loading import adapted, load
from regrow.serve.parts import INSTEAD, UNREAD, joined, unread
from regrow.serve.text import Spelling
from regrow.words import counted, listed

_MESSAGE = '`{"role": "user", "content": "..."}`'
_BYTES = range(0xDC80, 0xDD00)


@dataclass(frozen=True)
class Generator:
    """A loaded release that continues text.

    Example:
        >>> generator = Generator.load(Path("build/bard"))
        >>> "".join(generator.generate("To be", max_tokens=20))

    Attributes:
        decoder: the computation.
        parameters: by name; matrices that are stored as small integers stay such.
        tokenizer: text to tokens and back.
        template: how the model takes a conversation; None if it knows of none.
        stops: the tokens that end a text.
        adapters: the model with an adapter beside it, by the names that were given.
        usual: how its maker says that it is usually let write: members of ``generation_config.json``.
        described: what stands beside the tokenizer: special tokens, and its class.
    """

    decoder: Decoder
    parameters: Weights
    tokenizer: Tokenizer
    template: ChatTemplate | None
    stops: frozenset[int]
    adapters: Mapping[str, Model] = field(default_factory=dict)
    usual: Mapping[str, Any] = field(default_factory=dict)
    described: Mapping[str, Any] = field(default_factory=dict)

    @staticmethod
    def load(folder: str | PathLike[str], adapters: Mapping[str, str | PathLike[str]] | None = None) -> Generator:
        """Read the model in a folder, which is a release or one of Hugging Face's libraries, or in a GGUF file.

        Args:
            folder: where it lies.
            adapters: folders with adapters of PEFT for it, by names of the caller's choice. They share its memory.

        Raises:
            InputError: if it holds no model or tokenizer, one that cannot be read, or another than its list of
                checksums names; or if an adapter is not for it.
            RecipeError: if the way to compute that the environment asks for is not to be had.
        """
        base = load(Path(folder))
        beside = {name: adapted(base, Path(place)) for name, place in (adapters or {}).items()}
        model, told = base.model, (base.usual, base.described)
        return Generator(model.decoder, model.parameters, base.tokenizer, base.template, base.stops, beside, *told)

    @cached_property
    def engine(self) -> Engine:
        """What writes, for as many at once as ask; what was read for one is found again by the next."""
        return Engine(self.decoder, self.parameters, adapters=self.adapters)

    def generate(
        self,
        prompt: str,
        max_tokens: int = 200,
        temperature: float | None = None,
        top: int | None = None,
        seed: int = SEED,
        adapter: str = "",
        truncate: bool = False,
    ) -> Iterator[str]:
        """Pieces of text that continue ``prompt``, as soon as each is whole characters; the last as it is.

        Args:
            prompt: the text.
            max_tokens: how many may be written. Where the context is full, the older half of it falls out and more is
                written, where a server ends the text.
            temperature: 0 takes the likeliest token; by default as the model is usually let write: :meth:`sampling`.
            top: so many of the likeliest tokens are chosen from, and 0 is all; by default as is usual.
            seed: another one gives another text.
            adapter: with which of those that were loaded.
            truncate: whether of a prompt that is longer than the context its end is read.

        Raises:
            RecipeError: if the prompt is no text or too long, or what is asked for cannot be done.
        """
        _require_text(prompt)
        ids = self._fitting(self.tokenizer.prompt(prompt), truncate)
        return self._pieces(self._tokens(ids, max_tokens, self.sampling(temperature, top, seed), adapter))

    def reply(
        self,
        messages: Sequence[Message | Mapping[str, Any]],
        max_tokens: int = 200,
        temperature: float | None = None,
        top: int | None = None,
        seed: int = SEED,
        adapter: str = "",
        truncate: bool = False,
    ) -> Iterator[str]:
        """Pieces of what the model answers to a conversation, through its own template, as :meth:`generate` does.

        Messages may be plain data, as any client of OpenAI's interface writes them: ``{"role": ..., "content": ...}``,
        the content a text or a list of parts, all of them texts.

        Raises:
            RecipeError: if there is no message, one is none or no text, all together are too long, or what is asked for
                cannot be done.
            InputError: if the model has no template, or one that fails.
        """
        ids = self._fitting(self._asked([*_messages(messages)]), truncate)
        return self._pieces(self._tokens(ids, max_tokens, self.sampling(temperature, top, seed), adapter))

    def sampling(self, temperature: float | None = None, top: int | None = None, seed: int = SEED) -> Sampling:
        """How tokens are chosen: as is asked for, and for the rest as the maker of the model says that it is usual.

        `regrow serve` and `regrow chat` ask the same, so that the same request gets the same answer from all three.
        """
        for name, value, kind in (("temperature", temperature, float), ("top", top, int), ("seed", seed, int)):
            _require_number(name, value, kind)
        usual = Usual.of(self.usual)
        heat = usual.temperature if temperature is None else temperature
        return Sampling(heat, usual.top_k if top is None else top, seed, usual.top_p)

    def fitting(self, messages: Sequence[Message], max_tokens: int) -> Sequence[Message]:
        """The conversation without as many of its oldest questions and answers as leave no room for one more answer.

        What the system says at the beginning stays, and so does the last question.
        """
        first = 1 if messages and messages[0].role == SYSTEM else 0
        room = self.decoder.config.context - min(max_tokens, self.decoder.config.context // 2)
        kept = list(messages)
        while len(kept) > first + 2 and len(self._asked(kept)) > room:
            del kept[first : first + 2]
        return kept

    def _fitting(self, ids: list[int], truncate: bool) -> list[int]:
        """The tokens that are read, as a server has them too.

        Raises:
            RecipeError: if there are too many, and nobody said that the end will do.
        """
        most = self.decoder.config.context
        if len(ids) <= most or truncate:
            return ids[-most:]
        why = f"it has {counted(len(ids), 'token')}, and the model reads {most:,} at once"
        raise RecipeError(
            "the prompt is too long", why=why, hint="shorten it, or have its end read: `truncate`, or --truncate"
        )

    def _asked(self, messages: Sequence[Message]) -> list[int]:
        if self.template is None:
            raise InputError("the model has no chat template", hint="let it continue a text")
        return self.tokenizer.meant(self.template.render(messages, prompt=True))

    def _pieces(self, tokens: Iterator[int]) -> Iterator[str]:
        spelling = Spelling(self.tokenizer, stops(self.usual))
        for token in tokens:
            yield from filter(None, [spelling.add(token)])
            if spelling.stopped:
                return
        yield from filter(None, [spelling.end()])

    def _tokens(self, ids: list[int], most: int, sampling: Sampling, adapter: str = "") -> Iterator[int]:
        _require_number("max_tokens", most, int)
        if most < 0:
            raise RecipeError("`max_tokens` is too small", why=f"it is {most}", hint="give 0 or more")
        heard = queue.SimpleQueue[Event]()
        running = self.engine.submit(Request(ids, most, sampling, self.stops, adapter=adapter), heard.put)
        try:
            while not isinstance(event := heard.get(), Ended):
                if isinstance(event, Written):
                    yield event.token
            if event.error is not None:
                raise event.error
        finally:
            running.cancel()  # if nobody reads on


def _messages(given: Sequence[Message | Mapping[str, Any]]) -> Iterator[Message]:
    if isinstance(given, str | Mapping) or not given:
        raise RecipeError("this is no conversation", hint=f"write a list of messages, as {_MESSAGE}")
    for number, one in enumerate(given, 1):
        said = one.plain if isinstance(one, Message) else one
        if not isinstance(said, Mapping) or not {"role", "content"} <= said.keys() <= {"role", "content", "name"}:
            raise RecipeError("this is no message", where=f"message {number}", hint=f"write {_MESSAGE}")
        if said["role"] not in ROLES:
            why = f"{said['role']!r} is unknown, and known are {listed(ROLES)}"
            raise RecipeError("nobody says this", where=f"message {number}: role", why=why)
        if found := unread(said["content"]):
            place, what = found
            raise RecipeError(UNREAD, where=f"message {number}: part {place + 1}", why=what, hint=INSTEAD)
        content = joined(said["content"])
        _require_text(content)
        yield Message(**{**said, "content": content})


def _require_number(name: str, value: float | None, kind: type) -> None:
    if value is None or (isinstance(value, (int, kind)) and not isinstance(value, bool)):
        return
    what = "a whole number" if kind is int else "a number"
    raise RecipeError(f"`{name}` is not {what}", why=f"it is {value!r}", hint=f"give {what}")


def _require_text(prompt: str) -> None:
    if not isinstance(prompt, str):
        raise RecipeError("the prompt is no text", why=f"it is {type(prompt).__name__}", hint="give a string")
    try:
        prompt.encode()
    except UnicodeEncodeError as error:
        code = ord(error.object[error.start])
        # A byte that is no text comes as half of a surrogate pair, one of these.
        what = f"byte 0x{code & 0xFF:02x}" if code in _BYTES else "half a character"
        why = f"it has {what} after {error.start} characters"
        raise RecipeError("the prompt is not UTF-8", why=why, hint="write it in UTF-8") from error
