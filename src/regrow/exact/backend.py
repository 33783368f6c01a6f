"""Which kernels and which carrier compute, on this machine, now. The choice changes the speed and never the bits.

Tensors on a CUDA device are computed with Triton's kernels, others with Numba's, and each with the fastest carrier that
passes its self-test, chosen once per process. Training goes to a CUDA device if there is one. ``REGROW_BACKEND``
(``reference``, ``numba`` or ``triton``) and ``REGROW_CARRIER`` (a name in :mod:`regrow.exact.gemm`) overrule this,
and :func:`use` does so for a block of code.

Example:
    >>> with use("reference", "float64"):
    ...     y = linear(x, weight)
"""

from __future__ import annotations

import os
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import cache
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from regrow.errors import RecipeError
from regrow.exact.gemm import CUDA_CARRIERS, Carrier, WholeProducts, cpu_carriers, find_carrier
from regrow.exact.grid import LEFT, RIGHT_TRANSPOSED, Block, Digits, Layout


class Kernels(Protocol):
    """What a set of kernels offers; :mod:`regrow.exact.definition` documents and defines each."""

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
    def on_grid(self, x: Tensor) -> Tensor: ...
    def square_bits(self, x: Tensor) -> int: ...
    def square_sum(self, x: Tensor, e: int) -> int: ...
    def adamw(
        self, parameter: Tensor, gradient: Tensor, first: Tensor, second: Tensor, constants: np.ndarray
    ) -> None: ...


# Entries of a tile: two parts of this size stay in the last of the caches.
TILE_ENTRIES = 1 << 21
# Rows of a tile at least, for the sake of the products.
TILE_ROWS = 256
# How many times as much a CUDA device is given at once: enough to keep it busy, a few hundred megabytes.
CUDA_BREADTH = 16


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
        """The exact parts of a product, tile by tile, so that they are still in the cache when they are used."""
        groups, rows = left.exponents.shape
        columns = right.exponents.shape[1]
        entries = TILE_ENTRIES * breadth(left.data)
        height = min(rows, max(TILE_ROWS, entries // columns))
        depth = max(1, entries // (rows * columns)) if height == rows else 1
        everything, multiply = slice(0, columns), self.carrier.multiply
        for group in range(0, groups, depth):
            for row in range(0, rows, height):
                g, r = slice(group, min(groups, group + depth)), slice(row, min(rows, row + height))
                a, b = left.tile(g, r), right.tile(g, everything)
                high = multiply(a.along(a.high), b.along(b.high).mT)
                yield Tile(g, r, high, multiply(a.along(a.both), b.along(b.both).mT))

    def matmul(self, left: Digits, right: Digits) -> Tensor:
        """The product of two operands as float32 ``(G, P, Q)``."""
        if whole := self._whole(left.depth):
            return whole.matmul(left, right)
        shape = *left.exponents.shape, right.exponents.shape[1]
        out = torch.empty(shape, dtype=torch.float32, device=left.data.device)
        for tile in self.tiles(left, right):
            at = tile.groups, tile.rows
            self.kernels.combine(tile.high, tile.cross, left.exponents[at], right.exponents[tile.groups], out[at])
        return out

    def add(self, left: Digits, right: Digits, total: Tensor) -> None:
        """Add the exact integers of a product to float64 ``(G, P, Q)``; P may be more than the left operand has."""
        if whole := self._whole(left.depth):
            whole.accumulate(left.planes, right, total)
            return
        for tile in self.tiles(left, right):
            total[tile.groups, tile.rows].add_(tile.high, alpha=16384.0).add_(tile.cross, alpha=128.0)

    def add_deep(self, upper: Tensor, lower: Tensor, right: Digits, total: Tensor) -> None:
        """Add the exact integers of a product whose left operand has three digits to float64 ``(P, Q)``.

        Args:
            upper: the highest digit and the middle one, ``(R, 2, C)``.
            lower: the middle digit and the lowest one, alike.
            right: if its digits are stacked, C is contracted, else R.
            total: changed in place.
        """
        turned = not right.layout.stacked
        planes = [(plane.mT if turned else plane)[None] for plane in (upper[:, 0], upper[:, 1], lower[:, 1])]
        if whole := self._whole(right.depth):
            whole.accumulate(planes, right, total[None])
            return
        rows, _, columns = upper.shape
        shape = (2 * rows, columns) if turned else (rows, 2 * columns)
        pairs = [(d.view(shape).mT if turned else d.view(shape))[None] for d in (upper, lower)]
        top = self.carrier.multiply(planes[0], right.high)
        middle, bottom = (self.carrier.multiply(pair, right.both) for pair in pairs)
        self.kernels.accumulate(top[0], middle[0], bottom[0], total)

    def attend(
        self, block: Block, queries: Digits, keys: Digits, values: Digits, scale: float, weights: Tensor,
        totals: Tensor, out: Tensor,
    ) -> None:  # fmt: skip
        """Causal attention of a block of queries.

        Args:
            block: which.
            queries: all of them, ``(G, R, D)`` on row grids.
            keys: those that the block sees, ``(G, K, D)`` on row grids.
            values: likewise, on column grids.
            scale: of the scores.
            weights: takes the digits of the softmax's numerators, ``(G, rows of the block, 2, K)``.
            totals: takes their sums, in the block's rows of ``(G, R)``.
            out: takes the weighted means, in the block's rows of ``(G, R, D)``.
        """
        if whole := self._whole(queries.depth, block.keys):
            return whole.attend(block, queries, keys, values, scale, weights, totals, out)
        some, sums, means = queries.rows(block.rows), totals[:, block.rows], out[:, block.rows]
        for tile in self.tiles(some, keys):
            at = tile.groups, tile.rows
            self.kernels.attention_weights(
                tile.high, tile.cross, some.exponents[at], keys.exponents[tile.groups], scale,
                block.first + tile.rows.start, weights[at], sums[at],
            )  # fmt: skip
        for tile in self.tiles(numerators(weights, LEFT), values):
            at = tile.groups, tile.rows
            self.kernels.attention_output(tile.high, tile.cross, values.exponents[tile.groups], sums[at], means[at])
        return None

    def attend_backward(
        self, block: Block, gradients: Digits, values: Digits, keys: Digits, scale: float, weights: Tensor,
        totals: Tensor, delta: Tensor, out: Tensor,
    ) -> Digits:  # fmt: skip
        """The gradients of a block's scores, ``(G, rows of the block, K)`` on row grids.

        Args:
            block: which.
            gradients: of the outputs, all of them, ``(G, R, D)`` on row grids.
            values: those that the block sees, ``(G, K, D)`` on row grids.
            keys: likewise, on column grids.
            scale: of the scores.
            weights: from :meth:`attend`.
            totals: from :meth:`attend`.
            delta: the sums over D of gradient times output, ``(G, R)``.
            out: takes the gradients of the queries, in the block's rows of ``(G, R, D)``.
        """
        if whole := self._whole(gradients.depth, block.keys):
            return whole.attend_backward(block, gradients, values, keys, scale, weights, totals, delta, out)
        some, sums, dots = gradients.rows(block.rows), totals[:, block.rows], delta[:, block.rows]
        exponents = torch.empty(sums.shape, dtype=torch.int32, device=weights.device)
        digits = Digits(torch.empty_like(weights), exponents, LEFT)
        for tile in self.tiles(some, values):
            at = tile.groups, tile.rows
            self.kernels.attention_gradient(
                tile.high, tile.cross, some.exponents[at], values.exponents[tile.groups], weights[at], sums[at],
                dots[at], scale, block.first + tile.rows.start, digits.data[at], exponents[at],
            )  # fmt: skip
        out[:, block.rows] = self.matmul(digits, keys)
        return digits

    def _whole(self, *depths: int) -> WholeProducts | None:
        """What multiplies whole operands, if the carrier does, these depths are within its budget, and the kernels
        are not the definition, which has nothing but plain products.
        """
        within = max(depths) <= self.carrier.depth and self.kernels.name != "reference"
        return self.carrier.whole if within else None


def numerators(weights: Tensor, layout: Layout) -> Digits:
    """The digits of attention's weights as an operand, whose grid is 2**-13 everywhere: exponent 0."""
    groups, rows, _, columns = weights.shape
    exponents = torch.zeros((groups, rows if layout.by_row else columns), dtype=torch.int32, device=weights.device)
    return Digits(weights, exponents, layout)


_current: ContextVar[Backend | None] = ContextVar("regrow_backend", default=None)


def current(x: Tensor | None = None) -> Backend:
    """The backend in force here, for tensors on the device of ``x``; without ``x``, the one that trains."""
    return _current.get() or default(x.device.type if x is not None else _home())


def breadth(x: Tensor) -> int:
    """How many times as much as a CPU the device of ``x`` is given at once."""
    return CUDA_BREADTH if x.is_cuda else 1


def wideness(backend: Backend, x: Tensor) -> int:
    """What blocks of rows are divided by on the device of ``x``: on a CPU, digits of more than a byte take more memory
    and are multiplied more slowly."""
    return 1 if x.is_cuda or backend.carrier.dtype.itemsize == 1 else 2


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
        if chosen.name == "numba" and backend.carrier not in cpu_carriers():
            raise RecipeError(f"carrier `{carrier}` needs a GPU", why="backend `numba` computes on CPUs")
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
        from regrow.exact import definition

        return definition
    if name == "numba":
        from regrow.exact import compiled

        return compiled
    if name == "triton":
        from regrow.exact.gpu import launch

        return launch
    raise RecipeError(
        f"there is no backend `{name}`", where="REGROW_BACKEND", hint="use `reference`, `numba` or `triton`"
    )


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
    carriers = CUDA_CARRIERS if kind == "cuda" else cpu_carriers()
    sound = (carrier for carrier in carriers if not carrier_fault(carrier, device))
    first = next(sound)
    if first.name == "amx":  # no other comes near it, and to test them all takes seconds
        return Backend(kernels, first)
    seconds = _cuda_seconds if kind == "cuda" else _seconds
    return min((Backend(kernels, carrier) for carrier in (first, *sound)), key=seconds)


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


def _seconds(backend: Backend) -> float:
    """How long a backend takes for a layer of moderate size."""
    digits = torch.ones((1, 1024, 2, 512), dtype=backend.carrier.dtype)
    rows = torch.zeros((1, 1024), dtype=torch.int32)
    left, right = Digits(digits, rows, LEFT), Digits(digits[:, :512], rows[:, :512], RIGHT_TRANSPOSED)
    return _best(lambda: backend.matmul(left, right))


def _cuda_seconds(backend: Backend) -> float:
    """How long a CUDA device takes for the products of a layer: forward, its gradients, and attention."""
    a = torch.ones((1, 4096, 2048), device="cuda").to(backend.carrier.dtype)
    heads = torch.ones((64, 512, 128), device="cuda").to(backend.carrier.dtype)

    def products() -> None:
        for left, right in ((a, a.mT), (a, a[:, :2048]), (a.mT, a), (heads, heads.mT)):
            backend.carrier.product(left, right)
        torch.cuda.synchronize()

    return _best(products)


def _best(run: Callable[[], object]) -> float:
    """The best of three timings in seconds, after one that is not counted."""
    times = []
    for _ in range(4):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return min(times[1:])
