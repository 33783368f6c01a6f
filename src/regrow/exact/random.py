"""Random numbers that are a pure function of (seed, purpose, index), the same on every machine.

Integers come from Philox 4x64-10 (Salmon et al., 2011) as NumPy implements it, keyed by the seed and a hash of
the purpose; the functions that make floats of them are our own, since NumPy's may change and use libm.
"""

from __future__ import annotations

import hashlib

import numpy as np
from numpy.typing import NDArray

from regrow.exact.polynomials import log64, sin_cos_turns64


def integers(seed: int, purpose: str, count: int) -> NDArray[np.uint64]:
    """``count`` uniform 64-bit integers."""
    key = np.array([seed, int.from_bytes(hashlib.sha256(purpose.encode()).digest()[:8], "little")], np.uint64)
    return np.random.Philox(key=key).random_raw(count)


def uniforms(seed: int, purpose: str, count: int) -> NDArray[np.float64]:
    """``count`` multiples of 2**-53 in [0, 1)."""
    return (integers(seed, purpose, count) >> np.uint64(11)).astype(np.float64) * 2.0**-53


def normals(seed: int, purpose: str, count: int) -> NDArray[np.float64]:
    """``count`` standard normal float64, by the Box-Muller transform on consecutive pairs."""
    u = uniforms(seed, purpose, 2 * ((count + 1) // 2)).reshape(-1, 2)
    radius = np.sqrt(-2.0 * log64(u[:, 0] + 2.0**-53))
    sine, cosine = sin_cos_turns64(u[:, 1])
    return np.stack((radius * cosine, radius * sine), axis=1).reshape(-1)[:count]
