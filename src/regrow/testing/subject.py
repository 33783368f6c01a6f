"""A release that is asked: its model, loaded once, behind the engine that serves."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from regrow.errors import InputError
from regrow.evaluating.forms import Form
from regrow.model import weights
from regrow.model.usual import stops
from regrow.serve.batch import Limits
from regrow.serve.engine import Engine
from regrow.serve.generate import Generator
from regrow.serve.origin import Origin
from regrow.testing.together import BATCH, Together


@dataclass(frozen=True)
class Subject:
    """Whoever is asked.

    Attributes:
        folder: of the release or another model, or a GGUF file.
        generator: what was loaded from it.
        answering: answers for it.
    """

    folder: Path
    generator: Generator
    answering: Together

    @property
    def weights(self) -> str:
        """The sha256 of the weights; of a GGUF file, that of all that it holds."""
        return weights.digest(self.folder) if self.folder.is_dir() else Origin(self.folder).digest

    def form(self, chat: bool = False, cuts: bool = False) -> Form:
        """How it is asked.

        Raises:
            InputError: if it is to be asked through a template, and has none.
        """
        template = self.generator.template
        if chat and template is None:
            raise InputError(
                "the model has no chat template", where=str(self.folder), hint="leave `--chat` out: it continues texts"
            )
        room = self.generator.decoder.config.context
        return Form(self.generator.tokenizer, room, template if chat else None, cuts, stops(self.generator.usual))


@contextmanager
def subject(folder: Path, batch: int = BATCH) -> Iterator[Subject]:
    """The model in the folder of a release, as long as it is asked.

    Raises:
        InputError: if it holds no model or tokenizer, or one that cannot be read.
    """
    generator = Generator.load(folder)
    engine = Engine(generator.decoder, generator.parameters, Limits(together=batch))
    try:
        yield Subject(folder, generator, Together(engine, generator.tokenizer, generator.stops, batch))
    finally:
        engine.close()
