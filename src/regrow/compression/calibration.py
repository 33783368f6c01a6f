"""What the matrices of a decoder read, given a text, and changing them by it.

One pass of the whole text through the decoder: whenever a matrix is reached, it is changed by what it reads, and goes
on with what it has become. So each reads what the changed matrices before it give, as it will when the model is used,
and no more than the activations of one place are in memory.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from regrow.exact import operations as ops
from regrow.model.decoder import Decoder, Products

ROWS = 1 << 15
"""Rows that are gone through at a time."""


@dataclass(frozen=True)
class Read:
    """What a matrix reads.

    Attributes:
        rows: float32 ``(R, K)``.
        batch: how many of them are gone through at a time, which nothing depends on.
    """

    rows: Tensor
    batch: int = ROWS

    def __iter__(self) -> Iterator[Tensor]:
        return iter(self.rows.split(self.batch))

    @property
    def width(self) -> int:
        """K."""
        return self.rows.shape[1]


Change = Callable[[str, Tensor, Read], Tensor]
"""(name, matrix, what it reads) -> what takes the matrix's place."""


def changed(
    decoder: Decoder, parameters: Mapping[str, Tensor], tokens: Tensor, change: Change, batch: int = ROWS
) -> None:
    """Send tokens through a decoder that is changed on the way.

    Args:
        decoder: the model.
        parameters: of the model.
        tokens: int64 ``(B, T)``.
        change: called for each matrix of the layers, in the order in which they are used.
        batch: rows that are gone through at a time.
    """
    names = {id(matrix): name for name, matrix in parameters.items()}

    def linear(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        read = Read(x, batch)
        matrix = change(names[id(weight)], weight, read)
        return torch.cat([ops.linear(rows, matrix, bias) for rows in read])

    def attention(_name: str, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        sequences = max(1, batch // q.shape[1])
        parts = zip(*(x.split(sequences) for x in (q, k, v)), strict=True)
        return torch.cat([ops.attention(*part) for part in parts])

    with torch.no_grad():
        decoder.final(parameters, tokens, Products(linear, attention, ops.low_rank))
