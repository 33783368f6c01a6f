"""Which kernels and which carrier compute, on this machine, now. The choice changes the speed and never the bits.

Tensors on a CUDA device are computed with Triton's kernels, others with Numba's, and each with the fastest carrier that
passes its self-test, chosen once per process. Training goes to a CUDA device if there is one. ``REGROW_BACKEND``
(``reference``, ``numba`` or ``triton``) and ``REGROW_CARRIER`` (``int8``, ``bf16``, ``float32``, ``float64``) overrule
this, and :func:`use` does so for a block of code.

Example:
    >>> with use("reference", "float64"):
    ...     y = linear(x, weight)
"""

from __future__ import annotations

import os
import time
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import cache
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from regrow.errors import RecipeError
from regrow.exact.carriers import CARRIERS, CUDA_CARRIERS, Carrier
from regrow.exact.grid import Digits, Layout


class Kernels(Protocol):
    """What a set of kernels offers; :mod:`regrow.exact.reference` documents and defines each."""

    @property
    def name(self) -> str: ...
    def split(self, x: Tensor, layout: Layout, dtype: torch.dtype) -> Digits: ...
    def combine(self, high: Tensor, cross: Tensor, left: Tensor, right: Tensor, out: Tensor) -> None: ...
    def accumulate(self, top: Tensor, middle: Tensor, bottom: Tensor, total: Tensor) -> None: ...
    def round_total(self, total: Tensor, scale: Tensor) -> Tensor: ...
    def rms_norm(self, x: Tensor, gain: Tensor, epsilon: float) -> tuple[Tensor, Tensor]: ...
    def rms_norm_backward(self, dy: Tensor, x: Tensor, gain: Tensor, inverse: Tensor) -> tuple[Tensor, Tensor]: ...
    def swiglu(self, x: Tensor) -> Tensor: ...
    def swiglu_backward(self, dy: Tensor, x: Tensor) -> Tensor: ...
    def layer_norm(self, x: Tensor, gain: Tensor, bias: Tensor, epsilon: float) -> tuple[Tensor, Tensor, Tensor]: ...
    def layer_norm_backward(
        self, dy: Tensor, x: Tensor, gain: Tensor, mean: Tensor, inverse: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]: ...
    def column_sum(self, x: Tensor) -> Tensor: ...
    def softmax(self, x: Tensor) -> Tensor: ...
    def softmax_backward(self, dy: Tensor, y: Tensor) -> Tensor: ...
    def activation(self, x: Tensor, kind: str) -> Tensor: ...
    def activation_backward(self, dy: Tensor, x: Tensor, kind: str) -> Tensor: ...
    def rotate(self, x: Tensor, cosine: Tensor, sine: Tensor, heads: int) -> Tensor: ...
    def attention_weights(
        self,
        high: Tensor,
        cross: Tensor,
        left: Tensor,
        right: Tensor,
        scale: float,
        first: int,
        weights: Tensor,
        totals: Tensor,
    ) -> None: ...
    def attention_output(self, high: Tensor, cross: Tensor, right: Tensor, totals: Tensor, out: Tensor) -> None: ...
    def attention_gradient(
        self,
        high: Tensor,
        cross: Tensor,
        left: Tensor,
        right: Tensor,
        weights: Tensor,
        totals: Tensor,
        delta: Tensor,
        scale: float,
        first: int,
        out: Tensor,
        out_exponents: Tensor,
    ) -> None: ...
    def row_dot(self, x: Tensor, y: Tensor) -> Tensor: ...
    def cross_entropy(self, logits: Tensor, targets: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor, Tensor]: ...
    def embedding_backward(self, dy: Tensor, ids: Tensor, rows: int) -> Tensor: ...
    def row_bits(self, x: Tensor) -> Tensor: ...
    def add_to_grid(self, x: Tensor, e: Tensor, total: Tensor) -> None: ...
    def from_grid(self, total: Tensor, e: Tensor, count: int) -> Tensor: ...
    def square_bits(self, x: Tensor) -> int: ...
    def square_sum(self, x: Tensor, e: int) -> int: ...
    def adamw(
        self, parameter: Tensor, gradient: Tensor, first: Tensor, second: Tensor, constants: np.ndarray
    ) -> None: ...


# Entries of a tile: two int32 parts of this size fit a second-level cache or so.
TILE_ENTRIES = 1 << 18
# How many times as much a CUDA device is given at once: enough to keep it busy, a few hundred megabytes.
CUDA_BREADTH = 32


@dataclass(frozen=True)
class Tile:
    """Exact parts HH and HL + LH of some groups and rows of a product, ``(groups, rows, columns)`` each."""

    groups: slice
    rows: slice
    high: Tensor
    cross: Tensor


@dataclass(frozen=True)
class Backend:
    """A set of kernels and the carrier of its products."""

    kernels: Kernels
    carrier: Carrier

    def __str__(self) -> str:
        return f"{self.kernels.name}/{self.carrier.name}"

    @property
    def device(self) -> torch.device:
        """Where this backend computes. The reference kernels could on any device, and do on the CPU."""
        return torch.device("cuda" if self.kernels.name == "triton" and not interpreted() else "cpu")

    def tiles(self, left: Digits, right: Digits) -> Iterator[Tile]:
        """The exact parts of a product, tile by tile, so that they are still in the cache when they are combined."""
        a_high, a_both = (left.high, left.both) if left.layout.by_row else (left.high.mT, left.both.mT)
        b_high, b_both = (right.high.mT, right.both.mT) if right.layout.by_row else (right.high, right.both)
        groups, rows = a_high.shape[:2]
        columns = b_high.shape[2]
        entries = TILE_ENTRIES * breadth(a_high)
        height = min(rows, max(64, entries // columns))
        depth = max(1, entries // (rows * columns)) if height == rows else 1
        for group in range(0, groups, depth):
            for row in range(0, rows, height):
                g, r = slice(group, min(groups, group + depth)), slice(row, min(rows, row + height))
                high = self.carrier.multiply(a_high[g, r], b_high[g])
                yield Tile(g, r, high, self.carrier.multiply(a_both[g, r], b_both[g]))

    def matmul(self, left: Digits, right: Digits) -> Tensor:
        """The product of two operands as float32 ``(G, P, Q)``."""
        shape = *left.exponents.shape, right.exponents.shape[1]
        out = torch.empty(shape, dtype=torch.float32, device=left.data.device)
        for tile in self.tiles(left, right):
            at = tile.groups, tile.rows
            self.kernels.combine(tile.high, tile.cross, left.exponents[at], right.exponents[tile.groups], out[at])
        return out


_current: ContextVar[Backend | None] = ContextVar("regrow_backend", default=None)


def current(x: Tensor | None = None) -> Backend:
    """The backend in force here, for tensors on the device of ``x``; without ``x``, the one that trains."""
    return _current.get() or default(x.device.type if x is not None else _home())


def breadth(x: Tensor) -> int:
    """How many times as much as a CPU the device of ``x`` is given at once."""
    return CUDA_BREADTH if x.is_cuda else 1


def placed(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors on the device that trains."""
    device = current().device
    return {name: x.to(device) for name, x in tensors.items()}


def interpreted() -> bool:
    """Whether Triton interprets its kernels, on CPU tensors, as tests have it do."""
    return os.environ.get("TRITON_INTERPRET") == "1"


@contextmanager
def use(kernels: str = "", carrier: str = "") -> Iterator[Backend]:
    """Compute with the named kernels and carrier in this block; empty names mean the default's."""
    chosen = load_kernels(kernels) if kernels else current().kernels
    if carrier:
        backend = Backend(chosen, find_carrier(carrier))
    elif kernels:
        backend = Backend(chosen, default("cuda" if kernels == "triton" and not interpreted() else "cpu").carrier)
    else:
        backend = current()
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
    if name == "triton":
        from regrow.exact.gpu import launch

        return launch
    raise RecipeError(
        f"there is no backend `{name}`", where="REGROW_BACKEND", hint="use `reference`, `numba` or `triton`"
    )


def find_carrier(name: str) -> Carrier:
    """The carrier by name."""
    for carrier in CUDA_CARRIERS:
        if carrier.name == name:
            return carrier
    known = ", ".join(f"`{c.name}`" for c in CUDA_CARRIERS)
    raise RecipeError(f"there is no carrier `{name}`", where="REGROW_CARRIER", hint=f"use one of {known}")


@cache
def default(kind: str = "cpu") -> Backend:
    """The backend of this process for tensors on a kind of device, chosen once: what the environment asks for, else
    the fastest that is exact.

    Raises:
        RecipeError: if what is asked for, or every way to compute on a CUDA device, is not exact here.
    """
    from regrow.exact.selftest import carrier_fault

    kernels = _cuda_kernels() if kind == "cuda" else _cpu_kernels()
    device = torch.device(kind if kind == "cuda" else "cpu")
    asked = os.environ.get("REGROW_CARRIER")
    if asked:
        carrier = find_carrier(asked)
        if fault := carrier_fault(carrier, device):
            raise RecipeError(
                f"carrier `{asked}` is not exact on this machine",
                where="REGROW_CARRIER",
                why=fault,
                hint="unset REGROW_CARRIER, or see `regrow selftest`",
            )
        return Backend(kernels, carrier)
    carriers = CUDA_CARRIERS if kind == "cuda" else CARRIERS
    sound = [carrier for carrier in carriers if not carrier_fault(carrier, device)]
    return Backend(kernels, min(sound, key=lambda carrier: _seconds(carrier, device)))


def _cpu_kernels() -> Kernels:
    asked = os.environ.get("REGROW_BACKEND", "numba")
    return load_kernels("numba" if asked == "triton" and not interpreted() else asked)


def _cuda_kernels() -> Kernels:
    from regrow.exact.selftest import cuda_fault

    if os.environ.get("REGROW_BACKEND") == "reference":
        return load_kernels("reference")
    if fault := cuda_fault():
        raise RecipeError(
            "this machine cannot compute exactly on a CUDA device",
            where="REGROW_BACKEND" if os.environ.get("REGROW_BACKEND") == "triton" else "",
            why=fault,
            hint="set REGROW_BACKEND=numba to compute on the CPU",
        )
    return load_kernels("triton")


@cache
def _home() -> str:
    """The kind of device that trains: CUDA where it is asked for, or where it is there and exact."""
    from regrow.exact.selftest import cuda_fault

    asked = os.environ.get("REGROW_BACKEND", "")
    if interpreted() or asked not in ("", "triton") or not (asked or torch.cuda.is_available()):
        return "cpu"
    if not asked and (fault := cuda_fault()):
        warnings.warn(f"computing on the CPU, though there is a CUDA device: {fault}", stacklevel=2)
        return "cpu"
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")) % torch.cuda.device_count())
    return "cuda"


def _seconds(carrier: Carrier, device: torch.device) -> float:
    """The best of three timings of products of moderate size, after one that is not counted."""
    if device.type == "cuda":
        a = torch.ones((1, 4096, 2048), device=device).to(carrier.dtype)
        heads = torch.ones((64, 512, 128), device=device).to(carrier.dtype)
        # A layer forward, the gradients of its inputs and its weights; and attention.
        pairs = [(a, a.mT), (a, a[:, :2048]), (a.mT, a), (heads, heads.mT)]
    else:
        a = torch.ones((1, 512, 256)).to(carrier.dtype)
        pairs = [(a, a.mT)]
    best = float("inf")
    for _ in range(4):
        start = time.perf_counter()
        for left, right in pairs:
            carrier.product(left, right)
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        best = min(best, time.perf_counter() - start)
    return best
