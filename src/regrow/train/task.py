"""What is trained: the parameters that change, those that only take part, where both begin, and the loss.

The loop knows a :class:`Task` and :class:`regrow.train.settings.Settings`, and nothing of models. A task is a pure
value: another worker rebuilds it from its name and its description, and is sent the parameters.

Example:
    >>> task = Pretraining(config, seed=1)
    >>> loss = task.loss(task.initial(), Batch(tokens))
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar, Protocol

import torch
from torch import Tensor

from regrow.model.config import DecoderConfig
from regrow.model.decoder import Decoder, initialise
from regrow.model.weights import load

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Batch:
    """Sequences of tokens, each of which but the first is to be predicted from those before it.

    Attributes:
        tokens: int64 ``(B, T + 1)``.
        mask: bool ``(B, T)``: which of ``tokens[:, 1:]`` count in the loss; None for all of them.
    """

    tokens: Tensor
    mask: Tensor | None = None

    def split(self, size: int) -> list[Batch]:
        """So many sequences at a time."""
        tokens = self.tokens.split(size)
        masks = [None] * len(tokens) if self.mask is None else self.mask.split(size)
        return [Batch(*parts) for parts in zip(tokens, masks, strict=True)]

    def packed(self) -> Tensor:
        """One int32 ``(B, T + 1)``, in which a token that does not count is its complement, a negative number."""
        tokens = self.tokens.to(torch.int32, copy=True)
        if self.mask is not None:
            tokens[:, 1:] = torch.where(self.mask, tokens[:, 1:], ~tokens[:, 1:])
        return tokens

    @staticmethod
    def unpacked(packed: Tensor) -> Batch:
        """What was packed. A mask that hides nothing is none."""
        counts = packed >= 0
        tokens = torch.where(counts, packed, ~packed).to(torch.int64)
        return Batch(tokens, None if bool(counts.all()) else counts[:, 1:])


class Task(Protocol):
    """What a training run is about. Names of parameters are unique among the trained and the frozen ones."""

    @property
    def name(self) -> str:
        """What tasks of this kind are known by to the other workers."""

    @property
    def context(self) -> int:
        """How many tokens of each sequence are to be predicted."""

    def trained(self) -> Mapping[str, Shape]:
        """Names and shapes of the parameters that training changes. The loss depends on every one of them."""

    def frozen(self) -> Mapping[str, Shape]:
        """Names and shapes of those that take part in the loss and stay as they are."""

    def initial(self) -> Mapping[str, Tensor]:
        """The trained parameters before the first step: new tensors, which training changes in place.

        Asked of the first worker, and only if there is no checkpoint.
        """

    def given(self) -> Mapping[str, Tensor]:
        """The frozen parameters, which no checkpoint holds. Asked of the first worker whenever a run starts."""

    def loss(self, parameters: Mapping[str, Tensor], batch: Batch) -> Tensor:
        """The mean loss of a micro-batch over the tokens that count, a scalar; a pure function."""

    def description(self) -> Mapping[str, Any]:
        """Plain JSON from which another worker rebuilds what it needs: everything but the values of parameters."""


Tasks = Mapping[str, Callable[[Mapping[str, Any]], Task]]
"""How to rebuild the tasks of each name from their descriptions."""


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

    def initial(self) -> Mapping[str, Tensor]:
        """Random ones."""
        return initialise(self.config, self.seed)

    def given(self) -> Mapping[str, Tensor]:
        """None."""
        return {}

    def loss(self, parameters: Mapping[str, Tensor], batch: Batch) -> Tensor:
        """The decoder's, in nats."""
        return self._decoder(parameters, batch.tokens, batch.mask)

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

    def initial(self) -> Mapping[str, Tensor]:
        """As they are in the source."""
        return {name: self._given[name].clone() for name in self.trained()}

    def given(self) -> Mapping[str, Tensor]:
        """As they are in the source."""
        return {name: self._given[name] for name in self.frozen()}

    def loss(self, parameters: Mapping[str, Tensor], batch: Batch) -> Tensor:
        """The decoder's, in nats."""
        return self._decoder(parameters, batch.tokens, batch.mask)

    def description(self) -> Mapping[str, Any]:
        """The shape, the context and the names."""
        return {"config": asdict(self.config), "context": self.context, "names": list(self.names)}

    @staticmethod
    def described(description: Mapping[str, Any]) -> Finetuning:
        """The task of a description."""
        config = DecoderConfig(**description["config"])
        return Finetuning(config, description["context"], tuple(description["names"]))

    @cached_property
    def _given(self) -> Mapping[str, Tensor]:
        if self.source is None:
            raise AssertionError("the first worker has the parameters")
        return load(self.source)[1]

    @cached_property
    def _decoder(self) -> Decoder:
        return Decoder(self.config)


TASKS: Tasks = MappingProxyType({Pretraining.name: Pretraining.described, Finetuning.name: Finetuning.described})
"""The tasks of this package."""
