"""LoRA (Hu et al., 2021): narrow matrices beside those of a decoder that stays as it is."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from regrow.exact.random import uniforms
from regrow.model.adapters.low_rank import Pair, beside
from regrow.model.adapters.modules import modules
from regrow.model.config import DecoderConfig
from regrow.model.decoder import Decoder
from regrow.train.given import given_in
from regrow.train.task import Batch, Shape

A, B = ".lora_A.weight", ".lora_B.weight"


@dataclass(frozen=True)
class Lora:
    """Pairs of narrow matrices, the first random and the second 0, so that the decoder begins as the base; and maybe
    some of its parameters as a whole.

    Attributes:
        config: the shape of the decoder.
        context: how many tokens of each sequence are to be predicted; at most the decoder's.
        targets: modules of Hugging Face's that get a pair.
        rank: how narrow.
        scale: how much their product counts.
        whole: our names of parameters that are trained besides.
        seed: of the random numbers.
        source: the folder with the base; None for workers, who are sent it.
    """

    name: ClassVar[str] = "lora"

    config: DecoderConfig
    context: int
    targets: tuple[str, ...]
    rank: int
    scale: float
    whole: tuple[str, ...]
    seed: int
    source: Path | None = field(default=None, compare=False)

    def trained(self) -> Mapping[str, Shape]:
        """The pairs, under PEFT's names, and what is trained besides, under ours."""
        known, found = modules(self.config), dict[str, Shape]()
        for name in self.targets:
            found |= {f"{name}{A}": (self.rank, known[name].columns), f"{name}{B}": (known[name].rows, self.rank)}
        return found | {name: shape for name, shape in self.config.shapes().items() if name in self.whole}

    def frozen(self) -> Mapping[str, Shape]:
        """All other parameters."""
        return {name: shape for name, shape in self.config.shapes().items() if name not in self.whole}

    def layered(self) -> Collection[str]:
        """Those of the decoder's layers, and no pair."""
        return self.config.layered()

    def initial(self) -> Mapping[str, Tensor]:
        """Uniform numbers up to the root of 1 by the inputs, as PEFT has them, and zeros."""
        found: dict[str, Tensor] = {}
        for name, shape in self.trained().items():
            if name in self.whole:
                found[name] = self._given[name].to(torch.float32, copy=True)
            elif name.endswith(B):
                found[name] = torch.zeros(shape)
            else:
                values = (2.0 * uniforms(self.seed, f"initial {name}", shape[0] * shape[1]) - 1.0) / np.sqrt(shape[1])
                found[name] = torch.from_numpy(values.astype(np.float32)).view(shape)
        return found

    def given(self) -> Mapping[str, Tensor]:
        """As they are in the source."""
        return {name: self._given[name] for name in self.frozen()}

    def loss(self, parameters: Mapping[str, Tensor], batch: Batch) -> Tensor:
        """The decoder's, in nats."""
        return self._decoder(self.seen(parameters), batch.tokens, batch.mask, batch.segments)

    def seen(self, parameters: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """All parameters as the decoder reads them."""
        pairs = {name: Pair(parameters[f"{name}{A}"], parameters[f"{name}{B}"], self.scale) for name in self.targets}
        own = {name: parameters[name] for name in self.config.shapes()}
        return own | beside(self.config, pairs)

    def description(self) -> Mapping[str, Any]:
        """Everything but the source."""
        lists = {"targets": list(self.targets), "whole": list(self.whole)}
        numbers = {"context": self.context, "rank": self.rank, "scale": self.scale, "seed": self.seed}
        return {"config": asdict(self.config), **lists, **numbers}

    @staticmethod
    def described(description: Mapping[str, Any]) -> Lora:
        """The task of a description."""
        return Lora(**Lora.fields_of(description))

    @staticmethod
    def fields_of(description: Mapping[str, Any]) -> dict[str, Any]:
        """The fields that a description tells of."""
        lists = {key: tuple(description[key]) for key in ("targets", "whole")}
        return {**description, "config": DecoderConfig(**description["config"]), **lists}

    @cached_property
    def _given(self) -> Mapping[str, Tensor]:
        return given_in(self.source)

    @cached_property
    def _decoder(self) -> Decoder:
        return Decoder(self.config)


TASK = Lora
