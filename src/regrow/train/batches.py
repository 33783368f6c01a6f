"""The batch of a step, as each worker comes by it: it reads what it computes, or is sent the batch.

A batch follows from the step alone, so whoever reaches the tokens may read its own micro-batches. The first worker
reads all of a step, whose digest is in the step's record, and tells the others the digest of each micro-batch. A worker
that comes to anything else, or to nothing, says so before it computes; then the first worker sends that batch to all,
and all that follow. So nobody learns from other tokens than the first worker has, wherever it reads them.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch

from regrow.errors import RegrowError, StageError
from regrow.exact.workers import Workers
from regrow.train.settings import Settings
from regrow.train.shares import turns
from regrow.train.task import Batch


class Rows(Protocol):
    """Where a worker reads its micro-batches."""

    def read(self, step: int, numbers: Sequence[int]) -> Sequence[Batch]:
        """Some micro-batches, by their numbers from 0, of a step, from 1. It may raise anything."""


class Told(Rows, Protocol):
    """The same, of which others can be told."""

    @property
    def told(self) -> Mapping[str, Any]:
        """Plain JSON from which another worker comes by rows that it reads itself."""


@dataclass(frozen=True)
class Given:
    """What a worker has of the batch of a step.

    Attributes:
        digest: of all of it.
        micro_batches: by number, at least those that this worker computes.
    """

    digest: str
    micro_batches: Mapping[int, Batch]

    @classmethod
    def all(cls, batch: Batch, size: int) -> Given:
        """A whole batch, in micro-batches of `size` sequences."""
        return cls(batch.digest(), dict(enumerate(batch.split(size))))


class Batches:
    """The batches of a run.

    Args:
        settings: the run.
        context: tokens of a sequence that are to be predicted.
        batch: step (from 1) to all of its sequences; the first worker's is asked.
        workers: who share the steps.
        rows: where this worker reads; None if no worker is to read by itself. The first worker has said it to all.
        note: gets what a person should know, on the first worker.
    """

    def __init__(
        self,
        settings: Settings,
        context: int,
        batch: Callable[[int], Batch],
        workers: Workers,
        rows: Rows | None,
        note: Callable[[str], None],
    ) -> None:
        self._settings, self._context = settings, context
        self._batch, self._workers, self._note = batch, workers, note
        self._rows = rows if workers.count > 1 else None

    def of(self, step: int) -> Given:
        """What this worker has of a step.

        Raises:
            StageError: if nothing counts in a micro-batch; all workers say the same.
        """
        whole = self._batch(step) if self._workers.rank == 0 else None
        if self._rows is not None and (given := self._read(self._rows, step, whole)) is not None:
            return given
        whole = self._sent(whole)
        given = Given.all(whole, self._settings.micro_batch)
        _require_targets(step, _empty(given.micro_batches.values()))
        return given

    def _sent(self, whole: Batch | None) -> Batch:
        """All of the first worker's batch."""
        if whole is not None and self._workers.count == 1:
            return whole
        shape = self._settings.sequences_per_step, self._context + 1
        packed = torch.zeros(shape, dtype=torch.int32) if whole is None else whole.packed()
        self._workers.give(packed)
        return Batch.unpacked(packed)

    def _read(self, rows: Rows, step: int, whole: Batch | None) -> Given | None:
        """What each reads by itself; None if one of them cannot, which is so from then on."""
        if whole is None:
            told = self._workers.tell(None)
            _require_targets(step, told["empty"])
            found, trouble = self._own(rows, step, told["each"])
        else:
            micro_batches = whole.split(self._settings.micro_batch)
            found, trouble = dict(enumerate(micro_batches)), ""
            digests = [one.digest() for one in micro_batches]
            told = self._workers.tell({"all": whole.digest(), "each": digests, "empty": _empty(micro_batches)})
            _require_targets(step, told["empty"])
        troubles = _heard(self._workers, trouble)
        if not troubles:
            return Given(told["all"], found)
        self._rows = None
        for rank, text in troubles.items():
            self._note(f"worker {rank} cannot read its sequences of tokens: {text}; all are sent theirs from here on")
        return None

    def _own(self, rows: Rows, step: int, digests: Sequence[str]) -> tuple[dict[int, Batch], str]:
        """The micro-batches that this worker computes, and what is wrong with them in words, if anything is."""
        each = (turn.number(self._workers) for turn in turns(len(digests), self._workers))
        numbers = [number for number in each if number is not None]
        if not numbers and self._workers.holders.count > 1:
            numbers = [len(digests) - 1]  # one to compute along
        if not numbers:
            return {}, ""
        try:
            found = dict(zip(numbers, rows.read(step, numbers), strict=True))
        except Exception as error:  # whatever it is, the first worker has them
            return {}, f"{socket.gethostname()}: {_in_words(error)}"
        if wrong := [number for number, one in found.items() if one.digest() != digests[number]]:
            where = f"micro-batch {wrong[0] + 1} of step {step}"
            return {}, f"{socket.gethostname()}: {where} is not what the first worker reads"
        return found, ""


def _empty(micro_batches: Iterable[Batch]) -> int | None:
    """The first micro-batch in which nothing counts."""
    found = (i for i, one in enumerate(micro_batches) if one.mask is not None and not bool(one.mask.any()))
    return next(found, None)


def _require_targets(step: int, empty: int | None) -> None:
    """A mean over nothing is no number."""
    if empty is not None:
        raise StageError(
            f"there is nothing to learn from in micro-batch {empty + 1} of step {step}",
            why="the mask leaves out every token of its sequences",
            hint="leave out sequences in which nothing counts, or raise `micro_batch`",
        )


def _heard(workers: Workers, text: str) -> dict[int, str]:
    """What workers have to say, by rank, of those who have anything; all hear the same."""
    data = text.encode()
    lengths = torch.zeros(workers.count, dtype=torch.int64)
    lengths[workers.rank] = len(data)
    workers.total(lengths)  # of each but one a zero
    if not bool(lengths.any()):
        return {}
    said = torch.zeros((workers.count, int(lengths.max())), dtype=torch.int32)
    said[workers.rank, : len(data)] = torch.tensor([*data], dtype=torch.int32)
    workers.total(said)
    texts = (bytes(row[:length]).decode() for row, length in zip(said.tolist(), lengths.tolist(), strict=True))
    return {rank: words for rank, words in enumerate(texts) if words}


def _in_words(error: Exception) -> str:
    """What was raised, in a line."""
    if not isinstance(error, RegrowError):
        return f"{type(error).__name__}: {error}"
    return ", ".join(filter(None, (error.what, error.why, error.where)))
