"""Matrices that stay as they are: what products multiply by is made of them once, and not anew for every product.

It is kept with the tensor itself and goes with it. Digits of a byte alone: a number then takes 2 bytes more for the
products forwards and 2 for those backwards; formats of several bytes would take several times what the matrix does.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import Any, TypeVar

import torch
from torch import Tensor

_PLACE = "regrow_constant"

Made = TypeVar("Made")


@dataclass(frozen=True)
class _Constant:
    """What is kept with a tensor.

    Attributes:
        version: how often torch had changed the tensor.
        made: what was made of it so far.
    """

    version: int
    made: dict[Hashable, Any] = field(default_factory=dict)


def constant(x: Tensor) -> Tensor:
    """The same tensor, of which it is said that its numbers will stay, so that products may keep its digits.

    Whoever has torch change it after all gets right results, only later; a change that torch does not see, such as one
    by way of NumPy, must not be.
    """
    if _of(x) is None:
        setattr(x, _PLACE, _Constant(x._version))
    return x


def kept(x: Tensor, dtype: torch.dtype, key: Hashable, make: Callable[[], Made]) -> Made:
    """What ``make`` gives of a tensor, in digits of a type, or gave before for this key if the tensor is a constant."""
    found = _of(x) if dtype.itemsize == 1 else None
    if found is None:
        return make()
    if key not in found.made:
        found.made[key] = make()
    made: Made = found.made[key]
    return made


def _of(x: Tensor) -> _Constant | None:
    """What is kept with a tensor, if that is still what it is."""
    found: _Constant | None = getattr(x, _PLACE, None)
    return found if found is not None and found.version == x._version else None
