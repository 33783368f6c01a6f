"""The blocks of usual layers over matrices of codes, by one kernel each; see :mod:`regrow.exact.blocks`.

It changes the speed and never the bits. What is not of the usual kind is computed operation by operation.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property

import torch
from torch import Tensor

from regrow.exact.coded import SIDE, Coded, Stacked
from regrow.exact.definition import LANES
from regrow.exact.selection import current
from regrow.model.cache import Cache
from regrow.model.config import DecoderConfig

Weights = Mapping[str, Tensor | Coded | Stacked]


class Blocks:
    """Those of one pass, in which the next positions of some texts are read, their rows one behind the other."""

    def __init__(self, config: DecoderConfig, caches: Sequence[Cache], counts: Sequence[int], batch: int = 1) -> None:
        """``batch`` is how many sequences each cache has; ``counts`` are positions of each."""
        self._config, self._caches, self._counts, self._batch = config, caches, counts, batch
        self._rows: object = None

    def __call__(self, weights: Weights, tables: Sequence[Tensor], name: str, x: Tensor) -> Tensor | None:
        """``x`` plus what a block makes of it, or None if there is no kernel for that."""
        inner, outer = ("qkv", "out") if name.endswith(".attention") else ("gate_up", "down")
        gain, into, back = (weights.get(f"{name}.{part}") for part in ("norm", inner, outer))
        if not (self._usual and isinstance(gain, Tensor) and isinstance(into, Coded) and isinstance(back, Coded)):
            return None
        if any(f"{name}.{part}.lora_a" in weights for part in (inner, outer)):
            return None
        from regrow.exact import blocks

        epsilon = self._config.norm_epsilon
        if inner == "gate_up":
            return blocks.mlp(x, gain, epsilon, into, back)
        if not isinstance(self._rows, blocks.Rows):
            firsts = [cache.length for cache in self._caches for _ in range(self._batch)]
            counts = [count for count in self._counts for _ in range(self._batch)]
            cosine, sine = (table.repeat(self._batch, 1) for table in tables)
            self._rows = blocks.Rows.of(firsts, counts, cosine, sine)
        keys, values = (self._kept(f"{name} {kind}") for kind in ("keys", "values"))
        return blocks.attention(x, gain, epsilon, into, back, self._rows, keys, values, self._config.heads)

    def _kept(self, name: str) -> list[Tensor]:
        """Where the texts of each cache have their positions, ``(B, G, S, D)``, with room for the next ones."""
        shape = self._batch, self._config.kv_heads, self._config.head_width
        each = zip(self._caches, self._counts, strict=True)
        return [cache.held(name, cache.length + count, shape) for cache, count in each]

    @cached_property
    def _usual(self) -> bool:
        config = self._config
        return (
            current(torch.empty(0)).kernels.name == "numba"
            and (config.norm, config.norm_place, config.head_norm) == ("rms", "before", "none")
            and (config.positions, config.rope_width) == ("rotary", config.head_width)
            and (config.gated, config.activation, config.parallel) == (True, "silu", False)
            and not (config.qkv_bias or config.out_bias or config.mlp_bias)
            and config.width % SIDE == config.head_width % LANES == 0
        )
