"""A process that does work for another one: it is sent work and numbers of pieces, and answers.

It ends when the other does, in whatever way that ends, since then the wire between them does.
"""

from __future__ import annotations

import os
import pickle
import queue
import signal
import sys
import threading
import warnings
from collections.abc import Mapping
from multiprocessing.connection import Connection
from typing import Any

from regrow.engine.context import kernels_told
from regrow.engine.runners.faults import plain
from regrow.engine.runners.work import Tasks, Whole
from regrow.errors import Interrupted, Note
from regrow.recipe.kind import Surroundings

STOP = "stop"
"""What is sent in the place of work to ask that the present piece be stopped."""


class Wire:
    """The end of the wire on this side, which several threads of a piece of work may speak into."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._lock = threading.Lock()
        self.stop = threading.Event()
        self.orders: queue.SimpleQueue[tuple[bytes | None, int]] = queue.SimpleQueue()

    def send(self, word: str, content: Any) -> None:
        """Answer."""
        with self._lock:
            self._connection.send((word, content))

    def listen(self) -> None:
        """Take orders as long as there is somebody to give them."""
        try:
            while True:
                order = self._connection.recv()
                if order == STOP:
                    self.stop.set()
                else:
                    self.orders.put(order)
        except (EOFError, OSError):
            os._exit(Interrupted.exit_code)


class Told:
    """The context of a piece of work, which tells the other process."""

    def __init__(self, wire: Wire, surroundings: Surroundings) -> None:
        self.surroundings = surroundings
        self._wire = wire

    def emit(self, event: str, **fields: Any) -> None:
        """Tell it."""
        self._wire.send("event", {"event": event, **fields})

    def stopping(self) -> bool:
        """True once the user asked to stop."""
        return self._wire.stop.is_set()

    def stop(self) -> None:
        """Raise :class:`regrow.errors.Interrupted`."""
        raise Interrupted("stopped", hint="the same command continues; what was finished is kept")


def main(descriptor: int) -> None:
    """Do what is asked on a wire."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the other process's, which says what is to be done
    wire = Wire(Connection(descriptor))
    threading.Thread(target=wire.listen, daemon=True).start()
    work: Whole | Tasks | None = None
    while True:
        data, index = wire.orders.get()
        wire.stop.clear()
        if data is not None:
            try:
                work = pickle.loads(data)
            except (ImportError, AttributeError) as error:
                wire.send("unknown", str(error))
                continue
        assert work is not None, "the first order comes with its work"
        wire.send(*_answer(work, index, Told(wire, work.call.context.surroundings)))


def _answer(work: Whole | Tasks, index: int, context: Told) -> tuple[str, Any]:
    try:
        with warnings.catch_warnings(), kernels_told(context):
            warnings.showwarning = _noting(context)
            work(index, context)
    except Exception as error:
        return "failed", plain(error, work.words(index), near=str(work.call.scratch))
    return "done", None


def _noting(context: Told) -> Any:
    """What a library warns of, told as a note if it is for people, and else on stderr."""

    def show(message: Warning | str, category: type[Warning], filename: str, line: int, *_: Any) -> None:
        if issubclass(category, Note):
            context.emit("note", text=str(message))
        else:
            sys.stderr.write(warnings.formatwarning(message, category, filename, line))

    return show


def environment(variables: Mapping[str, str], threads: int) -> dict[str, str]:
    """The variables of such a process, with a share of the processors where the user has not said how many."""
    return {**{f"{name}_NUM_THREADS": str(threads) for name in THREADS}, **variables}


THREADS = ("OMP", "MKL", "OPENBLAS", "NUMBA", "RAYON")
"""The libraries that ask a variable how many threads to have."""
