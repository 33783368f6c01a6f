"""Fine-tuning: of all parameters, or of chosen ones."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor

from regrow.model.config import DecoderConfig
from regrow.model.decoder import Decoder
from regrow.train.given import given_in
from regrow.train.task import Batch, Shape


@dataclass(frozen=True)
class Finetuning:
    """A decoder from given parameters, of which some are trained.

    Attributes:
        config: the shape of the decoder.
        context: how many tokens of each sequence are to be predicted; at most the decoder's.
        names: of the parameters that are trained.
        source: the folder with all parameters; None for workers, who are sent them.
    """

    name: ClassVar[str] = "finetuning"

    config: DecoderConfig
    context: int
    names: tuple[str, ...]
    source: Path | None = field(default=None, compare=False)

    def trained(self) -> Mapping[str, Shape]:
        """Those that are named."""
        return {name: shape for name, shape in self.config.shapes().items() if name in self.names}

    def frozen(self) -> Mapping[str, Shape]:
        """All others."""
        return {name: shape for name, shape in self.config.shapes().items() if name not in self.names}

    def layered(self) -> Collection[str]:
        """Those of the decoder's layers."""
        return self.config.layered()

    def initial(self) -> Mapping[str, Tensor]:
        """As they are in the source."""
        return {name: values.to(torch.float32) for name, values in self._read(self.trained()).items()}

    def given(self) -> Mapping[str, Tensor]:
        """As they are in the source."""
        return self._read(self.frozen())

    def loss(self, parameters: Mapping[str, Tensor], batch: Batch) -> Tensor:
        """The decoder's, in nats."""
        return self._decoder(parameters, batch.tokens, batch.mask, batch.segments)

    def description(self) -> Mapping[str, Any]:
        """The shape, the context and the names."""
        return {"config": asdict(self.config), "context": self.context, "names": list(self.names)}

    @staticmethod
    def described(description: Mapping[str, Any]) -> Finetuning:
        """The task of a description."""
        config = DecoderConfig(**description["config"])
        return Finetuning(config, description["context"], tuple(description["names"]))

    def _read(self, names: Collection[str]) -> Mapping[str, Tensor]:
        """Some parameters of the source; not kept, since what is trained would be in memory twice."""
        found = given_in(self.source) if names else {}
        return {name: found[name] for name in names}

    @cached_property
    def _decoder(self) -> Decoder:
        return Decoder(self.config)


TASK = Finetuning
