"""Hearing of kernels that are compiled: once for each machine and version, seconds each, before they first compute.

Nothing heavy is imported here. Whoever shows progress listens around what it shows; compiling is heard in the thread
and context in which the kernel is called.

Example:
    >>> with compiling.heard(lambda one: print(one.kernel, one.seconds)):
    ...     loss = model(tokens)
    _rms_norm_kernel None
    _rms_norm_kernel 1.7
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass


@dataclass(frozen=True)
class Compilation:
    """A kernel that is not among the kept ones.

    Attributes:
        kernel: its name.
        seconds: how long compiling it took; None when it begins.
    """

    kernel: str
    seconds: float | None = None


Listener = Callable[[Compilation], None]
_listener: ContextVar[Listener | None] = ContextVar("regrow_compiling", default=None)


@contextmanager
def heard(listener: Listener) -> Iterator[None]:
    """Tell ``listener`` of every kernel that is compiled in this block: once when it begins, once when it is done.

    What is compiled on the way into a kernel belongs to it, so that the seconds of all may be added up.
    """
    token = _listener.set(listener)
    try:
        yield
    finally:
        _listener.reset(token)


@contextmanager
def announced(kernel: str) -> Iterator[None]:
    """Compile a kernel in this block, and everything that goes into it."""
    listener, start = _listener.get(), time.monotonic()
    if listener is None:
        yield
        return
    listener(Compilation(kernel))
    token = _listener.set(None)
    try:
        yield
    finally:
        _listener.reset(token)
        listener(Compilation(kernel, time.monotonic() - start))
