"""Proof, on this machine, that every way of computing gives the same integers and the same bits.

The quick test runs when a process first computes: worst-case digits through each carrier, milliseconds. The full
one (``regrow selftest --full``) also compares each kernel of each backend with the definition.

x86 processors without VNNI multiply int8 with an instruction whose 16-bit pair sums saturate; some libraries
use it and silently give wrong integers at full range. Digits within -64..64 stay below that limit, and this
test notices a machine on which even they do not.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from regrow.exact.carriers import CARRIERS, Carrier


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
    return mixed


def carrier_fault(carrier: Carrier) -> str:
    """Why a carrier is not exact here, or an empty string."""
    for rows, depth, columns in ((17, 64, 24), (32, 1031, 40), (20, 4096, 16)):
        a, b = _worst_digits(rows, depth, 1), _worst_digits(columns, depth, 2)
        expected = (a.to(torch.float64) @ b.to(torch.float64).mT).to(torch.int64)
        left, right = a.to(carrier.dtype)[None], b.to(carrier.dtype)[None]
        layouts = {"row-major": right.mT, "column-major": right.mT.contiguous()}
        for layout, operand in layouts.items():
            try:
                found = carrier.multiply(left, operand)[0].to(torch.int64)
            except RuntimeError as error:
                return f"torch refuses it: {str(error).splitlines()[0]}"
            wrong = int((found != expected).sum())
            if wrong:
                return f"{wrong} of {expected.numel()} integers wrong at depth {depth}, {layout}"
    return ""


def self_test(full: bool = False) -> list[Result]:
    """Test each carrier and, if ``full``, each kernel of each backend against the definition."""
    results = [_timed(f"carrier {carrier.name}", partial(carrier_fault, carrier)) for carrier in CARRIERS]
    if full:
        from regrow.exact.comparison import kernel_faults

        results += [_timed(name, test) for name, test in kernel_faults()]
    return results


def _timed(name: str, test: Callable[[], str]) -> Result:
    start = time.perf_counter()
    fault = test()
    return Result(name, not fault, fault or "exact", time.perf_counter() - start)
