"""A run small enough to repeat many times."""

import torch

from regrow.model.config import DecoderConfig
from regrow.train.loop import Watch
from regrow.train.settings import Settings

CONFIG = DecoderConfig(
    vocabulary=300, layers=2, width=32, heads=4, kv_heads=2, hidden=64, context=16, tied_embeddings=False
)
SETTINGS = Settings(
    steps=6, micro_batch=3, micro_batches_per_step=2, learning_rate=3e-3, warmup=2, decay="cosine",
    final_learning_rate=3e-4, weight_decay=0.1, beta1=0.9, beta2=0.95, epsilon=1e-8, clip=1.0, seed=7,
    checkpoint_every=2,
)  # fmt: skip


def batch(step):
    """Tokens that depend on the step alone."""
    index = torch.arange(6 * 17) + step * 1000
    return ((index * index * 7 + index) % 300).view(6, 17)


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
