"""A run small enough to repeat many times, and one in which half of the parameters are frozen."""

from dataclasses import dataclass
from typing import ClassVar

import torch

from regrow.model.config import DecoderConfig
from regrow.train.loop import Watch
from regrow.train.settings import Settings
from regrow.train.task import Batch
from regrow.train.tasks import tasks
from regrow.train.tasks.pretraining import Pretraining

CONFIG = DecoderConfig(
    vocabulary=300, layers=2, width=32, heads=4, kv_heads=2, hidden=64, context=16, tied_embeddings=False
)
SETTINGS = Settings(
    steps=6, micro_batch=3, micro_batches_per_step=2, learning_rate=3e-3, warmup=2, decay="cosine",
    final_learning_rate=3e-4, weight_decay=0.1, beta1=0.9, beta2=0.95, epsilon=1e-8, clip=1.0, seed=7,
    checkpoint_every=2,
)  # fmt: skip


TASK = Pretraining(CONFIG, SETTINGS.seed)


def batch(step):
    """Tokens that depend on the step alone."""
    index = torch.arange(6 * 17) + step * 1000
    return Batch(((index * index * 7 + index) % 300).view(6, 17))


def masked(step):
    """The same, of which not all count: another number of them in each micro-batch."""
    return Batch(batch(step).tokens, (torch.arange(6 * 16) * step % 7 < 3).view(6, 16) & (torch.arange(16) > 4))


@dataclass(frozen=True)
class Freezing:
    """Another task in which what begins with one of some names stays as it was given."""

    name: ClassVar[str] = "freezing"

    whole: Pretraining
    stays: tuple[str, ...]

    @property
    def context(self):
        return self.whole.context

    def trained(self):
        return {name: x for name, x in self.whole.trained().items() if not name.startswith(self.stays)}

    def frozen(self):
        return {name: x for name, x in self.whole.trained().items() if name.startswith(self.stays)}

    def layered(self):
        return self.whole.layered()

    def initial(self):
        return {name: x for name, x in self.whole.initial().items() if name in self.trained()}

    def given(self):
        return {name: x for name, x in self.whole.initial().items() if name in self.frozen()}

    def loss(self, parameters, batch):
        return self.whole.loss(parameters, batch)

    def description(self):
        return {"whole": self.whole.description(), "stays": list(self.stays)}

    @staticmethod
    def described(description):
        return Freezing(Pretraining.described(description["whole"]), tuple(description["stays"]))


@dataclass(frozen=True)
class Shortened(Freezing):
    """The same with matrices of fewer bits that stay: in bfloat16, or ``wide``, in float32."""

    name: ClassVar[str] = "shortened"

    wide: bool = False

    def given(self):
        short = {name: x.to(torch.bfloat16) if x.dim() > 1 else x for name, x in super().given().items()}
        return {name: x.to(torch.float32) for name, x in short.items()} if self.wide else short

    @staticmethod
    def described(description):
        return Shortened(Pretraining.described(description["whole"]), tuple(description["stays"]))


FREEZING = Freezing(TASK, ("embed", "layers.000", "layers.001.mlp.norm"))
SHORTENED = Shortened(TASK, FREEZING.stays)
TASKS_HERE = {**tasks(), Freezing.name: Freezing.described, Shortened.name: Shortened.described}


def watch(stop_at=None):
    """A watch that stops after a step, or never."""
    seen = []
    return Watch(
        progress=lambda **fields: seen.append(fields["done"]),
        stopping=lambda: stop_at is not None and seen[-1] >= stop_at,
        stop=_interrupt,
    )


def _interrupt():
    raise KeyboardInterrupt
