"""The units there are, compiled when they are first asked for, and how kernels call what was compiled.

Each unit's functions are machine code of their own that kernels are given the addresses of, so that the kernels are
compiled once for all units.
"""

from __future__ import annotations

import hashlib
import pickle
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import cache
from typing import Any, NamedTuple

import llvmlite
import numba
from llvmlite import ir
from numba import types
from numba.core.compiler_lock import global_compiler_lock
from numba.core.registry import cpu_target

from regrow.exact import kept
from regrow.exact.microkernels import emission as emit
from regrow.exact.microkernels.amx import AMX
from regrow.exact.microkernels.neon import NEON, SDOT, SMMLA
from regrow.exact.microkernels.processor import compiled_for
from regrow.exact.microkernels.unit import Emitter, Unit
from regrow.exact.microkernels.vnni import AVXVNNI, VNNI
from regrow.exact.microkernels.words import AVX2, AVX512

UNITS = AMX, VNNI, AVXVNNI, AVX512, AVX2, SMMLA, SDOT, NEON
"""The most promising first."""


class Addresses(NamedTuple):
    """What kernels are given of a unit: see :class:`regrow.exact.microkernels.unit.Unit`."""

    block: int
    shallow: int
    finish_left: int
    finish_right: int
    begin: int
    end: int
    settings: int


@cache
def addresses(unit: Unit) -> Addresses:
    """Where a unit's functions are in this process."""
    with global_compiler_lock:
        library = _kept(unit) or _compiled(unit)
        found = [library.get_pointer_to_function(f"regrow.{unit.name}.{name}") for name, _, _ in _functions(unit)]
    return Addresses._make([*found, unit.settings.ctypes.data])


def _functions(unit: Unit) -> list[tuple[str, Callable[..., None], int]]:
    """The name of each function, what writes it, and how many values it is given."""
    return [
        ("block", unit.block, 8),
        ("shallow", unit.shallow or _whole_step(unit), 7),
        ("finish_left", unit.finish_left, 3),
        ("finish_right", unit.finish_right, 3),
        ("begin", unit.begin, 1),
        ("end", unit.end, 0),
    ]


def _whole_step(unit: Unit) -> Emitter:
    """What a unit does whose block of one step is as soon done as one of less."""

    def write(
        builder: Any, left: Any, right: Any, _eights: Any, offsets: Any, out: Any, apart: Any, stride: Any
    ) -> None:  # fmt: skip
        block = builder.module.globals[f"regrow.{unit.name}.block"]
        builder.call(block, [left, right, emit.constant(2), emit.constant(1), offsets, out, apart, stride])

    return write


def write_functions(unit: Unit, module: Any, features: Sequence[str] = ()) -> None:
    """Write a unit's functions into a module of LLVM's, for a processor that has these features, and the unit's."""
    for name, write, count in _functions(unit):
        emit.function(module, f"regrow.{unit.name}.{name}", write, [emit.LONG] * count, linkage="")
    emit.allow(module.functions, [*features, *(f"+{feature}" for feature in unit.features)])


def _codegen() -> Any:
    return cpu_target.target_context.codegen()


def _file(unit: Unit) -> str:
    """The name by which a unit's code is kept, of which the package's state is no part: see the module."""
    made_by = _codegen().magic_tuple(), numba.__version__, llvmlite.__version__
    return f"unit.{unit.name}-{hashlib.sha256(repr(made_by).encode()).hexdigest()[:32]}"


def _kept(unit: Unit) -> Any:
    data = kept.read(_file(unit))
    if data is not None:
        with suppress(Exception):  # of this user and as it was written: it can only be that Numba cannot use it here
            return _codegen().unserialize_library(pickle.loads(data))
    return None


def _compiled(unit: Unit) -> Any:
    library: Any = _codegen().create_library(f"regrow.{unit.name}")
    module = library.create_ir_module(f"regrow.{unit.name}")
    write_functions(unit, module, compiled_for())
    library.add_ir_module(module)
    library.enable_object_caching()
    library.finalize()
    kept.keep(_file(unit), pickle.dumps(library.serialize_using_object_code()))
    return library


@emit.intrinsic
def call(_typing: Any, address: Any, values: Any) -> Any:
    """Call what is at an address with so many int64."""

    def generate(context: Any, builder: Any, _signature: Any, given: Any) -> Any:
        numbers = emit.unpacked(builder, given[1], len(values))
        of = ir.FunctionType(ir.VoidType(), [emit.LONG] * len(values))
        builder.call(builder.inttoptr(given[0], of.as_pointer()), numbers)
        return context.get_dummy_value()

    return types.void(emit.A, emit.several(emit.A, len(values))), generate
