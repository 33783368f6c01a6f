"""Pretraining.

Example:
    >>> task = Pretraining(config, seed=1)
    >>> loss = task.loss(task.initial(), Batch(tokens))
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any, ClassVar

from torch import Tensor

from regrow.model.config import DecoderConfig
from regrow.model.decoder import Decoder, initialise
from regrow.train.task import Batch, Shape


@dataclass(frozen=True)
class Pretraining:
    """A decoder, all of it, from random initial parameters.

    Attributes:
        config: the shape of the decoder.
        seed: of the initial parameters.
    """

    name: ClassVar[str] = "pretraining"

    config: DecoderConfig
    seed: int

    @property
    def context(self) -> int:
        """The decoder's."""
        return self.config.context

    def trained(self) -> Mapping[str, Shape]:
        """All parameters of the decoder."""
        return self.config.shapes()

    def frozen(self) -> Mapping[str, Shape]:
        """None."""
        return {}

    def layered(self) -> Collection[str]:
        """Those of the decoder's layers."""
        return self.config.layered()

    def initial(self) -> Mapping[str, Tensor]:
        """Random ones."""
        return initialise(self.config, self.seed)

    def given(self) -> Mapping[str, Tensor]:
        """None."""
        return {}

    def loss(self, parameters: Mapping[str, Tensor], batch: Batch) -> Tensor:
        """The decoder's, in nats."""
        return self._decoder(parameters, batch.tokens, batch.mask, batch.segments)

    def description(self) -> Mapping[str, Any]:
        """The shape and the seed."""
        return asdict(self)

    @staticmethod
    def described(description: Mapping[str, Any]) -> Pretraining:
        """The task of a description."""
        return Pretraining(DecoderConfig(**description["config"]), description["seed"])

    @cached_property
    def _decoder(self) -> Decoder:
        return Decoder(self.config)


TASK = Pretraining
