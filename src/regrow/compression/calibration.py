"""What the matrices of a decoder read, given a text, and changing them by it.

The text goes through the decoder layer by layer, and through each layer some sequences at a time: until a matrix is
reached that is to be changed, which then is, by what it reads; and again from the beginning of the layer, with what the
matrix has become. So each reads what the changed matrices before it give, as it will when the model is used; and no
more is in memory than what lies between two layers, what attention gives in one, and what it makes of some sequences.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from regrow.exact import operations as ops
from regrow.model.decoder import Between, Decoder, Products

ROWS = 1 << 12
"""Rows that go through a layer at a time, or those of one sequence."""


@dataclass(frozen=True)
class Read:
    """What a matrix reads.

    Attributes:
        width: K.
        parts: float32 ``(R, K)``, some rows at a time; they are computed while one goes through them.
    """

    width: int
    parts: Iterable[Tensor]

    def __iter__(self) -> Iterator[Tensor]:
        return iter(self.parts)


Change = Callable[[str, Tensor, Read], Tensor]
"""(name, matrix, what it reads) -> what takes the matrix's place."""


def changed(
    decoder: Decoder,
    parameters: Mapping[str, Tensor],
    names: Collection[str],
    tokens: Tensor,
    change: Change,
    batch: int = ROWS,
) -> None:
    """Send tokens through a decoder that is changed on the way.

    Args:
        decoder: the model.
        parameters: of the model.
        names: of matrices of its layers.
        tokens: int64 ``(B, T)``.
        change: called for each of these matrices, in the order in which they are used.
        batch: rows that go through a layer at a time.
    """
    with torch.no_grad():
        some = tokens.split(max(1, batch // tokens.shape[1]))
        text = _Text(decoder, parameters, names, some)
        for layer in range(decoder.config.layers):
            text.through(layer, change)


@dataclass(frozen=True)
class _Reached:
    """A matrix that is to be changed, and what it reads of some sequences."""

    name: str
    rows: Tensor


class _Stop(Exception):
    """Leaves a layer at a matrix that is to be changed."""

    def __init__(self, reached: _Reached) -> None:
        self.reached = reached


class _Text:
    """The calibration text on its way: between two layers, some sequences at a time."""

    def __init__(
        self,
        decoder: Decoder,
        parameters: Mapping[str, Tensor],
        names: Collection[str],
        tokens: tuple[Tensor, ...],
    ) -> None:
        self._decoder, self._parameters, self._tokens = decoder, parameters, tokens
        self._names = {id(parameters[name]): name for name in names}
        self._become: dict[str, Tensor] = {}
        self._products, self._part = Products(self._linear, self._attention, ops.low_rank), 0
        self._attended: dict[int, Tensor] = {}
        self._between = [decoder.passing(parameters, some, self._products).begin(some) for some in tokens]

    def through(self, layer: int, change: Change) -> None:
        """Go through a layer, and change its matrices on the way."""
        while isinstance(first := self._layer(layer, 0), _Reached):
            matrix = self._parameters[first.name]
            read = Read(matrix.shape[1], self._reading(layer, first))
            self._become[first.name] = change(first.name, matrix, read)
        self._between[0] = first
        for part in range(1, len(self._tokens)):
            found = self._layer(layer, part)
            assert isinstance(found, Between)  # all its matrices are what they become
            self._between[part] = found
        self._become.clear()
        self._attended.clear()

    def _reading(self, layer: int, first: _Reached) -> Iterator[Tensor]:
        """What is read of all sequences, where the first ones have been."""
        yield first.rows
        for part in range(1, len(self._tokens)):
            found = self._layer(layer, part)
            assert isinstance(found, _Reached)  # all go the same way
            yield found.rows

    def _layer(self, layer: int, part: int) -> Between | _Reached:
        """Some sequences after a layer, or at the first matrix in it that is to be changed."""
        self._part = part
        passing = self._decoder.passing(self._parameters, self._tokens[part], self._products)
        try:
            return passing.layer(layer, self._between[part])
        except _Stop as stop:
            return stop.reached

    def _linear(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        name = self._names.get(id(weight))
        if name is None:
            return ops.linear(x, weight, bias)
        if name not in self._become:
            raise _Stop(_Reached(name, x))
        return ops.linear(x, self._become[name], bias)

    def _attention(self, _name: str, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        # Once for a layer: half of the time is spent here, and this is as narrow as what lies between layers.
        if self._part not in self._attended:
            self._attended[self._part] = ops.attention(q, k, v)
        return self._attended[self._part]
