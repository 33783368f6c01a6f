"""Workers that share one step. Their number changes the speed and never the bits: what they exchange is integers.

Each worker computes the gradients of some micro-batches, and owns some rows of every parameter, of which it alone
keeps the optimizer state and makes the update (ZeRO-1; Rajbhandari et al., 2020). The sum of the gradients goes round
a ring, at the end of which each worker has its rows of it; the updated rows go round another. Together these are the
two halves of a ring all-reduce, and as many bytes as one of float32 gradients.

What is on a device goes through the memory of its host. So workers need not have a device each, and need no library
of its maker's to reach each other.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any, Protocol

import torch
from torch import Tensor

from regrow.errors import StageError

_PATIENCE = timedelta(minutes=10)
"""How long the others wait for one that is late: the first one also writes checkpoints."""


class WorkerLost(StageError):
    """A worker does not answer any more (exit code 1)."""


class Workers(Protocol):
    """What a step asks of a group of workers. Every worker makes the same calls in the same order."""

    @property
    def rank(self) -> int:
        """This worker, from 0."""

    @property
    def count(self) -> int:
        """How many there are."""

    def rows(self, count: int) -> slice:
        """Which of ``count`` rows this worker owns."""

    def largest(self, x: Tensor) -> None:
        """Replace the integers ``x`` by the largest of all workers', in place."""

    def total(self, x: Tensor) -> None:
        """Replace the integers ``x`` by the sum of all workers', in place."""

    def total_rows(self, matrices: Sequence[Tensor]) -> list[Tensor]:
        """This worker's rows of the sums of all workers' int32 ``(R, C)``."""

    def share(self, matrices: Sequence[Tensor]) -> None:
        """Fill the rows of ``(R, C)`` that others own with what they have there, in place."""

    def give(self, x: Tensor) -> None:
        """Replace ``x`` by the first worker's, in place."""

    def tell(self, value: Any) -> Any:
        """The first worker's value, which is plain JSON."""

    def gather(self, mine: Tensor, count: int, wanted: slice, to: int) -> Tensor | None:
        """Some of the ``count`` rows of a matrix of which each has its own: for one worker, and None for the others."""

    def aside(self) -> Workers:
        """The same workers, for calls that a second thread of each makes at the same time."""

    def scatter(self, whole: Tensor | None, mine: Tensor) -> None:
        """Fill each worker's rows from the whole matrix that the first worker has."""


@dataclass(frozen=True)
class Alone:
    """A single worker, who owns everything."""

    rank: int = 0
    count: int = 1

    def rows(self, count: int) -> slice:
        """All of them."""
        return slice(0, count)

    def largest(self, x: Tensor) -> None:
        """Nothing to compare with."""

    def total(self, x: Tensor) -> None:
        """Nothing to add."""

    def total_rows(self, matrices: Sequence[Tensor]) -> list[Tensor]:
        """They are all there."""
        return list(matrices)

    def share(self, matrices: Sequence[Tensor]) -> None:
        """Nobody else has rows."""

    def give(self, x: Tensor) -> None:
        """It is the first worker's."""

    def tell(self, value: Any) -> Any:
        """It is the first worker's."""
        return value

    def gather(self, mine: Tensor, count: int, wanted: slice, to: int) -> Tensor | None:
        """They are all there."""
        return mine[wanted]

    def aside(self) -> Alone:
        """There is nobody to call."""
        return self

    def scatter(self, whole: Tensor | None, mine: Tensor) -> None:
        """All rows are this worker's."""
        assert whole is not None
        mine.copy_(whole)


ALONE = Alone()


@dataclass(frozen=True)
class Group:
    """The workers of a ``torch.distributed`` process group: the default one, or another of all of them.

    Attributes:
        rank: this worker, from 0.
        count: how many there are.
        channel: the process group; None for the default one.
        second: another for :meth:`aside`.
    """

    rank: int
    count: int
    channel: Any = None
    second: Any = None

    def rows(self, count: int) -> slice:
        """An even share of the rows, in order of rank."""
        return owned(count, self.rank, self.count)

    def largest(self, x: Tensor) -> None:
        """All-reduce with maximum."""
        with _together(), _on_host(x) as here:
            torch.distributed.all_reduce(here, torch.distributed.ReduceOp.MAX, self.channel)

    def total(self, x: Tensor) -> None:
        """All-reduce with sum; exact and free of order, being integers."""
        with _together(), _on_host(x) as here:
            torch.distributed.all_reduce(here, torch.distributed.ReduceOp.SUM, self.channel)

    def total_rows(self, matrices: Sequence[Tensor]) -> list[Tensor]:
        """Reduce-scatter. Not torch's: for gloo that is an all-reduce, which moves twice as much."""
        chunks = [self._chunk(matrices, rank) for rank in range(self.count)]
        for step in range(1, self.count):
            chunk = chunks[self.rank - step - 1]
            chunk += self._passed_on(chunks[self.rank - step], torch.empty_like(chunk))
        parts = [m[self.rows(m.shape[0])] for m in matrices]
        mine = chunks[self.rank].split([part.numel() for part in parts])
        return [found.view(part.shape).to(part.device) for found, part in zip(mine, parts, strict=True)]

    def share(self, matrices: Sequence[Tensor]) -> None:
        """All-gather, likewise around a ring: each worker passes on what it got last."""
        chunk = self._chunk(matrices, self.rank)
        for step in range(1, self.count):
            parts = [m[owned(m.shape[0], (self.rank - step) % self.count, self.count)] for m in matrices]
            sizes = [part.numel() for part in parts]
            chunk = self._passed_on(chunk, chunk.new_empty(sum(sizes)))
            for part, found in zip(parts, chunk.split(sizes), strict=True):
                part.copy_(found.view(part.shape))

    def give(self, x: Tensor) -> None:
        """Broadcast."""
        with _together(), _on_host(x) as here:
            torch.distributed.broadcast(here, 0, self.channel)

    def tell(self, value: Any) -> Any:
        """Broadcast as text: nothing is unpickled."""
        text = json.dumps(value).encode() if self.rank == 0 else b""
        length = torch.tensor([len(text)])
        self.give(length)
        data = torch.zeros(int(length), dtype=torch.uint8)
        if self.rank == 0:
            data.copy_(torch.frombuffer(bytearray(text), dtype=torch.uint8))
        self.give(data)
        return json.loads(data.numpy().tobytes())

    def gather(self, mine: Tensor, count: int, wanted: slice, to: int) -> Tensor | None:
        """Point to point, so that nobody needs room for what others want."""
        own = owned(count, self.rank, self.count)
        part = mine[_within(own, _common(own, wanted))]
        if self.rank != to:
            if part.numel():
                with _together():
                    torch.distributed.send(part.cpu().contiguous(), to, self.channel)
            return None
        if part.shape[0] == wanted.stop - wanted.start:
            return part
        whole = torch.empty((wanted.stop - wanted.start, *mine.shape[1:]), dtype=mine.dtype)
        for rank in range(self.count):
            place = whole[_within(wanted, _common(owned(count, rank, self.count), wanted))]
            if rank == self.rank:
                place.copy_(part)
            elif place.numel():
                with _together():
                    torch.distributed.recv(place, rank, self.channel)
        return whole

    def aside(self) -> Group:
        """Through a process group of its own, since calls of two threads in one would meet each other's."""
        return replace(self, channel=self.second)

    def scatter(self, whole: Tensor | None, mine: Tensor) -> None:
        """Point to point, as above."""
        if whole is None:
            if mine.numel():
                with _together(), _on_host(mine) as here:
                    torch.distributed.recv(here, 0, self.channel)
            return
        mine.copy_(whole[self.rows(whole.shape[0])])
        for rank in range(1, self.count):
            part = whole[owned(whole.shape[0], rank, self.count)]
            if part.numel():
                with _together():
                    torch.distributed.send(part.cpu().contiguous(), rank, self.channel)

    def _chunk(self, matrices: Sequence[Tensor], rank: int) -> Tensor:
        """All rows of a worker, one after the other, on the host."""
        return torch.cat([m[owned(m.shape[0], rank, self.count)].reshape(-1) for m in matrices]).cpu()

    def _passed_on(self, chunk: Tensor, found: Tensor) -> Tensor:
        """Send a chunk to the next worker of the ring and fill ``found`` with what the one before sends."""
        c10d: Any = torch.distributed  # not all of it is typed
        moves = [(c10d.isend, chunk, self.rank + 1), (c10d.irecv, found, self.rank - 1)]
        moves = [c10d.P2POp(how, x, peer % self.count, self.channel) for how, x, peer in moves if x.numel()]
        with _together():
            for work in c10d.batch_isend_irecv(moves) if moves else ():
                work.wait()
        return found


@contextmanager
def connected(store: Any, rank: int, count: int) -> Iterator[Group]:
    """The workers who meet at a ``torch.distributed`` store that is used for this group alone.

    When the block ends, in whatever way, so does the group: whoever still waits for this worker gets an error.

    Raises:
        WorkerLost: if they cannot reach each other.
    """
    c10d: Any = torch.distributed  # not all of it is typed
    with _together():
        c10d.init_process_group("gloo", store=store, rank=rank, world_size=count, timeout=_PATIENCE)
    try:
        with _together():
            second = c10d.new_group(backend="gloo", timeout=_PATIENCE)
        yield Group(rank, count, second=second)
    finally:
        c10d.destroy_process_group()


def owned(rows: int, rank: int, workers: int) -> slice:
    """The rows of a matrix that a worker owns."""
    return slice(rows * rank // workers, rows * (rank + 1) // workers)


def owner(row: int, rows: int, workers: int) -> int:
    """The worker that owns a row of a matrix."""
    return ((row + 1) * workers - 1) // rows


def _common(one: slice, other: slice) -> slice:
    """The rows that are in both, empty if there are none."""
    start = max(one.start, other.start)
    return slice(start, max(start, min(one.stop, other.stop)))


def _within(whole: slice, part: slice) -> slice:
    """The places that rows have among others."""
    return slice(part.start - whole.start, part.stop - whole.start)


@contextmanager
def _on_host(x: Tensor) -> Iterator[Tensor]:
    """``x`` in the memory of the host; what is there at the end of the block is in ``x``."""
    here = x.cpu()
    yield here
    if here is not x:
        x.copy_(here)


@contextmanager
def _together() -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:
        raise WorkerLost(
            "the workers have lost each other",
            why=str(error).partition("\n")[0],
            hint="the same command continues; `docs/workers.md` says how workers on several hosts find each other",
        ) from error
