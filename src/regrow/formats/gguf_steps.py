"""How finely the blocks of a GGUF file can tell numbers apart: what a block can stand for, under its own scales.

Whoever rounded a number to a block chose one of a few values in equal steps. How the scales were chosen is each
program's own affair; that the nearest value was taken can be seen from the block alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from regrow.formats.gguf_blocks import BLOCK

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Steps:
    """The values of groups of numbers that share a scale; everything float64 ``(groups, 1)``.

    Attributes:
        size: numbers in a group.
        step: between two neighbouring values.
        lowest: value.
        highest: value.
        slack: what may be lost since a scale is stored as F16 after the values were chosen.
        unit: what a scale may have been raised or lowered by, since it is itself one of a few.
        levels: steps from the lowest to the highest.
        around: whether the values lie around zero, whatever the numbers are.
    """

    size: int
    step: Array
    lowest: Array
    highest: Array
    slack: Array
    unit: Array
    levels: int
    around: bool


def steps(raw: Array, type: str) -> Steps:
    """The steps of blocks.

    Args:
        raw: bytes, uint8, of whole blocks.
        type: one of :data:`KNOWN`.
    """
    with np.errstate(invalid="ignore", over="ignore"):  # a stranger's scale may be anything
        return KNOWN[type](raw)


def _around_zero(bytes: int, lowest: int, highest: int) -> Callable[[Array], Steps]:
    def found(raw: Array) -> Steps:
        scale = _halves(raw.reshape(-1, bytes)[:, :2])
        slack = max(-lowest, highest) * _lost(scale)
        ends, none = (scale * lowest, scale * highest), np.zeros_like(slack)
        return Steps(
            BLOCK,
            np.abs(scale),
            np.minimum(*ends),
            np.maximum(*ends),
            slack,
            none,
            highest - lowest,
            True,
        )

    return found


def _from_lowest(bytes: int, levels: int) -> Callable[[Array], Steps]:
    def found(raw: Array) -> Steps:
        blocks = raw.reshape(-1, bytes)
        scale, lowest = _halves(blocks[:, :2]), _halves(blocks[:, 2:4])
        slack = levels * _lost(scale) + _lost(lowest)
        ends, none = (lowest, lowest + levels * scale), np.zeros_like(slack)
        return Steps(BLOCK, np.abs(scale), np.minimum(*ends), np.maximum(*ends), slack, none, levels, False)

    return found


def _q4_k(raw: Array) -> Steps:
    """Eight groups of 32, whose scales and offsets have six bits each, packed as ``ggml-quants.c`` has them."""
    blocks = raw.reshape(-1, 144)
    scale, offset = _halves(blocks[:, :2]), _halves(blocks[:, 2:4])
    packed = blocks[:, 4:16]
    low, middle, high = packed[:, :4], packed[:, 4:8], packed[:, 8:]
    scales = np.concatenate([low & 63, (high & 15) | ((low >> 6) << 4)], axis=1)
    offsets = np.concatenate([middle & 63, (high >> 4) | ((middle >> 6) << 4)], axis=1)
    step = (scale * scales).reshape(-1, 1)
    lowest = -(offset * offsets).reshape(-1, 1)
    unit = np.repeat(np.abs(scale), 8, axis=1).reshape(-1, 1)
    slack = np.repeat(np.abs(offset) / 2, 8, axis=1).reshape(-1, 1) + 1e-5 * np.abs(step)
    ends = lowest, lowest + 15 * step
    return Steps(32, np.abs(step), np.minimum(*ends), np.maximum(*ends), slack, unit, 15, False)


def _q6_k(raw: Array) -> Steps:
    """Sixteen groups of 16, whose scales are whole numbers of eight bits."""
    blocks = raw.reshape(-1, 210)
    scale, scales = _halves(blocks[:, 208:]), np.ascontiguousarray(blocks[:, 192:208]).view(np.int8)
    step = (scale * scales).reshape(-1, 1)
    unit = np.repeat(np.abs(scale), 16, axis=1).reshape(-1, 1)
    ends = -32 * step, 31 * step
    return Steps(16, np.abs(step), np.minimum(*ends), np.maximum(*ends), 1e-5 * np.abs(step), unit, 63, True)


def _halves(raw: Array) -> Array:
    return np.ascontiguousarray(raw).view("<f2").astype(np.float64)


def _lost(value: Array) -> Array:
    """At most so much was lost when a number was stored as this F16."""
    found: Array = np.spacing(np.abs(value).astype(np.float16)).astype(np.float64) / 2
    return found


KNOWN: Mapping[str, Callable[[Array], Steps]] = {
    "Q8_0": _around_zero(34, -127, 127),
    "Q4_0": _around_zero(18, -8, 7),
    "Q5_0": _around_zero(22, -16, 15),
    "Q4_1": _from_lowest(20, 15),
    "Q5_1": _from_lowest(24, 31),
    "Q4_K": _q4_k,
    "Q6_K": _q6_k,
}
"""The types whose steps are known."""
