"""Which kernels and which integer GEMM backend compute, on this machine, now. It changes the speed and never the bits.

Tensors on a CUDA device are computed with Triton's kernels, others with Numba's, and each with the fastest GEMM backend
that passes its self-test, chosen once per process. Training goes to a CUDA device if there is one. ``REGROW_BACKEND``
(``reference``, ``numba`` or ``triton``) and ``REGROW_GEMM`` (a name in :mod:`regrow.exact.gemm`; ``REGROW_CARRIER`` is
its older name and still valid) overrule this, and :func:`use` does so for a block of code.

Example:
    >>> with use("reference", "float64"):
    ...     y = linear(x, weight)
"""

from __future__ import annotations

import os
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache, cached_property

import torch
from torch import Tensor

from regrow.errors import Note, RecipeError
from regrow.exact.backend import Backend, Kernels, interpreted
from regrow.exact.gemm import GemmBackend
from regrow.exact.grid import LEFT, LEFT_TRANSPOSED, RIGHT, RIGHT_OF_TRANSPOSED, RIGHT_TRANSPOSED, Digits
from regrow.exact.registry import (
    cpu_gemm_backends,
    cuda_gemm_backends,
    find_gemm_backend,
    load_kernels,
    slower_than_need_be,
)
from regrow.exact.selftest import cuda_fault, gemm_fault

_ROUNDS = 4
_CLEARLY_SLOWER = 1.2

_current: ContextVar[Backend | None] = ContextVar("regrow_backend", default=None)


def current(x: Tensor | None = None) -> Backend:
    """The backend in force here, for tensors on the device of ``x``; without ``x``, the one that trains."""
    return _current.get() or default(x.device.type if x is not None else _home())


def placed(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors on the device that trains."""
    device = current().device
    return {name: x.to(device) for name, x in tensors.items()}


@contextmanager
def use(kernels: str = "", gemm: str = "") -> Iterator[Backend]:
    """Compute with the named kernels and integer GEMM backend in this block; empty names mean the default's.

    Args:
        kernels: ``reference``, ``numba`` or ``triton``.
        gemm: a name of the table in :mod:`regrow.exact.gemm`.

    Raises:
        RecipeError: if there are none of these names, not on this machine, or not together.
    """
    chosen = load_kernels(kernels) if kernels else current().kernels
    if gemm:
        backend = Backend(chosen, find_gemm_backend(gemm))
        if chosen.name == "numba" and backend.gemm not in cpu_gemm_backends():
            raise RecipeError(f"GEMM backend `{gemm}` needs a GPU", why="backend `numba` computes on CPUs")
    elif kernels:
        backend = Backend(chosen, default("cuda" if kernels == "triton" and not interpreted() else "cpu").gemm)
    else:
        backend = current()
    token = _current.set(backend)
    try:
        yield backend
    finally:
        _current.reset(token)


@cache
def default(kind: str = "cpu") -> Backend:
    """The backend of this process for tensors on a kind of device, chosen once: what the environment asks for, else
    the fastest that is exact.

    Raises:
        RecipeError: if what is asked for, or every way to compute on a CUDA device, is not exact here.
    """
    chosen = _Default(_cuda_kernels() if kind == "cuda" else _cpu_kernels(), kind)
    if asked_gemm_backend()[1]:
        _ = chosen.gemm  # what is wrong with what is asked for is told at once
    return chosen


class _Default(Backend):
    """One whose integer GEMM backend is chosen when it is first needed.

    Running a model needs none, and to test one takes a minute where its kernels are not compiled yet.
    """

    def __init__(self, kernels: Kernels, kind: str) -> None:
        object.__setattr__(self, "kernels", kernels)
        object.__setattr__(self, "_kind", kind)

    @cached_property
    def gemm(self) -> GemmBackend:
        """The one that is exact and the fastest; see :func:`default`."""
        kind: str = vars(self)["_kind"]
        chosen = _gemm(self.kernels, kind, torch.device(kind if kind == "cuda" else "cpu"))
        if kind == "cpu" and (why := slower_than_need_be(chosen)):
            told = f"GEMM backend `{chosen.name}` computes, slower than this processor can: {why}"
            warnings.warn(told, Note, 2)
        return chosen


def _gemm(kernels: Kernels, kind: str, device: torch.device) -> GemmBackend:
    """The integer GEMM backend that the environment asks for, else the fastest that is exact."""
    variable, asked = asked_gemm_backend()
    if asked:
        gemm = find_gemm_backend(asked, variable)
        if fault := gemm_fault(gemm, device):
            raise RecipeError(
                f"GEMM backend `{asked}` is not exact on this machine",
                where=variable,
                why=fault,
                hint=f"unset {variable}, or see `regrow selftest`",
            )
        return gemm
    expected, *_ = gemms = cuda_gemm_backends() if kind == "cuda" else cpu_gemm_backends()
    sound: list[Backend] = []
    for gemm in gemms:
        if not (fault := gemm_fault(gemm, device)):
            sound.append(Backend(kernels, gemm))
        elif gemm is expected:
            warnings.warn(f"GEMM backend `{gemm.name}` is not exact here, and another one is used: {fault}", Note, 2)
        if sound and gemm.fused:  # no other comes near it, and to test them all takes seconds
            break
    if not sound:
        why = "no GEMM backend gives the right integers"
        raise RecipeError("this machine cannot compute exactly", why=why, hint="see `regrow selftest`")
    return _fastest(sound, _cuda_product if kind == "cuda" else moderate_product).gemm


def asked_gemm_backend() -> tuple[str, str]:
    """The variable of the environment that names an integer GEMM backend, and the name; empty if none does."""
    for variable in ("REGROW_GEMM", "REGROW_CARRIER"):  # the second is the older name of the first
        if asked := os.environ.get(variable):
            return variable, asked
    return "", ""


def _cpu_kernels() -> Kernels:
    asked = os.environ.get("REGROW_BACKEND", "numba")
    return load_kernels("numba" if asked == "triton" and not interpreted() else asked)


def _cuda_kernels() -> Kernels:
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
    asked = os.environ.get("REGROW_BACKEND", "")
    if interpreted() or asked not in ("", "triton") or not (asked or torch.cuda.is_available()):
        return "cpu"
    if not asked and (fault := cuda_fault()):
        warnings.warn(f"computing on the CPU, though there is a CUDA device: {fault}", Note, stacklevel=2)
        return "cpu"
    if torch.cuda.is_available():  # each worker of a host a device, by the number that torchrun gives it
        rank = os.environ.get("LOCAL_RANK", "0")
        torch.cuda.set_device(int(rank) % torch.cuda.device_count() if rank.isdecimal() else 0)
    return "cuda"


def device_name() -> str:
    """What the CUDA device is called that trains in this process, a name that no other has; empty if none does."""
    if current().device.type != "cuda":
        return ""
    return str(torch.cuda.get_device_properties(torch.cuda.current_device()).uuid)


def moderate_product(backend: Backend) -> Callable[[], object]:
    """What computes the product of a layer of moderate size: 1024 x 512 times 512 x 512."""
    digits = torch.ones((1, 1024, 2, 512), dtype=backend.gemm.dtype)
    rows = torch.zeros((1, 1024), dtype=torch.int32)
    left, right = Digits(digits, rows, LEFT), Digits(digits[:, :512], rows[:, :512], RIGHT_TRANSPOSED)
    return lambda: backend.matmul(left, right)


def _cuda_product(backend: Backend) -> Callable[[], object]:
    """The products of a layer on a CUDA device, forward and its gradients, from float32 numbers to float32 numbers."""
    x, weight = torch.ones((1, 4096, 2048), device="cuda"), torch.ones((1, 2048, 2048), device="cuda")
    layouts = (
        (x, LEFT, weight, RIGHT_TRANSPOSED),
        (x, LEFT, weight, RIGHT),
        (x, LEFT_TRANSPOSED, x, RIGHT_OF_TRANSPOSED),
    )

    def products() -> None:
        for a, left, b, right in layouts:
            backend.matmul(backend.operand(a, left), backend.operand(b, right))
        torch.cuda.synchronize()

    return products


def _fastest(backends: list[Backend], work: Callable[[Backend], Callable[[], object]]) -> Backend:
    """The first of them that takes at most a little longer than the fastest."""
    if len(backends) == 1:
        return backends[0]
    best = best_seconds([work(backend) for backend in backends])
    return next(one for one, seconds in zip(backends, best, strict=True) if seconds <= _CLEARLY_SLOWER * min(best))


def best_seconds(
    runs: Sequence[Callable[[], object]], rounds: int = _ROUNDS, clock: Callable[[], float] = time.perf_counter
) -> list[float]:  # fmt: skip
    """How long each takes. They take turns, and the best time counts: what else a machine does then slows down all."""
    found = [[_seconds(run, clock) for run in runs] for _ in range(1 + rounds)][1:]  # the first is not counted
    return [min(times) for times in zip(*found, strict=True)]


def _seconds(run: Callable[[], object], clock: Callable[[], float]) -> float:
    start = clock()
    run()
    return clock() - start
