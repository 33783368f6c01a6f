"""AdamW, gradient clipping and the mean over micro-batches, with a written order of operations."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from regrow.exact.backend import current
from regrow.exact.polynomials import power


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
    return x.view(1, -1) if x.dim() < 2 else x.view(x.shape[0], -1)


def mean_gradients(gradients: Sequence[Tensor]) -> Tensor:
    """The mean of the micro-batches' gradients of one parameter, exact, float32 of the same shape."""
    if len(gradients) > 127:
        raise ValueError(f"{len(gradients)} micro-batches; the grid has room for 127")
    return current().kernels.mean_gradient([rows(g.contiguous()) for g in gradients]).view(gradients[0].shape)


def gradient_norm(gradients: Mapping[str, Tensor]) -> float:
    """The Euclidean norm over all parameters: exact within a tensor, tensors added in the order of their names."""
    kernels = current().kernels
    total = 0.0
    for name in sorted(gradients):
        total += kernels.sum_of_squares(rows(gradients[name]))
    return math.sqrt(total)


def clip_factor(norm: float, limit: float) -> float:
    """What gradients are multiplied with so that their norm does not exceed ``limit`` (0: no limit)."""
    return limit / norm if 0.0 < limit < norm else 1.0


def adamw_step(parameter: Tensor, gradient: Tensor, first: Tensor, second: Tensor, constants: np.ndarray) -> None:
    """Update a parameter and its moments in place."""
    with torch.no_grad():
        current().kernels.adamw(*(rows(x) for x in (parameter, gradient, first, second)), constants)
