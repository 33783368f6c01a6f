"""Ctrl-C: once to stop after the current step, twice to leave at once."""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from regrow.cli.console import Console, animated
from regrow.errors import Interrupted

MESSAGE = "after this step; the same command continues (Ctrl-C again leaves at once, which is safe)"


@contextmanager
def stop_on_interrupt(console: Console) -> Iterator[threading.Event]:
    """An event that the first Ctrl-C sets during the block.

    Python runs its signal handlers between two bytecodes of the main thread, and that thread may be inside a library
    for a minute. So a second thread waits for the byte that the C handler writes at once.
    """
    stop = threading.Event()
    ours, theirs = socket.socketpair()
    theirs.setblocking(False)
    old_handler = signal.signal(signal.SIGINT, lambda *_: None)
    old_descriptor = signal.set_wakeup_fd(theirs.fileno(), warn_on_full_buffer=False)
    watcher = threading.Thread(target=_watch, args=(ours, stop, console), daemon=True)
    watcher.start()
    try:
        yield stop
    finally:
        signal.set_wakeup_fd(old_descriptor)
        signal.signal(signal.SIGINT, old_handler)
        theirs.close()  # the watcher reads the end and leaves
        watcher.join()
        ours.close()


def _watch(ours: socket.socket, stop: threading.Event, console: Console) -> None:
    while received := ours.recv(1):
        if received[0] != signal.SIGINT:
            continue
        if stop.is_set():
            _show_cursor()
            os._exit(Interrupted.exit_code)
        stop.set()
        console.say()
        console.verb("Stopping", MESSAGE, "yellow")


def _show_cursor() -> None:
    """Give back what a progress bar hides."""
    if sys.__stderr__ is not None and animated(sys.__stderr__):
        os.write(sys.__stderr__.fileno(), b"\x1b[?25h\n")
