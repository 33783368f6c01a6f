"""Text from a release: its tokenizer, its weights, and our arithmetic."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path

import numpy as np

from regrow.corpus.chat import ChatTemplate
from regrow.corpus.conversations import SYSTEM, Message
from regrow.corpus.tokenizer import Tokenizer
from regrow.errors import InputError, RecipeError
from regrow.exact.selection import current
from regrow.model.decoder import Decoder, Weights
from regrow.model.sampling import Sampling, generate
from regrow.model.weights import ends, load_weights
from regrow.release import Release
from regrow.release.layout import CONFIG, TOKENIZER, WEIGHTS, WEIGHTS_INDEX
from regrow.words import DAMAGED


@dataclass(frozen=True)
class Generator:
    """A loaded release that continues text.

    Example:
        >>> generator = Generator.load(Path("build/bard"))
        >>> "".join(generator.generate("To be", max_tokens=20))

    Attributes:
        decoder: the computation.
        parameters: by name; matrices that the files hold as small integers are such.
        tokenizer: text to tokens and back.
        template: how the model takes a conversation; None if it knows of none.
        stops: the tokens that end a text.
    """

    decoder: Decoder
    parameters: Weights
    tokenizer: Tokenizer
    template: ChatTemplate | None
    stops: frozenset[int]

    @staticmethod
    def load(folder: str | PathLike[str]) -> Generator:
        """Read the model in the folder of a release.

        Raises:
            InputError: if it holds no model or tokenizer, one that cannot be read, or another than its list of
                checksums names.
            RecipeError: if the way to compute that the environment asks for is not to be had.
        """
        folder = Path(folder)
        release = Release.at(folder)
        for name in (CONFIG, WEIGHTS, WEIGHTS_INDEX, TOKENIZER):
            release.require(name)
        for name in set(release.weights) - {WEIGHTS}:
            release.require(name)
        config, parameters = load_weights(folder)
        if not release.files.has(TOKENIZER):
            raise InputError(
                f"`{folder}` has no tokenizer",
                where=str(folder / TOKENIZER),
                hint="give the folder that `regrow build` wrote",
            )
        current()  # a way to compute that is asked for in vain is an error now, and not amid a text
        tokenizer = Tokenizer.open(folder)
        if tokenizer.vocabulary > config.vocabulary:
            raise InputError(
                f"the tokenizer has {tokenizer.vocabulary:,} tokens, and the model knows {config.vocabulary:,}",
                where=str(folder / TOKENIZER),
                why="the two were not made for each other",
                hint=DAMAGED,
            )
        stops = frozenset((tokenizer.end_of_text, *ends(folder, tokenizer.end_of_text).stops))
        return Generator(Decoder(config), parameters, tokenizer, ChatTemplate.open(folder), stops)

    def generate(
        self, prompt: str, max_tokens: int = 200, temperature: float = 0.8, top: int = 40, seed: int = 1
    ) -> Iterator[str]:
        """Pieces of text that continue ``prompt``, as soon as each is whole characters; the last as it is.

        Raises:
            RecipeError: if the prompt is no text.
        """
        _require_text(prompt)
        return self._pieces(self._tokens(self.tokenizer.prompt(prompt), max_tokens, Sampling(temperature, top, seed)))

    def reply(
        self,
        messages: Sequence[Message],
        max_tokens: int = 200,
        temperature: float = 0.8,
        top: int = 40,
        seed: int = 1,
    ) -> Iterator[str]:
        """Pieces of what the model answers to a conversation, through its own template.

        Raises:
            RecipeError: if a message is no text.
            InputError: if the model has no template, or one that fails.
        """
        for message in messages:
            _require_text(message.content)
        ids = self._asked(messages)
        return self._pieces(self._tokens(ids, max_tokens, Sampling(temperature, top, seed)))

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

    def _asked(self, messages: Sequence[Message]) -> list[int]:
        if self.template is None:
            raise InputError("the model has no chat template", hint="let it continue a text")
        return self.tokenizer.meant(self.template.render(messages, prompt=True))

    def _pieces(self, tokens: Iterator[int]) -> Iterator[str]:
        pending: list[int] = []  # since the last whole character: tokens are bytes, which know nothing of characters
        text = ""
        for token in tokens:
            pending.append(token)
            text = self.tokenizer.decode(pending)
            if not text.endswith("\N{REPLACEMENT CHARACTER}"):
                yield text
                pending, text = [], ""
        if text:
            yield text

    def _tokens(self, ids: list[int], most: int, sampling: Sampling) -> Iterator[int]:
        tokens = generate(self.decoder, self.parameters, ids, most, sampling, stop=self.stops)
        while True:
            # Next to no temperature makes all but the likeliest infinitely unlikely.
            with np.errstate(over="ignore"):
                token = next(tokens, None)
            if token is None:
                return
            yield token


def _require_text(prompt: str) -> None:
    try:
        prompt.encode()
    except UnicodeEncodeError as error:  # a byte that is no text comes as half of a surrogate pair
        place = f"byte 0x{ord(error.object[error.start]) & 0xFF:02x} after {error.start} characters"
        raise RecipeError("the prompt is not UTF-8", why=f"it has {place}", hint="write it in UTF-8") from error
