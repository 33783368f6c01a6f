"""The sequences of each step of a training run, for the worker that leads it and those that read theirs themselves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from regrow.recipe.kind import Files

if TYPE_CHECKING:
    from regrow.corpus.tokens import TokenShards
    from regrow.train.task import Batch


@dataclass(frozen=True)
class Rows:
    """What each step reads of token shards: a :class:`regrow.train.batches.Told`.

    Attributes:
        shards: the tokens.
        seed: of the order.
        sequences: in a step.
        micro_batch: sequences in a micro-batch.
        context: tokens of a sequence that are to be predicted.
        pairs: whether rejected answers are read, too.
        location: where the shards are for other machines; empty if nowhere.
    """

    shards: TokenShards
    seed: int
    sequences: int
    micro_batch: int
    context: int
    pairs: bool
    location: str = ""

    @property
    def told(self) -> Mapping[str, Any]:
        """From this :meth:`elsewhere` makes the same."""
        names = ("seed", "sequences", "micro_batch", "context", "pairs", "location")
        return {"shards": self.shards.told(), **{name: getattr(self, name) for name in names}}

    @staticmethod
    def elsewhere(told: Mapping[str, Any], files: Files | None) -> Rows:
        """What was told, as another process reads it, by a way to the files; None if they are on this machine."""
        from regrow.corpus.tokens import TokenShards

        return Rows(**{**told, "shards": TokenShards.elsewhere(told["shards"], files)})

    def whole(self, step: int) -> Batch:
        """All sequences of a step, from 1."""
        from regrow.train.task import Batch

        return Batch(*self.shards.step(self.seed, step, self.sequences, self.context, pairs=self.pairs))

    def read(self, step: int, numbers: Sequence[int]) -> list[Batch]:
        """Some micro-batches of a step, by their numbers from 0."""
        from regrow.corpus import order
        from regrow.train.task import Batch

        count = self.shards.windows("train", self.context, pairs=self.pairs)
        windows = order.step_windows(self.seed, step, self.sequences, count).reshape(-1, self.micro_batch)
        chosen = windows[list(numbers)].tolist()
        return [Batch(*self.shards.sequences("train", one, self.context, pairs=self.pairs)) for one in chosen]
