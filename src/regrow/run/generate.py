"""Text from a release: its tokenizer, its weights, and our arithmetic."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from regrow.errors import InputError
from regrow.model.decoder import Decoder
from regrow.model.sampling import Sampling, generate
from regrow.model.weights import load


@dataclass(frozen=True)
class Generator:
    """A loaded release that continues text.

    Example:
        >>> generator = Generator.load(Path("build/bard"))
        >>> "".join(generator.generate("To be", max_tokens=20))
    """

    decoder: Decoder
    parameters: dict[str, Tensor]
    tokenizer: Any
    end_of_text: int

    @staticmethod
    def load(release: Path) -> Generator:
        """Read a release folder.

        Raises:
            InputError: if it holds no model or tokenizer, or one that cannot be read.
        """
        from tokenizers import Tokenizer

        config, parameters = load(release)
        path = release / "tokenizer.json"
        if not path.is_file():
            raise InputError(
                f"`{release}` has no tokenizer", where=str(path), hint="give the folder that `regrow build` wrote"
            )
        try:
            tokenizer = Tokenizer.from_file(str(path))
        except Exception as error:  # the library has no class of its own for it
            raise InputError(
                "the tokenizer cannot be read",
                where=str(path),
                why=str(error),
                hint="`regrow verify` names the files that are damaged",
            ) from error
        tokenizer.encode_special_tokens = True
        end_of_text = tokenizer.token_to_id("<|endoftext|>")
        if end_of_text is None:
            raise InputError("the tokenizer has no `<|endoftext|>`", where=str(path), hint="rebuild the release")
        return Generator(Decoder(config), parameters, tokenizer, end_of_text)

    def generate(
        self, prompt: str, max_tokens: int = 200, temperature: float = 0.8, top: int = 40, seed: int = 1
    ) -> Iterator[str]:
        """Pieces of text that continue ``prompt``, as soon as each is whole characters."""
        ids = [self.end_of_text, *self.tokenizer.encode(prompt, add_special_tokens=False).ids]
        sampling = Sampling(temperature, top, seed)
        found: list[int] = []
        shown = ""
        for token in generate(self.decoder, self.parameters, ids, max_tokens, sampling, stop=self.end_of_text):
            found.append(token)
            text = self.tokenizer.decode(found)
            if not text.endswith("\N{REPLACEMENT CHARACTER}"):
                yield text[len(shown) :]
                shown = text
