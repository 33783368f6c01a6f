"""AVX512-VNNI and AVX-VNNI: four products of bytes, of which one is unsigned, added to each int32 (VPDPBUSD).

So the left digits are taken plus 64. Sums may pass 2**31 on the way to one that does not, and wrap around: it is not
VPDPBUSDS, which saturates.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from llvmlite.binding import llvm_version_info

from regrow.exact.microkernels import emission as emit
from regrow.exact.microkernels.instructions import ROW, STEP, TILE
from regrow.exact.microkernels.processor import X86
from regrow.exact.microkernels.unit import LEFT_IN_ORDER, RIGHT_IN_ORDER, Emitter, Unit, by_runs

_SHIFT = 64


def add_shift(builder: Any, panel: Any, rows: Any) -> None:
    """Add 64 to the digits of so many rows of a tile."""
    with emit.for_range(builder, rows) as loop:
        place = builder.add(panel, emit.times(builder, loop.index, ROW))
        digits = builder.add(emit.load(builder, emit.BYTES_64, place), emit.constants(_SHIFT, emit.BYTES_64))
        emit.store(builder, digits, place)


def _shifted(builder: Any, panel: Any, planes: Any, steps: Any) -> None:
    add_shift(builder, panel, emit.times(builder, builder.mul(planes, steps), STEP // ROW))


def dot(builder: Any, total: Any, unsigned: Any, signed: Any) -> Any:
    """Four products of bytes, added to each int32: VPDPBUSD, unsigned times signed, hence the shift of the left digits.
    Not VPDPBUSDS, which saturates: sums may pass 2**31 on the way to one that does not, and then must wrap around.
    """
    of = total.type
    # LLVM 22 takes vectors of bytes, those before it vectors of integers.
    operand = ir.VectorType(emit.BYTE, 4 * of.count) if llvm_version_info[0] >= 22 else of
    operands = [builder.bitcast(x, operand) for x in (unsigned, signed)]
    return emit.call(builder, f"llvm.x86.avx512.vpdpbusd.{32 * of.count}", total, *operands, gives=of)


def _runs(lanes: int, heights: tuple[int, ...]) -> Emitter:
    """Runs by registers of so many int32; so many rows at a time, whose sums of 32 columns, or 16 where registers are
    few, stay in two registers each.
    """
    of = ir.VectorType(emit.INT, lanes)
    # Where in a step the digits of a register's columns begin: 16 columns to a tile.
    pairs = [[divmod(lanes * (2 * pair + i), 16) for i in range(2)] for pair in range(16 // lanes)]

    def rows_of(builder: Any, left: Any, right: Any, steps: Any, starts: list[Any], height: int) -> list[list[Any]]:
        """The sums of some rows; ``right`` gives the address of each register's columns."""
        # They are memory here, and registers once LLVM has promoted it.
        sums = [[emit.alloca(builder, of) for _ in range(2)] for _ in range(height)]
        for row in sums:
            for total, start in zip(row, starts, strict=True):
                builder.store(start, total)
        with emit.for_range(builder, steps) as loop:
            step = emit.times(builder, loop.index, STEP)
            for word in range(16):
                columns = [
                    emit.load(builder, of, emit.offset(builder, builder.add(r, step), word * ROW)) for r in right
                ]
                for number, row in enumerate(sums):
                    place = emit.offset(builder, builder.add(left, step), number * ROW + 4 * word)
                    digits = emit.broadcast(builder, emit.load(builder, emit.INT, place), lanes)
                    for total, some in zip(row, columns, strict=True):
                        builder.store(dot(builder, builder.load(total), digits, some), total)
        return [[builder.load(total) for total in row] for row in sums]

    def run(builder: Any, left: Any, right: Any, steps: Any, offsets: Any, out: Any, stride: Any) -> None:
        for pair in pairs:
            at = [4 * (16 * tile + column) for tile, column in pair]
            # The sums start at the offsets instead of 0, so that taking off what the shift adds is free.
            starts = [emit.load(builder, of, emit.offset(builder, offsets, place)) for place in at]
            columns = [emit.offset(builder, right, tile * TILE + 4 * column) for tile, column in pair]
            first = 0
            for height in heights:
                rows = emit.offset(builder, left, first * ROW)
                for number, row in enumerate(rows_of(builder, rows, columns, steps, starts, height)):
                    for total, place in zip(row, at, strict=True):
                        target = emit.row(builder, out, stride, first + number)
                        emit.store(builder, total, emit.offset(builder, target, place))
                first += height

    return by_runs(run)


def _unit(name: str, features: tuple[str, ...], block: Callable[..., None]) -> Unit:
    return Unit(
        name, X86, features, LEFT_IN_ORDER, RIGHT_IN_ORDER, block, finish_left=_shifted, shift=_SHIFT,
        offsets=((0,), (0, 1)),
    )  # fmt: skip


# 11 rows of 2 x 16 sums take 22 of 32 registers: more sums that do not wait for each other than the instruction's
# latency of 5 cycles on two ports asks for, and a row of the right operand that is loaded serves 11 instructions, which
# matters where it comes from the second-level cache. With 16 registers there are at most 12 such sums.
VNNI = _unit("vnni", ("avx512f", "avx512bw", "avx512vnni"), _runs(16, (11, 11, 10)))
AVXVNNI = _unit("avxvnni", ("avx2", "avxvnni"), _runs(8, (6, 6, 5, 5, 5, 5)))
