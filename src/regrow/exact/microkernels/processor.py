"""What the processor has that units ask for, by LLVM's names."""

from __future__ import annotations

import ctypes
import platform
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache

from numba.core.registry import cpu_target


@dataclass(frozen=True)
class Architecture:
    """A kind of processor.

    Attributes:
        title: for people.
        machines: what systems call it.
    """

    title: str
    machines: tuple[str, ...]

    @property
    def here(self) -> bool:
        """Whether this processor is one."""
        return platform.machine() in self.machines


X86 = Architecture("x86-64", ("x86_64", "AMD64"))
ARM = Architecture("64-bit Arm", ("aarch64", "arm64", "ARM64"))

# Linux tells a process in the auxiliary vector (uapi/asm/hwcap.h): which word, and which of its bits.
_HWCAP, _HWCAP2 = 16, 26
_BITS = {"neon": (_HWCAP, 1), "dotprod": (_HWCAP, 20), "i8mm": (_HWCAP2, 13)}
# macOS, by name.
_SYSCTLS = {"neon": "AdvSIMD", "dotprod": "FEAT_DotProd", "i8mm": "FEAT_I8MM"}


def compiled_for(more: Iterable[str] = ()) -> list[str]:
    """What Numba has LLVM use, or leave out, as LLVM is told it; and more that it is to use."""
    _, _, told = cpu_target.target_context.codegen().magic_tuple()
    return [*filter(None, told.split(",")), *(f"+{one}" for one in more)]


@cache
def features() -> frozenset[str]:
    """What this processor has, or what Numba compiles for, which ``NUMBA_CPU_NAME`` can make less."""
    found = {one.removeprefix("+") for one in compiled_for() if one.startswith("+")}
    # Of Arm processors LLVM tells some features by the name alone, and of one that it does not know by name, none.
    return frozenset(found | _told_by_system() if ARM.here else found)


def _told_by_system() -> set[str]:
    if platform.system() == "Linux":
        words = ctypes.CDLL(None).getauxval
        words.argtypes, words.restype = [ctypes.c_ulong], ctypes.c_ulong
        return {name for name, (word, bit) in _BITS.items() if words(word) >> bit & 1}
    if platform.system() == "Darwin":
        return {name for name, known in _SYSCTLS.items() if _sysctl(f"hw.optional.arm.{known}") or name == "neon"}
    return set()


def _sysctl(name: str) -> int:
    value, size = ctypes.c_int64(0), ctypes.c_size_t(8)
    failed = ctypes.CDLL(None).sysctlbyname(name.encode(), ctypes.byref(value), ctypes.byref(size), None, 0)
    return 0 if failed else value.value
