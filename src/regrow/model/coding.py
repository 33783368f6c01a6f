"""Matrices that files hold as small integers, as a model that runs keeps them: see :mod:`regrow.exact.coded`.

Which of them are kept follows from the file alone: those of which all pieces are stored as such integers, in groups
that make whole blocks. Matrices of bfloat16 and float16 stay such, which float32 numbers are all of: they take half the
memory, and give the same. All others are float32.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from regrow.exact.coded import Coded, Stacked, fits
from regrow.exact.shorter import SHORTER
from regrow.model.config import DecoderConfig
from regrow.model.packed import Codes
from regrow.model.pieces import Form

Matrix = Tensor | Coded | Stacked


@dataclass(frozen=True)
class Piece:
    """A matrix of a file: each number is a scale times an integer, plus an offset if there are any.

    Attributes:
        integers: int8 ``(N, K)``.
        scales: float32 ``(N, K / group)``.
        offsets: the same, or None.
        span: the least and the largest integer that there may be.
    """

    integers: Tensor
    scales: Tensor
    offsets: Tensor | None
    span: tuple[int, int]

    @staticmethod
    def of(codes: Codes) -> Piece:
        """From a packed matrix of compressed-tensors."""
        half = 1 << (codes.bits - 1)
        return Piece(codes.integers, codes.scales, None, (-half, half - 1))

    @property
    def kind(self) -> object:
        """What those that become one matrix have in common."""
        return self.span, self.offsets is None, self.scales.shape[1]

    @property
    def fits(self) -> bool:
        """Whether it is made of whole blocks."""
        columns = self.integers.shape[1]
        return columns % self.scales.shape[1] == 0 and fits(columns, columns // self.scales.shape[1])

    def rows(self, numbers: Tensor) -> Coded:
        """Some of its rows."""
        if torch.equal(numbers, torch.arange(len(self.integers))):
            return Coded.of(self.integers, self.scales, self.offsets, self.span)
        integers, scales = (x.index_select(0, numbers) for x in (self.integers, self.scales))
        offsets = None if self.offsets is None else self.offsets.index_select(0, numbers)
        return Coded.of(integers, scales, offsets, self.span)


def joined(form: Form, config: DecoderConfig, pieces: Sequence[Piece]) -> Coded | Stacked | None:
    """A parameter out of its pieces, or None if it cannot be kept as integers."""
    if form.turned or not all(piece.fits for piece in pieces):
        return None
    counts = [len(piece.integers) for piece in pieces]
    numbers = torch.arange(sum(counts)).view(-1, 1)
    order = form.together(config, list(numbers.split(counts))).flatten()
    if len({piece.kind for piece in pieces}) == 1:
        return _above(pieces).rows(order)
    # Of several kinds, each row is computed as it would be by itself, so they are only kept above each other.
    starts = torch.tensor([0, *counts]).cumsum(0)
    if bool((torch.bucketize(order, starts, right=True).diff() < 0).any()):
        return None
    each = zip(pieces, order.split(counts), starts.tolist(), strict=False)
    return Stacked(tuple(piece.rows(some - start) for piece, some, start in each))


def _above(pieces: Sequence[Piece]) -> Piece:
    first, *others = pieces
    if not others:
        return first
    integers, scales = (torch.cat([getattr(piece, name) for piece in pieces]) for name in ("integers", "scales"))
    offsets = [piece.offsets for piece in pieces if piece.offsets is not None]
    return Piece(integers, scales, torch.cat(offsets) if offsets else None, first.span)


def together(name: str, form: Form, config: DecoderConfig, tensors: Sequence[Tensor]) -> Tensor:
    """A parameter out of the tensors of a file: if it is a matrix of shorter numbers alone, it stays one of these.

    Args:
        name: ours, of the parameter.
        form: how it is cut.
        config: of the decoder.
        tensors: of floating-point numbers; nothing of them is kept.

    Returns:
        bfloat16, float16 or float32.
    """
    kinds = {x.dtype for x in tensors}
    stays = len(kinds) == 1 and kinds <= {*SHORTER} and len(config.shapes()[name]) == 2
    kind = kinds.pop() if stays else torch.float32
    return form.together(config, [x.to(kind, copy=True) for x in tensors])
