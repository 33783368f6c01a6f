"""Work done by processes of this machine, as many at a time as were asked for, whoever asks."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from contextlib import suppress
from multiprocessing.connection import Connection
from typing import Any

from regrow.engine.runners.child import STOP, environment
from regrow.engine.runners.faults import AGAIN, Lives
from regrow.engine.runners.runner import Desk, Here, stopped
from regrow.engine.runners.work import Tasks, Whole, packed
from regrow.errors import Interrupted, StageError
from regrow.recipe.kind import Context

_LOOK = 0.1
"""Seconds between two looks at whether the user asked to stop."""
_GRACE = 3.0
"""Seconds that a piece of work has to save itself; what is not finished then is as after a kill, which is safe."""
_BEGIN = "import json, sys; sys.path[:] = json.loads(sys.argv[2]); from {0} import main; main(int(sys.argv[1]))"


class Processes:
    """Processes that are started when there is work for them, and then kept.

    A task that is all there is of its phase goes to one that has all processors, since the others wait for it.

    Args:
        count: how many at most.
    """

    def __init__(self, count: int) -> None:
        self._share = max(1, _processors() // count)
        self._pool = ThreadPoolExecutor(count, "regrow-process")  # a thread for each, which waits for it
        self._idle: list[_Child] = []  # the one that had work last comes last
        self._lock = threading.Lock()

    def run(self, work: Whole | Tasks, context: Context) -> None:
        """Do all pieces. What cannot go to another process is done in this one."""
        data = packed(work) if work.reach != "here" else None
        if data is None:
            Here().run(work, context)
            return
        job = _Job(work, data, context)
        pieces = [self._pool.submit(self._piece, job, index) for index in range(work.count)]
        try:
            for done in wait(pieces, return_when=FIRST_EXCEPTION).done:
                done.result()
        except BaseException as error:
            _end(job, pieces)
            raise _first(pieces) or error from None
        if job.unknown.is_set():
            Here().run(work, context)

    def close(self) -> None:
        """End all processes."""
        self._pool.shutdown(cancel_futures=True)
        while self._idle:
            self._idle.pop().close()

    def _child(self, threads: int) -> _Child:
        """A process that has so many threads and nothing to do, or a new one."""
        with self._lock:
            for child in reversed(self._idle):
                if child.threads == threads:
                    self._idle.remove(child)
                    return child
        return _Child(threads)

    def _piece(self, job: _Job, index: int) -> None:
        """Have a piece done by a process that has nothing to do, or by a new one."""
        if job.unknown.is_set():
            return
        if job.stopping():
            raise stopped(job.context)
        child = self._child(_processors() if job.is_alone else self._share)
        try:
            child.do(job, index)
        except BaseException:
            if not child.ready:
                child.close()
                raise
            self._keep(child)
            raise
        self._keep(child)

    def _keep(self, child: _Child) -> None:
        with self._lock:
            self._idle.append(child)


class _Job:
    """Some work under way."""

    def __init__(self, work: Whole | Tasks, data: bytes, context: Context) -> None:
        self.work = work
        self.data = data
        self.context = context
        self.desk = Desk(work, context)
        self.failed = threading.Event()
        self.unknown = threading.Event()

    @property
    def is_alone(self) -> bool:
        """Whether it is one task, of a stage whose others wait for it."""
        return isinstance(self.work, Tasks) and self.work.count == 1

    def stopping(self) -> bool:
        """Whether there is a reason not to go on."""
        return self.failed.is_set() or self.context.stopping()


class _Child:
    """Another process, and the wire to it."""

    def __init__(self, threads: int) -> None:
        self.threads = threads
        ours, theirs = socket.socketpair()
        path = json.dumps([os.path.abspath(one) for one in sys.path])  # noqa: PTH100 (an empty one is this folder)
        begin = _BEGIN.format("regrow.engine.runners.child")
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-c", begin, str(theirs.fileno()), path],
                stdin=subprocess.DEVNULL,
                stdout=2,  # stdout is for the digest
                pass_fds=(theirs.fileno(),),
                env=environment(os.environ, threads),
                process_group=0,  # Ctrl-C is for the process that knows what to do about it
            )
        except OSError as error:
            ours.close()
            hint = f"`ulimit -u` shows how many there may be; {AGAIN}"
            raise StageError("no process can be started", why=str(error), hint=hint) from error
        finally:
            theirs.close()
        self._wire = Connection(ours.detach())
        self._knows: bytes | None = None
        self.ready = True

    def do(self, job: _Job, index: int) -> None:
        """Have a piece done."""
        self.ready = False
        lives = Lives()
        try:
            self._wire.send((None if self._knows is job.data else job.data, index))
            self._knows = job.data
            word, content = self._answer(job)
        except (EOFError, OSError):
            raise lives.ended(self._code(), job.work.words(index)) from None
        self.ready = True
        if word == "failed":
            raise content
        if word == "unknown":
            self._knows = None
            job.unknown.set()
        else:
            job.desk.finished()

    def close(self) -> None:
        """End it: it leaves when the wire does, unless it is deep in a library."""
        self._wire.close()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(_LOOK)
        self._process.kill()
        self._process.wait()

    def _answer(self, job: _Job) -> tuple[str, Any]:
        """What it says in the end; what it tells before that goes to the desk."""
        until = None
        while True:
            if self._wire.poll(_LOOK):
                word, content = self._wire.recv()
                if word != "event":
                    return word, content
                job.desk.told(content)
            if until is None and job.stopping():
                until = time.monotonic() + _GRACE
                self._wire.send(STOP)
            elif until is not None and time.monotonic() > until:
                raise stopped(job.context)

    def _code(self) -> int:
        with suppress(subprocess.TimeoutExpired):
            return self._process.wait(5)
        self._process.kill()
        return self._process.wait()


def _end(job: _Job, pieces: list[Future[None]]) -> None:
    """Let no piece begin any more, and wait for those that have."""
    job.failed.set()
    for piece in pieces:
        piece.cancel()
    wait(pieces)


def _first(pieces: list[Future[None]]) -> BaseException | None:
    """Why it ended: the first error in the order of the pieces that is not only the answer to another one."""
    errors = [error for piece in pieces if not piece.cancelled() and (error := piece.exception()) is not None]
    causes = [error for error in errors if not isinstance(error, Interrupted)]
    return next(iter(causes or errors), None)


def _processors() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
