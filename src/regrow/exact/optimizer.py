"""AdamW and gradient clipping, with a written order of operations."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from regrow.exact.grid import SUM_BITS, exponents, power_of_two
from regrow.exact.polynomials import power
from regrow.exact.selection import current
from regrow.exact.workers import ALONE, Workers


@dataclass(frozen=True)
class AdamW:
    """The settings of AdamW (Loshchilov and Hutter, 2019).

    Attributes:
        beta1: decay of the first moment.
        beta2: decay of the second moment.
        epsilon: added to the root of the second moment.
        weight_decay: decoupled decay, times the learning rate, of the tensors that ask for it.
    """

    beta1: float = 0.9
    beta2: float = 0.95
    epsilon: float = 1e-8
    weight_decay: float = 0.1

    def constants(self, step: int, learning_rate: float, clip: float, decays: bool) -> np.ndarray:
        """The float32 constants of step ``step`` (from 1), each computed in float64 and rounded once."""
        decay = self.weight_decay if decays else 0.0
        values = (
            clip,
            self.beta1,
            1.0 - self.beta1,
            self.beta2,
            1.0 - self.beta2,
            1.0 - power(self.beta1, step),
            1.0 - power(self.beta2, step),
            self.epsilon,
            learning_rate,
            1.0 - learning_rate * decay,
        )
        return np.array(values, dtype=np.float32)


def rows(x: Tensor) -> Tensor:
    """A tensor as a matrix: a vector is one row."""
    return x if x.dim() == 2 else x.view(1, -1) if x.dim() < 2 else x.view(x.shape[0], -1)


def matrix(shape: Sequence[int]) -> tuple[int, int]:
    """The shape of :func:`rows` of a tensor of a shape."""
    return (shape[0], math.prod(shape[1:])) if len(shape) > 1 else (1, math.prod(shape))


def gradient_norm(gradients: Mapping[str, Tensor], workers: Workers = ALONE) -> float:
    """The Euclidean norm over all parameters: exact within a tensor, tensors added in the order of their names.

    ``gradients`` holds this worker's rows of each.
    """
    names = sorted(gradients)
    kernels = current(next(iter(gradients.values()), None)).kernels
    largest = torch.tensor([kernels.square_bits(gradients[name]) for name in names], dtype=torch.int32)
    workers.largest(largest)
    e = exponents(largest)
    sums = torch.tensor([kernels.square_sum(gradients[n], int(i)) for n, i in zip(names, e, strict=True)])
    workers.total(sums)
    total = 0.0
    for value, scale in zip(sums.tolist(), (power_of_two(e) * 2.0**-SUM_BITS).tolist(), strict=True):
        total += float(value) * scale
    return math.sqrt(total) if total == total else math.nan


def clip_factor(norm: float, limit: float) -> float:
    """What gradients are multiplied with so that their norm does not exceed ``limit`` (0: no limit)."""
    return limit / norm if 0.0 < limit < norm else 1.0


def adamw_step(parameter: Tensor, gradient: Tensor, first: Tensor, second: Tensor, constants: np.ndarray) -> None:
    """Update a parameter and its moments in place."""
    with torch.no_grad():
        current(parameter).kernels.adamw(rows(parameter), rows(gradient), rows(first), rows(second), constants)
    for changed in (parameter, first, second):  # so that a backward pass that needs what was there notices
        torch.autograd.graph.increment_version(changed)
