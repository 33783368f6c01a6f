"""What a matrix reads, as the sums of products that quantising and pruning ask for: exact, whatever the order of rows.

Each row of activations is rounded to 13 bits below a power of 16 above its largest magnitude, and is written as two
digits (:mod:`regrow.exact.grid`); the sums of the integers' products are exact, those of rows with equal powers
together. So neither threads nor the way in which rows come in batches can be seen in them. A number is off by at most
``2**-10`` of the largest in its row, by chance up or down: with K columns that adds less than ``K * 2**-21`` of the
mean to a sum of squares, which is little beside any damping.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from regrow.compression import kernels
from regrow.errors import StageError
from regrow.exact.grid import DIGIT, NON_FINITE, OPERAND_BITS, SIGN_MASK, exponents
from regrow.exact.selection import current

Array = NDArray[np.float64]

MOST_ROWS = 1 << 26
"""Products of 26 bits add up within float64 for so many rows."""

_BLOCK = 768
"""Columns of a product; what lies below the diagonal is not multiplied but for these blocks."""

_ROWS = 1 << 15
"""Rows of a product: squares of digits add up within int32 for 2**19."""

_OCTAVES = 4
"""A power of two in so many is a grid: the fewer grids, the fewer products."""


class Gram:
    """The sums over rows of ``x_i x_j`` for rows of a width.

    Example:
        >>> gram = Gram(width=3)
        >>> gram.add(torch.tensor([[1.0, 2.0, 3.0]]))
        >>> gram.total()[0, 2]
        3.0
    """

    def __init__(self, width: int) -> None:
        self._width = width
        self._sums: dict[int, Tensor] = {}  # by the exponents of the rows: float64 with integers in it

    def add(self, x: Tensor) -> None:
        """Add some rows, float32 ``(R, width)``.

        Raises:
            StageError: if they hold what is no number.
        """
        for exponent, digits in _by_exponent(x):
            if exponent not in self._sums:
                self._sums[exponent] = torch.zeros((self._width, self._width), dtype=torch.float64)
            _add(digits, self._sums[exponent])

    def total(self) -> Array:
        """float64 ``(width, width)``, both sides of the diagonal."""
        found = torch.zeros((self._width, self._width), dtype=torch.float64)
        for exponent in sorted(self._sums):
            found += self._sums[exponent] * 2.0 ** (2 * (exponent - OPERAND_BITS))
        total: Array = found.numpy()
        return np.triu(total) + np.triu(total, 1).T


class Squares:
    """The diagonal of :class:`Gram` alone: the sums over rows of ``x_i x_i``."""

    def __init__(self, width: int) -> None:
        self._width = width
        self._sums: dict[int, Tensor] = {}

    def add(self, x: Tensor) -> None:
        """See :meth:`Gram.add`."""
        for exponent, digits in _by_exponent(x):
            high, low = (digits[:, i].to(torch.int64) for i in (0, 1))
            square = ((high * DIGIT + low) ** 2).sum(0)
            self._sums[exponent] = self._sums.get(exponent, torch.zeros_like(square)) + square

    def total(self) -> Array:
        """float64 ``(width,)``."""
        found = torch.zeros(self._width, dtype=torch.float64)
        for exponent in sorted(self._sums):
            found += self._sums[exponent].to(torch.float64) * 2.0 ** (2 * (exponent - OPERAND_BITS))
        return np.asarray(found.numpy())


def _by_exponent(x: Tensor) -> Iterator[tuple[int, Tensor]]:
    """The digits of the rows, ``(R, 2, width)``, those of one exponent at a time."""
    for rows in x.split(_ROWS):
        largest = (rows.view(torch.int32) & SIGN_MASK).amax(1)
        if bool((exponents(largest) == NON_FINITE).any()):
            raise StageError(
                "the model computes what is no number from the calibration text",
                why="a matrix reads activations that are infinite or not a number",
                hint="`regrow chat` shows whether the model works at all",
            )
        found = -(-exponents(largest) // _OCTAVES) * _OCTAVES
        for exponent in torch.unique(found).tolist():
            some = rows.index_select(0, torch.nonzero(found == exponent)[:, 0])
            digits = torch.empty((len(some), 2, rows.shape[1]), dtype=current(x).gemm.dtype)
            kernels.digits(some.numpy(), np.float32(2.0 ** (OPERAND_BITS - exponent)), digits.numpy())
            yield exponent, digits


def _add(digits: Tensor, total: Tensor) -> None:
    """Add the exact sums of the rows' products to float64 ``(width, width)``, on and above the diagonal."""
    multiply = current(digits).gemm.multiply
    high, low = digits[None, :, 0], digits[None, :, 1]
    for start in range(0, total.shape[0], _BLOCK):
        columns = slice(start, start + _BLOCK)
        for digit, factor in ((high, float(DIGIT**2)), (low, 1.0)):
            total[columns, start:].add_(multiply(digit[:, :, columns].mT, digit[:, :, start:])[0], alpha=factor)
    cross = multiply(high.mT, low)[0]
    total.add_(cross, alpha=float(DIGIT)).add_(cross.mT, alpha=float(DIGIT))
