"""The decoder: a pure function of its parameters and tokens, every sum exact.

Letters in docstrings: B sequences, T positions, R rows (B T), H query heads, G key heads, D width of a head, C width.

Example:
    >>> config = DecoderConfig(vocabulary=300, layers=2, width=64, heads=2, kv_heads=1, hidden=96, context=32)
    >>> parameters = initialise(config, seed=1)
    >>> loss = Decoder(config)(parameters, tokens)  # tokens: int64 (B, T + 1)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import Tensor

from regrow.exact import inference, layers
from regrow.exact import operations as ops
from regrow.exact.random import normals
from regrow.model import rotary
from regrow.model.config import DecoderConfig

Parameters = Mapping[str, Tensor]

INITIAL_STANDARD_DEVIATION = 0.02


def initialise(config: DecoderConfig, seed: int) -> dict[str, Tensor]:
    """Initial parameters: gains 1, biases 0, matrices normal with deviation 0.02, and matrices that write to the
    residual stream divided by the root of twice the depth (Radford et al., 2019).
    """
    parameters = {}
    for name, shape in config.shapes().items():
        if len(shape) == 1:
            parameters[name] = torch.zeros(shape) if name.endswith(".bias") else torch.ones(shape)
            continue
        deviation = INITIAL_STANDARD_DEVIATION
        if name.endswith((".out", ".down")):
            deviation = deviation / float(np.sqrt(2.0 * config.layers))
        values = normals(seed, f"initial {name}", shape[0] * shape[1]) * deviation
        parameters[name] = torch.from_numpy(values.astype(np.float32)).view(shape)
    return parameters


def _inference_linear(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    y = inference.linear(x, weight)
    return y if bias is None else y + bias


def _inference_low_rank(x: Tensor, weight: Tensor, a: Tensor, b: Tensor, bias: Tensor | None) -> Tensor:
    return _inference_linear(x, weight, bias) + inference.linear(inference.linear(x, a), b)


@dataclass(frozen=True)
class Products:
    """How matrices are multiplied: the only difference between training and inference."""

    linear: Callable[[Tensor, Tensor, Tensor | None], Tensor]
    attention: Callable[[Tensor, Tensor, Tensor], Tensor]
    low_rank: Callable[[Tensor, Tensor, Tensor, Tensor, Tensor | None], Tensor]


TRAINING = Products(ops.linear, ops.attention, ops.low_rank)
INFERENCE = Products(_inference_linear, inference.attention, _inference_low_rank)

ACTIVATIONS: Mapping[str, Callable[[Tensor], Tensor]] = {
    "silu": layers.silu,
    "gelu": layers.gelu,
    "gelu_tanh": partial(layers.gelu, approximate="tanh"),
}


class Decoder:
    """The computation of a decoder of one shape, on the device of the parameters it is given."""

    def __init__(self, config: DecoderConfig) -> None:
        self.config = config
        self._tables: tuple[Tensor, ...] = rotary.tables(config) if config.positions == "rotary" else ()

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
        return inference.linear(final, self._head(parameters)).view(*tokens.shape, -1)

    def last_logits(self, parameters: Parameters, tokens: Tensor) -> Tensor:
        """The logits of the last position, ``(B, vocabulary)``."""
        final = self._final(parameters, tokens, INFERENCE).view(*tokens.shape, -1)
        return inference.linear(final[:, -1], self._head(parameters))

    def _head(self, parameters: Parameters) -> Tensor:
        return parameters["embed" if self.config.tied_embeddings else "head"]

    def _final(self, parameters: Parameters, tokens: Tensor, products: Products) -> Tensor:
        device = parameters["embed"].device
        self._tables = tuple(table.to(device) for table in self._tables)
        seen = tuple(table[: tokens.shape[1]] for table in self._tables)
        return _Pass(self.config, parameters, products, (tokens.shape[0], tokens.shape[1]), seen)(tokens.to(device))


@dataclass(frozen=True)
class _Pass:
    """The way of one batch through the layers.

    Attributes:
        config: of the decoder.
        parameters: all of them.
        products: of training or inference.
        size: sequences and positions.
        tables: cosines and sines of the positions, if they are rotary.
    """

    config: DecoderConfig
    parameters: Parameters
    products: Products
    size: tuple[int, int]
    tables: tuple[Tensor, ...]

    def __call__(self, tokens: Tensor) -> Tensor:
        """From tokens ``(B, T)`` to what the output matrix reads, ``(R, C)``."""
        x = ops.embedding(tokens, self.parameters["embed"])
        if self.config.positions == "learned":
            # Looked up for every sequence, so that the sum of the gradients over sequences is exact.
            places = torch.arange(self.size[1], device=tokens.device).expand(self.size)
            x = x + ops.embedding(places, self.parameters["positions"])
        x = x.view(-1, self.config.width)
        for i in range(self.config.layers):
            x = self._layer(f"layers.{i:03}", x)
        return self._norm("norm", x)

    def _layer(self, name: str, x: Tensor) -> Tensor:
        attention, mlp = f"{name}.attention", f"{name}.mlp"
        if self.config.parallel:
            # A name of its own for what both blocks read: gradients are then added two at a time, in one order.
            read = x.view_as(x)
            return x + self._block(attention, read, self._attention) + self._block(mlp, read, self._mlp)
        x = x + self._block(attention, x, self._attention)
        return x + self._block(mlp, x, self._mlp)

    def _block(self, name: str, x: Tensor, inside: Callable[[str, Tensor], Tensor]) -> Tensor:
        place = self.config.norm_place
        y = inside(name, x if place == "after" else self._norm(f"{name}.norm", x))
        return y if place == "before" else self._norm(f"{name}.out_norm", y)

    def _attention(self, name: str, x: Tensor) -> Tensor:
        config = self.config
        joined = self._linear(f"{name}.qkv", x)
        if config.head_norm != "none":
            q, k, v = joined.split(config.qkv, dim=1)
            joined = torch.cat((self._head_norm(f"{name}.q_norm", q), self._head_norm(f"{name}.k_norm", k), v), dim=1)
        heads = self._turned(joined.view(*self.size, -1, config.head_width))
        q, k, v = heads.split((config.heads, config.kv_heads, config.kv_heads), dim=2)
        out = self.products.attention(q, k, v).reshape(len(x), -1)
        return self._linear(f"{name}.out", out)

    def _head_norm(self, name: str, x: Tensor) -> Tensor:
        """Each head, or all of them together, of ``(R, H D)``."""
        width = self.config.head_width if self.config.head_norm == "head" else x.shape[1]
        return self._norm(name, x.reshape(-1, width)).view(x.shape)

    def _turned(self, heads: Tensor) -> Tensor:
        """Queries and keys of ``(B, T, H + 2 G, D)`` turned to their positions, as far as they are to be."""
        config = self.config
        if config.positions != "rotary":
            return heads
        cosine, sine = self.tables
        turning = config.heads + config.kv_heads
        if config.rope_width == config.head_width:
            return ops.rotate(heads, cosine, sine, turning)
        some, rest = heads.split((config.rope_width, config.head_width - config.rope_width), dim=3)
        return torch.cat((ops.rotate(some, cosine, sine, turning), rest), dim=3)

    def _mlp(self, name: str, x: Tensor) -> Tensor:
        activation = ACTIVATIONS[self.config.activation]
        if not self.config.gated:
            return self._linear(f"{name}.down", activation(self._linear(f"{name}.up", x)))
        both = self._linear(f"{name}.gate_up", x)
        if self.config.activation == "silu":
            return self._linear(f"{name}.down", ops.swiglu(both))
        gate, up = both.chunk(2, dim=1)
        return self._linear(f"{name}.down", activation(gate) * up)

    def _linear(self, name: str, x: Tensor) -> Tensor:
        """A matrix of the decoder and, if they are there, two narrow ones beside it."""
        weight, bias = self.parameters[name], self.parameters.get(f"{name}.bias")
        if f"{name}.lora_a" not in self.parameters:
            return self.products.linear(x, weight, bias)
        a, b = (self.parameters[f"{name}.lora_{part}"] for part in "ab")
        return self.products.low_rank(x, weight, a, b, bias)

    def _norm(self, name: str, x: Tensor) -> Tensor:
        gain, epsilon = self.parameters[name], self.config.norm_epsilon
        if self.config.norm == "rms":
            return ops.rms_norm(x, gain, epsilon)
        return layers.layer_norm(x, gain, self.parameters[f"{name}.bias"], epsilon)
