"""Workers that share one step. Their number changes the speed and never the bits: what they exchange is integers.

Each worker computes the gradients of some micro-batches, and owns some rows of every parameter, of which it alone
keeps the optimizer state and makes the update (ZeRO-1; Rajbhandari et al., 2020).
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor


class Workers(Protocol):
    """What a step asks of a group of workers. Every worker makes the same calls in the same order."""

    @property
    def rank(self) -> int:
        """This worker, from 0."""

    @property
    def count(self) -> int:
        """How many there are."""

    def largest(self, x: Tensor) -> None:
        """Replace the integers ``x`` by the largest of all workers', in place."""

    def total(self, x: Tensor) -> None:
        """Replace the integers ``x`` by the sum of all workers', in place."""

    def rows(self, count: int) -> slice:
        """Which of ``count`` rows this worker owns."""

    def share(self, matrices: Sequence[Tensor]) -> None:
        """Fill the rows of ``(R, C)`` that others own with what they have there, in place."""


@dataclass(frozen=True)
class Alone:
    """A single worker, who owns everything."""

    rank: int = 0
    count: int = 1

    def largest(self, x: Tensor) -> None:
        """Nothing to compare with."""

    def total(self, x: Tensor) -> None:
        """Nothing to add."""

    def rows(self, count: int) -> slice:
        """All of them."""
        return slice(0, count)

    def share(self, matrices: Sequence[Tensor]) -> None:
        """Nobody else has rows."""


ALONE = Alone()


@dataclass(frozen=True)
class Group:
    """The workers of a ``torch.distributed`` process group that is initialised."""

    rank: int
    count: int

    def largest(self, x: Tensor) -> None:
        """All-reduce with maximum."""
        torch.distributed.all_reduce(x, torch.distributed.ReduceOp.MAX)

    def total(self, x: Tensor) -> None:
        """All-reduce with sum; exact and free of order, being integers."""
        torch.distributed.all_reduce(x, torch.distributed.ReduceOp.SUM)

    def rows(self, count: int) -> slice:
        """An even share of the rows, in order of rank."""
        return owned(count, self.rank, self.count)

    def share(self, matrices: Sequence[Tensor]) -> None:
        """Each worker broadcasts its rows of all matrices as one message."""
        for rank in range(self.count):
            parts = [m[owned(m.shape[0], rank, self.count)] for m in matrices]
            message = torch.cat([part.reshape(-1) for part in parts])
            torch.distributed.broadcast(message, rank)
            if rank != self.rank:
                for part, found in zip(parts, message.split([p.numel() for p in parts]), strict=True):
                    part.copy_(found.view(part.shape))


def join() -> Group:
    """The group of the processes that ``torchrun`` started, or started again after one of them died.

    Each attempt has its own corner of the store, or workers would look for each other where the dead ones were.
    """
    c10d: Any = torch.distributed  # not all of it is typed
    rank, count = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    hosted = os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True"
    store = c10d.TCPStore(os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"]), is_master=rank == 0 and not hosted)
    attempt = os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")
    c10d.init_process_group("gloo", store=c10d.PrefixStore(f"attempt {attempt}", store), rank=rank, world_size=count)
    return Group(rank, count)


def owned(rows: int, rank: int, workers: int) -> slice:
    """The rows of a matrix that a worker owns."""
    return slice(rows * rank // workers, rows * (rank + 1) // workers)
