"""The grids: how floating-point operands become small integers whose sums are exact.

Every sum in the hashed path is taken over integers. A group of float32 numbers that are summed together
(a row, a column, a tensor) shares one power-of-two grid, fixed by the largest magnitude in the group, which
does not depend on order. Rounding to the grid is element by element; adding integers is associative; one
rounding at the end gives a float32. (A splitting into two digits as by Ozaki et al., 2012, with the pre-rounding of
Demmel and Nguyen, 2015.)

* Operands of a product: ``q = rint(x * 2**(13 - e))`` with ``max|x| < 2**e``, so ``|q| <= 2**13``, written as
  two balanced base-128 digits ``q = 128 h + l``, both within -64..64.
* Addends of a plain sum: ``q = rint(x * 2**(30 - e))``, at most 2**22 of them, exact in int64 and in float64.
* Probabilities in cross-entropy: grid 2**-20, three digits.
* What a matrix of codes is multiplied by: ``rint(x * 2**(22 - e))`` of each block of a row, three digits of base 256.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

OPERAND_BITS = 13
DIGIT_BITS = 7
DIGIT = 1 << DIGIT_BITS
HALF_DIGIT = DIGIT // 2
SUM_BITS = 30
GRADIENT_BITS = 24
CODED_BITS = 22
PROBABILITY_BITS = 20

# Groups whose largest magnitude is below 2**-100 share the grid of 2**-100, so that every scale is a normal float32.
MIN_EXPONENT = -100
# The exponent of a group that holds a NaN or an infinity. Its power of two is NaN, and so is every result that depends
# on the group, instead of a wrong number.
NON_FINITE = 129

SIGN_MASK = 0x7FFFFFFF


@dataclass(frozen=True)
class Layout:
    """How an operand's digits are arranged, which follows from its place in the product.

    Attributes:
        by_row: whether each row has its grid, or each column. A product contracts over the other axis: columns
            if ``by_row``, else rows.
        right: whether this is the right operand. Opposite digit orders (high, low on the left; low, high on the
            right) let the two cross terms of a product be one product of twice the depth.
        stacked: whether the digits are two matrices one after the other, ``(G, 2, R, C)``, rather than two rows
            next to each other, ``(G, R, 2, C)``. The two operands' doubled depths must run in the same order:
            rows contracted with rows are side by side in both; columns contracted with rows need them stacked.
    """

    by_row: bool
    right: bool
    stacked: bool = False

    def shape(self, groups: int, rows: int, columns: int) -> tuple[int, int, int, int]:
        """The shape of the digits of ``(groups, rows, columns)``."""
        return (groups, 2, rows, columns) if self.stacked else (groups, rows, 2, columns)


# The four operands that occur: A and B of A @ B.T, B of A @ B, and A and B of A.T @ B.
LEFT = Layout(by_row=True, right=False)
RIGHT_TRANSPOSED = Layout(by_row=True, right=True)
RIGHT = Layout(by_row=False, right=True, stacked=True)
LEFT_TRANSPOSED = Layout(by_row=False, right=False)
RIGHT_OF_TRANSPOSED = Layout(by_row=False, right=True)


@dataclass(frozen=True)
class Digits:
    """A matrix on a grid, as two digits.

    Attributes:
        data: integers within -64..64 in the shape of the layout.
        exponents: int32, ``(groups, rows)`` if each row has its grid, else ``(groups, columns)``.
        layout: how they are arranged.
    """

    data: Tensor
    exponents: Tensor
    layout: Layout

    @property
    def high(self) -> Tensor:
        """The high digits, ``(groups, rows, columns)``, a strided view."""
        which = 1 if self.layout.right else 0
        return self.data[:, which] if self.layout.stacked else self.data[:, :, which]

    @property
    def low(self) -> Tensor:
        """The low digits, as ``high``."""
        which = 0 if self.layout.right else 1
        return self.data[:, which] if self.layout.stacked else self.data[:, :, which]

    @property
    def depth(self) -> int:
        """How many products a sum has."""
        return self.data.shape[-1] if self.layout.by_row else self.high.shape[1]

    def along(self, digits: Tensor) -> Tensor:
        """``high``, ``low`` or ``both`` with the contracted axis last."""
        return digits if self.layout.by_row else digits.mT

    @property
    def planes(self) -> list[Tensor]:
        """The high digits and the low ones, the contracted axis last."""
        return [self.along(self.high), self.along(self.low)]

    def tile(self, groups: slice, outer: slice) -> Digits:
        """Some groups, and some of the rows or columns that are not contracted."""
        data = self.data[groups, outer] if self.layout.by_row else self.data[groups, ..., outer]
        return Digits(data, self.exponents[groups, outer], self.layout)

    def rows(self, rows: slice) -> Digits:
        """Some of the rows."""
        data = self.data[:, :, rows] if self.layout.stacked else self.data[:, rows]
        return Digits(data, self.exponents[:, rows] if self.layout.by_row else self.exponents, self.layout)

    @property
    def both(self) -> Tensor:
        """Both digits along the contracted axis: ``(groups, rows, 2 columns)`` or ``(groups, 2 rows, columns)``.

        A view, except of some rows of stacked digits.
        """
        groups, *_, columns = self.data.shape
        rows = self.data.shape[1] * self.data.shape[2] // 2
        return self.data.reshape((groups, rows, 2 * columns) if self.layout.by_row else (groups, 2 * rows, columns))


@dataclass(frozen=True)
class Numbers:
    """A matrix whose digits are made where it is multiplied, so that they are never stored.

    Attributes:
        data: float32 ``(groups, rows, columns)``.
        layout: which axis the grids are of; nothing is arranged.
        bits: the largest bit pattern of each group, int32, ``(groups, rows)`` or ``(groups, columns)``, where whatever
            multiplies does not find them on its way.
    """

    data: Tensor
    layout: Layout
    bits: Tensor | None = None

    @property
    def depth(self) -> int:
        """How many products a sum has."""
        return self.data.shape[2 if self.layout.by_row else 1]

    def rows(self, rows: slice) -> Numbers:
        """Some of the rows."""
        bits = self.bits
        if bits is not None and self.layout.by_row:
            bits = bits[:, rows]
        return Numbers(self.data[:, rows], self.layout, bits)


@dataclass(frozen=True)
class Block:
    """Some queries of a sequence at successive positions.

    Attributes:
        rows: which rows of the queries they are.
        first: the position of the first.
        keys: how many keys the last of them sees.
    """

    rows: slice
    first: int
    keys: int


def exponents(largest_bits: Tensor) -> Tensor:
    """int32 exponents ``e`` with ``max|x| < 2**e`` from the largest float32 bit pattern without its sign."""
    return ((largest_bits >> 23) - 126).clamp(min=MIN_EXPONENT)


def to_grid(exponent: Tensor, bits: int) -> Tensor:
    """float64 ``2**(bits - exponent)``, which brings a group to its grid. Of a group that is not finite it is
    finite all the same.

    Not ``power_of_two(bits - exponent)``: with 30 bits that is asked for NON_FINITE at exponent -99.
    """
    return power_of_two(-exponent) * 2.0**bits


def power_of_two(exponent: Tensor) -> Tensor:
    """float64 ``2**exponent`` for integers within -1022..1023, made from bits; NaN for NON_FINITE."""
    value = ((exponent.to(torch.int64) + 1023) << 52).view(torch.float64)
    return torch.where(exponent == NON_FINITE, torch.full_like(value, torch.nan), value)


def power_of_two_float32(exponent: Tensor) -> Tensor:
    """float32 ``2**exponent`` of int32 exponents of groups: up to 128, which is infinite; NaN for NON_FINITE."""
    value = ((exponent + 127) << 23).view(torch.float32)
    return value.masked_fill(exponent == NON_FINITE, torch.nan)
