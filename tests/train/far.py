"""Tensors that only a copy of reaches the network, as those on a device: a model of one where there is none.

    torchrun --nproc-per-node 2 tests/train/far.py FOLDER

compares every exchange of such tensors with that of ordinary ones, and fails if they differ.
"""

import dataclasses
import os
import sys
from pathlib import Path
from unittest import mock

import torch
import torch.distributed as c10d

from regrow.exact.workers import connected

COLLECTIVES = ("all_reduce", "broadcast", "send", "recv")


class Far(torch.Tensor):
    """A tensor that the network refuses. What is computed from it is another."""

    def cpu(self):
        return self.as_subclass(torch.Tensor).clone()


def near(x):
    """What the network takes, or an error such as gloo's."""
    if isinstance(x, Far):
        raise RuntimeError("invalid tensor type or device")
    return x


def refusing():
    """Within the block the network takes only what is near."""

    def watched(function):
        return lambda x, *rest: function(near(x), *rest)

    found = {name: watched(getattr(c10d, name)) for name in COLLECTIVES}
    move, all_to_all = c10d.P2POp, c10d.all_to_all_single
    return mock.patch.multiple(
        c10d,
        **found,
        P2POp=lambda how, x, **rest: move(how, near(x), **rest),
        all_to_all_single=lambda x, y, *rest: all_to_all(near(x), near(y), *rest),
    )


def exchanges(group, place):
    """What a worker has after each exchange, its tensors having been put in their place."""
    random = torch.Generator().manual_seed(group.rank)

    def numbers(*shape):
        return torch.randint(-1000, 1000, shape, generator=random, dtype=torch.int32)

    largest, total, given = (place(numbers(7)) for _ in range(3))
    group.largest(largest)
    group.total(total)
    group.give(given)
    sums = group.total_rows([place(numbers(5, 3)), place(numbers(1, 4))])
    shared = [place(numbers(5, 3)), place(numbers(1, 4))]
    group.share(shared)
    mine = place(numbers(5, 3)[group.rows(5)])
    dealt = [part for senders in (0, 1, group.count) for one in group.deal(shared, senders) for part in one]
    parts = [
        found for to in range(group.count) if (found := group.aside().gather(mine, 5, slice(0, 4), to)) is not None
    ]
    group.scatter(numbers(5, 3) if group.rank == 0 else None, mine)
    return [largest, total, given, *sums, *shared, *dealt, *filter(torch.is_tensor, parts), mine]


def main(folder):
    rank, count = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    with connected(c10d.FileStore(str(folder / "store"), count), rank, count) as group, refusing():
        expected = exchanges(group, lambda x: x)
        found = exchanges(group, lambda x: x.as_subclass(Far))
        direct = exchanges(dataclasses.replace(group, devices=group.second, kind="cpu"), lambda x: x)  # as by NCCL
    for a, b, c in zip(expected, found, direct, strict=True):
        assert torch.equal(a, b.as_subclass(torch.Tensor)), (a, b)
        assert torch.equal(a, c), (a, c)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
