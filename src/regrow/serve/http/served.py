"""What a server serves: one release, the engine that computes it, and the limits that it keeps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from regrow.corpus.tokenizer import CONFIG, SPECIAL, settings
from regrow.exact.version import INFERENCE
from regrow.model.weights import ends
from regrow.release import Release
from regrow.release.layout import SUMS
from regrow.serve.engine import Engine
from regrow.serve.engine import Limits as EngineLimits
from regrow.serve.generate import Generator
from regrow.serve.http.chosen import unheeded
from regrow.serve.http.limits import Limits


@dataclass(frozen=True)
class Served:
    """A release that is loaded, and works.

    Example:
        >>> served = Served.load(Release.open(Path("build/bard")))
        >>> served.name, served.fingerprint

    Attributes:
        release: its files.
        generator: its tokenizer, template and weights.
        engine: writes for all requests at the same time.
        limits: of what is taken.
    """

    release: Release
    generator: Generator
    engine: Engine
    limits: Limits

    @staticmethod
    def load(release: Release, limits: Limits | None = None) -> Served:
        """Load a release and start an engine for it.

        Raises:
            InputError: as :meth:`Generator.load` does.
            RecipeError: as :meth:`Generator.load` does.
        """
        generator, limits = Generator.load(release.path), limits or Limits()
        of_engine = EngineLimits(waiting=limits.texts)
        if limits.memory is not None:
            of_engine = replace(of_engine, memory_bytes=limits.memory)
        return Served(release, generator, Engine(generator.decoder, generator.parameters, of_engine), limits)

    @cached_property
    def name(self) -> str:
        """What clients call the model."""
        return self.release.name or self.release.path.resolve().name

    @cached_property
    def digest(self) -> str:
        """The release digest."""
        return self.release.digest

    @property
    def fingerprint(self) -> str:
        """What fixes every answer beside the request: the release, and the arithmetic of inference."""
        return f"sha256:{self.digest}+inference{INFERENCE}"

    @property
    def pinned(self) -> str:
        """The name by which a client asks for this release and no other of the same name."""
        return f"{self.name}@{self.digest}"

    @property
    def context(self) -> int:
        """Tokens that the model reads at once."""
        return self.generator.decoder.config.context

    @cached_property
    def usual(self) -> Mapping[str, Any]:
        """How the release says that it is usually let write: members of its ``generation_config.json``."""
        return ends(self.release.path, self.generator.tokenizer.end_of_text).settings

    @property
    def unheeded(self) -> list[str]:
        """Those of :attr:`usual` that nothing is written with here."""
        return unheeded(self.usual)

    @cached_property
    def made(self) -> int:
        """When the release was put together, in seconds since 1970: what its list of files has for its date."""
        return int((self.release.path / SUMS).stat().st_mtime)

    @cached_property
    def tokenizer_settings(self) -> Mapping[str, Any]:
        """What stands beside the tokenizer: special tokens, and its class."""
        folder = self.release.path
        return {**settings(folder / SPECIAL), **settings(folder / CONFIG)}

    def close(self) -> None:
        """End the engine, and whatever it writes."""
        self.engine.close(now=True)
