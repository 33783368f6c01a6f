"""The triangular factor of a damped Gram matrix, and the order in which columns are gone through."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from regrow.compression import kernels
from regrow.compression.gram import Array

_PANEL = 64


def by_activation(gram: Array) -> NDArray[np.int64]:
    """The columns, those that read the most first; of equal ones the first."""
    return np.argsort(-gram.diagonal(), kind="stable")


def damped(gram: Array, damping: float) -> Array:
    """The matrix with a share of the mean of its diagonal added to the diagonal."""
    found = gram.copy()
    found[np.diag_indices_from(found)] += damping * (math.fsum(gram.diagonal()) / len(gram))
    return found


def upper_factor(gram: Array) -> Array | None:
    """The upper triangular M with ``gram = M M^T``; None if the matrix is not positive definite."""
    # Cholesky's factor is lower: of the matrix from its end to its beginning, it is ours from its end.
    turned = np.ascontiguousarray(gram[::-1, ::-1])
    failed = np.zeros(1, np.int64)
    kernels.factor(turned, np.empty((_PANEL, len(gram))), failed)
    return None if failed[0] else np.ascontiguousarray(np.tril(turned)[::-1, ::-1])
