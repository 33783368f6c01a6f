"""A training run as a recipe says it, and what it costs."""

from __future__ import annotations

import operator
from dataclasses import dataclass
from typing import Literal

from pydantic import Field

from regrow.model.architecture import Architecture, forward_flops, parameter_count
from regrow.recipe.kind import FLOPS_PER_SECOND, Sharing
from regrow.sections import LARGEST, Section

MOST_MICRO_BATCHES = 1 << 15
"""As many as :mod:`regrow.exact.accumulation` takes, which loads more than a recipe needs to be read."""

_STATE = 12
"""Bytes of a complete state for each parameter that is trained: its value and two moments."""

_PAIR = 0.3
"""Numbers of four bytes for each query and key of a head, of which half is masked."""

_HEAD_ROWS, _HEAD_ENTRIES = 1024, 1 << 22
"""Of a block of logits, as :mod:`regrow.exact.operations` makes them, which loads more than a recipe needs."""

_SECONDS_PER_NUMBER = 2e-9
_SECONDS_PER_LAYER = 9e-3


class Train(Section):
    """The training run: AdamW on micro-batches whose gradients are averaged over each step."""

    tokens: int = Field(
        description="Tokens to train on; the corpus is gone through again as often as it takes. Rounded down to "
        "whole steps of `micro_batch * micro_batches_per_step * architecture.context` tokens.",
        examples=[4_000_000],
        ge=1,
        le=LARGEST,
    )
    micro_batch: int = Field(
        default=16, description="Sequences in a micro-batch, the unit of arithmetic.", examples=[16], ge=1, le=2**16
    )
    micro_batches_per_step: int = Field(
        default=4,
        description="Micro-batches whose mean gradient makes a step.",
        examples=[4],
        ge=1,
        le=MOST_MICRO_BATCHES,
    )
    learning_rate: float = Field(default=2e-3, description="At its highest.", examples=[1e-3], gt=0, le=10)
    warmup: float = Field(
        default=0.05, description="Share of the steps in which it rises linearly.", examples=[0.1], ge=0, le=1
    )
    decay: Literal["cosine", "linear", "constant"] = Field(
        default="cosine", description="How the learning rate falls afterwards.", examples=["linear"]
    )
    final_learning_rate: float = Field(
        default=0.1,
        description="What it falls to at the last step, as a share of the highest.",
        examples=[0.0],
        ge=0,
        le=1,
    )
    weight_decay: float = Field(
        default=0.1, description="Decoupled, of matrices only, not of gains.", examples=[0.01], ge=0, le=10
    )
    beta1: float = Field(default=0.9, description="Decay of the first moment.", examples=[0.9], ge=0, lt=1)
    beta2: float = Field(default=0.95, description="Decay of the second moment.", examples=[0.99], ge=0, lt=1)
    epsilon: float = Field(
        default=1e-8, description="Keeps the division by the second moment finite.", examples=[1e-10], ge=1e-38, le=1
    )
    clip: float = Field(
        default=1.0, description="Largest norm of the gradient; 0 for no limit.", examples=[0.0], ge=0, le=1e6
    )
    seed: int = Field(
        default=1, description="Of the initial weights and the order of the texts.", examples=[42], ge=0, le=LARGEST
    )
    checkpoint_every: int = Field(
        default=100, description="Steps between links of the checkpoint chain.", examples=[500], ge=1, le=LARGEST
    )
    snapshots: int = Field(
        default=0,
        description="Intermediate parameters to release, at equal distances along the run; each is as large as the "
        "weights.",
        examples=[3],
        ge=0,
        le=1000,
    )

    validate_every: int = Field(
        default=50,
        description="Steps between measurements of the loss on validation text, each with a few words that the model "
        "writes; 0 for none. A measurement takes as many sequences as a step.",
        examples=[200],
        ge=0,
        le=LARGEST,
    )

    stop_after: int = Field(
        default=0,
        description="Steps after which it stops, of all that `tokens` make and the learning rate goes by; 0 for none. "
        "What is built from it can go on from there.",
        examples=[1],
        ge=0,
        le=LARGEST,
        exclude_if=operator.not_,
    )
    states: int = Field(
        default=0,
        description="Complete states of the run to keep, at equal distances, twelve bytes for each parameter: with "
        "them `regrow verify --segments` checks a part of the run without repeating what came before. They lie in the "
        "release, or where `kept_at` of `[model]` says.",
        examples=[8],
        ge=0,
        le=10_000,
        exclude_if=operator.not_,
    )
    keep_optimizer: bool = Field(
        default=False,
        description="Release the state of the optimizer too, twice as large as the weights, so that `[finetune]` of "
        "another recipe can go on with this run.",
        examples=[True],
        exclude_if=operator.not_,
    )

    @property
    def sequences_per_step(self) -> int:
        """Sequences in all micro-batches of a step."""
        return self.micro_batch * self.micro_batches_per_step

    def whole(self, context: int) -> int:
        """The optimizer steps of the whole run: its tokens in whole steps."""
        return self.tokens // (self.sequences_per_step * context)

    def steps_of(self, context: int) -> int:
        """The optimizer steps up to which it goes: all, or as many as are asked for."""
        return self.stop_after or self.whole(context)

    def states_of(self, learned: int, context: int) -> tuple[int, int]:
        """How many complete states it keeps, each where there is a link of the chain, and their bytes.

        Args:
            learned: parameters that training changes.
            context: tokens of a sequence.
        """
        count = min(self.states, (self.steps_of(context) - 1) // self.checkpoint_every)
        return count, _STATE * learned * count


def steps(architecture: Architecture, train: Train) -> int:
    """Count the optimizer steps of a run."""
    return train.steps_of(architecture.context)


def training_flops(architecture: Architecture, train: Train, vocabulary: int) -> int:
    """Count the operations of a run: backwards takes twice as many as forwards, a product for each operand."""
    sequences = steps(architecture, train) * train.sequences_per_step
    return 3 * forward_flops(architecture, vocabulary) * sequences


def training_needs(architecture: Architecture, train: Train, vocabulary: int, sharing: Sharing | None = None) -> Needs:
    """Estimate what a run needs, by default on one worker."""
    learned = parameter_count(architecture, vocabulary)
    return needs(train, learned, passing=_passing(architecture, train, vocabulary), sharing=sharing)


@dataclass(frozen=True)
class Passing:
    """Numbers, on the way of a micro-batch through a model.

    Attributes:
        outside: parameters that are read elsewhere than in layers.
        layer: parameters of a layer.
        layers: how many.
        largest: parameters that are exchanged at once.
        kept: what a layer keeps for its gradient.
        between: of that, what it is given.
        working: what is there besides while a layer, or what is behind the last one, is computed.
    """

    outside: int = 0
    layer: int = 0
    layers: int = 0
    largest: int = 0
    kept: float = 0.0
    between: float = 0.0
    working: float = 0.0

    def numbers(self, *, recompute: bool) -> float:
        """How many there are at the most."""
        kept = self.layers * self.between + self.kept if recompute else self.layers * self.kept
        return kept + self.working


@dataclass(frozen=True)
class Needs:
    """Bytes that a run needs at most.

    Attributes:
        memory: of each worker, besides the program.
        scratch: on the disk of the first worker, until the run has ended.
        output: on the same disk, for what the run gives.
    """

    memory: int
    scratch: int
    output: int


def needs(
    train: Train,
    learned: int,
    frozen: int = 0,
    passing: Passing | None = None,
    sharing: Sharing | None = None,
    width: float = 4.0,
) -> Needs:
    """Estimate what a run needs.

    In memory: of each parameter its value and its digits, and of each that is learned two moments, of which a worker
    has its share, and the gradients of a step. Where workers hold a copy together, each has its share of values and
    gradients. Besides it has those of a layer and of what is outside of layers, and of the largest of these, one at a
    time, digits, and gradients on their way out and in. On the disk: a checkpoint has a value and two moments for each
    that is learned, and while it takes the place of another there are two; then the snapshots, which are copied when
    all is done.

    Args:
        train: the run.
        learned: parameters that training changes.
        frozen: parameters that only take part.
        passing: what there is of a micro-batch; None if nothing is known of it.
        sharing: who shares the run; by default nobody.
        width: bytes of a value that only takes part, as :mod:`regrow.exact.shorter` has it.
    """
    passing, sharing = passing or Passing(), sharing or Sharing()
    values, holders = 4.0 * learned + width * frozen, sharing.workers // sharing.copies
    if holders == 1:
        mine = -(-train.micro_batches_per_step // sharing.workers)
        held = values + 4.0 * (learned + frozen) + _gradients(mine) * learned
    else:
        mine = -(-train.micro_batches_per_step // sharing.copies)
        sums = 4 if mine <= holders else _gradients(mine) - 4
        held = (values + sums * learned) / holders
        held += 8.0 * (passing.outside + passing.layer) + 12.0 * passing.largest
    memory = held + 8.0 * learned / sharing.workers + 4.0 * passing.numbers(recompute=sharing.recompute)
    snapshots = 4 * train.snapshots * learned
    optimizer = 8 * learned if train.keep_optimizer else 0
    kept = snapshots + _STATE * train.states * learned
    return Needs(int(memory), 24 * learned + kept, 4 * learned + kept + optimizer)


def _passing(architecture: Architecture, train: Train, vocabulary: int) -> Passing:
    """Norms, products and attention keep what they read, and attention the digits of its weights, two bytes for each
    pair of a query and a key before it. Logits are there a block at a time, and the gradient of the matrix that gives
    them in float64 and in float32.
    """
    width, hidden, tokens = architecture.width, architecture.hidden, train.micro_batch * architecture.context
    pairs = _PAIR * tokens * architecture.context * architecture.heads
    outside = vocabulary * width * (1 if architecture.tied_embeddings else 2)
    learned = parameter_count(architecture, vocabulary)
    logits = 3 * vocabulary * (width + min(tokens, max(_HEAD_ROWS, _HEAD_ENTRIES // vocabulary)))
    layer = (learned - outside) // architecture.layers
    return Passing(
        outside,
        layer,
        architecture.layers,
        max(layer, vocabulary * width),
        tokens * (8 * width + 3 * hidden) + pairs,
        tokens * width,
        max(tokens * (6 * width + 5 * hidden) + pairs, logits),
    )


def _gradients(micro_batches: int) -> int:
    """Bytes for each parameter, as :mod:`regrow.exact.accumulation` keeps them; while one is added it is there too."""
    return 4 * micro_batches + 4 if micro_batches <= 7 else 28 + 4


def training_seconds(architecture: Architecture, train: Train, vocabulary: int) -> float:
    """Estimate how long a run takes where costs were measured.

    Three things take time: the products; the numbers between them, of which each is read and written a few times, but
    those of attention while they are in the cache; and calling a kernel at all, without which a small model would take
    a tenth of the time it does.
    """
    sequences = steps(architecture, train) * train.sequences_per_step
    weights = architecture.layers * _attention_weights(architecture)
    numbers = sequences * architecture.context * (_activations(architecture, vocabulary) - 0.75 * weights)
    calls = sequences / train.micro_batch * (architecture.layers + 0.25)
    products = training_flops(architecture, train, vocabulary) / FLOPS_PER_SECOND
    return products + numbers * _SECONDS_PER_NUMBER + calls * _SECONDS_PER_LAYER


def _activations(architecture: Architecture, vocabulary: int) -> int:
    """Numbers for each token between the products, forwards and backwards."""
    layer = 10 * architecture.width + 6 * architecture.hidden + _attention_weights(architecture)
    return architecture.layers * layer + 3 * vocabulary


def _attention_weights(architecture: Architecture) -> int:
    """Those of them that are scores, weights and their gradients, in a layer."""
    return 3 * architecture.heads * architecture.context
