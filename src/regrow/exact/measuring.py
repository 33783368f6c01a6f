"""How fast this machine multiplies exactly, beside float32; and how fast it trains, beside one that is known.

A product of moderate size takes turns with torch's of float32, each by one thread, and its processor time counts, so
that what else a machine does then hardly matters. For training all threads compute, because two of them may share a
core, and the time of their processors is shared out. It takes a second or two once the kernels are compiled.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numba
import torch

from regrow.errors import RecipeError
from regrow.exact import selection
from regrow.exact.backend import Backend
from regrow.exact.gemm import GemmBackend
from regrow.exact.grid import LEFT
from regrow.exact.registry import cpu_gemm_backends, microkernels
from regrow.exact.selftest import Result

_ROUNDS, _MORE_ROUNDS = 10, 40
_SLOW = 2.0
_CLEARLY_FASTER = 1.2

_PRODUCT, _DIGITS = 0.85e-3, 0.39e-3
"""Seconds of a product, and of splitting its left operand into digits, where the costs of stages were measured: by two
threads of one core of an Intel Xeon with AMX (docs/log.md).
"""
_SHARE = 0.5
"""Of the time of training there, the products' share, where one number is said of all."""


@dataclass(frozen=True)
class Way:
    """A way to multiply, as far as this machine has it.

    Attributes:
        name: of the GEMM backend.
        missing: why it is not to be had or not exact here; empty if it is.
        chosen: whether it computes, for tensors on the CPU.
        ratio: its time for a product, beside torch's for one of float32; None if it cannot be used.
    """

    name: str
    missing: str
    chosen: bool
    ratio: float | None = None


@dataclass(frozen=True)
class Speed:
    """What was measured.

    Attributes:
        ways: all there are for processors like this one, the most promising first.
        products: how many times as long exact products take as on two threads of an Intel Xeon with AMX.
        numbers: how many times as long it takes to go through numbers, as training does beside multiplying.
        advice: what would be faster, or what to expect; empty if all is well.
    """

    ways: tuple[Way, ...]
    products: float
    numbers: float
    advice: str

    @property
    def slowness(self) -> float:
        """About how many times as long training takes."""
        return _SHARE * self.products + (1 - _SHARE) * self.numbers


def speed(results: list[Result]) -> Speed | None:
    """Measure what the self-test has found to be exact; nothing where no way to multiply is.

    Args:
        results: of :func:`regrow.exact.selftest.self_test`.
    """
    faults = {one.name.removeprefix("gemm "): "" if one.ok else one.detail for one in results if _is_gemm(one)}
    units = microkernels()
    sound = [gemm for gemm in cpu_gemm_backends() if faults.get(gemm.name) == ""]
    try:
        chosen = selection.default("cpu")
    except RecipeError:  # what is asked for is not exact or not here; the self-test has said it
        return None
    products, numbers = _slowness(chosen)
    with _one_thread():
        found = _measured(chosen, sound)
    refused = {gemm.name: refusal for gemm, refusal in units if refusal}
    ways = tuple(
        Way(name, refused.get(name) or faults.get(name, ""), name == chosen.gemm.name, found.get(name))
        for name in dict.fromkeys([*(gemm.name for gemm, _ in units), *(gemm.name for gemm in sound)])
    )
    return Speed(ways, products, numbers, _advice(ways))


def _is_gemm(result: Result) -> bool:
    return result.name.startswith("gemm ") and not result.name.endswith(" on cuda")


def _measured(chosen: Backend, gemms: list[GemmBackend]) -> dict[str, float]:
    """The time of each beside that of torch's float32."""
    a, b = torch.ones(1024, 512), torch.ones(512, 512)
    runs: dict[str, Callable[[], object]] = {
        gemm.name: selection.moderate_product(Backend(chosen.kernels, gemm)) for gemm in gemms
    }
    *ours, theirs = selection.best_seconds([*runs.values(), lambda: a @ b], _ROUNDS, time.thread_time)
    return {name: seconds / theirs for name, seconds in zip(runs, ours, strict=True)}


def _slowness(chosen: Backend) -> tuple[float, float]:
    """How many times as long products and numbers take."""
    x = torch.linspace(-1, 1, 1024 * 512).view(1, 1024, 512)
    runs = selection.moderate_product(chosen), lambda: chosen.kernels.split(x, LEFT, chosen.gemm.dtype)
    # The time of all processors: whether another process had one of them meanwhile is of no account.
    product, digits = selection.best_seconds(runs, _MORE_ROUNDS, time.process_time)
    threads = torch.get_num_threads()
    return product / threads / _PRODUCT, digits / threads / _DIGITS


@contextmanager
def _one_thread() -> Iterator[None]:
    """Compute with one thread within the block, in torch and in kernels, if there are such."""
    before = torch.get_num_threads(), numba.get_num_threads()
    torch.set_num_threads(1)
    numba.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before[0])
        numba.set_num_threads(before[1])


def _advice(ways: tuple[Way, ...]) -> str:
    """What would be faster than what computes here; or what to expect, where it is slow and nothing would."""
    chosen = next((way.ratio for way in ways if way.chosen), None)
    ratios = {way.name: way.ratio for way in ways if way.ratio is not None}
    if chosen is None:
        return ""
    fastest = min(ratios, key=ratios.__getitem__)
    variable, asked = selection.asked_gemm_backend()
    if asked and chosen > _CLEARLY_FASTER * ratios[fastest]:
        return f"`{fastest}` would be {chosen / ratios[fastest]:.1f} times as fast, but {variable}={asked} is set"
    if chosen < _SLOW:
        return ""
    reasons = "".join(f"; `{way.name}`: {way.missing}" for way in ways if way.missing)
    return f"products take {chosen:.1f} times float32's time, and training nearly as much{reasons}"
