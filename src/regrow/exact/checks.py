"""What an operation cannot take, said before anything is computed.

A check is a few comparisons of attributes, so that it costs microseconds; only identifiers are looked at one by
one. Numbers that are not finite are not an error, and what depends on them is NaN, unless :func:`finite` asks for one.

Example:
    >>> linear(torch.ones(2, 3), torch.ones(4, 5))
    regrow.exact.checks.ArgumentError: `linear` cannot take `weight`, a float32 tensor of shape (4, 5) on cpu
    because its shape must be (any, 3)
    hint: its last axis must be as long as the last one of `x`
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, ClassVar

import torch
from torch import Tensor

from regrow.errors import RegrowError
from regrow.exact.backend import interpreted
from regrow.exact.selection import current
from regrow.exact.shorter import SHORTER

# So many numbers can be added on the grid of a plain sum before float64 runs out of bits.
MOST_ADDENDS = 1 << 22

_finite: ContextVar[bool] = ContextVar("regrow_finite", default=False)


class ArgumentError(RegrowError, ValueError):
    """An argument that an operation of ``regrow.exact`` cannot take."""

    exit_code: ClassVar[int] = 2


def refused(operation: str, name: str, given: Any, why: str, hint: str = "") -> ArgumentError:
    """The error that names an operation, its argument, what it got, and what to do."""
    return ArgumentError(f"`{operation}` cannot take `{name}`, {_described(given)}", why=why, hint=hint)


def _described(given: Any) -> str:
    if not isinstance(given, Tensor):
        return repr(given) if isinstance(given, int | float | str) else f"a {type(given).__name__}"
    kind = str(given.dtype).removeprefix("torch.")
    dense = "" if given.layout is torch.strided else f"{str(given.layout).removeprefix('torch.')} "
    return f"a {dense}{kind} tensor of shape {tuple(given.shape)} on {given.device}"


@contextmanager
def finite() -> Iterator[None]:
    """Refuse a NaN or an infinity among the arguments in this block, which costs a pass over each.

    It finds the operation that first meets one, the optimizer and ``clip_grad_norm_`` among them. For what goes wrong
    in a backward pass there is ``torch.autograd.detect_anomaly``.

    Example:
        >>> with exact.finite():
        ...     loss = model(tokens)
        regrow.exact.checks.ArgumentError: `rms_norm` cannot take `x`, a float32 tensor of shape (4, 512) on cpu
        because it holds inf at (0, 17)
        hint: see what made it
    """
    token = _finite.set(True)
    try:
        yield
    finally:
        _finite.reset(token)


def floats(operation: str, *, shorter: Collection[str] = (), **tensors: Any) -> None:
    """Require dense float32 tensors with entries, all on one device that the backend can use; finite ones if asked to.

    Args:
        operation: what is to take them.
        shorter: which of them may be of a shorter type, if they need no gradient.
        tensors: by their names.

    Raises:
        ArgumentError: about the first that is not so, as from all checks of this module.
    """
    _all(operation, torch.float32, "float()", tensors, shorter)
    if _finite.get():
        for name, x in tensors.items():
            _require_finite(operation, name, x)


def _require_finite(operation: str, name: str, x: Tensor) -> None:
    sound = x.isfinite()
    if not bool(sound.all()):
        first = tuple((~sound).nonzero()[0].tolist())
        raise refused(operation, name, x, f"it holds {float(x[first])} at {first}", "see what made it")


def identifiers(operation: str, name: str, ids: Any, beside: Tensor, count: int, ignored: int | None = None) -> None:
    """Require a tensor of int64 on the device of ``beside``, entries within 0..count - 1 or ``ignored``."""
    _all(operation, torch.int64, "long()", {name: ids})
    if ids.device != beside.device:
        raise refused(
            operation, name, ids, f"other arguments are on {beside.device}", f"use `{name}.to({str(beside.device)!r})`"
        )
    outside = ids.clamp(0, count - 1) != ids
    if ignored is not None:
        outside = outside & (ids != ignored)
    if bool(outside.any()):
        first = int(ids[outside][0])
        raise refused(operation, name, ids, f"it holds {first}, and must be within 0..{count - 1}")


def _all(
    operation: str, dtype: torch.dtype, conversion: str, tensors: dict[str, Any], shorter: Collection[str] = ()
) -> None:
    device = None
    for name, x in tensors.items():
        if not isinstance(x, Tensor):
            raise refused(operation, name, x, "it must be a tensor")
        if x.dtype is not dtype and not (name in shorter and x.dtype in SHORTER and not x.requires_grad):
            wanted = str(dtype).removeprefix("torch.")
            raise refused(operation, name, x, f"it must be {wanted}", f"convert it with `{name}.{conversion}`")
        if x.layout is not torch.strided:
            raise refused(operation, name, x, "it must be dense", f"convert it with `{name}.to_dense()`")
        if x.is_neg():
            raise refused(operation, name, x, "its signs are yet to be turned", f"use `{name}.resolve_neg()`")
        if 0 in x.shape:
            raise refused(operation, name, x, "it has no entries", "leave the call out for an empty batch")
        if device is None:
            device = x.device
            _usable(operation, name, x)
        elif x.device != device:
            hint = f"move all arguments to one device, for example `{name}.to({str(device)!r})`"
            raise refused(operation, name, x, f"other arguments are on {device}", hint)


def _usable(operation: str, name: str, x: Tensor) -> None:
    kind = x.device.type
    kernels = current(x).kernels.name if kind in ("cpu", "cuda") else ""
    if not kernels:
        raise refused(operation, name, x, f"nothing here computes on {kind}", f"use `{name}.cpu()`")
    if kind == "cuda" and kernels == "numba":
        raise refused(operation, name, x, "backend `numba` computes on CPUs", f"use `{name}.cpu()`, or another backend")
    if kind == "cpu" and kernels == "triton" and not interpreted():
        raise refused(
            operation, name, x, "backend `triton` computes on GPUs", f"use `{name}.cuda()`, or another backend"
        )


def last(operation: str, name: str, x: Tensor) -> int:
    """Return the length of the last axis; require that there is one."""
    if not x.dim():
        raise refused(operation, name, x, "it must have an axis", "make it one with `reshape`")
    return x.shape[-1]


def shape(operation: str, name: str, x: Tensor, expected: tuple[int | None, ...], hint: str = "") -> None:
    """Require a shape; None stands for any length."""
    found = x.shape
    if len(found) != len(expected) or any(e is not None and e != f for e, f in zip(expected, found, strict=True)):
        wanted = ", ".join("any" if length is None else str(length) for length in expected)
        wanted += "," if len(expected) == 1 else ""
        raise refused(operation, name, x, f"its shape must be ({wanted})", hint)


def addends(operation: str, name: str, x: Tensor, count: int, most: int = MOST_ADDENDS) -> None:
    """Require that no more numbers are summed than are exact."""
    if count > most:
        why = f"{count} numbers would be summed, and sums are exact up to {most}"
        raise refused(operation, name, x, why, "cut the batch into micro-batches")


def integer(operation: str, name: str, value: Any, low: int = 1, high: int = MOST_ADDENDS) -> int:
    """Return a whole number; require that it is one, within ``low..high``."""
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise refused(operation, name, value, f"it must be a whole number within {low}..{high}")
    return value


def number(operation: str, name: str, value: Any, low: float = 0.0, high: float = float("inf")) -> float:
    """Return a number as a float; require that it is finite, within ``low..high``."""
    try:
        given = math.nan if isinstance(value, bool) or not isinstance(value, int | float) else float(value)
    except OverflowError:
        given = math.inf
    if not low <= given <= high or math.isinf(given):
        raise refused(operation, name, value, f"it must be a finite number within {low:g}..{high:g}")
    return given
