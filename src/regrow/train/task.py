"""What is trained: the parameters that change, those that only take part, where both begin, and the loss.

The loop knows a :class:`Task` and :class:`regrow.train.settings.Settings`, and nothing of models. A task is a pure
value: another worker rebuilds it from its name and its description, and is sent the parameters. The tasks that there
are lie in :mod:`regrow.train.tasks`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.nn import functional

Shape = tuple[int, ...]


_BEGINS, _BLANK = 1 << 29, 1 << 28
"""Above every token: what marks the first of a document, and what is filled up, where tokens are packed for others."""


@dataclass(frozen=True)
class Batch:
    """Sequences of tokens, each of which but the first is to be predicted from those before it.

    Attributes:
        tokens: int64 ``(B, T + 1)``.
        mask: bool ``(B, T)``: which of ``tokens[:, 1:]`` count in the loss; None for all of them.
        segments: int64 ``(B, T)``: the documents that ``tokens[:, :-1]`` are of, counted from 1 in each sequence, none
            of which sees another; 0 for the last token of each, which is only predicted, and for what a sequence is
            filled up with. None if a sequence is read as a whole.
    """

    tokens: Tensor
    mask: Tensor | None = None
    segments: Tensor | None = None

    def split(self, size: int) -> list[Batch]:
        """So many sequences at a time."""
        tokens = self.tokens.split(size)
        others = ([None] * len(tokens) if one is None else one.split(size) for one in (self.mask, self.segments))
        return [Batch(*parts) for parts in zip(tokens, *others, strict=True)]

    def packed(self) -> Tensor:
        """One int32 ``(B, T + 1)``, in which a token that does not count is its complement, a negative number.

        Two bits above the tokens mark where a document begins, and what belongs to none.
        """
        tokens = self.tokens.to(torch.int32, copy=True)
        if self.segments is not None:
            read = functional.pad(self.segments, (1, 1))  # the place before each token, and its own
            mine, before = read[:, 1:], read[:, :-1]
            tokens[(mine > 0) & (mine != before)] |= _BEGINS
            tokens[(mine == 0) & (before == 0)] |= _BLANK
        if self.mask is not None:
            tokens[:, 1:] = torch.where(self.mask, tokens[:, 1:], ~tokens[:, 1:])
        return tokens

    def digest(self) -> str:
        """The sha256 of all of it, :meth:`packed`, as little-endian numbers row by row."""
        return hashlib.sha256(self.packed().numpy().astype("<i4", copy=False).tobytes()).hexdigest()

    @staticmethod
    def unpacked(packed: Tensor) -> Batch:
        """What was packed. A mask that hides nothing is none."""
        counts = packed >= 0
        tokens = torch.where(counts, packed, ~packed).to(torch.int64)
        mask = None if bool(counts.all()) else counts[:, 1:]
        begins, blank = (tokens & _BEGINS) > 0, (tokens & _BLANK) > 0
        if not bool(begins.any()):
            return Batch(tokens, mask)
        last = functional.pad(begins | blank, (0, 1), value=True)[:, 1:]  # where the next is of another document
        segments = torch.where(blank | last, 0, begins.cumsum(1))
        return Batch(tokens & (_BLANK - 1), mask, segments[:, :-1])


class Task(Protocol):
    """What a training run is about. Names of parameters are unique among the trained and the frozen ones."""

    @property
    def name(self) -> str:
        """What tasks of this kind are known by to the other workers."""

    @property
    def context(self) -> int:
        """How many tokens of each sequence are to be predicted."""

    def trained(self) -> Mapping[str, Shape]:
        """Names and shapes of the parameters that training changes. The loss depends on every one of them."""

    def frozen(self) -> Mapping[str, Shape]:
        """Names and shapes of those that take part in the loss and stay as they are."""

    def layered(self) -> Collection[str]:
        """Names of those of both that the loss reads in :func:`regrow.exact.pieces.piece`, each in one that gradients
        go through: workers who hold a copy together need not have others whole.
        """

    def initial(self) -> Mapping[str, Tensor]:
        """The trained parameters before the first step, float32: new tensors, which training changes in place.

        Asked of the first worker, and only if there is no checkpoint.
        """

    def given(self) -> Mapping[str, Tensor]:
        """The frozen parameters, which no checkpoint holds: float32, and matrices maybe in a shorter type that has the
        same numbers, see :mod:`regrow.exact.shorter`. Asked of the first worker whenever a run starts.
        """

    def loss(self, parameters: Mapping[str, Tensor], batch: Batch) -> Tensor:
        """The mean loss of a micro-batch over the tokens that count, a scalar; a pure function."""

    def description(self) -> Mapping[str, Any]:
        """Plain JSON from which another worker rebuilds what it needs: everything but the values of parameters."""


Tasks = Mapping[str, Callable[[Mapping[str, Any]], Task]]
"""How to rebuild the tasks of each name from their descriptions."""
