"""Learning from pairs of answers by LoRA: what it measures against is the decoder without the narrow matrices, which is
there anyway.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor

from regrow.train.task import Batch, Shape
from regrow.train.tasks.lora import Lora
from regrow.train.tasks.preference import REFERENCE, as_they_were, both, preferring


@dataclass(frozen=True, kw_only=True)
class LoraPreferring(Lora):
    """Pairs of narrow matrices that learn which of two answers is chosen.

    Attributes:
        beta: how much a change of a log-probability counts; the larger, the nearer the decoder stays to what it was.
    """

    name: ClassVar[str] = "lora-preferring"

    beta: float

    def frozen(self) -> Mapping[str, Shape]:
        """Those of the base, and once more what is trained as a whole, as it was."""
        shapes = self.config.shapes()
        return {**super().frozen(), **{f"{REFERENCE}{name}": shapes[name] for name in self.whole}}

    def layered(self) -> Collection[str]:
        """Those of the decoder's layers, and what is trained of them as it was."""
        return both(self.config.layered())

    def given(self) -> Mapping[str, Tensor]:
        """As they are in the source."""
        return {name: self._given[name.removeprefix(REFERENCE)] for name in self.frozen()}

    def loss(self, parameters: Mapping[str, Tensor], batch: Batch) -> Tensor:
        """That of preferring, in nats."""
        before = {name: x for name, x in parameters.items() if name in self.config.shapes()}
        before |= as_they_were(parameters)
        return preferring(self._decoder, self.seen(parameters), before, self.beta, batch)

    def description(self) -> Mapping[str, Any]:
        """Everything but the source."""
        return {**super().description(), "beta": self.beta}

    @staticmethod
    def described(description: Mapping[str, Any]) -> LoraPreferring:
        """The task of a description."""
        return LoraPreferring(**Lora.fields_of(description))


TASK = LoraPreferring
