"""What a decoder keeps of the positions that it has read, so that it need not read them again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from regrow.model.config import DecoderConfig

_LEAST_ROOM = 64

Kept = Mapping[str, Tensor]
"""Of some positions of one sequence, all that there is of them, by name: ``(1, G, S, D)``."""


def bytes_of(config: DecoderConfig) -> int:
    """What a cache holds for each position of one sequence: keys and values of every layer."""
    return 2 * 4 * config.layers * config.kv_heads * config.head_width


class Cache:
    """Keys and values of some sequences of one length.

    Positions count once a pass through all layers has ended; those of one that was broken off are written over.

    Attributes:
        length: how many positions of each were read.
        room: how many there is memory for, or will be once they are read.
    """

    def __init__(self, most: int | None = None) -> None:
        """Begin with nothing.

        Args:
            most: how many positions there will be at the most, if that is known, so that memory is taken for no more.
        """
        self.length = self.room = 0
        self._most = most
        self._held: dict[str, Tensor] = {}
        self._addresses: dict[tuple[str, ...], Any] = {}

    def growing(self, end: int) -> int:
        """The room that there is once ``end`` positions are held: it grows by doubling."""
        if end <= self.room:
            return self.room
        wanted = max(_LEAST_ROOM, 2 * self.length, end)
        return wanted if self._most is None else max(end, min(wanted, self._most))

    def reserve(self, end: int) -> None:
        """Have room for ``end`` positions."""
        self.room = self.growing(end)

    def extended(self, name: str, x: Tensor) -> Tensor:
        """What is held by a name, ``(B, G, S, D)``, with that of the next positions, ``(B, T, G, D)``.

        S is the number of all positions. It is a view.
        """
        batch, positions, groups, width = x.shape
        end = self.length + positions
        held = self.held(name, end, (batch, groups, width), x.device)
        held[:, :, self.length : end] = x.transpose(1, 2)
        return held[:, :, :end]

    def append(self, kept: Kept) -> None:
        """Go on with positions that another cache has read, right behind the same ones as here."""
        end = self.length
        for name, x in kept.items():
            batch, groups, positions, width = x.shape
            end = self.length + positions
            self.held(name, end, (batch, groups, width), x.device)[:, :, self.length : end] = x
        self.length = end

    def between(self, start: int, stop: int) -> Kept:
        """A copy of what is held of some positions."""
        return {name: held[:, :, start:stop].clone() for name, held in self._held.items()}

    def held(self, name: str, end: int, shape: tuple[int, int, int], device: torch.device | None = None) -> Tensor:
        """Where a name has its positions, ``(B, G, S, D)``, with room for ``end`` of them; shape is ``(B, G, D)``."""
        held = self._held.get(name)
        if held is None or held.shape[2] < end:
            self.reserve(end)
            batch, groups, width = shape
            room = torch.empty((batch, groups, self.room, width), device=device)
            if held is not None:
                room[:, :, : self.length] = held[:, :, : self.length]
            self._held[name] = held = room
            self._addresses.clear()
        return held

    def addresses(self, names: tuple[str, ...], end: int, shape: tuple[int, int, int]) -> Any:
        """Where each sequence has its positions of some names, as :meth:`held` has them.

        Returns:
            int64 ``(names, B, 2)``: the address of float32 ``(G, S, D)``, and S.
        """
        found = self._addresses.get(names)
        if found is None or end > found[..., 1].min(initial=end):
            each = [self.held(name, end, shape) for name in names]
            apart = [(one, 4 * one.stride(0), one.shape[2]) for one in each]
            rows = [(one.data_ptr() + size * i, room) for one, size, room in apart for i in range(shape[0])]
            self._addresses[names] = found = np.array(rows, np.int64).reshape(len(names), shape[0], 2)
        return found
