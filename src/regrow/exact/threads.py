"""How many threads compute: none besides the caller's unless there is enough to do, and they can be had.

One kernel at a time has the threads; what is computed meanwhile is computed by its caller alone. So is everything in a
process that was forked from one with threads, which has none of them and cannot start others: GNU OpenMP ends such a
process or has it wait forever. The number changes the speed and never the bits.
"""

from __future__ import annotations

import os
import threading
import warnings
from collections.abc import Callable
from functools import partial
from typing import Any

import numba
from numba.core.compiler_lock import global_compiler_lock
from numba.core.errors import NumbaSystemWarning
from numba.np.ufunc import parallel

from regrow.errors import Note

SHARED_BYTES = 1 << 20
"""Memory to go through that is worth waking threads for, and waiting for the last: some tenths of a millisecond. Less
is done sooner by one, the more so on processors that have other work, where the last may be late by milliseconds."""

_compiling: Any = global_compiler_lock
_numba: Any = parallel  # what Numba's public functions of these names do costs microseconds, for locks


class Threads:
    """Those of this process."""

    def __init__(self) -> None:
        self._free = threading.Lock()
        self._tried = False
        self._alone = False
        self._reentrant = False
        # A fork while another thread compiles would leave the lock taken in the child, by nobody.
        os.register_at_fork(
            before=_compiling.acquire,
            after_in_parent=_compiling.release,
            after_in_child=self._forked,
        )

    def count(self) -> int:
        """How many there are for the calling thread."""
        return int(_numba._get_num_threads()) if self.start() else 1

    def worth(self, memory: int) -> int:
        """How many should go through so many bytes: all or one, as OpenMP has to end some and start them again to
        compute with fewer."""
        return self.count() if memory >= SHARED_BYTES else 1

    def taken(self, count: int) -> _Taken:
        """Have kernels of a ``with`` block computed by so many threads, or by the caller if somebody else has them.

        What ``with`` gives is whether kernels for threads can be used.
        """
        return _Taken(self, count)

    def take(self, count: int) -> tuple[bool, Callable[[], object] | None]:
        """As :meth:`taken`, and what gives them back, if anything has to."""
        if not self.start():
            return False, None
        if count > 1 and self._free.acquire(blocking=False):
            return True, self._free.release
        if not self._reentrant:
            return False, None
        before = _numba._get_num_threads()
        if before == 1:
            return True, None
        _numba._set_num_threads(1)
        return True, partial(_numba._set_num_threads, before)

    def start(self) -> bool:
        """Whether there are threads; started when this is first asked, if as many can be had."""
        if not self._tried:
            import torch  # which kernels do not need that compute alone

            self._tried = True
            count = max(int(vars(numba.config)["NUMBA_NUM_THREADS"]), torch.get_num_threads())
            try:
                _try_threads(count - 1)
                with warnings.catch_warnings():
                    # Without /dev/shm Numba has no lock against processes forked meanwhile; here those have no threads.
                    warnings.simplefilter("ignore", NumbaSystemWarning)
                    numba.get_num_threads()
                self._reentrant = _numba.threading_layer() == "omp"  # the others run one kernel at a time, of any size
            except (RuntimeError, ValueError, ImportError, OSError) as error:
                self._compute_alone()
                why = next(iter(str(error).splitlines()), "")
                asked = os.environ.get("NUMBA_THREADING_LAYER")
                why += f" (NUMBA_THREADING_LAYER is `{asked}`)" if asked else ""
                warnings.warn(f"computing with one thread, since {count} cannot be had: {why}", Note, stacklevel=2)
        return not self._alone

    def _forked(self) -> None:
        _compiling.release()
        self._free = threading.Lock()
        if self._tried or _numba._is_initialized:
            self._tried = True
            self._compute_alone()

    def _compute_alone(self) -> None:
        import torch

        self._alone = True
        torch.set_num_threads(1)


class _Taken:
    """A block of code that has threads. No generator: there are thousands of such blocks to a step of training."""

    __slots__ = ("_back", "_count", "_threads")

    def __init__(self, threads: Threads, count: int) -> None:
        self._threads, self._count = threads, count

    def __enter__(self) -> bool:
        shared, self._back = self._threads.take(self._count)
        return shared

    def __exit__(self, *_: object) -> None:
        if self._back is not None:
            self._back()


def _try_threads(count: int) -> None:
    """Have so many threads at a time, for a moment: OpenMP ends the process that cannot start those it is asked for.

    Raises:
        RuntimeError: if the system refuses one.
    """
    leave = threading.Event()
    found: list[threading.Thread] = []
    try:
        for _ in range(count):
            thread = threading.Thread(target=leave.wait, daemon=True)
            thread.start()
            found.append(thread)
    finally:
        leave.set()
        for thread in found:
            thread.join()


THREADS = Threads()
