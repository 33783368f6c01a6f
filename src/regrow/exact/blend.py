"""What a student's loss is made of: a teacher's divergence at a temperature, and cross-entropy."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from regrow.exact.grid import PROBABILITY_BITS


@dataclass(frozen=True)
class Blend:
    """``share * temperature**2 * KL(teacher || student) + (1 - share) * cross-entropy``.

    The square is Hinton's (2015): it keeps the divergence's gradients as large as at temperature 1. All numbers that
    follow are made in float64 and, where a kernel has them as float32, rounded once.

    Attributes:
        temperature: divides the logits of both, for the divergence alone; more than 0.
        share: of the divergence, 0 to 1.
    """

    temperature: float
    share: float

    @property
    def divergence(self) -> float:
        """What the divergence is multiplied by, float64."""
        return self.share * (self.temperature * self.temperature)

    @property
    def surprise(self) -> float:
        """What the cross-entropy is multiplied by, float64."""
        return 1.0 - self.share

    @property
    def steepness(self) -> float:
        """The largest that an entry of a row's gradient can be, float64: kernels give the gradient divided by it."""
        return self.share * self.temperature + self.surprise

    @property
    def cool(self) -> float:
        """The inverse of the temperature, a float32."""
        return float(np.float32(1.0 / self.temperature))

    @property
    def soft(self) -> float:
        """The share of the divergence in the steepness, a float32."""
        return float(np.float32(self.share * self.temperature / self.steepness))

    @property
    def hard(self) -> float:
        """The share of the cross-entropy in it, a float32."""
        return float(np.float32(self.surprise / self.steepness))

    @property
    def target(self) -> int:
        """What is taken off at a row's target, on the grid of the gradient."""
        return round(self.hard * 2.0**PROBABILITY_BITS)
