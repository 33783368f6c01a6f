"""The loss on validation text: the one way to measure it, during training and after it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

    from regrow.corpus.tokens import TokenShards
    from regrow.model.decoder import Decoder

_BATCH = 16


def nats(
    decoder: Decoder,
    parameters: Mapping[str, Tensor],
    shards: TokenShards,
    rows: Sequence[int],
    context: int,
    told: Callable[[int], None] = lambda done: None,
) -> tuple[float, int]:
    """The summed loss over sequences of the validation tokens, and over how many tokens.

    Args:
        decoder: the model.
        parameters: of the model.
        shards: the tokens.
        rows: which sequences, counted from 0.
        context: tokens of a sequence.
        told: gets the number of sequences that are done.
    """
    import torch

    found, counted = 0.0, 0
    with torch.no_grad():
        for start in range(0, len(rows), _BATCH):
            here = rows[start : start + _BATCH]
            batch = shards.sequences("validation", here, context)
            count = len(here) * context if batch.learnt is None else int(batch.learnt.sum())
            found += float(decoder(parameters, *batch)) * count
            counted += count
            told(start + len(here))
    return found, counted


def predicted(shards: TokenShards, rows: Sequence[int], context: int) -> Iterator[NDArray[np.integer]]:
    """The tokens over which :func:`nats` sums the loss of some sequences, some at a time."""
    import numpy as np

    for start in range(0, len(rows), _BATCH):
        batch = shards.sequences("validation", rows[start : start + _BATCH], context)
        tokens = batch.tokens[:, 1:].numpy()
        yield tokens.ravel() if batch.learnt is None else tokens[np.asarray(batch.learnt)]


def spread(count: int, most: int) -> Sequence[int]:
    """At most ``most`` of ``count`` sequences, evenly spread, the first always among them."""
    return range(count) if count <= most else [i * count // most for i in range(most)]
