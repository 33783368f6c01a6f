"""Kernels and integer GEMM backends by name, and which of them this machine has.

What needs a library that may be missing, or takes long to import, is imported when it is asked for.
"""

from __future__ import annotations

import os
import platform
from functools import cache
from importlib.util import find_spec

import torch

from regrow.errors import RecipeError
from regrow.exact.backend import Kernels
from regrow.exact.gemm import CPU_GEMM_BACKENDS, CUDA_GEMM_BACKENDS, GemmBackend

MICROKERNELS = ("amx", "vnni", "avxvnni", "avx512", "avx2", "smmla", "sdot", "neon")
TRITON = ("triton8", "triton16")
_MOST_THREADS = 1024  # more than any machine has use for


def load_kernels(name: str) -> Kernels:
    """The kernels by name: ``reference``, ``numba`` or ``triton``.

    Raises:
        RecipeError: if there are none of this name, or what the environment asks of theirs makes no sense.
    """
    if name == "reference":
        from regrow.exact import definition

        return definition
    if name == "numba":
        _require_thread_counts()
        from regrow.exact import compiled

        return compiled
    if name == "triton":
        from regrow.exact.gpu import launch

        return launch
    raise RecipeError(
        f"there is no backend `{name}`", where="REGROW_BACKEND", hint="use `reference`, `numba` or `triton`"
    )


@cache
def cpu_gemm_backends() -> tuple[GemmBackend, ...]:
    """Those that this processor and what is installed offer, the most promising first."""
    return *(gemm for gemm, refusal in microkernels() if not refusal), *CPU_GEMM_BACKENDS


@cache
def cuda_gemm_backends() -> tuple[GemmBackend, ...]:
    """Those of a CUDA device, the most promising first: Triton's, where that is installed, and its library's."""
    if not find_spec("triton"):
        return CUDA_GEMM_BACKENDS
    from regrow.exact.gpu import products

    return *products.GEMM_BACKENDS, *CUDA_GEMM_BACKENDS


def find_gemm_backend(name: str, asked_by: str = "") -> GemmBackend:
    """The integer GEMM backend by name.

    Args:
        name: one of the table in :mod:`regrow.exact.gemm`.
        asked_by: the environment variable that holds the name, if one does.

    Raises:
        RecipeError: if there is none of this name, or not on this machine.
    """
    libraries = {gemm.name: gemm for gemm in (CUDA_GEMM_BACKENDS if name not in TRITON else cuda_gemm_backends())}
    if name in libraries:
        return libraries[name]
    if name in TRITON:
        hint = "install Triton, as `pip install 'regrow[gpu]'` does"
        raise RecipeError(f"there is no GEMM backend `{name}` here", where=asked_by, why="Triton is missing", hint=hint)
    if name not in MICROKERNELS:
        known = ", ".join(f"`{known}`" for known in (*libraries, *TRITON, *MICROKERNELS))
        raise RecipeError(f"there is no GEMM backend `{name}`", where=asked_by, hint=f"use one of {known}")
    ours = {gemm.name: (gemm, refusal) for gemm, refusal in microkernels()}
    gemm, refusal = ours.get(name, (None, "it is of other processors" if ours else "Numba is not installed"))
    if gemm is None or refusal:
        hint = f"unset {asked_by}, or see `regrow selftest`" if asked_by else "see `regrow selftest`"
        raise RecipeError(f"there is no GEMM backend `{name}` here", where=asked_by, why=refusal, hint=hint)
    return gemm


def slower_than_need_be(gemm: GemmBackend) -> str:
    """Why an integer GEMM backend computes that is not one of those that are made for this processor; empty if it is.

    Only of processors that there are some for is known that others are slower, mostly several times.
    """
    if gemm.fused or not _has_vectors():
        return ""
    refusals = [refusal for _, refusal in microkernels() if refusal]
    fitting = [one.name for one, refusal in microkernels() if not refusal]
    return f"`{fitting[0]}` was made for it" if fitting else "; ".join(dict.fromkeys(refusals)) or "Numba is missing"


def _has_vectors() -> bool:
    """Whether there is the least that there are microkernels for, NEON or AVX2, whatever Numba compiles for."""
    if platform.machine() in ("aarch64", "arm64"):
        return True
    known = getattr(torch.cpu, "_is_avx2_supported", None)  # no other library of ours tells it on every system
    return bool(known and known())


def _require_thread_counts() -> None:
    """Refuse what Numba would fail for with an error about itself, or the whole machine by running out of threads."""
    for variable in ("NUMBA_NUM_THREADS", "OMP_NUM_THREADS"):
        value = os.environ.get(variable, "")
        counts = value.split(",") if variable.startswith("OMP") else [value]  # a number for each level of nesting
        if value and not all(one.strip().isdecimal() and 0 < int(one) <= _MOST_THREADS for one in counts):
            raise RecipeError(
                f"`{value}` is no number of threads", where=variable, hint=f"unset it, or use 1 to {_MOST_THREADS}"
            )


def microkernels() -> list[tuple[GemmBackend, str]]:
    """The GEMM backends of our own for processors like this, and why each is not to be had; nothing without Numba."""
    if not find_spec("numba"):
        return []
    from regrow.exact.microkernels import products

    return [(gemm, products.refusal(gemm.name)) for gemm in products.GEMM_BACKENDS]
