"""The instructions of the packed products, as functions that Numba's kernels call.

Addresses and strides are int64, in bytes. A *tile* is 16 rows of 64 bytes, one after the other:

* of a left operand, a row is 64 digits of the depth;
* of a right operand, it holds 4 digits of the depth for each of 16 columns, so that a tile has the same 64 of depth.

Which unit multiplies follows from the type of the first argument, so that a kernel is compiled for one of them only:
see :data:`AMX` and :data:`VNNI`. Intel's *Intrinsics Guide* and *Software Developer's Manual* define the instructions,
LLVM's language reference and ``IntrinsicsX86.td`` their names here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import ir
from llvmlite.binding import llvm_version_info
from numba import extending, types
from numba.core import cgutils

_intrinsic: Any = extending.intrinsic
_alloca: Any = cgutils.alloca_once

_BYTE, _INT, _LONG = ir.IntType(8), ir.IntType(32), ir.IntType(64)
_POINTER = _BYTE.as_pointer()
_BYTES_16, _BYTES_64, _INTS_16 = ir.VectorType(_BYTE, 16), ir.VectorType(_BYTE, 64), ir.VectorType(_INT, 16)
_FLOATS_16, _DOUBLES_16 = ir.VectorType(ir.FloatType(), 16), ir.VectorType(ir.DoubleType(), 16)

ROW = 64  # bytes of a row of a tile
TILE = 16 * ROW
# What a step along the depth takes from an operand's panel: two tiles, 32 rows or columns. They lie one after the
# other, so that a run over the depth is a run over the memory, which the processor fetches ahead.
STEP = 2 * TILE
# Rows whose sums VNNI keeps in registers: 8 rows of 2 x 16 sums take 16 of the 32, and 16 sums that do not wait for
# each other are more than the instruction's latency of 5 cycles on two ports asks for. A row of the right operand that
# is loaded serves 8 instructions.
_BLOCK_ROWS = 8

# The first argument of `begin` and `block`: the layout of AMX's tile registers, eight of 16 rows of 64 bytes, the
# largest there are (palette 1; from byte 16 the bytes of a row, 16 bits each, from byte 48 the rows); and something of
# another type.
AMX = np.zeros(64, np.uint8)
AMX[0] = 1
AMX[16:32:2] = ROW
AMX[48:56] = 16
VNNI = np.zeros(1, np.int8)


def _constant(value: int, of: Any = _LONG) -> Any:
    return ir.Constant(of, value)


def _call(builder: Any, name: str, *arguments: Any, gives: Any = None) -> Any:
    known = builder.module.globals.get(name)
    of = ir.FunctionType(gives or ir.VoidType(), [a.type for a in arguments])
    return builder.call(known or ir.Function(builder.module, of, name), arguments)


def _pointer(builder: Any, address: Any, to: Any = _BYTE) -> Any:
    return builder.inttoptr(address, to.as_pointer())


def _offset(builder: Any, address: Any, offset: int) -> Any:
    return builder.add(address, _constant(offset))


def _row(builder: Any, address: Any, stride: Any, number: int) -> Any:
    return builder.add(address, builder.mul(stride, _constant(number)))


def _load(builder: Any, of: Any, address: Any) -> Any:
    # Alignment 1: operands are views of any tensor. Where the address happens to be aligned it costs nothing.
    return builder.load(_pointer(builder, address, of), align=1)


def _store(builder: Any, value: Any, address: Any) -> None:
    builder.store(value, _pointer(builder, address, value.type), align=1)


def _shuffle(builder: Any, x: Any, y: Any, places: list[int]) -> Any:
    return builder.shuffle_vector(x, y, ir.Constant(ir.VectorType(_INT, len(places)), places))


def _is_amx(unit: Any) -> bool:
    return bool(unit.dtype == types.uint8)


def _void_intrinsic(write: Callable[..., None], *arguments: Any) -> tuple[Any, Any]:
    """What an intrinsic is: its signature, and what writes its instructions. It gives nothing.

    The instructions become a function that is not inlined, because there are many of them and compilers take long.
    """

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        given = [value for value, of in zip(values, signature.args, strict=True) if isinstance(of, types.Integer)]
        module, title = builder.module, f"regrow.{write.__qualname__.split('.')[0]}"
        function = module.globals.get(title)
        if function is None:
            function = ir.Function(module, ir.FunctionType(ir.VoidType(), [value.type for value in given]), title)
            function.linkage = "internal"
            function.attributes.add("noinline")
            inside = ir.IRBuilder(function.append_basic_block("entry"))
            write(inside, *function.args)
            inside.ret_void()
        builder.call(function, given)
        return context.get_dummy_value()

    return types.void(*arguments), generate


_A = types.int64  # an address, a stride or a count


@_intrinsic
def load_byte(_typing: Any, address: Any) -> Any:
    """The int8 at an address."""
    return types.int8(_A), lambda _context, builder, _signature, v: _load(builder, _BYTE, v[0])


@_intrinsic
def store_byte(_typing: Any, value: Any, address: Any) -> Any:
    """Write an int8 to an address."""
    return _void_intrinsic(_store, types.int8, _A)


@_intrinsic
def clear_tile(_typing: Any, target: Any) -> Any:
    """Make a tile zero."""

    def write(builder: Any, target: Any) -> None:
        for row in range(16):
            _store(builder, ir.Constant(_BYTES_64, [0] * ROW), _offset(builder, target, row * ROW))

    return _void_intrinsic(write, _A)


@_intrinsic
def copy_tile(_typing: Any, source: Any, stride: Any, target: Any) -> Any:
    """A tile of 16 rows of 64 bytes."""

    def write(builder: Any, source: Any, stride: Any, target: Any) -> None:
        for row in range(16):
            value = _load(builder, _BYTES_64, _row(builder, source, stride, row))
            _store(builder, value, _offset(builder, target, row * ROW))

    return _void_intrinsic(write, _A, _A, _A)


@_intrinsic
def transpose_tile(_typing: Any, source: Any, stride: Any, target: Any) -> Any:
    """A tile of the transpose of 16 rows of 16 words of four bytes. In place if the stride is a row's."""

    def write(builder: Any, source: Any, stride: Any, target: Any) -> None:
        rows = [_load(builder, _INTS_16, _row(builder, source, stride, row)) for row in range(16)]
        # Each round exchanges one bit of the number of the row with the same bit of the number of the column: 64
        # shuffles of registers for 256 words, where gathering them would be 256 loads.
        for bit in (1, 2, 4, 8):
            upper = [c if not c & bit else 16 + (c ^ bit) for c in range(16)]
            lower = [c | bit if not c & bit else 16 + c for c in range(16)]
            for row in (row for row in range(16) if not row & bit):
                pair = rows[row], rows[row | bit]
                rows[row], rows[row | bit] = _shuffle(builder, *pair, upper), _shuffle(builder, *pair, lower)
        for row in range(16):
            _store(builder, rows[row], _offset(builder, target, row * ROW))

    return _void_intrinsic(write, _A, _A, _A)


@_intrinsic
def interleave_tile(_typing: Any, source: Any, stride: Any, target: Any) -> Any:
    """A tile of 64 rows of 16 bytes, four rows to a row: their bytes side by side, column by column."""

    def write(builder: Any, source: Any, stride: Any, target: Any) -> None:
        # Byte 4 c + i of the result is byte c of row i of four. One shuffle of 64 bytes, after two that only join.
        places = [16 * (byte % 4) + byte // 4 for byte in range(ROW)]
        for row in range(16):
            first, second, third, fourth = (
                _load(builder, _BYTES_16, _row(builder, source, stride, 4 * row + i)) for i in range(4)
            )
            upper = _shuffle(builder, first, second, list(range(32)))
            lower = _shuffle(builder, third, fourth, list(range(32)))
            _store(builder, _shuffle(builder, upper, lower, places), _offset(builder, target, row * ROW))

    return _void_intrinsic(write, _A, _A, _A)


@_intrinsic
def interleave_tiles(_typing: Any, source: Any, stride: Any, target: Any, apart: Any) -> Any:
    """Four tiles of 64 rows of 64 bytes, as :func:`interleave_tile`; two at ``target``, two ``apart`` from there.

    Rows that lie a power of two apart share a set of the cache, so each line is read once only.
    """

    def write(builder: Any, source: Any, stride: Any, target: Any, apart: Any) -> None:
        targets = [_offset(builder, base, TILE * i) for base in (target, builder.add(target, apart)) for i in range(2)]
        # A loop and not 16 times the code, which would be slow to compile. Rows 0 and 1 are interleaved, rows 2 and 3,
        # and then the pairs: shuffles of two registers, since no shuffle takes four.
        with cgutils.for_range(builder, _constant(16)) as loop:
            four = builder.mul(loop.index, _constant(4))
            base = builder.add(source, builder.mul(stride, four))
            rows = [_load(builder, _BYTES_64, _row(builder, base, stride, i)) for i in range(4)]
            place = _times(builder, loop, ROW)
            for half in range(2):
                pairs = [32 * half + byte // 2 + 64 * (byte % 2) for byte in range(64)]
                upper = _shuffle(builder, rows[0], rows[1], pairs)
                lower = _shuffle(builder, rows[2], rows[3], pairs)
                for quarter in range(2):
                    words = [32 * quarter + byte // 4 * 2 + byte % 2 + 64 * (byte % 4 // 2) for byte in range(64)]
                    address = builder.add(targets[2 * half + quarter], place)
                    _store(builder, _shuffle(builder, upper, lower, words), address)

    return _void_intrinsic(write, _A, _A, _A, _A)


@_intrinsic
def begin(_typing: Any, unit: Any, settings: Any) -> Any:
    """Make a unit ready on this thread; ``settings`` is the address of the unit's array."""

    def write(builder: Any, settings: Any) -> None:
        if _is_amx(unit):
            _call(builder, "llvm.x86.ldtilecfg", _pointer(builder, settings))

    return _void_intrinsic(write, unit, _A)


@_intrinsic
def end(_typing: Any, unit: Any) -> Any:
    """Give a unit back, so that the system need not save its registers."""

    def write(builder: Any) -> None:
        if _is_amx(unit):
            _call(builder, "llvm.x86.tilerelease")

    return _void_intrinsic(write, unit)


@_intrinsic
def block(
    _typing: Any, unit: Any, left: Any, right: Any, steps: Any, offsets: Any, out: Any, stride: Any
) -> Any:  # fmt: skip
    """32 x 32 int32 sums at ``out``, over ``steps`` steps of the panels at ``left`` and ``right``.

    VNNI adds the 32 int32 at ``offsets`` to each row. It takes left digits as they are plus 64.
    """

    return _void_intrinsic(_amx_block if _is_amx(unit) else _vnni_block, unit, *[_A] * 6)


def _amx_block(
    builder: Any, left: Any, right: Any, steps: Any, _offsets: Any, out: Any, stride: Any
) -> None:  # fmt: skip
    """Registers 0 to 3 hold the sums, 4 and 5 tiles of the left operand, 6 and 7 of the right one."""

    def tile(number: int) -> Any:
        return _constant(number, _BYTE)

    # 2 x 2 sums from 2 + 2 tiles is the best ratio of products to loads that eight registers allow. The int32 sums
    # cannot overflow at the depths that are asked for (`products`), and are stored once.
    for register in range(4):
        _call(builder, "llvm.x86.tilezero", tile(register))
    with cgutils.for_range(builder, steps) as loop:
        offset = builder.mul(loop.index, _constant(STEP))
        # Loaded in the order in which the products below need them, so that the first can start after two loads.
        for register, base, place in ((4, left, 0), (6, right, 0), (7, right, TILE), (5, left, TILE)):
            address = _pointer(builder, _offset(builder, builder.add(base, offset), place))
            _call(builder, "llvm.x86.tileloadd64", tile(register), address, _constant(ROW))
        for register in range(4):
            _call(
                builder, "llvm.x86.tdpbssd", tile(register), tile(4 + register // 2), tile(6 + register % 2)
            )  # fmt: skip
    for register in range(4):
        corner = builder.add(out, builder.mul(stride, _constant(16 * (register // 2))))
        address = _pointer(builder, _offset(builder, corner, ROW * (register % 2)))
        _call(builder, "llvm.x86.tilestored64", tile(register), address, stride)


def _vnni_block(
    builder: Any, left: Any, right: Any, steps: Any, offsets: Any, out: Any, stride: Any
) -> None:  # fmt: skip
    """Some rows at a time, whose sums stay in registers: two of 16 columns for each row."""
    # The sums start at the offsets instead of 0, so that taking off what the shift of the left digits adds is free.
    # They are memory here, and registers once LLVM has promoted it.
    start = [_load(builder, _INTS_16, _offset(builder, offsets, ROW * half)) for half in range(2)]
    for first in range(0, 32, _BLOCK_ROWS):
        sums = [[_alloca(builder, _INTS_16) for _ in range(2)] for _ in range(_BLOCK_ROWS)]
        for row in sums:
            for half in range(2):
                builder.store(start[half], row[half])
        place = first // 16 * TILE + first % 16 * ROW
        with cgutils.for_range(builder, steps) as loop:
            offset = builder.mul(loop.index, _constant(STEP))
            a, b = _offset(builder, builder.add(left, offset), place), builder.add(right, offset)
            for word in range(16):
                columns = [_load(builder, _INTS_16, _offset(builder, b, half * TILE + word * ROW)) for half in range(2)]
                for number, row in enumerate(sums):
                    digits = _load(builder, _INT, _offset(builder, a, number * ROW + word * 4))
                    digits_16 = _broadcast(builder, digits)
                    for half in range(2):
                        builder.store(_dot(builder, builder.load(row[half]), digits_16, columns[half]), row[half])
        for number, row in enumerate(sums):
            address = _row(builder, out, stride, first + number)
            for half in range(2):
                _store(builder, builder.load(row[half]), _offset(builder, address, ROW * half))


def _broadcast(builder: Any, value: Any) -> Any:
    """Sixteen times the same."""
    one = builder.insert_element(ir.Constant(ir.VectorType(value.type, 16), ir.Undefined), value, _constant(0, _INT))
    return _shuffle(builder, one, one, [0] * 16)


def _dot(builder: Any, total: Any, unsigned: Any, signed: Any) -> Any:
    """Four products of bytes, added to each int32: VPDPBUSD, unsigned times signed, hence the shift of the left digits.
    Not VPDPBUSDS, which saturates: sums may pass 2**31 on the way to one that does not, and then must wrap around.
    """
    of = _dot_operands()
    operands = [builder.bitcast(x, of) for x in (unsigned, signed)]
    return _call(builder, "llvm.x86.avx512.vpdpbusd.512", total, *operands, gives=_INTS_16)


def _dot_operands() -> Any:
    """LLVM 22 takes vectors of bytes, those before it vectors of integers."""
    return _BYTES_64 if llvm_version_info[0] >= 22 else _INTS_16


@_intrinsic
def round_block(
    _typing: Any, high: Any, cross: Any, rows: Any, columns: Any, out: Any, stride: Any
) -> Any:  # fmt: skip
    """See :func:`regrow.exact.definition.combine`, for a block of 32 x 32.

    The parts are int32 side by side; ``rows`` and ``columns`` are 32 float64 each, whose products are the scale of
    ``2**14 high + 2**7 cross``; the result is float32, its rows ``stride`` apart.
    """

    def write(builder: Any, high: Any, cross: Any, rows: Any, columns: Any, out: Any, stride: Any) -> None:
        # Sixteen at a time: two registers of float64, from one of int32, to one of float32. Scales of columns stay in
        # registers. All is exact up to `fptrunc`, the one rounding, as `combine` in `compiled` says.
        scales = [_load(builder, _DOUBLES_16, _offset(builder, columns, 128 * half)) for half in range(2)]
        with cgutils.for_range(builder, _constant(32)) as loop:
            row = _broadcast(builder, _load(builder, ir.DoubleType(), builder.add(rows, _times(builder, loop, 8))))
            target = builder.add(out, builder.mul(loop.index, stride))
            for half in range(2):
                total = _weighted(builder, loop, half, ((high, 16384.0), (cross, 128.0)))
                value = builder.fmul(total, builder.fmul(row, scales[half]))
                _store(builder, builder.fptrunc(value, _FLOATS_16), _offset(builder, target, ROW * half))

    return _void_intrinsic(write, *[_A] * 6)


@_intrinsic
def round_block_float32(
    _typing: Any, high: Any, cross: Any, rows: Any, columns: Any, out: Any, stride: Any
) -> Any:  # fmt: skip
    """As :func:`round_block`, where ``2**7 high + cross`` is an int32, and the scales, float32, leave it normal.

    Then rounding the integer to float32 is the only rounding, because scaling it is exact. ``rows`` and ``columns``
    are scales of ``2**7 high + cross``.
    """

    def write(builder: Any, high: Any, cross: Any, rows: Any, columns: Any, out: Any, stride: Any) -> None:
        # Half the registers and instructions of the other. Products of a depth up to 4032 take it, unless some of their
        # numbers are extreme (`float32_epilogue_is_exact`).
        scales = [_load(builder, _FLOATS_16, _offset(builder, columns, 64 * half)) for half in range(2)]
        seven = ir.Constant(_INTS_16, [7] * 16)
        with cgutils.for_range(builder, _constant(32)) as loop:
            row = _broadcast(builder, _load(builder, ir.FloatType(), builder.add(rows, _times(builder, loop, 4))))
            target = builder.add(out, builder.mul(loop.index, stride))
            for half in range(2):
                upper, lower = (_part(builder, loop, half, part) for part in (high, cross))
                total = builder.sitofp(builder.add(builder.shl(upper, seven), lower), _FLOATS_16)
                value = builder.fmul(total, builder.fmul(row, scales[half]))
                _store(builder, value, _offset(builder, target, ROW * half))

    return _void_intrinsic(write, *[_A] * 6)


@_intrinsic
def add_rounded_block(_typing: Any, block: Any, out: Any, stride: Any) -> Any:
    """Add 32 x 32 float32, side by side, to those at ``out``, whose rows are ``stride`` apart."""

    def write(builder: Any, block: Any, out: Any, stride: Any) -> None:
        with cgutils.for_range(builder, _constant(32)) as loop:
            source = builder.add(block, _times(builder, loop, 2 * ROW))
            target = builder.add(out, builder.mul(loop.index, stride))
            for half in range(2):
                there, more = (_offset(builder, at, ROW * half) for at in (target, source))
                total = builder.fadd(_load(builder, _FLOATS_16, there), _load(builder, _FLOATS_16, more))
                _store(builder, total, there)

    return _void_intrinsic(write, *[_A] * 3)


@_intrinsic
def add_block(_typing: Any, high: Any, cross: Any, out: Any, stride: Any) -> Any:
    """Add ``2**14 high + 2**7 cross`` to 32 x 32 float64 at ``out``, whose rows are ``stride`` apart."""

    def write(builder: Any, high: Any, cross: Any, out: Any, stride: Any) -> None:
        _add_weighted(builder, ((high, 16384.0), (cross, 128.0)), out, stride)

    return _void_intrinsic(write, *[_A] * 4)


@_intrinsic
def add_deep_block(_typing: Any, top: Any, middle: Any, bottom: Any, out: Any, stride: Any) -> Any:
    """As :func:`add_block`, ``2**21 top + 2**14 middle + 2**7 bottom``."""

    def write(builder: Any, top: Any, middle: Any, bottom: Any, out: Any, stride: Any) -> None:
        _add_weighted(builder, ((top, 2097152.0), (middle, 16384.0), (bottom, 128.0)), out, stride)

    return _void_intrinsic(write, *[_A] * 5)


def _add_weighted(builder: Any, parts: tuple[tuple[Any, float], ...], out: Any, stride: Any) -> None:
    with cgutils.for_range(builder, _constant(32)) as loop:
        target = builder.add(out, builder.mul(loop.index, stride))
        for half in range(2):
            place = _offset(builder, target, 128 * half)
            total = builder.fadd(_load(builder, _DOUBLES_16, place), _weighted(builder, loop, half, parts))
            _store(builder, total, place)


def _times(builder: Any, loop: Any, size: int) -> Any:
    return builder.mul(loop.index, _constant(size))


def _part(builder: Any, loop: Any, half: int, part: Any) -> Any:
    """Half a row of a block of int32."""
    return _load(builder, _INTS_16, _offset(builder, builder.add(part, _times(builder, loop, 128)), ROW * half))


def _weighted(builder: Any, loop: Any, half: int, parts: tuple[tuple[Any, float], ...]) -> Any:
    """Half a row of the sum of blocks times powers of two, as float64; exact."""
    total = None
    for part, weight in parts:
        value = builder.sitofp(_part(builder, loop, half, part), _DOUBLES_16)
        value = builder.fmul(value, ir.Constant(_DOUBLES_16, [weight] * 16))
        total = value if total is None else builder.fadd(total, value)
    return total
