"""Float32 numbers as GGML stores them: each type defined here to the last bit, so that equal numbers are equal bytes.

Of a block of 32 numbers a scale is kept, of some types the smallest number too, and a whole number for each. The
definition, by the name :data:`ROUNDING`; all in IEEE arithmetic, each operation rounded to the nearest, ties to even:

* The scale is a quotient of float32: of the largest magnitude by 127 (Q8_0); of the number with the largest magnitude,
  the first of several, by -8 (Q4_0) or -16 (Q5_0); of what lies between the smallest and the largest number by 15
  (Q4_1) or 31 (Q5_1). ``r`` is its reciprocal in float32, or 0 if that is not finite.
* Q8_0: ``x * r`` in float32, to the nearest whole number, halves away from zero.
* The others: ``(x - lowest) * r`` plus a half in float64, where nothing is lost of ``x * r`` (with no ``lowest`` in
  Q4_0 and Q5_0, but 8 and 16 more); rounded down, and at most 15 or 31.
* Scale and smallest number are then stored as F16. F16 and BF16 are the nearest such numbers, ties to even.
* Whole numbers that have a scale of F16 already are taken as they are, where a type has room for them.

Q8_0 is that of llama.cpp bit for bit. There the result of the others depends on whether a compiler fuses a product and
a sum into one operation, so nobody can equal all of its builds; here the product is exact.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

ROUNDING = "regrow-blocks-1"
"""The name of the definition above, which files carry."""

BLOCK = 32
"""Numbers that share a scale."""

WHOLE: Mapping[str, int] = {"Q8_0": 8, "Q5_0": 5, "Q4_0": 4}
"""The types whose numbers are a scale times a whole number, from ``-2**(bits - 1)`` on -> bits of that."""

_BYTE = 8

Array = np.ndarray[Any, Any]


class UnfitError(ValueError):
    """Numbers that a type cannot hold: infinite ones, or too large for it."""


def encode(numbers: Array, type: str) -> bytes:
    """The bytes of numbers, rows of whole blocks where the type has blocks.

    Args:
        numbers: float32.
        type: one of :data:`ENCODED`, as GGML calls it.

    Raises:
        UnfitError: if a number, or the scale of a block, is not finite or becomes infinite.
    """
    if not np.isfinite(numbers).all():
        raise UnfitError("they are infinite or not a number")
    with np.errstate(over="ignore", divide="ignore", under="ignore"):
        return ENCODED[type](np.ascontiguousarray(numbers, dtype="<f4"))


def encode_whole(integers: Array, scales: Array, type: str) -> bytes:
    """The bytes of whole numbers and their scales, of which nothing is rounded.

    Args:
        integers: int8, rows of whole blocks.
        scales: float32, one for each block, all of them F16 numbers.
        type: one of :data:`WHOLE` that has room for the integers.
    """
    bits, blocks = WHOLE[type], np.ascontiguousarray(integers).reshape(-1, BLOCK)
    codes = (blocks,) if bits == _BYTE else _packed(blocks.astype(np.float64) + (1 << (bits - 1)), bits)
    return _joined(_half(np.ascontiguousarray(scales).reshape(-1, 1)), *codes)


def bfloat16(numbers: Array) -> Array:
    """The upper halves of the nearest bfloat16 numbers, ties to even, as uint16; of finite float32."""
    bits = numbers.view("<u4")
    # The last bit that is kept decides ties; a carry into the exponent is right, as is one into infinity.
    return ((bits + np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1))) >> np.uint32(16)).astype("<u2")


def _f32(numbers: Array) -> bytes:
    return numbers.tobytes()


def _f16(numbers: Array) -> bytes:
    return _half(numbers).tobytes()


def _bf16(numbers: Array) -> bytes:
    found = bfloat16(numbers)
    if ((found & np.uint16(0x7FFF)) == np.uint16(0x7F80)).any():
        raise UnfitError("they are too large")
    return found.tobytes()


def _q8_0(numbers: Array) -> bytes:
    blocks = numbers.reshape(-1, BLOCK)
    scale = np.abs(blocks).max(axis=1, keepdims=True) / np.float32(127)
    product = blocks * _reciprocal(scale)
    codes = np.copysign(np.floor(np.abs(product).astype(np.float64) + 0.5), product).clip(-127, 127)
    return _joined(_half(scale), codes.astype(np.int8))


def _around_zero(bits: int) -> Callable[[Array], bytes]:
    middle = 1 << (bits - 1)

    def encoded(numbers: Array) -> bytes:
        blocks = numbers.reshape(-1, BLOCK)
        largest = np.take_along_axis(blocks, np.abs(blocks).argmax(axis=1, keepdims=True), axis=1)
        scale = largest / np.float32(-middle)
        exact = blocks.astype(np.float64) * _reciprocal(scale).astype(np.float64)
        return _joined(_half(scale), *_packed(exact + (middle + 0.5), bits))

    return encoded


def _from_lowest(bits: int) -> Callable[[Array], bytes]:
    def encoded(numbers: Array) -> bytes:
        blocks = numbers.reshape(-1, BLOCK)
        lowest = blocks.min(axis=1, keepdims=True) + np.float32(0)  # of two zeros, machines choose either
        scale = (blocks.max(axis=1, keepdims=True) - lowest) / np.float32((1 << bits) - 1)
        exact = (blocks.astype(np.float64) - lowest) * _reciprocal(scale).astype(np.float64)
        return _joined(_half(scale), _half(lowest), *_packed(exact + 0.5, bits))

    return encoded


def _reciprocal(scale: Array) -> Array:
    found: Array = np.float32(1) / scale
    return np.where(np.isfinite(found), found, np.float32(0))


def _packed(values: Array, bits: int) -> tuple[Array, ...]:
    """Whole numbers as GGML packs them: fifth bits together, then the low four of the first and second half of a block
    in one byte.
    """
    codes = np.floor(values).clip(0, (1 << bits) - 1).astype(np.uint8)
    low = codes & np.uint8(15)
    half = BLOCK // 2
    nibbles = low[:, :half] | (low[:, half:] << np.uint8(4))
    return (nibbles,) if bits == 4 else (np.packbits(codes >> np.uint8(4), axis=1, bitorder="little"), nibbles)


def _half(values: Array) -> Array:
    found = values.astype("<f2")
    if not np.isfinite(found).all():
        raise UnfitError("they are too large")
    return found


def _joined(*parts: Array) -> bytes:
    return np.concatenate([part.view(np.uint8) for part in parts], axis=1).tobytes()


ENCODED: Mapping[str, Callable[[Array], bytes]] = {
    "F32": _f32,
    "F16": _f16,
    "BF16": _bf16,
    "Q8_0": _q8_0,
    "Q4_0": _around_zero(4),
    "Q4_1": _from_lowest(4),
    "Q5_0": _around_zero(5),
    "Q5_1": _from_lowest(5),
}
"""The types that are written, each with what encodes it."""
