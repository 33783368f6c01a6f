"""Matrices of codes: small integers, of which neighbours in a row share a scale and perhaps an offset.

They stay as they are while a model runs: a token reads each matrix once, and memory is what that waits for. What they
are multiplied by becomes integers too, so that the sum over a block is exact whatever adds it; docs/arithmetic.md calls
the product ``coded_linear``.

In memory 16 rows lie side by side, block by block, each block as one run of bytes: the codes as a processor's int8
products take them, four columns of each row in turn (of 4 bits, the first half of the block in the lower halves of the
bytes), then the 16 scales, then the 16 offsets if there are any.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

BLOCK = 32
"""Columns of a block: what a grid of the other operand spans. Where a scale has only 16 columns, as many."""
SIDE = 16  # rows beside each other
_QUAD = 4  # columns that an instruction takes of each
_FLOATS = 4 * SIDE  # bytes of scales or offsets


@dataclass(frozen=True)
class Layout:
    """How the runs of a matrix lie in memory.

    Attributes:
        bits: of a code, 4 or 8.
        block: columns of a run, 16 or 32.
        zero: the code of the integer 0, as codes have no sign.
        offset: whether there are offsets.
    """

    bits: int
    block: int
    zero: int
    offset: bool

    @property
    def codes(self) -> int:
        """Bytes of codes in a run."""
        return SIDE * self.block * self.bits // 8

    @property
    def run(self) -> int:
        """Bytes of a run."""
        return self.codes + _FLOATS * (1 + self.offset)


@dataclass(frozen=True)
class Coded:
    """A matrix of N rows and K columns, each number of which is a scale times an integer, plus an offset.

    Attributes:
        runs: uint8 ``(N / 16, K / block, bytes of a run)``, N rounded up.
        rows: N.
        layout: how.
    """

    runs: Tensor
    rows: int
    layout: Layout

    @staticmethod
    def of(integers: Tensor, scales: Tensor, offsets: Tensor | None, span: tuple[int, int]) -> Coded:
        """From the numbers themselves.

        Args:
            integers: int8 ``(N, K)``.
            scales: float32 ``(N, K / group)``; groups are as :func:`fits` asks.
            offsets: the same, or None.
            span: the least and the largest integer that there may be, so that the layout follows from the format of the
                file, and not from its numbers.
        """
        (rows, columns), (low, high) = integers.shape, span
        bits, block = 4 if high - low < 16 else 8, min(BLOCK, columns // scales.shape[1])
        layout = Layout(bits, block, -low, offsets is not None)
        runs = torch.empty((-(-rows // SIDE), columns // block, layout.run), dtype=torch.uint8)
        codes = _filled(integers, low).view(torch.uint8) - (low & 255)  # modulo 256
        # (groups, 16, blocks, quads, 4) -> (groups, blocks, quads, 16, 4)
        quads = codes.view(len(runs), SIDE, columns // block, block // _QUAD, _QUAD).permute(0, 2, 3, 1, 4)
        if bits == 4:
            quads = quads[:, :, : block // 8] | (quads[:, :, block // 8 :] << 4)
        runs[..., : layout.codes] = quads.flatten(2)
        for place, numbers in enumerate((scales, offsets)):
            if numbers is not None:
                each = _filled(numbers, 0).repeat_interleave(columns // block // numbers.shape[1], 1)
                lying = each.view(len(runs), SIDE, -1).transpose(1, 2).contiguous()
                runs[..., layout.codes + _FLOATS * place :][..., :_FLOATS] = lying.view(torch.uint8)
        return Coded(runs, rows, layout)

    @property
    def columns(self) -> int:
        """K."""
        return self.runs.shape[1] * self.layout.block

    @property
    def shape(self) -> tuple[int, int]:
        """``(N, K)``."""
        return self.rows, self.columns

    @property
    def device(self) -> torch.device:
        """Where it is."""
        return self.runs.device

    @property
    def nbytes(self) -> int:
        """How much memory it takes."""
        return self.runs.nbytes

    def integers(self) -> Tensor:
        """int16 ``(N, K)``."""
        return self._integers(self.runs)[: self.rows]

    def scales(self) -> Tensor:
        """float32 ``(N, K / block)``."""
        return self._floats(self.runs, 0)[: self.rows]

    def offsets(self) -> Tensor | None:
        """The same, if there are any."""
        return self._floats(self.runs, 1)[: self.rows] if self.layout.offset else None

    def embedded(self, numbers: Tensor) -> Tensor:
        """Some rows as the float32 numbers that they stand for, ``(..., K)`` for int64 ``(...)``."""
        flat = numbers.reshape(-1)
        runs, place = self.runs.index_select(0, flat // SIDE), (flat % SIDE)
        at = torch.arange(len(flat)) * SIDE + place
        integers, scales = (of.index_select(0, at) for of in (self._integers(runs), self._floats(runs, 0)))
        found = integers.to(torch.float32) * scales.repeat_interleave(self.layout.block, 1)
        if self.layout.offset:
            found = found + self._floats(runs, 1).index_select(0, at).repeat_interleave(self.layout.block, 1)
        return found.view(*numbers.shape, -1)

    def _integers(self, runs: Tensor) -> Tensor:
        layout, (groups, blocks, _) = self.layout, runs.shape
        codes = runs[..., : layout.codes].reshape(groups, blocks, -1, SIDE, _QUAD)
        if layout.bits == 4:
            codes = torch.cat((codes & 15, codes >> 4), 2)
        lying = codes.permute(0, 3, 1, 2, 4).reshape(groups * SIDE, -1)
        return lying.to(torch.int16) - layout.zero

    def _floats(self, runs: Tensor, place: int) -> Tensor:
        found = runs[..., self.layout.codes + _FLOATS * place :][..., :_FLOATS].contiguous().view(torch.float32)
        return found.transpose(1, 2).reshape(len(runs) * SIDE, -1)


@dataclass(frozen=True)
class Stacked:
    """Matrices of codes above each other, which need not be of one kind: each row is computed by itself."""

    parts: Sequence[Coded]

    @property
    def shape(self) -> tuple[int, int]:
        """``(N, K)``."""
        return sum(part.rows for part in self.parts), self.parts[0].columns

    @property
    def nbytes(self) -> int:
        """How much memory they take."""
        return sum(part.nbytes for part in self.parts)


def fits(columns: int, group: int) -> bool:
    """Whether rows of so many columns with such groups are made of whole blocks."""
    return group in (BLOCK // 2, BLOCK) or group % BLOCK == 0 if columns % group == 0 else False


def _filled(x: Tensor, value: int) -> Any:
    """Rows up to a multiple of those that lie beside each other."""
    if not len(x) % SIDE:
        return x
    return torch.nn.functional.pad(x, (0, 0, 0, -len(x) % SIDE), value=value)
