"""Learning from pairs of answers which is better, directly (DPO; Rafailov et al., 2023)."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor

from regrow.exact import layers
from regrow.exact import operations as ops
from regrow.model.config import DecoderConfig
from regrow.model.decoder import Decoder
from regrow.train.given import given_in
from regrow.train.task import Batch, Shape

REFERENCE = "reference."
"""What the names of the parameters begin with that stay as they were."""


@dataclass(frozen=True)
class Preferring:
    """A decoder that learns which of two answers is chosen, measured against itself as it was.

    Every two segments of a batch are a pair: a conversation with the chosen answer, and one with the rejected answer.

    Attributes:
        config: the shape of the decoder.
        context: how many tokens of each sequence are to be predicted; at most the decoder's.
        beta: how much a change of a log-probability counts; the larger, the nearer it stays to what it was.
        source: the folder with the parameters; None for workers, who are sent them.
    """

    name: ClassVar[str] = "preferring"

    config: DecoderConfig
    context: int
    beta: float
    source: Path | None = field(default=None, compare=False)

    def trained(self) -> Mapping[str, Shape]:
        """All parameters of the decoder."""
        return self.config.shapes()

    def frozen(self) -> Mapping[str, Shape]:
        """The same once more, as they were."""
        return {f"{REFERENCE}{name}": shape for name, shape in self.config.shapes().items()}

    def layered(self) -> Collection[str]:
        """Those of the decoder's layers, as they are and as they were."""
        return both(self.config.layered())

    def initial(self) -> Mapping[str, Tensor]:
        """As they are in the source."""
        return {name: values.to(torch.float32, copy=True) for name, values in self._given.items()}

    def given(self) -> Mapping[str, Tensor]:
        """As they are in the source."""
        return {f"{REFERENCE}{name}": values for name, values in self._given.items()}

    def loss(self, parameters: Mapping[str, Tensor], batch: Batch) -> Tensor:
        """That of :func:`preferring`, in nats."""
        return preferring(self._decoder, parameters, as_they_were(parameters), self.beta, batch)

    def description(self) -> Mapping[str, Any]:
        """The shape, the context and how much a change counts."""
        return {"config": asdict(self.config), "context": self.context, "beta": self.beta}

    @staticmethod
    def described(description: Mapping[str, Any]) -> Preferring:
        """The task of a description."""
        return Preferring(**{**description, "config": DecoderConfig(**description["config"])})

    @cached_property
    def _given(self) -> Mapping[str, Tensor]:
        return given_in(self.source)

    @cached_property
    def _decoder(self) -> Decoder:
        return Decoder(self.config)


def both(names: Collection[str]) -> tuple[str, ...]:
    """Names of parameters as they are, and as they were."""
    return (*names, *(f"{REFERENCE}{name}" for name in names))


def as_they_were(parameters: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Those that stay as they were, by the names of those that are trained."""
    return {name.removeprefix(REFERENCE): x for name, x in parameters.items() if name.startswith(REFERENCE)}


def preferring(
    decoder: Decoder, parameters: Mapping[str, Tensor], before: Mapping[str, Tensor], beta: float, batch: Batch
) -> Tensor:
    """The mean over pairs of ``-log sigmoid(chosen - rejected)``, where each is ``beta`` times what the answer's
    log-probability has grown by: the cross-entropy of a choice between the two.

    Args:
        decoder: the computation.
        parameters: all that it reads.
        before: the same as they were.
        beta: how much a change of a log-probability counts.
        batch: of pairs, whose segments stand beside each other.
    """
    with torch.no_grad():
        known = _log_probabilities(decoder, before, batch)
    choices = ((_log_probabilities(decoder, parameters, batch) - known) * beta).view(-1, 2)
    return layers.cross_entropy(choices, torch.zeros(len(choices), dtype=torch.int64, device=choices.device))


def _log_probabilities(decoder: Decoder, parameters: Mapping[str, Tensor], batch: Batch) -> Tensor:
    """Of each answer of a batch, in their order."""
    final, targets = decoder.predictions(parameters, batch.tokens, batch.mask, batch.segments)
    found = ops.linear_log_probabilities(final, decoder.head(parameters), targets)
    answers = _answers(batch)
    return ops.group_sums(found, answers.to(found.device), int(answers[-1]) + 1)


def _answers(batch: Batch) -> Tensor:
    """The answer that each prediction which counts is of, from 0, int64 ``(N,)``; each answer has one at least."""
    if batch.segments is None or batch.mask is None:
        raise AssertionError("pairs are packed, and what asks for an answer does not count")
    sequences = torch.arange(len(batch.segments))[:, None].expand_as(batch.segments)
    counts = batch.mask.cpu() & (batch.segments.cpu() > 0)
    named = torch.stack((sequences[counts], batch.segments.cpu()[counts]), 1)
    answers: Tensor = torch.unique_consecutive(named, dim=0, return_inverse=True)[1]
    return answers


TASK = Preferring
