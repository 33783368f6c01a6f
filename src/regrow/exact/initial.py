"""Initial values that depend on a seed and a purpose and on nothing else, such as what was drawn before.

Example:
    >>> weight = torch.nn.Parameter(normal((768, 768), seed=1, purpose="layer 3, out", deviation=0.02))
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from regrow.exact import checks, random

# Of mean, deviation and bounds, so that no value is too large for float32: normal numbers stay below 9.
_LARGEST = 1e37


def normal(shape: Sequence[int], seed: int, purpose: str, *, mean: float = 0.0, deviation: float = 1.0) -> Tensor:
    """float32 normal numbers, made in float64 and rounded once, entries in row-major order."""
    mean = checks.number("normal", "mean", mean, -_LARGEST, _LARGEST)
    deviation = checks.number("normal", "deviation", deviation, high=_LARGEST)
    values = random.normals(*_stream("normal", seed, purpose), _entries("normal", shape))
    return _tensor(values * deviation + mean, shape)


def uniform(shape: Sequence[int], seed: int, purpose: str, *, low: float = 0.0, high: float = 1.0) -> Tensor:
    """float32 numbers evenly within ``low..high``, made in float64 and rounded once, entries in row-major order."""
    low = checks.number("uniform", "low", low, -_LARGEST, _LARGEST)
    high = checks.number("uniform", "high", high, low, _LARGEST)
    values = random.uniforms(*_stream("uniform", seed, purpose), _entries("uniform", shape))
    return _tensor(values * (high - low) + low, shape)


def permutation(count: int, seed: int, purpose: str) -> Tensor:
    """``0..count - 1`` in an order of chance, int64: sorted by random integers, equal ones by index."""
    keys = random.integers(*_stream("permutation", seed, purpose), _entries("permutation", (count,)))
    return torch.from_numpy(np.argsort(keys, kind="stable").astype(np.int64))


def _stream(operation: str, seed: int, purpose: str) -> tuple[int, str]:
    if isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed < 1 << 64:
        raise checks.refused(operation, "seed", seed, "it must be an integer within 0..2**64 - 1")
    if not isinstance(purpose, str) or purpose.encode(errors="replace").decode() != purpose:
        raise checks.refused(operation, "purpose", purpose, "it must be a text that UTF-8 can hold")
    return seed, purpose


def _entries(operation: str, shape: Sequence[int]) -> int:
    if not isinstance(shape, Sequence) or not all(type(length) is int and length >= 0 for length in shape):
        raise checks.refused(operation, "shape", shape, "it must be a sequence of lengths")
    return math.prod(shape)


def _tensor(values: NDArray[np.float64], shape: Sequence[int]) -> Tensor:
    return torch.from_numpy(values.astype(np.float32)).view(tuple(shape))
