"""Writing LLVM's instructions from Python: what the functions that Numba's kernels call are made of.

Addresses and strides are int64, in bytes. LLVM's language reference, ``IntrinsicsX86.td`` and ``IntrinsicsAArch64.td``
define the names; vectors that are wider than a processor's registers are taken by LLVM in parts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from llvmlite import ir
from numba import extending, types
from numba.core import cgutils

intrinsic: Any = extending.intrinsic
for_range: Any = cgutils.for_range
alloca: Any = cgutils.alloca_once
unpacked: Any = cgutils.unpack_tuple
several: Any = types.UniTuple

BYTE, SHORT, INT, LONG = ir.IntType(8), ir.IntType(16), ir.IntType(32), ir.IntType(64)
BYTES_16, BYTES_64, INTS_16 = ir.VectorType(BYTE, 16), ir.VectorType(BYTE, 64), ir.VectorType(INT, 16)
SHORTS_32 = ir.VectorType(SHORT, 32)
FLOATS_16, DOUBLES_16 = ir.VectorType(ir.FloatType(), 16), ir.VectorType(ir.DoubleType(), 16)

A = types.int64  # an address, a stride or a count


def constant(value: int, of: Any = LONG) -> Any:
    """An integer."""
    return ir.Constant(of, value)


def constants(value: int, of: Any) -> Any:
    """A vector of the same integer."""
    return ir.Constant(of, [value] * of.count)


def call(builder: Any, name: str, *arguments: Any, gives: Any = None) -> Any:
    """What an intrinsic of LLVM's gives; nothing by default."""
    known = builder.module.globals.get(name)
    of = ir.FunctionType(gives or ir.VoidType(), [a.type for a in arguments])
    return builder.call(known or ir.Function(builder.module, of, name), arguments)


def pointer(builder: Any, address: Any, to: Any = BYTE) -> Any:
    """An address as LLVM takes it."""
    return builder.inttoptr(address, to.as_pointer())


def offset(builder: Any, address: Any, count: int) -> Any:
    """So many bytes further."""
    return builder.add(address, constant(count))


def row(builder: Any, address: Any, stride: Any, number: int) -> Any:
    """So many rows further."""
    return builder.add(address, builder.mul(stride, constant(number)))


def times(builder: Any, value: Any, size: int) -> Any:
    """So many times as much."""
    return builder.mul(value, constant(size))


def opaque(builder: Any, value: Any) -> Any:
    """The same integer, of which LLVM does not know that it is the same."""
    same = ir.FunctionType(value.type, [value.type])
    return builder.asm(same, "", "=r,0", [value], True)


def load(builder: Any, of: Any, address: Any) -> Any:
    """What lies at an address, whatever it is a multiple of."""
    # Alignment 1: operands are views of any tensor. Where the address happens to be aligned it costs nothing.
    return builder.load(pointer(builder, address, of), align=1)


def store(builder: Any, value: Any, address: Any) -> None:
    """Write to an address, likewise."""
    builder.store(value, pointer(builder, address, value.type), align=1)


def stream(builder: Any, value: Any, address: Any) -> None:
    """Write a whole line of the cache, without reading it first as other writes do, and without keeping it there."""
    written = builder.store(value, pointer(builder, address, value.type), align=64)
    written.set_metadata("nontemporal", builder.module.add_metadata([constant(1, INT)]))


def room(builder: Any, size: int) -> Any:
    """The address of so many bytes that are a function's own, at the beginning of a line of the cache."""
    with builder.goto_entry_block():
        found = builder.alloca(ir.ArrayType(BYTE, size))
        found.align = 64
    return builder.ptrtoint(found, LONG)


@contextmanager
def pieces(builder: Any, whole: Any, length: Any) -> Iterator[tuple[Any, Any]]:
    """A loop over pieces of so much of a whole: where each begins, and how long it is, the last one perhaps shorter."""
    count = builder.sdiv(builder.add(whole, builder.sub(length, constant(1))), length)
    with for_range(builder, count) as piece:
        start = builder.mul(piece.index, length)
        rest = builder.sub(whole, start)
        yield start, builder.select(builder.icmp_signed("<", rest, length), rest, length)


def shuffle(builder: Any, x: Any, y: Any, places: list[int]) -> Any:
    """Entries of two vectors by their numbers, those of the second after those of the first."""
    return builder.shuffle_vector(x, y, ir.Constant(ir.VectorType(INT, len(places)), places))


def broadcast(builder: Any, value: Any, count: int = 16) -> Any:
    """A vector of the same number."""
    none = ir.Constant(ir.VectorType(value.type, count), ir.Undefined)
    one = builder.insert_element(none, value, constant(0, INT))
    return shuffle(builder, one, one, [0] * count)


def writes(
    write: Callable[..., None], *arguments: Any, title: str = "", features: Sequence[str] = ()
) -> tuple[Any, Any]:
    """What an intrinsic is: its signature, and what writes its instructions. It gives nothing.

    The instructions become a function that is not inlined, because there are many of them and compilers take long; of
    its own features, if there are any, and not those of its module.
    """

    def generate(context: Any, builder: Any, _signature: Any, values: Any) -> Any:
        name = f"regrow.{title or write.__qualname__.split('.')[0]}"
        written = function(builder.module, name, write, [value.type for value in values])
        if features:
            allow([written], features)
        builder.call(written, values)
        return context.get_dummy_value()

    return types.void(*arguments), generate


def allow(functions: Iterable[Any], features: Sequence[str]) -> None:
    """Let functions use what LLVM would not take for granted."""
    for one in functions:
        if not one.is_declaration:
            _attribute(one, "target-features", ",".join(features))


def _attribute(of: Any, name: str, value: str = "") -> None:
    # Of attributes by name llvmlite knows none, and refuses them; what it writes is in a set.
    set.add(of.attributes, f'"{name}"="{value}"' if value else f'"{name}"')


def function(module: Any, name: str, write: Callable[..., None], of: list[Any], linkage: str = "internal") -> Any:
    """A function that is not inlined; written once for each module."""
    known = module.globals.get(name)
    if known is None:
        known = ir.Function(module, ir.FunctionType(ir.VoidType(), of), name)
        known.linkage = linkage
        known.attributes.add("noinline")
        # Registers that go to memory for a while lie within lines of the cache so. Across two of them, as they do on a
        # stack that is aligned to 16 bytes only, they come back so late that an inner loop can take twice as long.
        _attribute(known, "stackrealign")
        inside = ir.IRBuilder(known.append_basic_block("entry"))
        write(inside, *known.args)
        inside.ret_void()
    return known
