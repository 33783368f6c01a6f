"""The parameters of a step as its loss reads them, and the way of their gradients to those who own them.

Where every worker has a copy of the parameters, it adds up the gradients of its micro-batches, and all workers exchange
the sums. Where several hold a copy together, they compute a micro-batch each at the same time and gather a layer when
they come to it; when its gradient is there, each deals out the rows to those who hold them, as they are. So a holder
adds up its rows of all micro-batches of the copy, and peers exchange the sums. A worker that has no micro-batch left
computes another one along, since the others need what it holds; nobody reads its gradients.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import torch
from torch import Tensor

from regrow.exact.accumulation import Gradients
from regrow.exact.constant import constant
from regrow.exact.optimizer import matrix, rows
from regrow.exact.pieces import share
from regrow.exact.workers import Workers
from regrow.train.task import Shape


@dataclass(frozen=True)
class Turn:
    """A micro-batch for each worker, as far as there are any.

    Attributes:
        first: the number of the first worker's.
        count: of all turns.
    """

    first: int
    count: int

    def number(self, workers: Workers) -> int | None:
        """Of this worker's micro-batch."""
        number = self.first + workers.rank
        return number if number < self.count else None

    def senders(self, workers: Workers) -> int:
        """How many of the holders of this copy have one: the first so many."""
        copy = workers.rank // workers.holders.count
        left = self.count - self.first - copy * workers.holders.count
        return min(workers.holders.count, max(0, left))

    def is_last(self, workers: Workers) -> bool:
        """Whether no micro-batch is left after it."""
        return self.first + workers.count >= self.count


def turns(count: int, workers: Workers) -> list[Turn]:
    """So many micro-batches in turns."""
    return [Turn(first, count) for first in range(0, count, workers.count)]


@dataclass
class Shares:
    """What a worker holds of the parameters, as a :class:`regrow.exact.pieces.Source`.

    Attributes:
        held: what there is of each: the whole, or rows as a matrix.
        shapes: of the whole ones.
        trained: names of those that gradients are wanted of.
        layered: names of those that are read in pieces.
        workers: who share the step.
        turns: all of it.
        means: of the gradients, of the rows that this worker owns, as they come to be known.
    """

    held: Mapping[str, Tensor]
    shapes: Mapping[str, Shape]
    trained: Collection[str]
    layered: Collection[str]
    workers: Workers
    turns: Sequence[Turn]
    means: dict[str, Tensor] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._turn = self.turns[0]
        self._sums: dict[tuple[str, ...], Gradients] = {}
        self._last: tuple[tuple[str, ...], dict[str, Tensor]] = ((), {})

    @cached_property
    def parameters(self) -> Mapping[str, Tensor]:
        """What the loss reads: whole parameters, and shares of those that are read in pieces."""
        if self.workers.holders.count == 1:
            return {name: self._leaf(name, x) if name in self.trained else constant(x) for name, x in self.held.items()}
        found = {name: share(self._leaf(name, x), name, self) for name, x in self.held.items() if name in self.layered}
        wholes = self._gathered([name for name in self.held if name not in self.layered])
        return found | {name: self._leaf(name, x) for name, x in wholes.items()}

    def _leaf(self, name: str, x: Tensor) -> Tensor:
        return x.detach().requires_grad_(name in self.trained)

    def each(self) -> Iterator[Turn]:
        """One turn after the other; within each, :meth:`differentiate` is called once."""
        for turn in self.turns:
            self._turn = turn
            yield turn
            self._last = (), {}

    @property
    def idle(self) -> bool:
        """Whether there is nothing for this worker to do in this turn, not even for others."""
        return self._turn.number(self.workers) is None and self.workers.holders.count == 1

    def differentiate(self, loss: Tensor | None) -> None:
        """Take the gradients of a loss, which is None for a worker that is idle."""
        leaves = {name: x for name, x in self.parameters.items() if name in self.trained}
        shared = self.workers.holders.count > 1
        found: dict[str, Tensor] = {}
        if loss is not None:  # pieces take theirs on the way
            gradients = torch.autograd.grad(loss, list(leaves.values()), allow_unused=shared)
            found = dict(zip(leaves, gradients, strict=True))
        whole = [name for name in leaves if not (shared and name in self.layered)]
        for names in ([name] for name in whole) if shared else [whole]:  # room for as little as is exchanged at a time
            self.take(names, [found.pop(name) for name in names] if found else [])

    def whole(self, names: Sequence[str]) -> Mapping[str, Tensor]:
        """Gather them, unless they are those that were gathered last."""
        if self._last[0] != tuple(names):
            self._last = (), {}  # what was there is let go of first
            self._last = tuple(names), self._gathered(names)
        return self._last[1]

    def take(self, names: Sequence[str], gradients: Sequence[Tensor]) -> None:
        """Add the gradients of a micro-batch of each holder to the sums of this worker's rows; with the last turn, the
        means are known.
        """
        workers, names = self.workers, tuple(names)
        if names not in self._sums:
            count = sum(turn.senders(workers) for turn in self.turns)
            self._sums[names] = Gradients.of({name: self.held[name] for name in names}, count, self._turn.count)
        given = [rows(gradient.contiguous()) for gradient in gradients]
        for part in workers.holders.deal(given, self._turn.senders(workers)):
            self._sums[names].add(part)
        if self._turn.is_last(workers):
            self.means |= self._sums.pop(names).mean(workers.peers)

    def _gathered(self, names: Sequence[str]) -> dict[str, Tensor]:
        """Whole parameters of which each holder has rows."""
        wholes = {}
        for name in names:
            count, columns = matrix(self.shapes[name])
            whole = self.held[name].new_empty((count, columns))
            whole[self.workers.holders.rows(count)] = self.held[name]
            wholes[name] = whole
        if wholes:
            self.workers.holders.share(list(wholes.values()))
        return {name: whole.view(self.shapes[name]) for name, whole in wholes.items()}
