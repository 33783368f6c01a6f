"""Workers that share one step. Their number changes the speed and never the bits: what they exchange is integers.

Each worker computes the gradients of some micro-batches, and owns some rows of every parameter, of which it alone
keeps the optimizer state and makes the update (ZeRO-1; Rajbhandari et al., 2020). The sum of the gradients goes round
a ring, at the end of which each worker has its rows of it; the updated rows go round another. Together these are the
two halves of a ring all-reduce, and as many bytes as one of float32 gradients.

A copy of the parameters is held by each worker, or by several together, its *holders*, of whom each holds some rows
(ZeRO-3). Holders gather what they compute with, and deal out the gradients of each micro-batch as they are, so that
whoever holds a row adds up all of them, as a single worker would. Those who hold the same rows of other copies are its
*peers*: what goes round the rings above goes from peer to peer.

Where every worker has a device of its own, what is on devices goes from one to the other, and NCCL chooses the way:
integers have the same sum by any. Otherwise it goes through the memory of their hosts, so that workers may share one.
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

    @property
    def holders(self) -> Workers:
        """Those who together hold a copy of the parameters; this one alone if it has a copy of its own."""

    @property
    def peers(self) -> Workers:
        """Those who hold the same rows of each copy."""

    def rows(self, count: int) -> slice:
        """Which of ``count`` rows this worker owns: of those it holds, an even share for each of its peers."""

    def owner(self, row: int, count: int) -> int:
        """Who owns one of ``count`` rows."""

    def largest(self, x: Tensor) -> None:
        """Replace the integers ``x`` by the largest of all workers', in place."""

    def total(self, x: Tensor) -> None:
        """Replace the integers ``x`` by the sum of all workers', in place."""

    def total_rows(self, matrices: Sequence[Tensor]) -> list[Tensor]:
        """This worker's rows of the sums of all workers' int32 ``(R, C)``."""

    def share(self, matrices: Sequence[Tensor]) -> None:
        """Fill the rows of ``(R, C)`` that others own with what they have there, in place."""

    def deal(self, matrices: Sequence[Tensor], senders: int) -> list[list[Tensor]]:
        """This worker's rows of the ``(R, C)`` of each of the first so many workers; those of others are not read."""

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

    @property
    def holders(self) -> Alone:
        """Nobody else."""
        return self

    @property
    def peers(self) -> Alone:
        """Nobody else."""
        return self

    def rows(self, count: int) -> slice:
        """All of them."""
        return slice(0, count)

    def owner(self, row: int, count: int) -> int:
        """It owns all of them."""
        return 0

    def largest(self, x: Tensor) -> None:
        """Nothing to compare with."""

    def total(self, x: Tensor) -> None:
        """Nothing to add."""

    def total_rows(self, matrices: Sequence[Tensor]) -> list[Tensor]:
        """They are all there."""
        return list(matrices)

    def share(self, matrices: Sequence[Tensor]) -> None:
        """Nobody else has rows."""

    def deal(self, matrices: Sequence[Tensor], senders: int) -> list[list[Tensor]]:
        """All rows of its own."""
        return [list(matrices)] if senders else []

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
    """The workers of a ``torch.distributed`` process group: the default one, or another.

    Attributes:
        rank: this worker, from 0.
        count: how many there are.
        channel: the process group; None for the default one.
        second: another for :meth:`aside`.
        devices: another for what is on devices; None if that goes through the memory of hosts.
        kind: of these devices.
        holders: those who hold a copy of the parameters with this one.
        others: its peers, if they are not all.
    """

    rank: int
    count: int
    channel: Any = None
    second: Any = None
    devices: Any = None
    kind: str = "cuda"
    holders: Workers = ALONE
    others: Workers | None = None

    @property
    def peers(self) -> Workers:
        """All of them, unless they share copies."""
        return self.others or self

    def rows(self, count: int) -> slice:
        """An even share of the rows, in order of rank."""
        return self._part(count, self.rank)

    def owner(self, row: int, count: int) -> int:
        """The inverse."""
        holders = self.holders.count
        place = _owner(row, count, holders)
        held = owned(count, place, holders)
        copy = _owner(row - held.start, held.stop - held.start, self.count // holders)
        return copy * holders + place

    def _part(self, count: int, rank: int) -> slice:
        """The rows that a worker owns. Copies are held by workers of neighbouring ranks."""
        copy, place = divmod(rank, self.holders.count)
        held = owned(count, place, self.holders.count)
        mine = owned(held.stop - held.start, copy, self.count // self.holders.count)
        return slice(held.start + mine.start, held.start + mine.stop)

    def largest(self, x: Tensor) -> None:
        """All-reduce with maximum."""
        with _together(), self._carried(x) as (here, channel):
            torch.distributed.all_reduce(here, torch.distributed.ReduceOp.MAX, channel)

    def total(self, x: Tensor) -> None:
        """All-reduce with sum; exact and free of order, being integers."""
        with _together(), self._carried(x) as (here, channel):
            torch.distributed.all_reduce(here, torch.distributed.ReduceOp.SUM, channel)

    def total_rows(self, matrices: Sequence[Tensor]) -> list[Tensor]:
        """Reduce-scatter. Between hosts not torch's: for gloo that is an all-reduce, which moves twice as much."""
        chunks = [self._chunk(matrices, rank) for rank in range(self.count)]
        if self._is_near(chunks[0]):
            chunks = _padded(chunks)
            total = torch.empty_like(chunks[0])
            with _together():
                torch.distributed.reduce_scatter(total, chunks, torch.distributed.ReduceOp.SUM, self.devices)
        else:
            for step in range(1, self.count):
                chunk = chunks[self.rank - step - 1]
                chunk += self._passed_on(chunks[self.rank - step], torch.empty_like(chunk))
            total = chunks[self.rank]
        return _as_rows(total, [m[self.rows(m.shape[0])] for m in matrices])

    def share(self, matrices: Sequence[Tensor]) -> None:
        """All-gather; between hosts around a ring, on which each worker passes on what it got last."""
        chunk = self._chunk(matrices, self.rank)
        found = self._all(matrices, chunk) if self._is_near(chunk) else self._around(matrices, chunk)
        for rank, values in found:
            parts = [m[self._part(m.shape[0], rank)] for m in matrices]
            for part, own in zip(parts, _as_rows(values, parts), strict=True):
                part.copy_(own)

    def _all(self, matrices: Sequence[Tensor], chunk: Tensor) -> Iterator[tuple[int, Tensor]]:
        longest = max(self._size(matrices, rank) for rank in range(self.count))
        found = list(chunk.new_empty(self.count, longest))
        with _together():
            torch.distributed.all_gather(found, _filled(chunk, longest), self.devices)
        yield from enumerate(found)

    def _around(self, matrices: Sequence[Tensor], chunk: Tensor) -> Iterator[tuple[int, Tensor]]:
        for step in range(1, self.count):
            rank = (self.rank - step) % self.count
            chunk = self._passed_on(chunk, chunk.new_empty(self._size(matrices, rank)))
            yield rank, chunk

    def deal(self, matrices: Sequence[Tensor], senders: int) -> list[list[Tensor]]:
        """All-to-all: as many bytes as a reduce-scatter of float32."""
        if not senders:
            return []
        sizes = [self._size(matrices, rank) for rank in range(self.count)]
        parts = [m[self.rows(m.shape[0])] for m in matrices]
        sent = matrices[0].new_empty(0)
        if self.rank < senders:
            given = [m[self._part(m.shape[0], rank)] for rank in range(self.count) for m in matrices]
            sent = torch.cat([part.reshape(-1) for part in given])
        sent = sent if self._is_near(sent) else sent.cpu()
        found = sent.new_empty((senders, sizes[self.rank]))
        outwards = sizes if self.rank < senders else [0] * self.count
        inwards = [sizes[self.rank] * (rank < senders) for rank in range(self.count)]
        channel = self.devices if self._is_near(sent) else self.channel
        with _together():
            torch.distributed.all_to_all_single(found.view(-1), sent, inwards, outwards, channel)
        return [_as_rows(one, parts) for one in found]

    def give(self, x: Tensor) -> None:
        """Broadcast."""
        with _together(), self._carried(x) as (here, channel):
            torch.distributed.broadcast(here, 0, channel)

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
        own = self._part(count, self.rank)
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
            place = whole[_within(wanted, _common(self._part(count, rank), wanted))]
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
            part = whole[self._part(whole.shape[0], rank)]
            if part.numel():
                with _together():
                    torch.distributed.send(part.cpu().contiguous(), rank, self.channel)

    def _chunk(self, matrices: Sequence[Tensor], rank: int) -> Tensor:
        """All rows of a worker, one after the other, where they can be exchanged."""
        found = torch.cat([m[self._part(m.shape[0], rank)].reshape(-1) for m in matrices])
        return found if self._is_near(found) else found.cpu()

    def _size(self, matrices: Sequence[Tensor], rank: int) -> int:
        """How many numbers these are."""
        return sum(m[self._part(m.shape[0], rank)].numel() for m in matrices)

    def _is_near(self, x: Tensor) -> bool:
        """Whether workers exchange it where it lies."""
        return self.devices is not None and x.device.type == self.kind

    @contextmanager
    def _carried(self, x: Tensor) -> Iterator[tuple[Tensor, Any]]:
        """``x`` where it can be exchanged, and by whom; what is there at the end of the block is in ``x``."""
        if self._is_near(x):
            yield x, self.devices
        else:
            with _on_host(x) as here:
                yield here, self.channel

    def _passed_on(self, chunk: Tensor, found: Tensor) -> Tensor:
        """Send a chunk to the next worker of the ring and fill ``found`` with what the one before sends."""
        c10d: Any = torch.distributed  # not all of it is typed
        moves = [(c10d.isend, chunk, self.rank + 1), (c10d.irecv, found, self.rank - 1)]
        moves = [
            c10d.P2POp(how, x, group=self.channel, group_peer=peer % self.count) for how, x, peer in moves if x.numel()
        ]
        with _together():
            for work in c10d.batch_isend_irecv(moves) if moves else ():
                work.wait()
        return found


@contextmanager
def connected(store: Any, rank: int, count: int, copies: int | None = None, device: str = "") -> Iterator[Group]:
    """The workers who meet at a ``torch.distributed`` store that is used for this group alone.

    When the block ends, in whatever way, so does the group: whoever still waits for this worker gets an error.

    Args:
        store: where they meet.
        rank: this worker, from 0.
        count: how many there are.
        copies: of the parameters, each held by as many of them; by default one for each worker.
        device: what a CUDA device is called that this worker trains on; empty if it trains on none.

    Raises:
        WorkerLost: if they cannot reach each other.
    """
    c10d: Any = torch.distributed  # not all of it is typed
    with _together():
        c10d.init_process_group("gloo", store=store, rank=rank, world_size=count, timeout=_PATIENCE)
    try:
        with _together():
            direct = _have_own_devices(store, rank, count, device)
            second = c10d.new_group(backend="gloo", timeout=_PATIENCE)
            every = Group(rank, count, second=second, devices=_on_devices(range(count)) if direct else None)
            near = count // (copies or count)
            by_copy = [range(start, start + near) for start in range(0, count, near)]
            by_place = [range(place, count, near) for place in range(near)]
            holders, peers = (_among(ranks, rank, every, direct) for ranks in (by_copy, by_place))
        yield replace(every, holders=holders, others=peers)
    finally:
        c10d.destroy_process_group()


def _have_own_devices(store: Any, rank: int, count: int, device: str) -> bool:
    """Whether every worker has a device that no other has, and NCCL is there to exchange what is on them."""
    store.set(f"device {rank}", device)
    named = [bytes(store.get(f"device {one}")) for one in range(count)]
    return all(named) and len({*named}) == count and torch.distributed.is_nccl_available()


def _among(groups: Sequence[range], rank: int, every: Group, direct: bool) -> Workers:
    """The workers of that of some groups in which this one is. Every worker makes all of them, in one order."""
    if len(groups) == 1:
        return every
    if len(groups) == every.count:
        return ALONE
    found = [_group(ranks, rank, direct) for ranks in groups]
    return next(group for group, ranks in zip(found, groups, strict=True) if rank in ranks)


def _group(ranks: range, rank: int, direct: bool) -> Group:
    """A group of some workers; not to be used by those who are not in it."""
    channel: Any = torch.distributed.new_group([*ranks], _PATIENCE, "gloo")
    place = ranks.index(rank) if rank in ranks else 0
    return Group(place, len(ranks), channel, devices=_on_devices(ranks) if direct else None)


def _on_devices(ranks: range) -> Any:
    """A process group for what is on the devices of some workers."""
    return torch.distributed.new_group([*ranks], _PATIENCE, "nccl")


def owned(rows: int, rank: int, workers: int) -> slice:
    """The rows of a matrix that a worker owns."""
    return slice(rows * rank // workers, rows * (rank + 1) // workers)


def _owner(row: int, rows: int, workers: int) -> int:
    """The worker that owns a row of a matrix."""
    return ((row + 1) * workers - 1) // rows


def _common(one: slice, other: slice) -> slice:
    """The rows that are in both, empty if there are none."""
    start = max(one.start, other.start)
    return slice(start, max(start, min(one.stop, other.stop)))


def _within(whole: slice, part: slice) -> slice:
    """The places that rows have among others."""
    return slice(part.start - whole.start, part.stop - whole.start)


def _as_rows(chunk: Tensor, parts: Sequence[Tensor]) -> list[Tensor]:
    """What lies one after the other, in the shapes and on the devices of some rows; there may be more behind it."""
    sizes = [part.numel() for part in parts]
    found = chunk[: sum(sizes)].split(sizes)
    return [one.view(part.shape).to(part.device) for one, part in zip(found, parts, strict=True)]


def _padded(chunks: Sequence[Tensor]) -> list[Tensor]:
    """All of the length of the longest, as collectives of devices want them."""
    longest = max(len(chunk) for chunk in chunks)
    return [_filled(chunk, longest) for chunk in chunks]


def _filled(chunk: Tensor, length: int) -> Tensor:
    return torch.nn.functional.pad(chunk, (0, length - len(chunk)))


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
