"""AdamW, gradient clipping and the mean over micro-batches, with a written order of operations."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from regrow.exact.grid import SUM_BITS, exponents, power_of_two
from regrow.exact.polynomials import power
from regrow.exact.selection import current
from regrow.exact.workers import ALONE, Workers

# 24-bit integers leave room for so many in int32.
MOST_MICRO_BATCHES = 127


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


def mean_gradients(gradients: dict[str, list[Tensor]], count: int, workers: Workers = ALONE) -> dict[str, Tensor]:
    """The means over all workers' micro-batches of the parameters' gradients, exact; this worker's rows of them.

    Args:
        gradients: for each parameter the float32 ``(R, C)`` of this worker's micro-batches; a worker without any gives
            one of zeros. Emptied on the way, so that not both they and their means are in memory.
        count: micro-batches of all workers.
        workers: among whom the sum runs. What they exchange is int32, as many bytes as float32 gradients.
    """
    if count > MOST_MICRO_BATCHES:
        raise ValueError(f"{count} micro-batches; the grid has room for {MOST_MICRO_BATCHES}")
    names = list(gradients)
    kernels = current(gradients[names[0]][0]).kernels
    if workers.count == 1 and count == 1:
        return {name: kernels.on_grid(gradients.pop(name)[0]) for name in names}
    bits = [torch.stack([kernels.row_bits(g) for g in gradients[name]]).amax(0) for name in names]
    largest = torch.cat(bits)
    workers.largest(largest)
    grids = dict(zip(names, exponents(largest).split([len(rows) for rows in bits]), strict=True))
    totals = []
    for name, e in grids.items():
        parts = gradients.pop(name)
        totals.append(torch.zeros(parts[0].shape, dtype=torch.int32, device=parts[0].device))
        for part in parts:
            kernels.add_to_grid(part, e, totals[-1])
    sums = zip(grids.items(), workers.total_rows(totals), strict=True)
    return {name: kernels.from_grid(total, e[workers.rows(len(e))], count) for (name, e), total in sums}


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
