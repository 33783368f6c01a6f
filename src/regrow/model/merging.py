"""Merging tensors of several models: float64, in the order of the models, rounded once to float32.

The methods are those that mergekit made usual, equal to its within rounding but for two things that are left to chance
there: of entries of one magnitude the first are kept, and DARE's draws are those of :mod:`regrow.exact.random`.

No sum here is left to a library: what is added over a tensor is added by halves (:func:`total`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from regrow.exact.polynomials import sin_cos64
from regrow.exact.random import uniforms

Method = Literal["linear", "slerp", "task-arithmetic", "ties", "dare-linear", "dare-ties"]
Array = NDArray[np.float64]

SPARSE = ("ties", "dare-linear", "dare-ties")
"""Methods that keep a share of each model's changes."""
_STRAIGHT = 0.9995
"""Tensors whose directions are as near as this are mixed linearly: the arc between them has no length to divide by."""
_HALVINGS = 60


@dataclass(frozen=True)
class Merge:
    """How to merge.

    Attributes:
        method: linear mean; slerp along the arc between two; or adding changes from the first model (task arithmetic),
            of which TIES and DARE keep a share.
        weights: of the models: for ``linear`` of all, else of all but the first.
        normalise: whether weights are divided by their sum; for TIES by that of those that agree.
        density: the share of each model's changes that is kept.
        scale: what the changes are multiplied by together.
        t: how far along the arc, 0 to 1.
        seed: of DARE's draws.
    """

    method: Method
    weights: tuple[float, ...]
    normalise: bool
    density: float = 1.0
    scale: float = 1.0
    t: float = 0.5
    seed: int = 1

    def __call__(self, name: str, models: Sequence[tuple[str, NDArray[np.float32]]]) -> NDArray[np.float32]:
        """One tensor of the result.

        Args:
            name: of the tensor, which is part of what the draws depend on.
            models: what each is called, and its tensor of that name; the first is the one that the others change.
        """
        (_, first), *others = [(called, x.astype(np.float64)) for called, x in models]
        if self.method == "linear":
            merged = self._mean([first, *(x for _, x in others)])
        elif self.method == "slerp":
            merged = _along(first, others[0][1], self.t)
        else:
            merged = first + self._change(name, [(called, x - first) for called, x in others]) * self.scale
        return merged.astype(np.float32)

    def _mean(self, tensors: Sequence[Array]) -> Array:
        summed = _weighted(tensors, self.weights)
        return summed / math.fsum(self.weights) if self.normalise else summed

    def _change(self, name: str, changes: Sequence[tuple[str, Array]]) -> Array:
        """What is added to the first model."""
        weighted = [self._kept(name, *change) * weight for change, weight in zip(changes, self.weights, strict=True)]
        agreeing = np.ones((len(weighted), *weighted[0].shape), np.bool_)
        if self.method.endswith("ties"):
            positive = _weighted(weighted, [1.0] * len(weighted)) >= 0.0
            agreeing = np.stack([np.where(positive, x > 0.0, x < 0.0) for x in weighted])
        summed = _weighted([np.where(own, x, 0.0) for own, x in zip(agreeing, weighted, strict=True)])
        if not self.normalise:
            return summed
        shares = _weighted([own.astype(np.float64) for own in agreeing], self.weights)
        return summed / np.where(shares == 0.0, 1.0, shares)

    def _kept(self, name: str, model: str, change: Array) -> Array:
        """The share of a model's changes that is kept: the largest, or DARE's, which then grow to the sum there was."""
        if self.density >= 1.0 or self.method not in SPARSE:
            return change
        if self.method == "ties":
            return np.where(largest(np.abs(change), self.density), change, 0.0)
        draws = uniforms(self.seed, f"dare {model} {name}", change.size).reshape(change.shape)
        kept = np.where(draws < self.density, change, 0.0)
        there, left = total(np.abs(change)), total(np.abs(kept))
        return kept * (there / left) if left > 0.0 else kept


def largest(x: Array, share: float) -> NDArray[np.bool_]:
    """Which entries are the largest so many, rounded down, but one at least; of equal ones the first."""
    flat = x.reshape(-1)
    count = max(1, int(share * flat.size))
    least = np.partition(flat, flat.size - count)[flat.size - count]
    above, equal = flat > least, flat == least
    room = count - int(np.count_nonzero(above))
    kept: NDArray[np.bool_] = above | (equal & (np.cumsum(equal) <= room))
    return kept.reshape(x.shape)


def total(x: Array) -> float:
    """The sum of all entries: the second half is added to the first until one is left, zeros behind an odd one."""
    flat = x.reshape(-1)
    while flat.size > 1:
        half = (flat.size + 1) // 2
        first, second = flat[:half], flat[half:]
        flat = np.concatenate((first[: second.size] + second, first[second.size :]))
    return float(flat[0]) if flat.size else 0.0


def _weighted(tensors: Sequence[Array], weights: Sequence[float] = ()) -> Array:
    """The sum of tensors, one after the other, each times its weight if there are any."""
    terms = [x * weight for x, weight in zip(tensors, weights, strict=True)] if weights else tensors
    summed = terms[0]
    for term in terms[1:]:
        summed = summed + term
    return summed


def _along(one: Array, other: Array, t: float) -> Array:
    """Spherical interpolation (Shoemake, 1985) of two tensors as vectors, by the angle between them."""
    lengths = math.sqrt(total(one * one)) * math.sqrt(total(other * other))
    cosine = total(one * other) / lengths if lengths > 0.0 else 0.0
    if abs(cosine) > _STRAIGHT:
        return one * (1.0 - t) + other * t
    angle = _angle(cosine)
    sines, _ = sin_cos64(np.array([angle, (1.0 - t) * angle, t * angle]))
    return one * float(sines[1] / sines[0]) + other * float(sines[2] / sines[0])


def _angle(cosine: float) -> float:
    """The angle between 0 and pi that has a cosine, by halving: libraries differ in the last bit of theirs."""
    low, high = 0.0, math.pi
    for _ in range(_HALVINGS):
        middle = (low + high) / 2.0
        if float(sin_cos64(np.array([middle]))[1][0]) > cosine:
            low = middle
        else:
            high = middle
    return (low + high) / 2.0
