"""What a training run is told, and the learning rate that follows from it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from regrow.exact.polynomials import sin_cos_turns64


@dataclass(frozen=True)
class Settings:
    """A training run.

    Attributes:
        steps: optimizer steps.
        micro_batch: sequences in a micro-batch, the unit of arithmetic: a gradient depends on one alone.
        micro_batches_per_step: micro-batches whose mean gradient makes a step.
        learning_rate: at its highest.
        warmup: steps in which it rises linearly.
        decay: how it falls afterwards.
        final_learning_rate: what it falls to at the last step.
        weight_decay: decoupled, of matrices only.
        beta1: decay of AdamW's first moment.
        beta2: decay of AdamW's second moment.
        epsilon: of AdamW.
        clip: largest gradient norm; 0 for none.
        seed: of the initial parameters and the data order.
        checkpoint_every: steps between links of the checkpoint chain.
        snapshots: how many intermediate parameters are kept, at equal distances.
        validate_every: steps between looks at the validation text; 0 for none.
        until: the step after which this part of the run ends; 0 for the last one.
        states: how many complete states are kept, at equal distances, each where there is a link of the chain.
        keep: whether the whole state is wanted at the end: then the last checkpoint has it.
    """

    steps: int
    micro_batch: int
    micro_batches_per_step: int
    learning_rate: float
    warmup: int
    decay: Literal["cosine", "linear", "constant"]
    final_learning_rate: float
    weight_decay: float
    beta1: float
    beta2: float
    epsilon: float
    clip: float
    seed: int
    checkpoint_every: int
    snapshots: int = 0
    validate_every: int = 0
    until: int = 0
    states: int = 0
    keep: bool = False

    @property
    def end(self) -> int:
        """The last step of this part of the run."""
        return self.until or self.steps

    @property
    def sequences_per_step(self) -> int:
        """Sequences in all micro-batches of a step."""
        return self.micro_batch * self.micro_batches_per_step

    @property
    def snapshot_steps(self) -> tuple[int, ...]:
        """The steps after which intermediate parameters are kept."""
        steps = (self.steps * number // (self.snapshots + 1) for number in range(1, self.snapshots + 1))
        return tuple(sorted({step for step in steps if 0 < step < self.steps}))

    @property
    def state_steps(self) -> tuple[int, ...]:
        """The steps after which complete states are kept: the links of the chain next to equal distances."""
        links, count = self.end // self.checkpoint_every, self.states + 1
        numbers = {(links * number + count // 2) // count for number in range(1, count)}
        return tuple(step for one in sorted(numbers) if 0 < (step := one * self.checkpoint_every) < self.end)

    @property
    def validation_steps(self) -> range:
        """The steps after which validation text is looked at; the last one is not, since evaluation follows it."""
        every = self.validate_every or self.steps
        return range(every, self.steps, every)

    def rate(self, step: int) -> float:
        """The learning rate of a step, counted from 1."""
        if step <= self.warmup:
            return self.learning_rate * step / self.warmup
        if self.decay == "constant":
            return self.learning_rate
        done = (step - self.warmup) / max(1, self.steps - self.warmup)
        if self.decay == "cosine":
            _, cosine = sin_cos_turns64(np.array([done / 2.0]))
            done = (1.0 - float(cosine[0])) / 2.0
        return self.learning_rate + (self.final_learning_rate - self.learning_rate) * done
