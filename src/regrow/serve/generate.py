"""Text from a release: its tokenizer, its weights, and our arithmetic."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from os import PathLike
from pathlib import Path

import numpy as np
from torch import Tensor

from regrow.corpus.tokenizer import Tokenizer
from regrow.errors import InputError, RecipeError
from regrow.exact.selection import current
from regrow.model.decoder import Decoder
from regrow.model.sampling import Sampling, generate
from regrow.model.weights import load
from regrow.release import Release
from regrow.release.layout import CONFIG, TOKENIZER, WEIGHTS


@dataclass(frozen=True)
class Generator:
    """A loaded release that continues text.

    Example:
        >>> generator = Generator.load(Path("build/bard"))
        >>> "".join(generator.generate("To be", max_tokens=20))
    """

    decoder: Decoder
    parameters: dict[str, Tensor]
    tokenizer: Tokenizer

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
        for name in (CONFIG, WEIGHTS, TOKENIZER):
            release.require(name)
        config, parameters = load(folder)
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
                hint="`regrow verify` names the files that are damaged",
            )
        return Generator(Decoder(config), parameters, tokenizer)

    def generate(
        self, prompt: str, max_tokens: int = 200, temperature: float = 0.8, top: int = 40, seed: int = 1
    ) -> Iterator[str]:
        """Pieces of text that continue ``prompt``, as soon as each is whole characters; the last as it is.

        Raises:
            RecipeError: if the prompt is no text.
        """
        _require_text(prompt)
        return self._pieces(self._tokens(self.tokenizer.prompt(prompt), max_tokens, Sampling(temperature, top, seed)))

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
        tokens = generate(self.decoder, self.parameters, ids, most, sampling, stop=self.tokenizer.end_of_text)
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
