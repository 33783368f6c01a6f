"""A matrix to small integers, each to the nearest or as GPTQ chooses it.

The scale of a group is ``2 max|w| / (2**bits - 1)``, as in compressed-tensors, rounded to a float16: the largest
weight then lies half a step beyond the last integer on one side and within it on the other. It is that of the weights
as they come, whatever GPTQ makes of them on the way.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from regrow.compression import kernels
from regrow.compression.factor import by_activation, damped, upper_factor
from regrow.compression.gram import Array
from regrow.errors import StageError
from regrow.model.packed import Codes

NOT_DEFINITE = "the Gram matrix is not positive definite"


@dataclass(frozen=True)
class Grid:
    """How finely is rounded.

    Attributes:
        bits: of an integer.
        group: neighbours in a row that share a scale.
    """

    bits: int
    group: int

    @property
    def bounds(self) -> tuple[float, float]:
        """The smallest integer and the largest."""
        half = 2.0 ** (self.bits - 1)
        return -half, half - 1.0


def nearest(weight: Tensor, grid: Grid) -> Codes:
    """Each weight to the nearest number of its group's grid; of two as near, to the even integer.

    Raises:
        StageError: if the weights are too large for a float16 scale, or no numbers.
    """
    scales = _scales(weight, grid)
    wide = np.repeat(scales, grid.group, 1).astype(np.float64)
    steps = np.divide(weight.numpy().astype(np.float64), wide, out=np.zeros(wide.shape), where=wide > 0)
    integers = np.clip(np.rint(steps), *grid.bounds).astype(np.int8)
    return Codes(torch.from_numpy(integers), torch.from_numpy(scales), grid.bits)


def gptq(weight: Tensor, gram: Array, grid: Grid, damping: float) -> Codes | None:
    """Integers that keep what the matrix gives for what it read (Frantar et al., 2023).

    Columns are gone through in the order of :func:`regrow.compression.factor.by_activation`. One that read nothing is
    rounded to the nearest, since nothing else depends on it. A weight that is 0 stays 0.

    Args:
        weight: float32 ``(R, K)``.
        gram: float64 ``(K, K)``: the sums of products of what it read.
        grid: how finely is rounded.
        damping: this share of the mean of the diagonal is added to the diagonal.

    Returns:
        None if the damped Gram matrix is not positive definite.

    Raises:
        StageError: as :func:`nearest`.
    """
    scales, order = _scales(weight, grid), by_activation(gram)
    factor = upper_factor(damped(gram, damping)[np.ix_(order, order)])
    if factor is None:
        return None
    turned = np.empty(weight.shape, np.int8)
    kernels.quantise(
        weight.numpy().astype(np.float64)[:, order], factor, scales.astype(np.float64), order // grid.group,
        np.array(grid.bounds), turned,
    )  # fmt: skip
    integers = np.empty_like(turned)
    integers[:, order] = turned
    return Codes(torch.from_numpy(integers), torch.from_numpy(scales), grid.bits)


def _scales(weight: Tensor, grid: Grid) -> NDArray[np.float32]:
    """float32 ``(R, K / group)``, with the digits of a float16."""
    rows, columns = weight.shape
    groups = np.abs(weight.numpy()).reshape(rows, columns // grid.group, grid.group).max(2).astype(np.float64)
    with np.errstate(over="ignore"):
        scales: NDArray[np.float32] = (groups * (2.0 / (2.0**grid.bits - 1.0))).astype(np.float16).astype(np.float32)
    if not np.isfinite(scales).all():
        raise StageError(
            "the matrix has weights that small integers cannot stand for",
            why=f"the largest is {groups.max():.3g}, and a scale is a float16, of at most 65,504",
            hint="a model with such weights does not work: look at the stages before this one",
        )
    return scales
