"""Ctrl-C: once to stop, twice to leave at once, whatever the main thread is in.

Python runs its signal handlers between two bytecodes of the main thread, and that thread may be inside a library for a
minute. So a second thread waits for the byte that the C handler writes at once.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from regrow.cli.console import Console, animated
from regrow.errors import Interrupted

MESSAGE = "after this step; the same command continues (Ctrl-C again leaves at once, which is safe)"
_SOON = 0.5
"""Seconds in which a main thread that is not inside a library runs its handler."""


@contextmanager
def stop_on_interrupt(console: Console, message: str = MESSAGE) -> Iterator[threading.Event]:
    """An event that the first Ctrl-C sets during the block; the second ends the process.

    Args:
        console: where to say so.
        message: what is stopped; nothing is said without one.
    """
    stop = threading.Event()

    def interrupted() -> None:
        if stop.is_set():
            _leave()
        stop.set()
        if message:
            console.say()
            console.verb("Stopping", message, "yellow")

    with _watched(lambda *_: None, interrupted):
        yield stop


@contextmanager
def leave_when_stuck() -> Iterator[None]:
    """Leave the usual meaning to Ctrl-C during the block, but end the process at the second if none was answered."""
    if signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield  # whoever started us wants it ignored, or has a meaning for it
        return
    answered, before = 0, -1

    def answer(number: int, frame: FrameType | None) -> None:
        nonlocal answered
        answered += 1
        signal.default_int_handler(number, frame)

    def interrupted() -> None:
        nonlocal before
        if before == answered and not over.wait(_SOON) and before == answered:
            _leave()
        before = answered

    over = threading.Event()
    with _watched(answer, interrupted):
        try:
            yield
        finally:
            over.set()


@contextmanager
def _watched(handler: Callable[[int, FrameType | None], Any], interrupted: Callable[[], None]) -> Iterator[None]:
    """Handle Ctrl-C in the main thread when it can, and tell of each at once in another thread."""
    if threading.current_thread() is not threading.main_thread():
        yield  # signals are the main thread's, and so is deciding about them
        return
    ours, theirs = socket.socketpair()
    theirs.setblocking(False)
    old_handler = signal.signal(signal.SIGINT, handler)
    old_descriptor = signal.set_wakeup_fd(theirs.fileno(), warn_on_full_buffer=False)
    watcher = threading.Thread(target=_watch, args=(ours, interrupted), daemon=True)
    watcher.start()
    try:
        yield
    finally:
        signal.set_wakeup_fd(old_descriptor)
        signal.signal(signal.SIGINT, old_handler)
        theirs.close()  # the watcher reads the end and leaves
        watcher.join()
        ours.close()


def _watch(ours: socket.socket, interrupted: Callable[[], None]) -> None:
    while received := ours.recv(1):
        if received[0] == signal.SIGINT:
            interrupted()


def _leave() -> None:
    _show_cursor()
    os._exit(Interrupted.exit_code)


def _show_cursor() -> None:
    """Give back what a progress bar hides."""
    if sys.__stderr__ is not None and animated(sys.__stderr__):
        os.write(sys.__stderr__.fileno(), b"\x1b[?25h\n")
