"""The units there are, and what kernels call to multiply with one: which it is follows from the type of its settings,
so that a kernel is compiled for one of them only.
"""

from __future__ import annotations

from typing import Any

from regrow.exact.microkernels import emission as emit
from regrow.exact.microkernels.amx import AMX
from regrow.exact.microkernels.unit import Unit
from regrow.exact.microkernels.vnni import AVXVNNI, VNNI
from regrow.exact.microkernels.words import AVX2, AVX512

UNITS = AMX, VNNI, AVXVNNI, AVX512, AVX2
"""The most promising first."""

_BY_NAME = {unit.name: unit for unit in UNITS}


def _of(settings: Any) -> Unit:
    """The unit that settings of this type are of."""
    return _BY_NAME[next(iter(settings.dtype.fields))]


@emit.intrinsic
def begin(_typing: Any, unit: Any, settings: Any) -> Any:
    """Make a unit ready on this thread; ``settings`` is the address of its settings."""
    return emit.writes(_of(unit).begin, unit, emit.A, title="begin")


@emit.intrinsic
def end(_typing: Any, unit: Any) -> Any:
    """Give a unit back."""
    return emit.writes(_of(unit).end, unit, title="end")


@emit.intrinsic
def finish_left(_typing: Any, unit: Any, panel: Any, planes: Any, steps: Any) -> Any:
    """Make what the unit wants of a left operand's panel into which its planes were packed."""
    return emit.writes(_of(unit).finish_left, unit, *[emit.A] * 3, title="finish_left")


@emit.intrinsic
def finish_right(_typing: Any, unit: Any, panel: Any, planes: Any, steps: Any) -> Any:
    """Likewise of a right operand's."""
    return emit.writes(_of(unit).finish_right, unit, *[emit.A] * 3, title="finish_right")


@emit.intrinsic
def block(
    _typing: Any, unit: Any, left: Any, right: Any, planes: Any, steps: Any, offsets: Any, out: Any, apart: Any,
    stride: Any,
) -> Any:  # fmt: skip
    """The parts of a product of 32 x 32 int32 sums at ``out``, ``apart`` from each other.

    ``planes`` are those of the left panel, and ``offsets`` is where 32 int32 for each part are, if the unit has such.
    """
    return emit.writes(_of(unit).block, unit, *[emit.A] * 8, title="block")
