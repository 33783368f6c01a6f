"""Usual layers over matrices of codes, as many as there are by one kernel; see :mod:`regrow.exact.blocks`.

It changes the speed and never the bits. What is not of the usual kind is computed operation by operation.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from regrow.exact.coded import SIDE, Coded, Stacked
from regrow.exact.definition import LANES
from regrow.exact.selection import current
from regrow.model.cache import Cache
from regrow.model.config import DecoderConfig, layer_name

if TYPE_CHECKING:  # what compiles kernels is loaded where there are some
    from regrow.exact.blocks import Block, Rows

Weights = Mapping[str, Tensor | Coded | Stacked]


class Blocks:
    """Those of one pass, in which the next positions of some texts are read, their rows one behind the other."""

    def __init__(self, config: DecoderConfig, caches: Sequence[Cache], counts: Sequence[int], batch: int = 1) -> None:
        """``batch`` is how many sequences each cache has; ``counts`` are positions of each."""
        self._config, self._caches, self._counts, self._batch = config, caches, counts, batch
        self._rows: Rows | None = None

    def __call__(self, weights: Weights, tables: Sequence[Tensor], name: str, x: Tensor) -> Tensor | None:
        """``x`` plus what a block makes of it, or None if there is no kernel for that."""
        block = self._block(weights, name)
        if block is None:
            return None
        attends = name.endswith(".attention")
        return self._computed(tables, x, [block] if attends else [], [] if attends else [block], (name,))

    def layers(self, weights: Weights, tables: Sequence[Tensor], first: int, x: Tensor) -> tuple[Tensor, int] | None:
        """What layers from the one of a number on make of ``x``, and how many do: those that one kernel computes.

        None if that one is not of the kind.
        """
        names: list[str] = []
        found: list[tuple[Block, Block]] = []
        for number in range(first, 0 if self._config.skips else self._config.layers):
            attention, mlp = (f"{layer_name(number)}.{kind}" for kind in ("attention", "mlp"))
            one, other = self._block(weights, attention), self._block(weights, mlp)
            if one is None or other is None or (found and [one.kind, other.kind] != [block.kind for block in found[0]]):
                break
            names.append(attention)
            found.append((one, other))
        if not found:
            return None
        attentions, mlps = zip(*found, strict=True)
        return self._computed(tables, x, attentions, mlps, names), len(found)

    def _block(self, weights: Weights, name: str) -> Block | None:
        """The weights of a block, if there is a kernel for it."""
        inner, outer = ("qkv", "out") if name.endswith(".attention") else ("gate_up", "down")
        gain, into, back = (weights.get(f"{name}.{part}") for part in ("norm", inner, outer))
        if not (self._usual and isinstance(gain, Tensor) and isinstance(into, Coded) and isinstance(back, Coded)):
            return None
        if f"{name}.{inner}.lora_a" in weights or f"{name}.{outer}.lora_a" in weights:
            return None
        from regrow.exact.blocks import Block

        return Block(gain, into, back)

    def _computed(
        self, tables: Sequence[Tensor], x: Tensor, attentions: Sequence[Block], mlps: Sequence[Block],
        names: Sequence[str],
    ) -> Tensor:  # fmt: skip
        from regrow.exact import blocks

        config = self._config
        if self._rows is None:
            firsts = [cache.length for cache in self._caches for _ in range(self._batch)]
            counts = [count for count in self._counts for _ in range(self._batch)]
            cosine, sine = (table.repeat(self._batch, 1) for table in tables)
            self._rows = blocks.Rows.of(firsts, counts, cosine, sine)
        held = self._held(names if attentions else ())
        return blocks.compute(x, config.norm_epsilon, attentions, mlps, self._rows, held, config.heads, config.kv_heads)

    def _held(self, names: Sequence[str]) -> Any:
        """Where the texts of each cache have their positions, with room for the next ones, ``(L, texts, 2, 2)``."""
        shape = self._batch, self._config.kv_heads, self._config.head_width
        parts = tuple(f"{name} {kind}" for name in names for kind in ("keys", "values"))
        pairs = zip(self._caches, self._counts, strict=True)
        each = [cache.addresses(parts, cache.length + count, shape) for cache, count in pairs]
        shared = np.concatenate(each, 1).reshape(len(names), 2, self._batch * len(each), 2)
        return np.ascontiguousarray(shared.swapaxes(1, 2))

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
