"""Documents that share sequences, and of which none sees another.

Rows of a matrix are independent of each other in every product, norm and activation, and sums over rows are exact, so
it does not matter which rows stand beside each other. What is left is attention, which is computed for each document
alone. What belongs to none is no row at all. So a document has the same bits wherever it was packed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

Attention = Callable[[str, Tensor, Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Segments:
    """The documents of a batch of sequences.

    Attributes:
        chosen: int64 ``(R,)``: the places of a batch ``(B, T)``, flattened, that belong to a document.
        positions: int64 ``(R,)``: of each in its document.
        lengths: int64 ``(R,)``: how long the document of each is.
        slots: int64 ``(R,)``: of each among the places of all documents, ``count`` times ``longest``.
        count: how many documents.
        longest: how long the longest is.
    """

    chosen: Tensor
    positions: Tensor
    lengths: Tensor
    slots: Tensor
    count: int
    longest: int

    @staticmethod
    def of(segments: Tensor) -> Segments:
        """From the numbers of the documents at each place, int64 ``(B, T)``, 0 for none.

        The places of a document lie beside each other.
        """
        sequences = torch.arange(len(segments), device=segments.device)[:, None].expand_as(segments)
        chosen = segments.flatten().nonzero().flatten()
        named = torch.stack((sequences.flatten(), segments.flatten()), 1)[chosen]
        _, numbers, lengths = torch.unique_consecutive(named, dim=0, return_inverse=True, return_counts=True)
        starts = lengths.cumsum(0) - lengths
        positions = torch.arange(len(chosen), device=segments.device) - starts[numbers]
        longest = int(lengths.max()) if len(lengths) else 0
        return Segments(chosen, positions, lengths[numbers], numbers * longest + positions, len(lengths), longest)

    def to(self, device: torch.device) -> Segments:
        """The same on a device."""
        return replace(self, slots=self.slots.to(device))

    def attention(self, inside: Attention) -> Attention:
        """Attention over rows ``(1, R, H, D)`` within each document.

        Documents are filled up with zeros, behind their ends, where nothing sees them.
        """

        def apart(name: str, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
            out = inside(name, *(self._filled(x) for x in (q, k, v)))
            return out.reshape(-1, *out.shape[2:]).index_select(0, self.slots)[None]

        return apart

    def _filled(self, x: Tensor) -> Tensor:
        empty = x.new_zeros((self.count * self.longest, *x.shape[2:]))
        return empty.index_copy(0, self.slots, x[0]).view(self.count, self.longest, *x.shape[2:])
