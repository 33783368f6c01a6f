"""What a unit that multiplies digits is: a file for each kind of them says what the kernels ask of it.

A unit is given panels: a block's share of an operand, 32 rows or columns over the whole depth, in tiles (see
:mod:`regrow.exact.microkernels.instructions`). Where in a panel each plane of digits goes, and what becomes of it
there, is the unit's to say; what it gives is the same for all: of a block, 32 x 32 int32 sums for each part of the
product.

* Of single digits: their product.
* Of two planes ``(h, l)`` each: parts whose sum ``2**7 first + second`` is that of ``2**7 h h' + (h l' + l h')``.
* Of three ``(t, m, b)`` and two: ``2**14 first + 2**7 second + third`` is that of
  ``2**14 t h' + 2**7 (t l' + m h') + (m l' + b h')``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from regrow.exact.microkernels import emission as emit
from regrow.exact.microkernels.instructions import STEP
from regrow.exact.microkernels.processor import Architecture

Emitter = Callable[..., None]
"""Writes instructions, given LLVM's builder and int64 values."""


@dataclass(frozen=True)
class Panel:
    """Where planes lie in a panel, the highest digits first.

    Attributes:
        places: of each plane, in multiples of what one takes.
        size: of the panel, likewise.
    """

    places: tuple[int, ...]
    size: int

    @property
    def padded(self) -> tuple[int, int, int]:
        """The places of three planes, of which some may not be there: kernels take as many always."""
        first, second, third = (*self.places, 0, 0)[:3]
        return first, second, third


def nothing(_builder: Any, *_values: Any) -> None:
    """No instructions."""


@dataclass(frozen=True, eq=False)
class Unit:
    """A unit.

    Attributes:
        name: of the GEMM backend.
        architecture: of the processors that may have it.
        features: what LLVM calls what the processor must have.
        left: panels of a left operand, by the number of its planes.
        right: panels of a right one.
        block: given addresses of a panel of each, the number of the left one's planes, the steps, the addresses of the
            offsets (32 int32 for each part, to be added to every row) and of the sums, how far the parts are apart, and
            the stride of their rows.
        shallow: a block of two planes and one step, of which nothing is but zeros beyond so many eights of the depth:
            given the panels, these eights, and what ``block`` is given from the offsets on; None for ``block`` itself.
        finish_left: makes what the unit wants of a panel; given its address, the number of planes, and the steps.
        finish_right: likewise.
        begin: makes the unit ready on a thread, given the address of ``settings``.
        end: gives it back.
        shift: what is added to the left digits. The offsets make up for it: of each part, the columns of these planes
            of the right operand, summed and multiplied by it, are taken off.
        offsets: the planes for the first part, and those for the others.
        settings: what ``begin`` is told, bytes.
    """

    name: str
    architecture: Architecture
    features: tuple[str, ...]
    left: Mapping[int, Panel]
    right: Mapping[int, Panel]
    block: Emitter
    shallow: Emitter | None = None
    finish_left: Emitter = nothing
    finish_right: Emitter = nothing
    begin: Emitter = nothing
    end: Emitter = nothing
    shift: int = 0
    offsets: tuple[tuple[int, ...], tuple[int, ...]] = ((), ())
    settings: Any = field(default_factory=lambda: np.zeros(1, np.uint8))


# Planes one after the other. Those of a left operand in order, those of a right one in the opposite order, so that each
# part is one run over both: digits of the left from plane ``j - 1`` on times those of the right.
LEFT_IN_ORDER = {n: Panel(tuple(range(n)), n) for n in (1, 2, 3)}
RIGHT_IN_ORDER = {1: Panel((0,), 1), 2: Panel((1, 0), 2)}


def by_runs(run: Emitter) -> Emitter:
    """A block of planes in order, from what multiplies along one run: given both addresses, the steps, the address of
    the offsets, that of the sums, and their stride.
    """

    def write(
        builder: Any, left: Any, right: Any, planes: Any, steps: Any, offsets: Any, out: Any, apart: Any, stride: Any
    ) -> None:  # fmt: skip
        zero, one = emit.constant(0), emit.constant(1)
        size = emit.times(builder, steps, STEP)
        high = builder.select(builder.icmp_signed(">", planes, one), size, zero)
        with emit.for_range(builder, planes) as part:
            # HH from where the right operand's high digits begin, HL + LH over twice the depth.
            first = builder.icmp_signed("==", part.index, zero)
            here = builder.mul(size, builder.select(first, zero, builder.sub(part.index, one)))
            there = builder.select(first, high, zero)
            run(
                builder, builder.add(left, here), builder.add(right, there),
                builder.select(first, steps, emit.times(builder, steps, 2)),
                builder.add(offsets, emit.times(builder, part.index, 128)),
                builder.add(out, builder.mul(part.index, apart)), stride,
            )  # fmt: skip

    return write
