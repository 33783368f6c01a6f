"""The decoder: a pure function of its parameters and tokens, every sum exact.

Example:
    >>> config = DecoderConfig(vocabulary=300, layers=2, width=64, heads=2, kv_heads=1, hidden=96, context=32)
    >>> parameters = initialise(config, seed=1)
    >>> loss = Decoder(config)(parameters, tokens)  # tokens: int64 (B, T + 1)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from regrow.exact import fine
from regrow.exact import operations as ops
from regrow.exact.layers import rotary_tables
from regrow.exact.random import normals
from regrow.model.config import DecoderConfig

Parameters = Mapping[str, Tensor]

INITIAL_STANDARD_DEVIATION = 0.02


def initialise(config: DecoderConfig, seed: int) -> dict[str, Tensor]:
    """Initial parameters: gains 1, matrices normal with deviation 0.02, and matrices that write to the residual
    stream divided by the root of twice the depth (Radford et al., 2019).
    """
    parameters = {}
    for name, shape in config.shapes().items():
        if len(shape) == 1:
            parameters[name] = torch.ones(shape)
            continue
        deviation = INITIAL_STANDARD_DEVIATION
        if name.endswith((".out", ".down")):
            deviation = deviation / float(np.sqrt(2.0 * config.layers))
        values = normals(seed, f"initial {name}", shape[0] * shape[1]) * deviation
        parameters[name] = torch.from_numpy(values.astype(np.float32)).view(shape)
    return parameters


@dataclass(frozen=True)
class Products:
    """How matrices are multiplied: the only difference between training and inference."""

    linear: Callable[[Tensor, Tensor], Tensor]
    attention: Callable[[Tensor, Tensor, Tensor], Tensor]


TRAINING = Products(ops.linear, ops.attention)
INFERENCE = Products(fine.linear, fine.attention)


class Decoder:
    """The computation of a decoder of one shape, on the device of the parameters it is given."""

    def __init__(self, config: DecoderConfig) -> None:
        self.config = config
        self._cosine, self._sine = rotary_tables(config.context, config.head_width, config.rope_theta)

    def __call__(self, parameters: Parameters, tokens: Tensor, mask: Tensor | None = None) -> Tensor:
        """The mean loss in nats of predicting ``tokens[:, 1:]`` from ``tokens[:, :-1]``; int64 ``(B, T + 1)``.

        A mask, bool ``(B, T)``, says which predictions count, one at least: the mean is over the rows of these alone.
        """
        final = self._final(parameters, tokens[:, :-1], TRAINING)
        targets = tokens[:, 1:].reshape(-1).to(final.device)
        if mask is not None:
            counts = mask.reshape(-1).to(final.device)
            targets = targets.masked_select(counts)
            final = final.masked_select(counts[:, None]).view(-1, self.config.width)
        return ops.linear_cross_entropy(final, self._head(parameters), targets)

    def logits(self, parameters: Parameters, tokens: Tensor) -> Tensor:
        """float32 ``(B, T, vocabulary)`` for int64 ``(B, T)``, T up to the context; without gradients."""
        final = self._final(parameters, tokens, INFERENCE)
        return fine.linear(final, self._head(parameters)).view(*tokens.shape, -1)

    def last_logits(self, parameters: Parameters, tokens: Tensor) -> Tensor:
        """The logits of the last position, ``(B, vocabulary)``."""
        final = self._final(parameters, tokens, INFERENCE).view(*tokens.shape, -1)
        return fine.linear(final[:, -1], self._head(parameters))

    def _head(self, parameters: Parameters) -> Tensor:
        return parameters["embed" if self.config.tied_embeddings else "head"]

    def _final(self, parameters: Parameters, tokens: Tensor, products: Products) -> Tensor:
        device = parameters["embed"].device
        self._cosine, self._sine = self._cosine.to(device), self._sine.to(device)
        x = ops.embedding(tokens.to(device), parameters["embed"]).view(-1, self.config.width)
        for i in range(self.config.layers):
            layer = f"layers.{i:03}"
            x = x + self._attention(parameters, f"{layer}.attention", x, tokens.shape, products)
            x = x + self._mlp(parameters, f"{layer}.mlp", x, products)
        return ops.rms_norm(x, parameters["norm"], self.config.norm_epsilon)

    def _attention(
        self, parameters: Parameters, name: str, x: Tensor, shape: tuple[int, ...], products: Products
    ) -> Tensor:
        config = self.config
        normal = ops.rms_norm(x, parameters[f"{name}.norm"], config.norm_epsilon)
        heads = products.linear(normal, parameters[f"{name}.qkv"]).view(*shape, -1, config.head_width)
        cosine, sine = self._cosine[: shape[1]], self._sine[: shape[1]]
        turned = ops.rotate(heads, cosine, sine, config.heads + config.kv_heads)
        q, k, v = turned.split((config.heads, config.kv_heads, config.kv_heads), dim=2)
        out = products.attention(q, k, v).reshape(-1, config.width)
        return products.linear(out, parameters[f"{name}.out"])

    def _mlp(self, parameters: Parameters, name: str, x: Tensor, products: Products) -> Tensor:
        normal = ops.rms_norm(x, parameters[f"{name}.norm"], self.config.norm_epsilon)
        hidden = ops.swiglu(products.linear(normal, parameters[f"{name}.gate_up"]))
        return products.linear(hidden, parameters[f"{name}.down"])
