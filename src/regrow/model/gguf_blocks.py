"""What the blocks of a GGUF file's quantised tensors hold: integers, scales and offsets, by the layouts that ggml has.

The layouts are those of ``ggml-common.h`` in github.com/ggml-org/ggml. What they stand for as float32, the ``gguf``
package says; here it is kept apart, for :mod:`regrow.model.coding`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch

from regrow.formats.gguf import TYPES
from regrow.model.coding import Piece

Array = np.ndarray[Any, Any]
_Parts = tuple[Array, Array, Array | None]


def _half(blocks: Array, place: int) -> Array:
    """The float16 at a place of each block, as float32 ``(blocks, 1)``."""
    return np.ascontiguousarray(blocks[:, place : place + 2]).view("<f2").astype(np.float32)


def _nibbles(octets: Array) -> Array:
    """The lower halves of bytes, then the upper ones."""
    return np.concatenate((octets & 15, octets >> 4), -1)


def _fifth_bits(blocks: Array, place: int) -> Array:
    """A bit of each of 32 numbers, where the fifth of them is."""
    bits = np.unpackbits(blocks[:, place : place + 4], axis=1, bitorder="little")
    return bits << 4


def _q8_0(blocks: Array) -> _Parts:
    return blocks[:, 2:].view(np.int8), _half(blocks, 0), None


def _q4_0(blocks: Array) -> _Parts:
    return _nibbles(blocks[:, 2:]).astype(np.int8) - np.int8(8), _half(blocks, 0), None


def _q4_1(blocks: Array) -> _Parts:
    return _nibbles(blocks[:, 4:]), _half(blocks, 0), _half(blocks, 2)


def _q5_0(blocks: Array) -> _Parts:
    found = _nibbles(blocks[:, 6:]) | _fifth_bits(blocks, 2)
    return found.astype(np.int8) - np.int8(16), _half(blocks, 0), None


def _q5_1(blocks: Array) -> _Parts:
    return _nibbles(blocks[:, 8:]) | _fifth_bits(blocks, 4), _half(blocks, 0), _half(blocks, 2)


def _q4_k(blocks: Array) -> _Parts:
    """Eight times 32 numbers, each with a scale and an offset of 6 bits, of which the last four lie in pieces."""
    scale, least, packed = _half(blocks, 0), _half(blocks, 2), blocks[:, 4:16]
    first, second, third = packed[:, :4], packed[:, 4:8], packed[:, 8:]
    factors = np.concatenate((first & 63, (third & 15) | (first >> 6 << 4)), 1)
    offsets = np.concatenate((second & 63, (third >> 4) | (second >> 6 << 4)), 1)
    integers = _nibbles(blocks[:, 16:].reshape(-1, 4, 32))
    return integers, scale * factors.astype(np.float32), -(least * offsets.astype(np.float32))


def _q6_k(blocks: Array) -> _Parts:
    """Sixteen times 16 numbers, each with a scale of 8 bits; their upper two bits lie elsewhere."""
    lower, upper = blocks[:, :128].reshape(-1, 2, 64), blocks[:, 128:192].reshape(-1, 2, 1, 32)
    scales, scale = blocks[:, 192:208].view(np.int8).astype(np.float32), _half(blocks, 208)
    shifts = np.array([0, 2, 4, 6], np.uint8).reshape(1, 1, 4, 1)
    integers = _nibbles(lower).reshape(-1, 2, 4, 32) | ((upper >> shifts & 3) << 4)
    return integers.astype(np.int8) - np.int8(32), scale * scales, None


_LAYOUTS: Mapping[str, tuple[Callable[[Array], _Parts], tuple[int, int]]] = {
    "Q8_0": (_q8_0, (-128, 127)),
    "Q4_0": (_q4_0, (-8, 7)),
    "Q4_1": (_q4_1, (0, 15)),
    "Q5_0": (_q5_0, (-16, 15)),
    "Q5_1": (_q5_1, (0, 31)),
    "Q4_K": (_q4_k, (0, 15)),
    "Q6_K": (_q6_k, (-32, 31)),
}
"""Type of a tensor -> what takes its blocks apart, and the least and the largest integer."""

KINDS = frozenset(_LAYOUTS)
"""The types whose matrices can be kept as integers."""

_SIZES = {name: size for name, _, size in TYPES.values()}


def piece(dtype: str, raw: Array, shape: tuple[int, ...]) -> Piece:
    """A matrix ``(N, K)`` out of the bytes of its blocks."""
    size = _SIZES[dtype]
    take, span = _LAYOUTS[dtype]
    integers, scales, offsets = (
        None if part is None else torch.from_numpy(np.ascontiguousarray(part)).view(shape[0], -1)
        for part in take(raw.reshape(-1, size))
    )
    assert integers is not None
    assert scales is not None
    return Piece(integers.to(torch.int8), scales, offsets, span)
