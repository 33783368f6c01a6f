"""What a decoder keeps of the positions that it has read, so that it need not read them again."""

from __future__ import annotations

import torch
from torch import Tensor

_LEAST_ROOM = 64


class Cache:
    """Keys and values of some sequences of one length.

    Positions count once a pass through all layers has ended; those of one that was broken off are written over.

    Attributes:
        length: how many positions of each were read.
    """

    def __init__(self) -> None:
        self.length = 0
        self._held: dict[str, Tensor] = {}

    def extended(self, name: str, x: Tensor) -> Tensor:
        """What is held by a name, ``(B, G, S, D)``, with that of the next positions, ``(B, T, G, D)``.

        S is the number of all positions. It is a view, whose memory grows by doubling.
        """
        batch, positions, groups, width = x.shape
        end = self.length + positions
        held = self.room(name, end, (batch, groups, width), x.device)
        held[:, :, self.length : end] = x.transpose(1, 2)
        return held[:, :, :end]

    def room(self, name: str, end: int, shape: tuple[int, int, int], device: torch.device | None = None) -> Tensor:
        """Where a name has its positions, ``(B, G, S, D)``, with room for ``end`` of them; shape is ``(B, G, D)``."""
        held = self._held.get(name)
        if held is None or held.shape[2] < end:
            batch, groups, width = shape
            room = torch.empty((batch, groups, max(_LEAST_ROOM, 2 * self.length, end), width), device=device)
            if held is not None:
                room[:, :, : self.length] = held[:, :, : self.length]
            self._held[name] = held = room
        return held
