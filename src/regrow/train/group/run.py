"""A build by several processes: one of them leads, the others follow it into every training run.

``torchrun`` starts the same command several times. One process *leads*: it alone needs the recipe, the store and the
files, and it alone speaks. The others *follow*: until it leaves they wait at the rendezvous for training runs to take
part in. What they need for one is sent to them, so they may be on other machines.

Example:
    >>> rendezvous = join(worker_environment(), eligible=True)
    >>> if rendezvous.rank > 0:
    ...     return follow(rendezvous)
    >>> with leading(rendezvous) as group:
    ...     state = group.train(task, settings, batch, scratch, watch)
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import asdict, dataclass
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

from regrow.errors import Interrupted, RegrowError, StageError
from regrow.train.group.environment import EXIT_CODE, WorkerEnvironment, network_interface

if TYPE_CHECKING:
    from regrow.exact.workers import Group
    from regrow.train.batches import Rows, Told
    from regrow.train.group.rendezvous import Rendezvous
    from regrow.train.loop import Watch
    from regrow.train.settings import Settings
    from regrow.train.state import State
    from regrow.train.task import Batch, Task, Tasks

Reading = Callable[[Mapping[str, Any]], AbstractContextManager["Rows"]]

_AGENT_SECONDS = 10.0  # in which torchrun ends a process because another one of the group died


def join(environment: WorkerEnvironment, eligible: bool) -> Rendezvous:
    """Meet the other workers and settle who leads.

    Args:
        environment: of this process.
        eligible: whether this process could lead: the recipe is at hand here.

    Raises:
        RecipeError: if the others do not run the same programs.
        StageError: if a worker cannot be reached.
        SystemExit: if all were started again although the build had come to its end.
    """
    from regrow.train.group.rendezvous import Closed, Rendezvous

    rendezvous = Rendezvous(environment)
    with _closing(rendezvous, on_success=False):
        try:
            rendezvous.elect(eligible)
        except Closed as closed:
            raise SystemExit(closed.code) from None
    return rendezvous


@contextmanager
def leading(rendezvous: Rendezvous, threads: int | None = None, *, shard: bool = False) -> Iterator[Leader]:
    """A handle on the workers, all of whom take part in what it trains; they leave when the block ends.

    Args:
        rendezvous: of the process with rank 0.
        threads: with which this worker computes in a training run; by default as many as ever.
        shard: whether the workers of a host hold a copy of the parameters together; otherwise each has its own.
    """
    with _closing(rendezvous):
        yield Leader(rendezvous, threads, shard=shard)


def follow(
    rendezvous: Rendezvous,
    threads: int | None = None,
    tasks: Tasks | None = None,
    reading: Reading = lambda told: nullcontext(_Nowhere()),
) -> int:
    """Take part in the leader's training runs until it leaves.

    Args:
        rendezvous: of a process with another rank.
        threads: as for :func:`leading`.
        tasks: those that the leader may name; by default the ones of :mod:`regrow.train.tasks`.
        reading: what the leader tells of the rows of a run -> where this worker reads them; by default it cannot.

    Returns:
        The exit code to leave with.
    """
    from regrow.train import tasks as known
    from regrow.train.group.rendezvous import Closed
    from regrow.train.settings import Settings

    try:
        for number in count():
            told = rendezvous.wait(f"run {number}")
            task = (tasks or known.tasks())[told["task"]](told["description"])
            run = Run(number, told["copies"], recompute=told["recompute"])
            with nullcontext() if told["rows"] is None else reading(told["rows"]) as rows:
                _take_part(rendezvous, run, threads, task, Settings(**told["settings"]), rows)
    except Closed as closed:
        return closed.code
    raise AssertionError("unreachable")


class _Nowhere:
    """Rows of which nothing is known."""

    def read(self, step: int, numbers: Sequence[int]) -> Sequence[Batch]:
        raise StageError("it does not know how to read them")


@dataclass(frozen=True)
class Run:
    """One training run of a group, as all of its workers know it.

    Attributes:
        number: from 0.
        copies: of the parameters, each of which as many workers hold together.
        recompute: whether layers are computed once more for their gradients.
    """

    number: int
    copies: int
    recompute: bool


class Leader:
    """The first worker's handle on the others: a :class:`regrow.train.loop.WorkerGroup`."""

    def __init__(self, rendezvous: Rendezvous, threads: int | None = None, *, shard: bool = False) -> None:
        self._rendezvous = rendezvous
        self._threads = threads
        self._copies = rendezvous.environment.copies(shard=shard)
        self._numbers = count()
        self._turn = threading.Lock()  # stages may run side by side, but not train

    @property
    def hosts(self) -> int:
        """On how many machines they are."""
        return self._rendezvous.environment.hosts

    def train(
        self,
        task: Task,
        settings: Settings,
        batch: Callable[[int], Batch],
        scratch: Path,
        watch: Watch,
        *,
        recompute: bool = False,
        rows: Told | None = None,
    ) -> State:
        """As :func:`regrow.train.loop.train`, with all workers."""
        from regrow.exact.workers import WorkerLost
        from regrow.train import loop

        while not self._turn.acquire(timeout=1.0):
            if watch.stopping():
                watch.stop()
        try:
            run = Run(next(self._numbers), self._copies, recompute)
            described = {"task": task.name, "description": task.description(), "settings": asdict(settings)}
            held = {"copies": run.copies, "recompute": recompute, "rows": None if rows is None else rows.told}
            self._rendezvous.publish(f"run {run.number}", {**described, **held})
            with _connected(self._rendezvous, run, self._threads) as workers:
                return loop.train(task, settings, batch, scratch, watch, workers, recompute=recompute, rows=rows)
        except WorkerLost:
            time.sleep(_AGENT_SECONDS)  # most likely torchrun is about to start all again; no word about it then
            raise
        finally:
            self._turn.release()


def _take_part(
    rendezvous: Rendezvous, run: Run, threads: int | None, task: Task, settings: Settings, rows: Rows | None
) -> None:
    """Follow the leader in one run. However it ends, the leader says what comes next."""
    from regrow.train import loop

    def unused(*_: Any) -> Any:
        raise AssertionError("only the first worker is asked")

    def stop() -> None:
        raise Interrupted("stopped")

    try:
        with _connected(rendezvous, run, threads) as workers:
            watch = loop.Watch(unused, unused, stop)
            loop.train(task, settings, unused, Path(), watch, workers, recompute=run.recompute, rows=rows)
    except (StageError, Interrupted):
        pass  # diverged or stopped, as all have; or the leader is lost, or has failed


@contextmanager
def _connected(rendezvous: Rendezvous, run: Run, threads: int | None) -> Iterator[Group]:
    """The workers of a run."""
    from regrow.exact.selection import device_name
    from regrow.exact.workers import connected

    environment, store = rendezvous.environment, rendezvous.store(f"group {run.number}")
    with (
        _gloo_on_interface(environment),
        _computing_with(threads),
        connected(store, rendezvous.rank, environment.count, run.copies, device_name()) as workers,
    ):
        yield workers


@contextmanager
def _gloo_on_interface(environment: WorkerEnvironment) -> Iterator[None]:
    """Tell gloo its interface within the block, unless somebody has."""
    name = "" if "GLOO_SOCKET_IFNAME" in os.environ else network_interface(environment)
    if name:
        os.environ["GLOO_SOCKET_IFNAME"] = name
    try:
        yield
    finally:
        if name:
            del os.environ["GLOO_SOCKET_IFNAME"]


@contextmanager
def _computing_with(threads: int | None) -> Iterator[None]:
    """Compute with so many threads within the block."""
    if threads is None:
        yield
        return
    import numba
    import torch

    before = torch.get_num_threads(), numba.get_num_threads()
    torch.set_num_threads(threads)
    numba.set_num_threads(min(threads, int(vars(numba.config)["NUMBA_NUM_THREADS"])))
    try:
        yield
    finally:
        torch.set_num_threads(before[0])
        numba.set_num_threads(before[1])


@contextmanager
def _closing(rendezvous: Rendezvous, on_success: bool = True) -> Iterator[None]:
    """When the block ends the others leave, unless all may be started again."""
    code: int | None = 0 if on_success else None
    try:
        yield
    except BaseException as error:
        code = _exit_code(error)
        raise
    finally:
        if code is not None:
            rendezvous.close(0 if EXIT_CODE in os.environ else code)


def _exit_code(error: BaseException) -> int | None:
    """The exit code that an error leads to; None if all may be started again, or were though it is too late."""
    from regrow.exact.workers import WorkerLost

    if isinstance(error, SystemExit) or (isinstance(error, WorkerLost) and EXIT_CODE not in os.environ):
        return None
    if isinstance(error, RegrowError):
        return error.exit_code
    return StageError.exit_code if isinstance(error, Exception) else Interrupted.exit_code
