"""Work done as tasks of Ray: Ray decides where and when, and does again what a machine that fails was doing.

What tasks give lies on a shelf that all machines reach and is a function of what they are given, so none of that
changes a byte. Through Ray itself go only orders and answers.
"""

from __future__ import annotations

import os
import secrets
import socket
import threading
from contextlib import suppress
from importlib import import_module
from types import ModuleType
from typing import Any

from regrow.engine.runners.elsewhere import identity
from regrow.engine.runners.faults import AGAIN
from regrow.engine.runners.runner import Desk, Here, stopped
from regrow.engine.runners.work import Tasks, Whole, packed
from regrow.errors import InputError, RecipeError, StageError
from regrow.recipe.kind import Context

_LOOK = 0.2
"""Seconds between two looks at whether the user asked to stop."""
_ANSWER = 10.0
"""Seconds in which a cluster has to answer."""
_TRIES = 3
"""How often Ray does a task again whose process or machine is lost."""
_SMALL = 1 << 16
"""Bytes of work that go along with each task; more is kept by Ray once for all of them."""
_AHEAD = 4
"""Tasks that Ray is given for each processor of the cluster: so many that none waits, and few to call off."""


class Ray:
    """Tasks of Ray, on a cluster or on this machine. It is asked for when there is work for it.

    Args:
        address: of the cluster; by default what ``RAY_ADDRESS`` says, and else one that runs here, or is started.
    """

    def __init__(self, address: str) -> None:
        self._address = address
        self._lock = threading.Lock()
        self._ray: ModuleType | None = None
        self._ours = False

    def run(self, work: Whole | Tasks, context: Context) -> None:
        """Do all pieces. What cannot go to another machine is done in this process."""
        data = packed(work) if work.reach == "anywhere" else None
        if data is None or isinstance(work, Whole):
            Here().run(work, context)
            return
        ray = self._connected()
        work.shelf.say(token := secrets.token_hex(8))
        order = {
            "module": work.module,
            "libraries": list(work.libraries),
            "identity": identity(work),
            "token": token,
            "work": data,
            "words": f"stage `{work.call.name}`, `{work.phase}`",
        }
        try:
            _Round(ray, work, context).run(order)
        except ray.exceptions.RayError as error:
            raise _lost(ray, error, work) from error

    def close(self) -> None:
        """Leave the cluster, or end the one that was started for this."""
        if self._ray is not None and self._ours:
            self._ray.shutdown()

    def _connected(self) -> ModuleType:
        with self._lock:
            if self._ray is None:
                self._ray = _imported()
                if not self._ray.is_initialized():
                    self._join(self._ray)
                    self._ours = True
            return self._ray

    def _join(self, ray: ModuleType) -> None:
        options: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR"}
        address = self._address or os.environ.get("RAY_ADDRESS", "")
        try:
            _require_answer(address)  # Ray would go on asking for many minutes
            ray.init(address=address or None, **options)
        except Exception as error:  # it raises what its parts raise
            if "ersion mismatch" in str(error):
                hint = "install the same versions of Ray and Python on all machines"
                raise StageError("the Ray cluster is of another version", why=_short(error), hint=hint) from error
            hint = "see whether it runs with `ray status`; --address or RAY_ADDRESS says where, as HOST:6379"
            what = f"there is no Ray cluster at {address}" if address else "Ray cannot be started here"
            raise InputError(what, why=_short(error), hint=hint) from error


class _Round:
    """The tasks of one phase, given to Ray a number at a time."""

    def __init__(self, ray: ModuleType, work: Tasks, context: Context) -> None:
        self._ray = ray
        self._work = work
        self._context = context
        self._desk = Desk(work, context)
        self._running: dict[Any, int] = {}

    def run(self, order: Any) -> None:
        """Do them."""
        ray = self._ray
        task = ray.remote(num_cpus=1, max_retries=_TRIES, max_calls=0)(_piece())
        order = ray.put(order) if len(order["work"]) > _SMALL else order
        left = iter(range(self._work.count))
        try:
            while True:
                room = max(1, int(ray.cluster_resources().get("CPU", 1))) * _AHEAD - len(self._running)
                for _, index in zip(range(room), left, strict=False):
                    self._running[task.remote(order, index)] = index
                if not self._running:
                    return
                self._answers()
        finally:
            for one in self._running:
                with suppress(Exception):
                    ray.cancel(one, force=True)

    def _answers(self) -> None:
        """Wait for a moment, and take what has come."""
        done, _ = self._ray.wait(list(self._running), num_returns=len(self._running), timeout=_LOOK)
        if self._context.stopping():
            raise stopped(self._context)
        for one in done:
            word, content, told = self._ray.get(one)
            index = self._running.pop(one)
            for event in told:
                self._desk.told(event)
            if word == "absent":
                raise _absent(self._work.words(index), *content)
            if word == "failed":
                raise content
            self._desk.finished()


def _piece() -> Any:
    """What a worker runs. Made in a function, it travels as code and so reaches workers that have no regrow."""

    def piece(order: Any, index: int) -> Any:
        import socket
        import sys

        try:
            from regrow.version import __version__
        except ImportError:
            return "absent", (socket.gethostname(), sys.executable, ""), []
        try:
            from regrow.engine.runners.elsewhere import perform
        except ImportError as error:
            return "absent", (socket.gethostname(), sys.executable, f"{__version__}: {error}"), []
        return perform(order, index)

    return piece


def _absent(where: str, host: str, program: str, version: str) -> StageError:
    """The error for a worker that cannot do any task."""
    what = f"a worker on {host} has regrow {version}" if version else f"a worker on {host} has no regrow"
    return StageError(
        what,
        where=where,
        why=f"its Python is {program}",
        hint="install the regrow of this machine, with all it needs, on all machines of the cluster",
    )


def _lost(ray: ModuleType, error: Exception, work: Tasks) -> StageError:
    """The error for what Ray could not do in spite of trying again."""
    where = f"stage `{work.call.name}`, `{work.phase}`"
    if isinstance(error, ray.exceptions.OutOfMemoryError):
        what, hint = "a machine of the Ray cluster ran out of memory", "let fewer tasks run on it, or give it more; "
    elif isinstance(error, ray.exceptions.WorkerCrashedError | ray.exceptions.NodeDiedError):
        what, hint = "a process or a machine of the Ray cluster was lost too often", "see why on that machine; "
    else:
        what, hint = "Ray could not do a task", "`ray status` shows how the cluster is; "
    return StageError(what, where=where, why=_short(error), hint=hint + AGAIN)


def _require_answer(address: str) -> None:
    """Raise if nobody answers at the host and port of an address; other addresses are Ray's own words."""
    host, _, port = address.rpartition("://")[2].rpartition(":")
    if host and port.isdecimal():
        socket.create_connection((host.strip("[]"), int(port)), timeout=_ANSWER).close()


def _short(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {' '.join(lines[:3])}"[:400]


def _imported() -> ModuleType:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # a build tells nobody that it runs
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # else it warns of what it will do one day
    try:
        return import_module("ray")
    except ImportError as error:
        hint = "python -m pip install 'regrow[ray]', here and on all machines of the cluster"
        raise RecipeError("Ray is not installed", why=str(error), hint=hint) from error
