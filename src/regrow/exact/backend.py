"""Which kernels and which carrier compute, on this machine, now. The choice changes the speed and never the bits.

The fastest carrier that passes its self-test is taken once per process; ``REGROW_BACKEND`` (``reference`` or
``numba``) and ``REGROW_CARRIER`` (``int8``, ``float32``, ``float64``) overrule it, and :func:`use` does so
for a block of code.

Example:
    >>> with use("reference", "float64"):
    ...     y = linear(x, weight)
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import cache
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from regrow.errors import RecipeError
from regrow.exact.carriers import CARRIERS, Carrier
from regrow.exact.grid import Digits, Layout


class Kernels(Protocol):
    """What a set of kernels offers; :mod:`regrow.exact.reference` documents and defines each."""

    # fmt: off
    @property
    def name(self) -> str: ...  # noqa: D102
    def split(self, x: Tensor, layout: Layout, dtype: torch.dtype) -> Digits: ...  # noqa: D102
    def combine(self, high: Tensor, cross: Tensor, left: Tensor, right: Tensor) -> Tensor: ...  # noqa: D102
    def combine3(self, top: Tensor, middle: Tensor, bottom: Tensor, scale: Tensor) -> Tensor: ...  # noqa: D102
    def rms_norm(self, x: Tensor, gain: Tensor, epsilon: float) -> tuple[Tensor, Tensor]: ...  # noqa: D102
    def rms_norm_backward(self, dy: Tensor, x: Tensor, gain: Tensor, inverse: Tensor) -> tuple[Tensor, Tensor]: ...  # noqa: D102
    def swiglu(self, x: Tensor) -> Tensor: ...  # noqa: D102
    def swiglu_backward(self, dy: Tensor, x: Tensor) -> Tensor: ...  # noqa: D102
    def rotate(self, x: Tensor, cosine: Tensor, sine: Tensor, heads: int) -> Tensor: ...  # noqa: D102
    def attention_weights(self, high: Tensor, cross: Tensor, left: Tensor, right: Tensor, scale: float, dtype: torch.dtype) -> tuple[Tensor, Tensor]: ...  # noqa: D102
    def attention_output(self, high: Tensor, cross: Tensor, right: Tensor, totals: Tensor) -> Tensor: ...  # noqa: D102
    def attention_gradient(self, high: Tensor, cross: Tensor, left: Tensor, right: Tensor, weights: Tensor, totals: Tensor, delta: Tensor, scale: float) -> Digits: ...  # noqa: D102
    def row_dot(self, x: Tensor, y: Tensor) -> Tensor: ...  # noqa: D102
    def cross_entropy(self, logits: Tensor, targets: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor, Tensor]: ...  # noqa: D102
    def embedding_backward(self, dy: Tensor, ids: Tensor, rows: int) -> Tensor: ...  # noqa: D102
    def mean_gradient(self, gradients: list[Tensor]) -> Tensor: ...  # noqa: D102
    def sum_of_squares(self, x: Tensor) -> float: ...  # noqa: D102
    def adamw(self, parameter: Tensor, gradient: Tensor, first: Tensor, second: Tensor, constants: np.ndarray) -> None: ...  # noqa: D102
    # fmt: on


@dataclass(frozen=True)
class Backend:
    """A set of kernels and the carrier of its products."""

    kernels: Kernels
    carrier: Carrier

    def __str__(self) -> str:
        return f"{self.kernels.name}/{self.carrier.name}"

    def product(self, left: Digits, right: Digits) -> tuple[Tensor, Tensor]:
        """The exact integers HH and HL + LH of two operands, each ``(G, P, Q)``."""
        a_high, a_both = (left.high, left.both) if left.layout.by_row else (left.high.mT, left.both.mT)
        b_high, b_both = (right.high.mT, right.both.mT) if right.layout.by_row else (right.high, right.both)
        return self.carrier.multiply(a_high, b_high), self.carrier.multiply(a_both, b_both)

    def matmul(self, left: Digits, right: Digits) -> Tensor:
        """The product of two operands as float32 ``(G, P, Q)``."""
        high, cross = self.product(left, right)
        return self.kernels.combine(high, cross, left.exponents, right.exponents)


_current: ContextVar[Backend | None] = ContextVar("regrow_backend", default=None)


def current() -> Backend:
    """The backend in force here."""
    return _current.get() or default()


@contextmanager
def use(kernels: str = "", carrier: str = "") -> Iterator[Backend]:
    """Compute with the named kernels and carrier in this block; empty names mean the default's."""
    backend = Backend(
        load_kernels(kernels) if kernels else current().kernels,
        find_carrier(carrier) if carrier else current().carrier,
    )
    token = _current.set(backend)
    try:
        yield backend
    finally:
        _current.reset(token)


def load_kernels(name: str) -> Kernels:
    """The kernels by name."""
    if name == "reference":
        from regrow.exact import reference

        return reference
    if name == "numba":
        from regrow.exact import compiled

        return compiled
    raise RecipeError(f"there is no backend `{name}`", where="REGROW_BACKEND", hint="use `reference` or `numba`")


def find_carrier(name: str) -> Carrier:
    """The carrier by name."""
    for carrier in CARRIERS:
        if carrier.name == name:
            return carrier
    known = ", ".join(f"`{c.name}`" for c in CARRIERS)
    raise RecipeError(f"there is no carrier `{name}`", where="REGROW_CARRIER", hint=f"use one of {known}")


@cache
def default() -> Backend:
    """The backend of this process, chosen once: what the environment asks for, else the fastest that is exact."""
    from regrow.exact.selftest import carrier_fault

    kernels = load_kernels(os.environ.get("REGROW_BACKEND", "numba"))
    asked = os.environ.get("REGROW_CARRIER")
    if asked:
        carrier = find_carrier(asked)
        if fault := carrier_fault(carrier):
            raise RecipeError(
                f"carrier `{asked}` is not exact on this machine",
                where="REGROW_CARRIER",
                why=fault,
                hint="unset REGROW_CARRIER, or see `regrow selftest`",
            )
        return Backend(kernels, carrier)
    sound = [carrier for carrier in CARRIERS if not carrier_fault(carrier)]
    return Backend(kernels, min(sound, key=_seconds))


def _seconds(carrier: Carrier) -> float:
    """The best of three timings of a product of moderate size."""
    a = torch.ones((1, 512, 256)).to(carrier.dtype)
    best = float("inf")
    for _ in range(4):
        start = time.perf_counter()
        carrier.product(a, a.mT)
        best = min(best, time.perf_counter() - start)
    return best
