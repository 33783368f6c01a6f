"""Tables of the rotary positions of a decoder, also of one that was stretched to longer sequences."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from regrow.exact.layers import rotary_tables
from regrow.exact.polynomials import Float64, exp64, log64, sin_cos64
from regrow.model.config import DecoderConfig


def tables(config: DecoderConfig) -> tuple[Tensor, Tensor]:
    """Cosines and sines ``(context, rope_width / 2)``; see :func:`regrow.exact.operations.rotate`.

    Scaled inverse frequencies are computed in float64 and rounded once to float32; what follows is as without scaling.
    """
    if config.rope_scaling == "none":
        return rotary_tables(config.context, config.rope_width, config.rope_theta)
    exponents = np.arange(config.rope_width // 2, dtype=np.float64) * 2.0 / config.rope_width
    frequencies = _scaled(config, exp64(-exponents * log64(np.array([config.rope_theta])))).astype(np.float32)
    angles = np.arange(config.context, dtype=np.float32)[:, None] * frequencies
    sine, cosine = sin_cos64(angles.astype(np.float64))
    return torch.from_numpy(cosine.astype(np.float32)), torch.from_numpy(sine.astype(np.float32))


def divisors(config: DecoderConfig) -> Tensor:
    """What a scaling divides each frequency by, ``(rope_width / 2,)``: how files of llama.cpp tell of ``llama3``."""
    exponents = np.arange(config.rope_width // 2, dtype=np.float64) * 2.0 / config.rope_width
    frequencies = exp64(-exponents * log64(np.array([config.rope_theta])))
    return torch.from_numpy((frequencies / _scaled(config, frequencies)).astype(np.float32))


def _scaled(config: DecoderConfig, frequencies: Float64) -> Float64:
    """Position interpolation (Chen et al., 2023), or that of Llama 3.1: of the long wavelengths only, with a ramp."""
    slow = frequencies / config.rope_factor
    if config.rope_scaling == "linear":
        return slow
    low, high = config.rope_low_factor, config.rope_high_factor
    turns = config.rope_original_context * frequencies / (2.0 * math.pi)
    share = np.clip((turns - low) / (high - low), 0.0, 1.0)
    return (1.0 - share) * slow + share * frequencies
