"""A smaller decoder out of a larger one: some of its layers, and some units of their feed-forward layers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Tensor

from regrow.model.config import DecoderConfig


def evenly(count: int, of: int) -> tuple[int, ...]:
    """So many of the numbers from 0, as far apart as can be: the first and, if there are several, the last."""
    return tuple(i * (of - 1) // max(1, count - 1) for i in range(count))


def shrinks(large: DecoderConfig, small: DecoderConfig) -> bool:
    """Whether one differs from the other by fewer layers, or fewer units of the feed-forward layers, alone."""
    fewer = small.layers <= large.layers and small.hidden <= large.hidden
    return fewer and replace(large, layers=small.layers, hidden=small.hidden) == small


def shrunk(large: DecoderConfig, parameters: Mapping[str, Tensor], small: DecoderConfig) -> dict[str, Tensor]:
    """The parameters of the smaller one: evenly chosen layers, and of each evenly chosen units, as they are."""
    layers = evenly(small.layers, large.layers)
    units = torch.tensor(evenly(small.hidden, large.hidden))
    found = {}
    for name in small.shapes():
        parts = name.split(".")
        if parts[0] == "layers":
            parts[1] = f"{layers[int(parts[1])]:03}"
        values = parameters[".".join(parts)]
        found[name] = _chosen(".".join(parts[2:]), values, units, large.hidden).clone()
    return found


def _chosen(name: str, values: Tensor, units: Tensor, hidden: int) -> Tensor:
    """The part of a layer's parameter that is about some units."""
    if name == "mlp.down":
        return values.index_select(1, units)
    if name.removesuffix(".bias") in ("mlp.gate_up", "mlp.up"):
        halves = values.shape[0] // hidden
        return values.index_select(0, torch.cat([units + half * hidden for half in range(halves)]))
    return values
