"""How the CPU kernels are compiled: by Numba, once for each machine and state of these files.

Numba keeps what it compiled and compiles again when the file of a kernel changes; but not when another file does whose
functions it compiled into the kernel. So what it keeps lies in a folder named after all files that kernels are made of.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import time
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

from numba import config, njit

_SECONDS_KEPT = 7 * 24 * 3600.0


def kernel(**options: Any) -> Callable[[Callable[..., Any]], Any]:
    """Compile a function when it is first called, or take what was compiled before; divisions are as in NumPy."""

    def compiled(function: Callable[..., Any]) -> Any:
        settings: Any = config
        asked = settings.CACHE_DIR
        settings.CACHE_DIR = _folder(asked)  # read while a function is decorated; other people's kernels stay theirs
        try:
            return njit(cache=True, error_model="numpy", **options)(function)
        finally:
            settings.CACHE_DIR = asked

    return compiled


@cache
def _folder(asked: str) -> str:
    """Where the kernels of this state of the files are kept: where Numba was asked to, else beside the files, else
    among the user's caches; empty if there is no such place, and Numba has to find one.
    """
    package = Path(__file__).parent
    files = b"".join(file.read_bytes() for file in sorted(package.rglob("*.py")))
    parent = Path(asked) if asked else _beside(package) or _among_caches()
    if parent is None:
        return ""
    found = parent / f"kernels-{hashlib.sha256(files).hexdigest()[:16]}"
    _forget_others(found)
    return str(found)


def _beside(package: Path) -> Path | None:
    """Where Python keeps what it compiled of a package, if more may be put there."""
    folder = package / "__pycache__"
    return folder if os.access(folder if folder.is_dir() else package, os.W_OK) else None


def _among_caches() -> Path | None:
    """The user's, who has no home in some containers."""
    with suppress(RuntimeError):
        return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "regrow"
    return None


def _forget_others(found: Path) -> None:
    """Drop kernels of other states that were made long ago."""
    for other in found.parent.glob(f"kernels-{'[0-9a-f]' * 16}"):
        with suppress(OSError):
            if other != found and time.time() - other.stat().st_mtime > _SECONDS_KEPT:
                shutil.rmtree(other)
