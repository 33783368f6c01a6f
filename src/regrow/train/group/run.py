"""A build by several processes: one of them builds, the others help it to train.

``torchrun`` starts the same command several times. One process *leads*: it alone needs the recipe, the store and the
files, and it alone speaks. The others *follow*: until it leaves they look at a board for training runs to take part
in. What they need for one is sent to them, so they may be on other machines.

Example:
    >>> board = join(member(), able=True)
    >>> if board and board.rank > 0:
    ...     return follow(board)
    >>> with leading(board):
    ...     state = train(config, settings, batch, scratch, watch)  # with the others, if there are any
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import asdict
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

from regrow.errors import Interrupted, RegrowError, StageError
from regrow.train.group.environment import Member, interface, leave_with_parent, member, processors

__all__ = ["EXIT_CODE", "Member", "follow", "join", "leading", "member", "started_by_torchrun", "train"]

if TYPE_CHECKING:
    from torch import Tensor

    from regrow.exact.workers import Group
    from regrow.model.config import DecoderConfig
    from regrow.train.group.rendezvous import Board
    from regrow.train.loop import Watch
    from regrow.train.settings import Settings
    from regrow.train.state import State

EXIT_CODE = "REGROW_EXIT_CODE"
"""Set where ``regrow build --workers`` started the workers: the file that takes the first one's exit code."""

_LAST_MOMENT = 10.0  # in which torchrun ends a process because another one of the group died


def started_by_torchrun() -> bool:
    """Whether this is a worker that somebody else than ``regrow build --workers`` started."""
    return "RANK" in os.environ and EXIT_CODE not in os.environ


def join(member: Member, able: bool) -> Board:
    """Meet the others at the board.

    Args:
        member: this process.
        able: whether the recipe is at hand here.

    Raises:
        RecipeError: if the others do not run the same programs.
        StageError: if somebody cannot be reached.
        SystemExit: if all were started again although the build had come to its end.
    """
    from regrow.train.group.rendezvous import Board, Closed

    leave_with_parent()
    board = Board(member)
    with _closing(board, on_success=False):
        try:
            board.meet(able)
        except Closed as closed:
            raise SystemExit(closed.code) from None
    return board


@contextmanager
def leading(board: Board | None) -> Iterator[None]:
    """Within the block, training runs of this process are shared with the others, who leave when it ends."""
    if board is None:
        yield
        return
    token = _leader.set(_Leader(board))
    try:
        with _closing(board):
            yield
    finally:
        _leader.reset(token)


def follow(board: Board) -> int:
    """Take part in the training runs of the process that builds until it leaves; the exit code to leave with."""
    from regrow.train.group.rendezvous import Closed

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches everybody; the process that builds decides
    try:
        for number in count():
            board.wait(f"run {number}")
            _help(board, number)
    except Closed as closed:
        return closed.code
    raise AssertionError("unreachable")


def train(
    config: DecoderConfig, settings: Settings, batch: Callable[[int], Tensor], scratch: Path, watch: Watch
) -> State:
    """As :func:`regrow.train.loop.train`, with all workers there are."""
    if leader := _leader.get():
        return leader.train(config, settings, batch, scratch, watch)
    from regrow.train import loop

    return loop.train(config, settings, batch, scratch, watch)


class _Leader:
    """The first process's hold on the others."""

    def __init__(self, board: Board) -> None:
        self._board = board
        self._numbers = count()
        self._turn = threading.Lock()  # stages may run side by side, but not train

    def train(
        self, config: DecoderConfig, settings: Settings, batch: Callable[[int], Tensor], scratch: Path, watch: Watch
    ) -> State:
        """Start a training run with the others."""
        from regrow.exact.workers import WorkerLost
        from regrow.train import loop

        while not self._turn.acquire(timeout=1.0):
            if watch.stopping():
                watch.stop()
        try:
            number = next(self._numbers)
            self._board.put(f"run {number}", True)
            with _connected(self._board, number) as group:
                group.tell({"config": asdict(config), "settings": asdict(settings)})
                return loop.train(config, settings, batch, scratch, watch, group)
        except WorkerLost:
            time.sleep(_LAST_MOMENT)  # most likely torchrun is about to start everybody again; no word about it then
            raise
        finally:
            self._turn.release()


_leader: ContextVar[_Leader | None] = ContextVar("regrow_leader", default=None)


def _help(board: Board, number: int) -> None:
    """Take part in one run. However it ends, the process that builds says what comes next."""
    from regrow.model.config import DecoderConfig
    from regrow.train import loop
    from regrow.train.settings import Settings

    def unused(*_: Any) -> Any:
        raise AssertionError("only the first worker is asked")

    def stop() -> None:
        raise Interrupted("stopped")

    try:
        with _connected(board, number) as group:
            told = group.tell(None)
            config, settings = DecoderConfig(**told["config"]), Settings(**told["settings"])
            loop.train(config, settings, unused, Path(), loop.Watch(unused, unused, stop), group)
    except (StageError, Interrupted):
        pass  # diverged or stopped, as everybody has; or the one that builds is lost, or has failed


@contextmanager
def _connected(board: Board, number: int) -> Iterator[Group]:
    """The workers of a run, each with its share of the processors."""
    import numba
    import torch

    from regrow.exact.workers import connected

    member = board.member
    if "GLOO_SOCKET_IFNAME" not in os.environ and (name := interface(member)):
        os.environ["GLOO_SOCKET_IFNAME"] = name
    before = torch.get_num_threads(), numba.get_num_threads()
    threads = int(os.environ.get("NUMBA_NUM_THREADS", 0)) or max(1, processors() // member.neighbours)
    torch.set_num_threads(threads)
    numba.set_num_threads(min(threads, int(vars(numba.config)["NUMBA_NUM_THREADS"])))
    try:
        with connected(board.corner(f"group {number}"), board.rank, member.count) as group:
            yield group
    finally:
        torch.set_num_threads(before[0])
        numba.set_num_threads(before[1])


@contextmanager
def _closing(board: Board, on_success: bool = True) -> Iterator[None]:
    """When the block ends the others leave, unless all may be started again."""
    code: int | None = 0 if on_success else None
    try:
        yield
    except BaseException as error:
        code = _exit_code(error)
        raise
    finally:
        if code is not None:
            board.close(0 if EXIT_CODE in os.environ else code)


def _exit_code(error: BaseException) -> int | None:
    """The exit code that an error leads to; None if all may be started again, or were though it is too late."""
    from regrow.exact.workers import WorkerLost

    if isinstance(error, SystemExit) or (isinstance(error, WorkerLost) and EXIT_CODE not in os.environ):
        return None
    if isinstance(error, RegrowError):
        return error.exit_code
    return StageError.exit_code if isinstance(error, Exception) else Interrupted.exit_code
