"""What a server serves: one release, the engine that computes it, and the limits that it keeps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from queue import SimpleQueue
from types import MappingProxyType
from typing import Any

from regrow.errors import RecipeError
from regrow.exact.version import INFERENCE
from regrow.model.adapters import files
from regrow.model.sampling import Sampling
from regrow.model.usual import unheeded
from regrow.release import Release
from regrow.serve.engine import Ended, Engine, Event, Request
from regrow.serve.engine import Limits as EngineLimits
from regrow.serve.generate import Generator
from regrow.serve.http.limits import Limits
from regrow.serve.origin import Origin, digest


@dataclass(frozen=True)
class Writer:
    """Who writes, of those that clients can ask for: the model, or the model with an adapter.

    Attributes:
        name: what clients call it.
        digest: of the release, or of the adapter's files.
        fingerprint: what fixes every answer beside the request: the release, the adapter, and the arithmetic.
        adapter: by which the engine knows it; empty for the model itself.
    """

    name: str
    digest: str
    fingerprint: str
    adapter: str = ""

    @property
    def pinned(self) -> str:
        """The name by which a client asks for this one and no other of the same name."""
        return f"{self.name}@{self.digest}"


@dataclass(frozen=True)
class Served:
    """A model that is loaded, and works.

    Example:
        >>> served = Served.load(Path("build/bard"))
        >>> served.name, served.fingerprint

    Attributes:
        origin: which it is.
        generator: its tokenizer, template and weights.
        engine: writes for all requests at the same time.
        limits: of what is taken.
        adapters: digests of the files of adapters beside the model, by their names.
    """

    origin: Origin
    generator: Generator
    engine: Engine
    limits: Limits
    adapters: Mapping[str, str] = field(default_factory=dict)

    @staticmethod
    def load(place: Path, limits: Limits | None = None, adapters: Mapping[str, Path] = MappingProxyType({})) -> Served:
        """Load a model and start an engine for it.

        Args:
            place: a release, another folder of a model, or a GGUF file.
            limits: of what is taken.
            adapters: folders of adapters that were made for it, by the names that clients are to call them.

        Raises:
            InputError: as :meth:`Origin.of` and :meth:`Generator.load` do; or if the model cannot write.
            RecipeError: as :meth:`Generator.load` does; or if an adapter is called as the model is.
        """
        origin, limits = Origin.of(place), limits or Limits()
        if origin.name in adapters:
            raise RecipeError(
                f"an adapter cannot be called `{origin.name}`", why="the model is", hint="call it otherwise"
            )
        origin.digest, origin.made  # noqa: B018  (of the files as they are now; what becomes of them later is no matter)
        generator = Generator.load(origin.place, adapters)
        digests = {name: digest(files.find(folder), files.FILES) for name, folder in adapters.items()}
        of_engine = EngineLimits(waiting=limits.texts)
        if limits.memory is not None:
            of_engine = replace(of_engine, memory_bytes=limits.memory)
        engine = Engine(generator.decoder, generator.parameters, of_engine, generator.adapters)
        _warm(engine, generator.tokenizer.end_of_text)
        return Served(origin, generator, engine, limits, digests)

    @property
    def name(self) -> str:
        """What clients call the model."""
        return self.origin.name

    @property
    def release(self) -> Release | None:
        """Its release; None if it is none."""
        return self.origin.release

    @property
    def digest(self) -> str:
        """That of the release, or of the files if it is none."""
        return self.origin.digest

    @property
    def fingerprint(self) -> str:
        """What fixes every answer of the model beside the request: its files, and the arithmetic of inference."""
        return f"sha256:{self.digest}+inference{INFERENCE}"

    @property
    def writers(self) -> tuple[Writer, ...]:
        """The model, then the model with each of its adapters."""
        beside = (
            Writer(name, digest, f"{self.fingerprint}+adapter:{digest}", name) for name, digest in self.adapters.items()
        )
        return (Writer(self.name, self.digest, self.fingerprint), *beside)

    def writer(self, name: str | None) -> Writer | None:
        """The one of a name, with a digest or without, if there is such; without a name, the model itself."""
        return next((one for one in self.writers if name in (None, one.name, one.pinned)), None)

    @property
    def context(self) -> int:
        """Tokens that the model reads at once."""
        return self.generator.decoder.config.context

    @property
    def usual(self) -> Mapping[str, Any]:
        """How its maker says that it is usually let write: members of its ``generation_config.json``."""
        return self.generator.usual

    @property
    def unheeded(self) -> list[str]:
        """Those of :attr:`usual` that nothing is written with here."""
        return unheeded(self.usual)

    def close(self) -> None:
        """End the engine, and whatever it writes."""
        self.engine.close(now=True)


def _warm(engine: Engine, token: int) -> None:
    """Let a model write something: whoever asks first does not wait for kernels, and one that fails is told of now."""
    heard = SimpleQueue[Event]()
    engine.submit(Request([token, token], 2, Sampling(), likeliest=1, echo=True), heard.put)
    while not isinstance(event := heard.get(), Ended):
        pass
    if event.error is not None:
        raise event.error
