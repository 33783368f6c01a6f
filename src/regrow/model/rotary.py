"""Tables of the rotary positions of a decoder, also of one that was stretched to longer sequences."""

from __future__ import annotations

import math
from dataclasses import fields, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from regrow.exact.layers import rotary_tables
from regrow.exact.polynomials import Float64, exp64, log64, sin_cos64
from regrow.model.config import DecoderConfig


def total(config: DecoderConfig, length: int) -> int:
    """The length for which tables are made, of which a sequence of ``length`` tokens reads the first rows.

    It is the decoder's context, but for ``dynamic`` scaling: there the base follows from the total length of the
    sequence that is processed, so all of its rows change with every token beyond the original context. This rule makes
    logits a function of the tokens alone; keys that were turned for a shorter sequence cannot be kept.
    """
    return max(length, config.rope_original_context) if config.rope_scaling == "dynamic" else config.context


def keeps(config: DecoderConfig, before: int, after: int) -> bool:
    """Whether the keys of ``before`` positions are still the same when there are ``after``."""
    return total(config, before) == total(config, after)


def tables(config: DecoderConfig, positions: int = 0) -> tuple[Tensor, Tensor]:
    """Cosines and sines ``(positions, rope_width / 2)``; see :func:`regrow.exact.operations.rotate`.

    Scaled inverse frequencies are computed in float64 and rounded once to float32; what follows is as without scaling.

    Args:
        config: of the decoder.
        positions: what :func:`total` says; by default that of a sequence of full length.
    """
    positions = positions or total(config, config.context)
    if config.rope_scaling == "none" or (config.rope_scaling, positions) == ("dynamic", config.rope_original_context):
        return rotary_tables(positions, config.rope_width, config.rope_theta)
    frequencies = _frequencies(config, positions).astype(np.float32)
    angles = np.arange(positions, dtype=np.float32)[:, None] * frequencies
    sine, cosine = (table.astype(np.float32) for table in sin_cos64(angles.astype(np.float64)))
    if config.rope_scaling == "yarn":
        loud = np.float32(_attention_factor(config))
        sine, cosine = sine * loud, cosine * loud
    return torch.from_numpy(cosine), torch.from_numpy(sine)


def at_length(config: DecoderConfig, length: int) -> DecoderConfig:
    """A decoder with ``dynamic`` scaling as one without, which computes the same of sequences of one length, and of
    shorter ones what it would as part of them.
    """
    longer = length > config.rope_original_context
    theta = float(exp64(_base(config, length))[0]) if longer else config.rope_theta
    usual: dict[str, Any] = {one.name: one.default for one in fields(config) if one.name.startswith("rope_")}
    return replace(config, **{**usual, "rope_theta": theta, "rope_share": config.rope_share, "context": length})


def divisors(config: DecoderConfig) -> Tensor:
    """What a scaling divides each frequency by, ``(rope_width / 2,)``: how files of llama.cpp tell of ``llama3``."""
    plain = _powers(config, log64(np.array([config.rope_theta])))
    return torch.from_numpy((plain / _frequencies(config, config.context)).astype(np.float32))


def _powers(config: DecoderConfig, base: Float64) -> Float64:
    """The angle that each pair is turned by from one position to the next; ``base`` is the logarithm of the base."""
    exponents = np.arange(config.rope_width // 2, dtype=np.float64) * 2.0 / config.rope_width
    return exp64(-exponents * base)


def _frequencies(config: DecoderConfig, positions: int) -> Float64:
    """The same, scaled."""
    frequencies = _powers(config, _base(config, positions))
    match config.rope_scaling:
        case "linear":
            return frequencies / config.rope_factor
        case "llama3":
            kept = _kept_by_wavelength(config, frequencies)
        case "yarn":
            kept = _kept_by_place(config)
        case _:
            return frequencies
    return (1.0 - kept) * (frequencies / config.rope_factor) + kept * frequencies


def _base(config: DecoderConfig, positions: int) -> Float64:
    """The logarithm of the base, as an array of one."""
    base = log64(np.array([config.rope_theta]))
    if config.rope_scaling != "dynamic":
        return base
    longer = config.rope_factor * positions / config.rope_original_context - (config.rope_factor - 1.0)
    return base + config.rope_width / (config.rope_width - 2) * log64(np.array([longer]))


def _kept_by_wavelength(config: DecoderConfig, frequencies: Float64) -> Float64:
    """How far each pair stays as it was in Llama 3.1: by its turns over the original context, with a ramp."""
    low, high = config.rope_low_factor, config.rope_high_factor
    turns = config.rope_original_context * frequencies / (2.0 * math.pi)
    return np.clip((turns - low) / (high - low), 0.0, 1.0)


def _kept_by_place(config: DecoderConfig) -> Float64:
    """How far each pair stays as it was in YaRN (Peng et al., 2023): by its place, with a ramp between two places."""
    low, high = (_place(config, turns) for turns in (config.rope_beta_fast, config.rope_beta_slow))
    if config.rope_truncate:
        low, high = math.floor(low), math.ceil(high)
    low, high = max(low, 0), min(high, config.rope_width - 1)
    if low == high:
        high += 0.001
    places = np.arange(config.rope_width // 2, dtype=np.float64)
    return 1.0 - np.clip((places - low) / (high - low), 0.0, 1.0)


def _place(config: DecoderConfig, turns: float) -> float:
    """The place, not a whole number, of the pair that turns so often over the original context."""
    wavelength = config.rope_original_context / (turns * 2.0 * math.pi)
    numerator, denominator = log64(np.array([wavelength, config.rope_theta]))
    return float(config.rope_width * numerator / (2.0 * denominator))


def _attention_factor(config: DecoderConfig) -> float:
    if config.rope_attention_factor:
        return config.rope_attention_factor
    if config.rope_mscale and config.rope_mscale_all_dim:
        return _louder(config, config.rope_mscale) / _louder(config, config.rope_mscale_all_dim)
    return _louder(config, 1.0)


def _louder(config: DecoderConfig, share: float) -> float:
    return float(0.1 * share * log64(np.array([config.rope_factor]))[0] + 1.0)
