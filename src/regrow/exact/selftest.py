"""Proof, on this machine, that every way of computing gives the same integers and the same bits.

The quick test runs when a process first computes: worst-case digits through each integer GEMM backend, milliseconds.
``regrow selftest`` tests products with packed weights too, and with ``--full`` it compares each kernel of each backend
with the definition. On a CUDA device the full test always runs first, a fraction of a second once the kernels are
compiled, because there the compiler is the machine's: a device whose kernels differ is refused.

x86 processors without VNNI multiply int8 with an instruction whose 16-bit pair sums saturate; some libraries
use it and silently give wrong integers at full range. Digits within -64..64 stay below that limit, and this
test notices a machine on which even they do not.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, partial
from importlib.util import find_spec

import torch
from torch import Tensor

from regrow.exact.backend import interpreted
from regrow.exact.comparison import coded_faults, kernel_faults, product_faults, whole_faults
from regrow.exact.gemm import GemmBackend
from regrow.exact.grid import RIGHT_TRANSPOSED, Digits
from regrow.exact.registry import cpu_gemm_backends, cuda_gemm_backends


@dataclass(frozen=True)
class Result:
    """The outcome of one test: its name, whether it passed, what was seen, and how long it took in seconds."""

    name: str
    ok: bool
    detail: str
    seconds: float


def _worst_digits(rows: int, depth: int, seed: int) -> Tensor:
    """Digits that stress an accumulator: all extremes of one sign, alternating, and pseudo-random ones."""
    index = torch.arange(rows * depth, dtype=torch.int64).view(rows, depth)
    mixed = ((index * 2654435761 + seed * 40503) >> 7) % 129 - 64
    mixed[0] = 64
    mixed[1] = -64
    mixed[2] = torch.where(index[2] % 2 == 0, 64, -64)
    mixed[3] = torch.where(index[3] % 4 < 2, 64, -64)
    mixed[4] = 63  # odd sums up to the budget's end, which need every bit of an accumulator
    return mixed


_CPU = torch.device("cpu")
_SHAPES = ((17, 64, 24), (32, 1031, 40), (20, 4096, 16))
_CUDA_SHAPES = (*_SHAPES, (300, 4096, 520))  # large enough for the tiles of tensor cores


def gemm_fault(gemm: GemmBackend, device: torch.device = _CPU) -> str:
    """Why a GEMM backend is not exact here, or an empty string."""
    for rows, depth, columns in _CUDA_SHAPES if device.type == "cuda" else _SHAPES:
        a, b = _worst_digits(rows, depth, 1), _worst_digits(columns, depth, 2)
        expected = _product(a, b)
        left, right = (x.to(device, gemm.dtype)[None] for x in (a, b))
        layouts = {"row-major": right.mT, "column-major": right.mT.contiguous()}
        for layout, operand in layouts.items():
            try:
                found = gemm.multiply(left, operand)[0].to(_CPU, torch.int64)
            except Exception as error:  # whatever torch or a compiler throws
                return _thrown(error)
            wrong = int((found != expected).sum())
            if wrong:
                return f"{wrong} of {expected.numel()} integers wrong at depth {depth}, {layout}"
        if wrong := _wrong_sums(gemm, device, rows, depth, columns):
            return f"{wrong} sums of operands with all their digits wrong at depth {depth}"
    for name, test in whole_faults(gemm):
        try:
            fault = test()
        except Exception as error:  # likewise
            fault = _thrown(error)
        if fault:
            return f"{name}: {fault}"
    return ""


def _wrong_sums(gemm: GemmBackend, device: torch.device, rows: int, depth: int, columns: int) -> int:
    """How many numbers of a product are wrong whose operands have two digits, or the left one three; of a GEMM backend
    that multiplies such by itself.
    """
    own = gemm.fused or gemm.whole
    if own is None:
        return 0
    high, middle, low = (_worst_digits(rows, depth, seed) for seed in (1, 2, 3))
    first, second = (_worst_digits(columns, depth, seed) for seed in (4, 5))
    second = second.clamp(max=63)  # as all low digits are
    grids = torch.zeros((1, columns), dtype=torch.int32, device=device)
    planes = torch.stack((second, first), 1).to(device, gemm.dtype)[None]
    right = Digits(planes, grids, RIGHT_TRANSPOSED)
    lowest = _product(low, second)  # which is left out
    wrong = 0
    for left in ([high, low], [high, middle, low]):
        there = torch.zeros((1, rows, columns), dtype=torch.float64, device=device)
        own.accumulate([digits.to(device, gemm.dtype)[None] for digits in left], right, there)
        expected = _product(_whole(left), _whole([first, second])) - lowest
        wrong += int((there[0].to(_CPU) != expected).sum())
    return wrong


def _whole(digits: Sequence[Tensor]) -> Tensor:
    """The int64 that digits stand for, the highest first."""
    return sum((one << 7 * place for place, one in enumerate(reversed(digits))), torch.tensor(0))


def _product(left: Tensor, right: Tensor) -> Tensor:
    """The integers ``left @ right.T`` of int64 matrices. By NumPy, which no thread has to be woken for: this is done in
    every process that computes, and libraries' threads take longer to meet than all of it.
    """
    return torch.from_numpy(left.numpy() @ right.numpy().T)


def self_test(full: bool = False) -> list[Result]:
    """Test each integer GEMM backend, products with codes and, if ``full``, each kernel against the definition."""
    results = [_timed(f"gemm {gemm.name}", partial(gemm_fault, gemm)) for gemm in cpu_gemm_backends()]
    if torch.cuda.is_available():
        cuda = torch.device("cuda")
        results += [_timed(f"gemm {c.name} on cuda", partial(gemm_fault, c, cuda)) for c in cuda_gemm_backends()]
    if not full and find_spec("numba"):
        results += [_timed(name, test) for name, test in coded_faults()]
    if full:
        results += [_timed(name, test) for name, test in product_faults(cpu_gemm_backends())]
        triton = torch.cuda.is_available() or interpreted()
        results += [_timed(name, test) for name, test in kernel_faults(("numba", "triton") if triton else ("numba",))]
    return results


def usable(results: Sequence[Result]) -> bool:
    """Whether one GEMM backend at least is exact, and everything else is."""
    gemms = [result.ok for result in results if result.name.startswith("gemm ")]
    others = [result.ok for result in results if not result.name.startswith("gemm ")]
    return (any(gemms) or not gemms) and all(others)


@cache
def cuda_fault() -> str:
    """Why no CUDA device computes exactly here, or an empty string. Compares every kernel with the definition."""
    if not torch.cuda.is_available():
        return "torch finds no CUDA device"
    if all(gemm_fault(gemm, torch.device("cuda")) for gemm in cuda_gemm_backends()):
        return "no way to multiply is exact there (`regrow selftest` says more)"
    try:
        for name, test in kernel_faults(("triton",)):
            if fault := test():
                return f"kernel `{name}`: {fault}"
    except Exception as error:  # whatever a compiler or a driver throws
        return _thrown(error)
    return ""


def _thrown(error: Exception) -> str:
    if isinstance(error, ImportError):
        return f"`{error.name}` is not installed; torch for CUDA brings it, and so does `regrow[gpu]`"
    return f"it cannot run: {type(error).__name__}: {next(iter(str(error).splitlines()), '')}"


def _timed(name: str, test: Callable[[], str]) -> Result:
    start = time.perf_counter()
    try:
        fault = test()
    except Exception as error:  # whatever a compiler or a driver throws
        fault = _thrown(error)
    return Result(name, not fault, fault or "exact", time.perf_counter() - start)
