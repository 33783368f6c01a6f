"""Matrices that stay as they are: their digits are made once, and not anew for every product.

Digits are kept with the tensor itself and go with it. Those of a byte alone: a number then takes 2 bytes more for the
products forwards and 2 for those backwards; formats of several bytes would take several times what the matrix does.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor

from regrow.exact.grid import Digits, Layout

_PLACE = "regrow_constant"


@dataclass(frozen=True)
class _Constant:
    """What is kept with a tensor.

    Attributes:
        version: how often torch had changed the tensor.
        digits: those made of it so far.
    """

    version: int
    digits: dict[tuple[Layout, torch.dtype], Digits] = field(default_factory=dict)


def constant(x: Tensor) -> Tensor:
    """The same tensor, of which it is said that its numbers will stay, so that products may keep its digits.

    Whoever has torch change it after all gets right results, only later; a change that torch does not see, such as one
    by way of NumPy, must not be.
    """
    if _of(x) is None:
        setattr(x, _PLACE, _Constant(x._version))
    return x


def digits(x: Tensor, layout: Layout, dtype: torch.dtype, make: Callable[[], Digits]) -> Digits:
    """The digits of a tensor: what ``make`` gives, or gave before if the tensor is a constant."""
    found = _of(x) if dtype.itemsize == 1 else None
    if found is None:
        return make()
    if (layout, dtype) not in found.digits:
        found.digits[layout, dtype] = make()
    return found.digits[layout, dtype]


def _of(x: Tensor) -> _Constant | None:
    """What is kept with a tensor, if that is still what it is."""
    found: _Constant | None = getattr(x, _PLACE, None)
    return found if found is not None and found.version == x._version else None
