"""What speaks against a model, by its own record: a bad one is not to be presented like a good one."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from regrow.release import Release
from regrow.release.release import Loss, number
from regrow.release.statements import line_of_weights

_WORSE_THAN_BEFORE = 1.05
"""Training diverged if the loss ends above so many times the loss of the first step, which is that of guessing."""

_BY_HEART = 1.5
"""The training text was learned by heart if the loss on validation text is more than so many times that on it."""

_END = 20
_MOST = 50


@dataclass(frozen=True)
class Doubt:
    """One thing that speaks against a model.

    Attributes:
        kind: a word for programs.
        what: what is wrong, in one sentence.
        hint: what to change first.
    """

    kind: Literal["not-a-number", "diverged", "worse-than-counting", "by-heart"]
    what: str
    hint: str


def doubts(release: Release) -> tuple[Doubt, ...]:
    """Everything that speaks against the model of a release. It follows from what the release digest covers."""
    own = len(line_of_weights(release.statements)) <= 1  # others may have changed the weights since they were trained
    losses = release.losses if own else ()
    measured = release.evaluation.get("validation")
    bits = release.measured("validation", "bits_per_byte")
    if isinstance(measured, dict) and bits is None and "bits_per_byte" in measured:
        return (Doubt("not-a-number", "what was measured of the model is no finite number", _lower(losses)),)
    unigram = release.measured("unigram", "bits_per_byte")
    by_heart = _by_heart(losses, release.measured("validation", "loss"))
    found = [_diverged(losses, bits, unigram) or _worse_than_counting(bits, unigram, by_heart), by_heart]
    return tuple(doubt for doubt in found if doubt is not None)


def last_loss(losses: Sequence[Loss]) -> float:
    """The mean of the last twentieth of the training losses, of 50 at the most."""
    end = [row.loss for row in losses[-max(1, min(_MOST, len(losses) // _END)) :]]
    return math.fsum(end) / len(end)


def _diverged(losses: Sequence[Loss], bits: float | None, unigram: float | None) -> Doubt | None:
    if len(losses) < 2 or last_loss(losses) <= _WORSE_THAN_BEFORE * losses[0].loss:
        return None
    beside = ""
    if bits is not None and unigram is not None:
        beside = f", and {bits:.2f} bits per byte stand against {unigram:.2f} of the unigram model"
    what = (
        f"training diverged: the loss began at {losses[0].loss:.2f} nats per token and ended at {last_loss(losses):.2f}"
    )
    return Doubt("diverged", what + beside, _lower(losses))


def _worse_than_counting(bits: float | None, unigram: float | None, by_heart: Doubt | None) -> Doubt | None:
    if bits is None or unigram is None or bits < unigram:
        return None
    return Doubt(
        "worse-than-counting",
        f"the model is no better than counting how often each token occurs: {bits:.3f} bits per byte stand against "
        f"{unigram:.3f} of the unigram model",
        by_heart.hint
        if by_heart
        else "train it on more `tokens`, or add text; if the loss does not fall, change `learning_rate`",
    )


def _by_heart(losses: Sequence[Loss], validation: float | None) -> Doubt | None:
    if not losses or validation is None or not 0 < last_loss(losses) < validation / _BY_HEART:
        return None
    return Doubt(
        "by-heart",
        f"the loss on text it has never seen, {validation:.2f}, is {validation / last_loss(losses):.1f} times that on "
        f"training text, {last_loss(losses):.2f}: it has learned its text by heart",
        "add text, or lower `tokens` or the size of the model",
    )


def _lower(losses: Sequence[Loss]) -> str:
    rates = [rate for row in losses if (rate := number(row.learning_rate)) is not None]
    was = f", which was {max(rates):g} at its highest" if rates else ""
    return f"lower `learning_rate` first{was}"
