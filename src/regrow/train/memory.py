"""Memory that is freed stays with the process, because a training step asks for the same amounts again.

glibc gives blocks of more than 32 MiB back to the system at once, and every page of the next one begins with a fault:
a tenth of a step's time at 125 million parameters. The peak of memory is higher by three or four percent. Commands ask
for this; the loop does not, since a program that calls it may have other things to do.
"""

from __future__ import annotations

import ctypes
import platform

_TRIM_THRESHOLD, _MMAP_MAX = -1, -4  # of mallopt(3)


def keep_freed_memory() -> None:
    """For the rest of this process, where the C library is glibc; elsewhere nothing happens."""
    if platform.libc_ver()[0] == "glibc":
        library = ctypes.CDLL(None)
        library.mallopt(_MMAP_MAX, 0)
        library.mallopt(_TRIM_THRESHOLD, 2**31 - 1)
