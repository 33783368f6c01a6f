"""Arm's vectors of 16 bytes, with the products of bytes that a processor has (*Arm Architecture Reference Manual*).

* SMMLA (FEAT_I8MM): two rows times two columns, eight products each, added to 2 x 2 int32.
* SDOT (FEAT_DotProd): four products added to each of four int32.
* SMULL, SMLAL and SADALP, which every one has: eight products made words, more added to them, and pairs of words to
  int32. Four products of digits are at most 2**14, so that a word takes four of them.

All are of signed bytes, and sums wrap around. Sums stay in 16 of 32 registers: four wait for nothing in as many units.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir

from regrow.exact.microkernels import emission as emit
from regrow.exact.microkernels.instructions import ROW, STEP, TILE, transposed
from regrow.exact.microkernels.processor import ARM
from regrow.exact.microkernels.unit import LEFT_IN_ORDER, RIGHT_IN_ORDER, Emitter, Unit, by_runs

_INTS, _BYTES, _SHORTS = ir.VectorType(emit.INT, 4), emit.BYTES_16, ir.VectorType(emit.SHORT, 8)
_LOWER, _UPPER = list(range(8)), list(range(8, 16))

Vectors = list[list[Any]]


def _by_pieces(rows: int, columns: int, sums: tuple[int, int], deep: int, add: Emitter, write: Emitter) -> Emitter:
    """Runs by pieces of a block whose sums stay in registers.

    Args:
        rows: of a piece.
        columns: of a piece.
        sums: how many registers they take, down and across.
        deep: bytes of the depth that ``add`` takes at a time.
        add: given the registers' memory, the addresses of a step of the left operand and of the right one, the numbers
            of the first row and the first column, and how many times it has been called for this step.
        write: given what the registers hold, the address of the piece, and the stride of the rows.
    """

    def run(builder: Any, left: Any, right: Any, steps: Any, _offsets: Any, out: Any, stride: Any) -> None:
        # They are memory here, and registers once LLVM has promoted it.
        held = [[emit.alloca(builder, _INTS) for _ in range(sums[1])] for _ in range(sums[0])]
        with (
            emit.for_range(builder, emit.constant(32 // columns)) as across,
            emit.for_range(builder, emit.constant(32 // rows)) as down,
        ):
            row, column = emit.times(builder, down.index, rows), emit.times(builder, across.index, columns)
            for register in (register for some in held for register in some):
                builder.store(emit.constants(0, _INTS), register)
            with emit.for_range(builder, steps) as step, emit.for_range(builder, emit.constant(64 // deep)) as some:
                place = emit.times(builder, step.index, STEP)
                add(builder, held, builder.add(left, place), builder.add(right, place), row, column, some.index)
            corner = builder.add(builder.add(out, builder.mul(row, stride)), emit.times(builder, column, 4))
            write(builder, [[builder.load(register) for register in some] for some in held], corner, stride)

    return by_runs(run)


def _more(builder: Any, name: str, register: Any, first: Any, second: Any) -> None:
    """Add products of bytes to a register's memory."""
    total = emit.call(
        builder, f"llvm.aarch64.neon.{name}.v4i32.v16i8", builder.load(register), first, second, gives=_INTS
    )
    builder.store(total, register)


def _write_rows(builder: Any, sums: Vectors, corner: Any, stride: Any) -> None:
    for number, row in enumerate(sums):
        for place, total in enumerate(row):
            emit.store(builder, total, emit.offset(builder, emit.row(builder, corner, stride, number), 16 * place))


def _at(builder: Any, base: Any, number: Any, size: int) -> Any:
    return builder.add(base, emit.times(builder, number, size))


# SDOT: tiles as they are. Four words of four bytes of a row are a register, of which an instruction takes one for all
# of its columns.


def _add_dots(builder: Any, sums: Vectors, left: Any, right: Any, row: Any, column: Any, quarter: Any) -> None:
    first = _at(builder, _at(builder, left, row, ROW), quarter, 16)
    rows = [emit.load(builder, _BYTES, emit.offset(builder, first, number * ROW)) for number in range(len(sums))]
    # 16 columns to a tile, of which a row has 64 bytes.
    tile, within = builder.lshr(column, emit.constant(4)), builder.and_(column, emit.constant(15))
    start = _at(builder, _at(builder, _at(builder, right, tile, TILE), within, 4), quarter, 4 * ROW)
    for word in range(4):
        columns = [emit.load(builder, _BYTES, emit.offset(builder, start, word * ROW + 16 * i)) for i in range(2)]
        for digits, registers in zip(rows, sums, strict=True):
            words = builder.bitcast(digits, _INTS)
            same = builder.bitcast(emit.shuffle(builder, words, words, [word] * 4), _BYTES)
            for register, some in zip(registers, columns, strict=True):
                _more(builder, "sdot", register, some, same)


# SMMLA: eight bytes of two rows side by side, and of two columns, take the place of two rows of a tile.


def _pair_rows(builder: Any, panel: Any, planes: Any, steps: Any) -> None:
    def pair(builder: Any, first: Any, second: Any) -> list[Any]:
        longs = ir.VectorType(emit.LONG, 8)
        return [builder.bitcast(x, longs) for x in (first, second)]

    _zip_rows(builder, panel, planes, steps, pair)


def _pair_columns(builder: Any, panel: Any, planes: Any, steps: Any) -> None:
    _zip_rows(builder, panel, planes, steps, lambda _builder, first, second: [first, second])


def _zip_rows(builder: Any, panel: Any, planes: Any, steps: Any, as_parts: Any) -> None:
    """Two rows of every tile after the other, their parts in turn."""
    with emit.for_range(builder, emit.times(builder, builder.mul(planes, steps), STEP // (2 * ROW))) as loop:
        place = _at(builder, panel, loop.index, 2 * ROW)
        rows = [emit.load(builder, emit.INTS_16, emit.offset(builder, place, ROW * i)) for i in range(2)]
        first, second = as_parts(builder, *rows)
        half = first.type.count // 2
        for i in range(2):
            turns = [number + other for number in range(half * i, half * (i + 1)) for other in (0, 2 * half)]
            emit.store(builder, emit.shuffle(builder, first, second, turns), emit.offset(builder, place, ROW * i))


def _add_matrices(builder: Any, sums: Vectors, left: Any, right: Any, row: Any, column: Any, eighth: Any) -> None:
    first = _at(builder, _at(builder, left, row, ROW), eighth, 16)
    rows = [emit.load(builder, _BYTES, emit.offset(builder, first, pair * 2 * ROW)) for pair in range(len(sums))]
    tile, within = builder.lshr(column, emit.constant(4)), builder.and_(column, emit.constant(15))
    start = _at(builder, _at(builder, _at(builder, right, tile, TILE), within, 8), eighth, 2 * ROW)
    columns = [emit.load(builder, _BYTES, emit.offset(builder, start, 16 * pair)) for pair in range(len(sums[0]))]
    for digits, registers in zip(rows, sums, strict=True):
        for register, some in zip(registers, columns, strict=True):
            _more(builder, "smmla", register, digits, some)


def _write_matrices(builder: Any, sums: Vectors, corner: Any, stride: Any) -> None:
    halves = [0, 1, 4, 5], [2, 3, 6, 7]
    rows = [
        [emit.shuffle(builder, some[i], some[i + 1], half) for i in range(0, len(some), 2)]
        for some in sums
        for half in halves
    ]
    _write_rows(builder, rows, corner, stride)


# Without either: rows and columns are both along the depth, a sum is four partial ones in a register.


def _turn_columns(builder: Any, panel: Any, planes: Any, steps: Any) -> None:
    with emit.for_range(builder, emit.times(builder, builder.mul(planes, steps), STEP // TILE)) as loop:
        rows = [emit.offset(builder, _at(builder, panel, loop.index, TILE), ROW * row) for row in range(16)]
        for value, place in zip(
            transposed(builder, [emit.load(builder, emit.INTS_16, x) for x in rows]), rows, strict=True
        ):
            emit.store(builder, value, place)


def _add_long_products(builder: Any, sums: Vectors, left: Any, right: Any, row: Any, column: Any, half: Any) -> None:
    rows, columns = (
        [
            [emit.load(builder, _BYTES, emit.offset(builder, first, number * ROW + 16 * i)) for i in range(2)]
            for number in range(4)
        ]
        for first in (
            _at(builder, _at(builder, base, number, ROW), half, 32) for base, number in ((left, row), (right, column))
        )
    )
    for digits, registers in zip(rows, sums, strict=True):
        for register, some in zip(registers, columns, strict=True):
            words = None
            for x, y in zip(digits, some, strict=True):
                for part in (_LOWER, _UPPER):
                    factors = (emit.shuffle(builder, z, z, part) for z in (x, y))
                    product = emit.call(builder, "llvm.aarch64.neon.smull.v8i16", *factors, gives=_SHORTS)
                    words = product if words is None else builder.add(words, product)
            pairs = emit.call(builder, "llvm.aarch64.neon.saddlp.v4i32.v8i16", words, gives=_INTS)
            builder.store(builder.add(builder.load(register), pairs), register)


def _write_partial(builder: Any, sums: Vectors, corner: Any, stride: Any) -> None:
    def pairs(first: Any, second: Any) -> Any:
        return emit.call(builder, "llvm.aarch64.neon.addp.v4i32", first, second, gives=_INTS)

    _write_rows(builder, [[pairs(pairs(a, b), pairs(c, d))] for a, b, c, d in sums], corner, stride)


SMMLA = Unit(
    "smmla", ARM, ("neon", "dotprod", "i8mm"), LEFT_IN_ORDER, RIGHT_IN_ORDER,
    _by_pieces(8, 8, (4, 4), 8, _add_matrices, _write_matrices), finish_left=_pair_rows, finish_right=_pair_columns,
)  # fmt: skip
SDOT = Unit(
    "sdot", ARM, ("neon", "dotprod"), LEFT_IN_ORDER, RIGHT_IN_ORDER,
    _by_pieces(8, 8, (8, 2), 16, _add_dots, _write_rows),
)  # fmt: skip
NEON = Unit(
    "neon", ARM, ("neon",), LEFT_IN_ORDER, RIGHT_IN_ORDER,
    _by_pieces(4, 4, (4, 4), 32, _add_long_products, _write_partial), finish_right=_turn_columns,
)  # fmt: skip
