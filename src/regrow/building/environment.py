"""What differs between machines and lies beside a release: the machine, its libraries, the times.

It names nobody: no user, no host, no path.
"""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path
from typing import Any

from regrow.version import __version__

_FLAGS = ("avx2", "fma", "avx512f", "avx512_vnni", "avx_vnni", "amx_int8", "asimddp", "i8mm", "sve")
_VARIABLES = (
    "ATEN_CPU_CAPABILITY", "ONEDNN_MAX_CPU_ISA", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS",
    "REGROW_BACKEND", "REGROW_GEMM", "REGROW_CARRIER",
)  # fmt: skip


def environment(libraries: Iterable[str]) -> dict[str, Any]:
    """Describe this machine as far as a person who compares two builds would want to know.

    Args:
        libraries: distributions whose versions matter.
    """
    model, flags = _processor()
    return {
        "regrow": __version__,
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "system": f"{platform.system()} {platform.machine()}",
        "processor": model,
        "processor_flags": [flag for flag in _FLAGS if flag in flags],
        "processors": os.cpu_count(),
        "threads": _threads(),
        "libraries": {name: _version(name) for name in sorted(set(libraries))},
        "variables": {name: os.environ[name] for name in _VARIABLES if name in os.environ},
        "backend": _backend(),
    }


def _processor() -> tuple[str, frozenset[str]]:
    """Name and flags of the processor, as far as the system tells."""
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8", "replace").splitlines()
    except OSError:
        return platform.processor(), frozenset()
    facts = {name.strip(): value.strip() for name, _, value in (line.partition(":") for line in reversed(lines))}
    return facts.get("model name", platform.machine()), frozenset(facts.get("flags", facts.get("Features", "")).split())


def _threads() -> int | None:
    """How many threads torch uses, if this process has it loaded: a cached build does not."""
    torch = sys.modules.get("torch")
    return int(torch.get_num_threads()) if torch is not None else None


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "not installed"


def _backend() -> str | None:
    """The kernels and the GEMM backend that computed, if this process has them loaded: a cached build does not."""
    selection = sys.modules.get("regrow.exact.selection")
    return str(selection.current()) if selection is not None else None
