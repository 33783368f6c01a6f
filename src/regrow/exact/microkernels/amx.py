"""AMX: products of whole tiles; see Intel's *Intrinsics Guide* and *Software Developer's Manual*."""

from __future__ import annotations

from typing import Any

import numpy as np

from regrow.exact.microkernels import emission as emit
from regrow.exact.microkernels.instructions import ROW, STEP, TILE
from regrow.exact.microkernels.processor import X86
from regrow.exact.microkernels.unit import LEFT_IN_ORDER, RIGHT_IN_ORDER, Unit, by_runs

# The layout of the tile registers, eight of 16 rows of 64 bytes, the largest there are: palette 1; from byte 16 the
# bytes of a row, 16 bits each, from byte 48 the rows.
_TILES = np.zeros(64, np.uint8)
_TILES[0] = 1
_TILES[16:32:2] = ROW
_TILES[48:56] = 16


def _run(builder: Any, left: Any, right: Any, steps: Any, _offsets: Any, out: Any, stride: Any) -> None:
    """Registers 0 to 3 hold the sums, 4 and 5 tiles of the left operand, 6 and 7 of the right one."""

    def tile(number: int) -> Any:
        return emit.constant(number, emit.BYTE)

    # 2 x 2 sums from 2 + 2 tiles is the best ratio of products to loads that eight registers allow. The int32 sums
    # cannot overflow at the depths that are asked for (`products`), and are stored once.
    for register in range(4):
        emit.call(builder, "llvm.x86.tilezero", tile(register))
    with emit.for_range(builder, steps) as loop:
        place = emit.times(builder, loop.index, STEP)
        # Loaded in the order in which the products below need them, so that the first can start after two loads.
        for register, base, more in ((4, left, 0), (6, right, 0), (7, right, TILE), (5, left, TILE)):
            address = emit.pointer(builder, emit.offset(builder, builder.add(base, place), more))
            emit.call(builder, "llvm.x86.tileloadd64", tile(register), address, emit.constant(ROW))
        for register in range(4):
            operands = tile(4 + register // 2), tile(6 + register % 2)
            emit.call(builder, "llvm.x86.tdpbssd", tile(register), *operands)
    for register in range(4):
        corner = builder.add(out, emit.times(builder, stride, 16 * (register // 2)))
        address = emit.pointer(builder, emit.offset(builder, corner, ROW * (register % 2)))
        emit.call(builder, "llvm.x86.tilestored64", tile(register), address, stride)


def _begin(builder: Any, given: Any) -> None:
    emit.call(builder, "llvm.x86.ldtilecfg", emit.pointer(builder, given))


def _end(builder: Any) -> None:
    """So that the system need not save its registers."""
    emit.call(builder, "llvm.x86.tilerelease")


AMX = Unit(
    "amx", X86, ("avx512f", "avx512bw", "avx512vbmi", "amx-tile", "amx-int8"), LEFT_IN_ORDER, RIGHT_IN_ORDER,
    by_runs(_run), begin=_begin, end=_end, settings=_TILES,
)  # fmt: skip
