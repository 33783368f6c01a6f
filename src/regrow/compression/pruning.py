"""Which weights of a matrix become 0. Of two that matter as little, the first in the row stays.

| method | a weight matters by | and the others |
|---|---|---|
| magnitude | its size | stay |
| Wanda (Sun et al., 2024) | its size times the norm of what its column read | stay |
| SparseGPT (Frantar and Alistarh, 2023) | what its loss costs once the others make up for it | make up for it |
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from regrow.compression import kernels
from regrow.compression.factor import damped, upper_factor
from regrow.compression.gram import Array

FOUR = 4


@dataclass(frozen=True)
class Sparsity:
    """How many weights become 0.

    Attributes:
        share: of the weights, rounded down to whole ones.
        of_four: whether it is two of every four neighbours in a row.
    """

    share: float
    of_four: bool


def magnitude(weight: Tensor, sparsity: Sparsity) -> Tensor:
    """The smallest of the whole matrix become 0, or of every four."""
    scores = weight.numpy().astype(np.float64) ** 2
    return _without(weight, scores if sparsity.of_four else scores.reshape(1, -1), sparsity)


def wanda(weight: Tensor, squares: Array, sparsity: Sparsity) -> Tensor:
    """Those of each row that matter least become 0, or of every four.

    Args:
        weight: float32 ``(R, K)``.
        squares: float64 ``(K,)``: the sums of the squares of what the columns read.
        sparsity: how many.
    """
    return _without(weight, weight.numpy().astype(np.float64) ** 2 * squares, sparsity)


def sparsegpt(weight: Tensor, gram: Array, sparsity: Sparsity, damping: float) -> Tensor | None:
    """A share of each 128 neighbours in a row becomes 0, or of every four, and those that follow make up for it.

    Args:
        weight: float32 ``(R, K)``.
        gram: float64 ``(K, K)``: the sums of products of what it read.
        sparsity: how many.
        damping: this share of the mean of the diagonal is added to the diagonal.

    Returns:
        None if the damped Gram matrix is not positive definite.
    """
    factor = upper_factor(damped(gram, damping))
    if factor is None:
        return None
    out = np.empty(weight.shape)
    segment = FOUR if sparsity.of_four else kernels.SEGMENT
    kernels.prune(weight.numpy().astype(np.float64), factor, segment, np.array([sparsity.share]), out)
    return torch.from_numpy(out.astype(np.float32))


def _without(weight: Tensor, scores: Array, sparsity: Sparsity) -> Tensor:
    """The weights but for those with the lowest scores in each row of scores, or of every four."""
    rows = scores.reshape(-1, FOUR) if sparsity.of_four else scores
    count = int(rows.shape[1] * sparsity.share)
    # Sorted from the end, so that of equal ones the last comes first.
    turned: NDArray[np.int64] = np.argsort(rows[:, ::-1], axis=1, kind="stable")[:, :count]
    keep = np.ones(rows.shape, np.bool_)
    np.put_along_axis(keep, rows.shape[1] - 1 - turned, False, 1)
    return torch.where(torch.from_numpy(keep.reshape(weight.shape)), weight, torch.zeros_like(weight))
