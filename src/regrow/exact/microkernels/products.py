"""Integer GEMM backends over the microkernels: int8 digits, multiplied by what the processor has, without torch.

A library's product packs its operands at every call and gives back int32 matrices, which then have to be read again
to be rounded. Here each operand is packed once for all parts of a product, and the parts are rounded while they are
in the first-level cache.
"""

from __future__ import annotations

import ctypes
import platform
from functools import cache
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from regrow.exact.gemm import GemmBackend, Packed
from regrow.exact.grid import LEFT, Block, Digits, Numbers
from regrow.exact.microkernels import attention, kernels
from regrow.exact.microkernels.instructions import STEP
from regrow.exact.microkernels.packing import SIDE
from regrow.exact.microkernels.processor import features
from regrow.exact.microkernels.unit import Unit
from regrow.exact.microkernels.units import UNITS, addresses
from regrow.exact.threads import THREADS

# Linux gives a process the registers of AMX when it asks: arch_prctl(ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA). It is
# asked when a process first looks for a way to multiply, and changes nothing for whoever does not use them.
_ARCH_PRCTL, _REQUEST, _TILE_DATA = 158, 0x1023, 18
# Bytes of the left operand that a thread keeps packed at a time, about half of its second-level cache; and rows: each
# panel of the right operand is read for so many at a time, and every thread should have several chunks.
_CHUNK_BYTES, _CHUNK_ROWS = 1 << 20, 256
# A result of so many bytes is not in the second-level cache any more when it is read: it is written past the caches,
# so that its lines are not read from memory first, which takes as long as the products of a block do.
_STREAMED_BYTES, _LINE = 1 << 20, 64
# So many digits multiplied take as long as a byte to go through, or longer.
_DIGITS_TO_BYTE = 64
# Sums that are added up anyway are cut at this depth, so that a block's panels fit that cache too.
_DEPTH = 4096
# Queries that are multiplied at a time in the gradients of keys and values. Of those that see none of the keys at hand
# fewer are multiplied where there are fewer at a time, but integers are added up more often.
_QUERIES = 256
# Bytes to go through for a number of the result, by what becomes of it: integers of at least one part, float32, float32
# that is read as well, and float64 likewise.
_BYTES_OF_RESULT = {
    kernels.INTEGERS: 4, kernels.ROUNDED: 4, kernels.SUMMED: 8, kernels.ADDED: 16, kernels.SCALED: 4,
}  # fmt: skip
# What a kernel is given for what is none of its kind: of the very type of what it stands for, since for each other one
# Numba would compile the whole kernel once more.
_NO_GRID, _NO_OFFSETS = np.empty((0, 0), np.int32), np.empty((0, 0, 0), np.int32)
_NO_INTEGERS, _NO_FLOATS = np.empty((0,) * 3, np.int32), np.empty((0,) * 3, np.float32)
_NO_DOUBLES, _NO_FACTORS = np.empty((0,) * 3, np.float64), np.empty(0, np.float64)


@cache
def refusal(name: str) -> str:
    """Why a unit is not to be had here, or an empty string."""
    unit = next(unit for unit in UNITS if unit.name == name)
    if missing := [feature for feature in unit.features if feature not in features()]:
        return f"the processor, or what Numba compiles for, lacks {', '.join(missing)}"
    if name == "amx" and (platform.system() != "Linux" or ctypes.CDLL(None).syscall(_ARCH_PRCTL, _REQUEST, _TILE_DATA)):
        return "the system does not give its registers to this process"
    return ""


class _Operand(NamedTuple):
    """Planes of digits as kernels take them, or numbers. Whoever has one keeps the tensors.

    Attributes:
        addresses: of three planes, the highest digits first; where there are fewer, of some of them again.
        strides: from group to group, outer to outer, and along the depth.
        planes: how many.
        groups: how many matrices.
        outer: rows of a left one, columns of a right one.
        depth: what is summed over.
        numbers: float32 ``(groups, rows, columns)`` whose digits are made while they are packed; empty for digits.
        by_row: whether rows of the numbers have a grid each, or columns.
    """

    addresses: tuple[int, int, int]
    strides: tuple[int, int, int]
    planes: int
    groups: int
    outer: int
    depth: int
    numbers: Any = _NO_FLOATS
    by_row: bool = True

    @staticmethod
    def of(planes: list[Tensor]) -> _Operand:
        """Of planes ``(G, outer, depth)``, whose strides are the same."""
        first, second, third = (plane.data_ptr() for plane in (planes * 3)[:3])
        group, outer, depth = planes[0].stride()
        return _Operand((first, second, third), (group, outer, depth), len(planes), *planes[0].shape)

    @staticmethod
    def digits(digits: Digits) -> _Operand:
        """Of both digits; what :meth:`of` makes of their planes, without making these."""
        # Digits are a byte each, so that strides are bytes.
        layout, (group, *inner), (groups, *lengths) = digits.layout, digits.data.stride(), digits.data.shape
        plane = inner.pop(0 if layout.stacked else 1)
        lengths.pop(0 if layout.stacked else 1)
        if not layout.by_row:
            inner.reverse()
            lengths.reverse()
        start = digits.data.data_ptr()
        high, low = (start + plane, start) if layout.right else (start, start + plane)
        return _Operand((high, low, high), (group, inner[0], inner[1]), 2, groups, lengths[0], lengths[1])

    @staticmethod
    def of_numbers(given: Numbers) -> _Operand:
        """Of what is to become digits."""
        x, by_row = given.data.numpy(), given.layout.by_row
        groups, rows, columns = x.shape
        outer, depth = (rows, columns) if by_row else (columns, rows)
        return _Operand((0, 0, 0), (0, 0, 0), 2, groups, outer, depth, x, by_row)

    def part(self, start: int, stop: int) -> _Operand:
        """Some of the depth."""
        step = start * self.strides[2]
        first, second, third = self.addresses
        return self._replace(addresses=(first + step, second + step, third + step), depth=stop - start)


class MicrokernelProducts:
    """Products of operands with all their digits; see :class:`regrow.exact.gemm.FusedProducts`."""

    def __init__(self, unit: Unit) -> None:
        self._unit = unit

    def integers(self, left: Tensor, right: Tensor) -> Tensor:
        """int32 ``(G, P, K) x (G, K, Q)``."""
        rows, columns = _Operand.of([left]), _Operand.of([right.mT])
        out = torch.empty((rows.groups, rows.outer, columns.outer), dtype=torch.int32)
        panels = self._panels(columns, 1)
        self._multiply(rows, panels, columns.outer, kernels.INTEGERS, integers=out.numpy())
        return out

    def pack(self, right: Digits | Numbers) -> Packed:
        """See :class:`regrow.exact.gemm.Packed`."""
        operand, exponents = _factor(right)
        return Packed(exponents, operand.depth, self._panels(operand, 2, exponents.numpy()))

    def matmul(
        self, left: Digits | Numbers, right: Digits | Numbers | Packed, onto: Tensor | None = None
    ) -> Tensor:  # fmt: skip
        """See :meth:`regrow.exact.backend.Backend.matmul`."""
        # Two digits each give the parts HH and HL + LH; LL is left out, by definition.
        packed, (operand, exponents) = self._packed(right), _factor(left)
        wide, kind = packed.exponents.shape[1], kernels.ROUNDED if onto is None else kernels.SUMMED
        shape = operand.groups, operand.outer, wide
        out = torch.empty(shape, dtype=torch.float32) if onto is None else onto
        grids = exponents.numpy(), packed.exponents.numpy()
        self._multiply(operand, packed.panels, wide, kind, grids, floats=out.numpy())
        return out

    def accumulate(self, left: list[Tensor], right: Digits, total: Tensor) -> None:
        """Add the exact integers of two or three planes ``(G, P, K)``, the highest first, to float64
        ``(G, P or more, Q)``.
        """
        rows, columns, doubles = _Operand.of(left), _Operand.digits(right), total.numpy()
        for start in range(0, columns.depth, _DEPTH):
            stop = min(columns.depth, start + _DEPTH)
            panels = self._panels(columns.part(start, stop), rows.planes)
            self._multiply(rows.part(start, stop), panels, columns.outer, kernels.ADDED, doubles=doubles)

    def scaled(self, left: list[Tensor], right: Digits, factors: Tensor, out: Tensor) -> None:
        """See :meth:`regrow.exact.gemm.FusedProducts.scaled`."""
        rows, columns = _Operand.of(left), _Operand.digits(right)
        panels = self._panels(columns, rows.planes)
        self._multiply(rows, panels, columns.outer, kernels.SCALED, factors=factors.numpy(), floats=out.numpy())

    def attend(
        self, block: Block, queries: Digits, keys: Digits | Packed, values: Digits | Packed, scale: float,
        weights: Tensor, totals: Tensor, out: Tensor,
    ) -> None:  # fmt: skip
        """See :meth:`regrow.exact.backend.Backend.attend`."""
        seen, means = self._packed(keys), self._packed(values)
        threads = _attention_threads(weights, queries.depth)
        attention.attend(
            *self._rows(block, queries), *seen.panels, *means.panels, *_exponents(queries, seen, means),
            np.float32(scale), *self._buffers(threads, queries.depth, block.keys), weights.numpy(), totals.numpy(),
            out.numpy(), threads=threads,
        )  # fmt: skip

    def attend_backward(
        self, block: Block, gradients: Digits, values: Digits | Packed, keys: Digits | Packed, scale: float,
        weights: Tensor, totals: Tensor, delta: Tensor, out: Tensor,
    ) -> Digits:  # fmt: skip
        """See :meth:`regrow.exact.backend.Backend.attend_backward`."""
        seen, means = self._packed(values), self._packed(keys)
        digits = Digits(torch.empty_like(weights), torch.empty(weights.shape[:2], dtype=torch.int32), LEFT)
        threads = _attention_threads(weights, gradients.depth)
        attention.attend_backward(
            *self._rows(block, gradients), *seen.panels, *means.panels, *_exponents(gradients, seen, means),
            np.float32(scale), *self._buffers(threads, gradients.depth, block.keys), weights.numpy(),
            totals.numpy(), delta.numpy(), digits.data.numpy(), digits.exponents.numpy(), out.numpy(), threads=threads,
        )  # fmt: skip
        return digits

    def over_queries(self, blocks: list[Block], weights: list[Tensor], right: Digits) -> Tensor:
        """See :meth:`regrow.exact.backend.Backend.over_queries`."""
        operand, left, held = _Operand.digits(right), self._unit.left[2], self._unit.right[2].size
        packed, table = [], []
        for block, digits in zip(blocks, weights, strict=True):
            group, row, plane, _ = digits.stride()
            for start in range(0, digits.shape[1], _QUERIES):
                stop = min(digits.shape[1], start + _QUERIES)
                part = operand.part(block.rows.start + start, block.rows.start + stop)
                panels, offsets = self._panels(part, 2)
                packed.append((panels, offsets))  # whose memory is to last
                table.append(
                    (digits.data_ptr() + start * row, group, row, plane, stop - start, block.keys, panels.ctypes.data,
                     offsets.ctypes.data if offsets.size else 0, block.first + stop)
                )  # fmt: skip
        out = torch.empty((operand.groups, max(block.keys for block in blocks), operand.outer), dtype=torch.float32)
        threads = THREADS.worth(sum(digits.numel() for digits in weights) * operand.outer // _DIGITS_TO_BYTE)
        side, wide = SIDE, -(-operand.outer // SIDE)
        attention.over_queries(
            addresses(self._unit), left.padded, left.size, held, np.array(table, np.int64),
            right.exponents.contiguous().numpy(), _buffer(threads, 2 * left.size * -(-_QUERIES // 64) * STEP),
            _buffer(threads, 2, side, side, dtype=torch.int32),
            _buffer(threads, 2, wide, 2, side, side, dtype=torch.int32), out.numpy(), threads=threads,
        )  # fmt: skip
        return out

    def _rows(self, block: Block, operand: Digits) -> tuple[Any, ...]:
        """The rows of a block, as kernels of attention take them."""
        found = _Operand.digits(operand)
        (high, low, _), (group, row, _) = found.addresses, found.strides
        places = self._unit.left[2].padded
        return addresses(self._unit), places, block.rows.start, block.first, high, (group, row, low - high), found.depth

    def _buffers(self, threads: int, width: int, keys: int) -> tuple[Any, Any, Any]:
        """Each thread's panel, parts of scores, and parts of output, for attention."""
        side, planes = SIDE, self._unit.left[2].size
        panel = _buffer(threads, planes * max(-(-width // 64), -(-keys // 64)) * STEP)
        sums = _buffer(threads, 2, side, -(-keys // side) * side, dtype=torch.int32)
        return panel, sums, _buffer(threads, 2, side, side, dtype=torch.int32)

    def _packed(self, right: Digits | Numbers | Packed) -> Packed:
        return right if isinstance(right, Packed) else self.pack(right)

    def _multiply(
        self,
        left: _Operand,
        panels: tuple[Any, Any],
        wide: int,
        kind: int,
        grids: tuple[Any, Any] = (_NO_GRID, _NO_GRID),
        factors: Any = _NO_FACTORS,
        integers: Any = _NO_INTEGERS,
        floats: Any = _NO_FLOATS,
        doubles: Any = _NO_DOUBLES,
    ) -> None:
        """A left operand times the panels of a right one with ``wide`` columns, to where ``kind`` says."""
        parts, steps = left.planes, -(-left.depth // 64)
        panel, held = self._unit.left[parts], self._unit.right[min(parts, 2)]
        rows = left.groups * left.outer
        # What is multiplied, and what is gone through: a narrow product is little of the one and much of the other.
        work = wide * left.depth * parts // _DIGITS_TO_BYTE + left.depth * parts + _BYTES_OF_RESULT[kind] * wide
        threads = THREADS.worth(rows * work)
        chunk = _chunk(left.groups, left.outer, parts * left.depth, threads)
        scratch = _buffer(threads, chunk // SIDE * panel.size * steps * STEP)
        blocks = _buffer(threads, parts, SIDE, SIDE, dtype=torch.int32)
        kernels.multiply(
            addresses(self._unit), left.addresses, (*panel.padded, panel.size), left.strides, left.numbers,
            left.by_row, left.groups, (parts, held.size), left.outer, wide, left.depth, chunk,
            kind == kernels.ROUNDED and _streamed(floats), *panels, scratch, blocks, kind, *grids, factors, integers,
            floats, doubles, threads=threads,
        )  # fmt: skip

    def _panels(self, right: _Operand, parts: int, exponents: Any = _NO_GRID) -> tuple[Any, Any]:
        """The panels of a right operand, and the offsets of the parts if the unit asks for such; ``exponents`` take
        those of numbers.
        """
        panel, unit = self._unit.right[right.planes], self._unit
        panels = right.groups * -(-right.outer // SIDE)
        packed = _buffer(panels, panel.size * -(-right.depth // 64) * STEP)
        offsets = _buffer(panels, right.planes, SIDE, dtype=torch.int32) if unit.shift else _NO_OFFSETS
        kernels.pack_right(
            addresses(unit), right.addresses, (*panel.padded, panel.size), right.strides, right.numbers, right.by_row,
            right.groups, right.planes, right.outer, right.depth, unit.shift, exponents, packed, offsets,
            threads=THREADS.worth(packed.nbytes + right.numbers.nbytes),
        )  # fmt: skip
        if unit.shift:
            chosen = unit.offsets[0], *[unit.offsets[1]] * (parts - 1)
            there = [[plane for plane in some if plane < right.planes] for some in chosen]
            offsets = np.stack([offsets[:, some].sum(1, dtype=np.int32) for some in there], 1)
        return packed, offsets


def _factor(given: Digits | Numbers) -> tuple[_Operand, Tensor]:
    """An operand, and its exponents, or room for them."""
    if isinstance(given, Numbers):
        operand = _Operand.of_numbers(given)
        return operand, torch.empty((operand.groups, operand.outer), dtype=torch.int32)
    return _Operand.digits(given), given.exponents.contiguous()


def _chunk(groups: int, outer: int, bytes_of_row: int, threads: int) -> int:
    """Rows to a chunk, a multiple of a block's: as many as the cache holds packed, because a chunk goes over the whole
    right operand, which so is read from memory as often as there are chunks; but something for every thread.
    """
    rows = min(_CHUNK_ROWS, _CHUNK_BYTES // bytes_of_row, -(-outer * groups // threads))
    return max(1, -(-rows // SIDE)) * SIDE


def _streamed(out: Any) -> bool:
    """Whether a result is written past the caches."""
    lines = out.ctypes.data % _LINE == 0 and all(stride % _LINE == 0 for stride in out.strides[:-1])
    return bool(lines and out.nbytes >= _STREAMED_BYTES)


def _buffer(*shape: int, dtype: torch.dtype = torch.int8) -> Any:
    """Memory for kernels. It is torch's, which begins at a cache line: a tile whose rows lie across two lines each
    takes three and a half times as long to load, and NumPy's memory need not.
    """
    return torch.empty(shape, dtype=dtype).numpy()


def _exponents(rows: Digits, *columns: Packed) -> tuple[Any, ...]:
    return rows.exponents.contiguous().numpy(), *(operand.exponents.numpy() for operand in columns)


def _attention_threads(weights: Tensor, width: int) -> int:
    """How many threads attention is worth, whose digits of weights these are: float32 scores, and two products."""
    return THREADS.worth(2 * weights.numel() + weights.numel() * width // _DIGITS_TO_BYTE)


def _gemm(unit: Unit) -> GemmBackend:
    # The widest part of a product, HL + LH, has two products of at most 2**12 for each of the depth: 2**17 * 2 * 2**12
    # is 2**30, within int32. Shifted digits reach 2**13 on the way and may wrap around, which integers modulo 2**32
    # survive, since no unit saturates; what is added for the shift is taken off by the offsets.
    products = MicrokernelProducts(unit)
    return GemmBackend(unit.name, torch.int8, 1 << 17, products.integers, products)


GEMM_BACKENDS = tuple(_gemm(unit) for unit in UNITS if unit.architecture.here)
