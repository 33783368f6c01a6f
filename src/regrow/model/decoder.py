"""The decoder: a pure function of its parameters and tokens, every sum exact.

Letters in docstrings: B sequences, T positions, R rows (B T), H query heads, G key heads, D width of a head, C width.

Example:
    >>> config = DecoderConfig(vocabulary=300, layers=2, width=64, heads=2, kv_heads=1, hidden=96, context=32)
    >>> parameters = initialise(config, seed=1)
    >>> loss = Decoder(config)(parameters, tokens)  # tokens: int64 (B, T + 1)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from regrow.exact import inference, layers
from regrow.exact import operations as ops
from regrow.exact.coded import Coded, Stacked
from regrow.exact.pieces import piece
from regrow.exact.random import normals
from regrow.model import rotary
from regrow.model.blocks import Blocks
from regrow.model.cache import Cache
from regrow.model.config import DecoderConfig, layer_name, skip
from regrow.model.segments import Segments

Parameters = Mapping[str, Tensor]
"""float32; matrices that stay as they are may be bfloat16 or float16."""
Weights = Mapping[str, Tensor | Coded | Stacked]
"""Parameters of a model that runs, of which matrices may be codes."""

INITIAL_STANDARD_DEVIATION = 0.02


def initialise(config: DecoderConfig, seed: int) -> dict[str, Tensor]:
    """Initial parameters: gains 1, biases and extra connections 0, matrices normal with deviation 0.02, and matrices
    that write to the residual stream divided by the root of twice the depth (Radford et al., 2019).
    """
    parameters = {}
    for name, shape in config.shapes().items():
        if len(shape) == 1:
            silent = name.endswith(".bias") or ".skip." in name
            parameters[name] = torch.zeros(shape) if silent else torch.ones(shape)
            continue
        deviation = INITIAL_STANDARD_DEVIATION
        if name.endswith((".out", ".down")):
            deviation = deviation / float(np.sqrt(2.0 * config.layers))
        values = normals(seed, f"initial {name}", shape[0] * shape[1]) * deviation
        parameters[name] = torch.from_numpy(values.astype(np.float32)).view(shape)
    return parameters


@dataclass(frozen=True)
class Products:
    """How matrices are multiplied: the only difference between training and inference.

    Attributes:
        linear: of rows, a matrix and its bias.
        attention: of the name of its block, and queries, keys and values of the positions that are read.
        low_rank: as ``linear``, with two narrow matrices beside the one.
        whole: computes blocks, and layers, by kernels of their own where there are some, instead of by operations.
        piece: how a layer is computed, from its parameters and what it is given, so that only that much of it is kept
            for gradients as is asked for; None where there are none.
    """

    linear: Callable[[Tensor, Any, Tensor | None], Tensor]
    attention: Callable[[str, Tensor, Tensor, Tensor], Tensor]
    low_rank: Callable[[Tensor, Any, Tensor, Tensor, Tensor | None], Tensor]
    whole: Blocks | None = None
    piece: Callable[[Callable[[Parameters, Between], Between], Parameters, Between], Between] | None = None


def _attention(_name: str, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    return ops.attention(q, k, v)


def _cached_attention(cache: Cache, name: str, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    keys, values = cache.extended(f"{name} keys", k), cache.extended(f"{name} values", v)
    return inference.attention(q, keys, values, cache.length)


def _attention_of_each(
    caches: Sequence[Cache], counts: Sequence[int], name: str, q: Tensor, k: Tensor, v: Tensor
) -> Tensor:
    """Attention within each of some texts, whose rows lie one behind the other in ``(1, R, H, D)``."""
    pieces = zip(caches, *(x.split(tuple(counts), dim=1) for x in (q, k, v)), strict=True)
    return torch.cat([_cached_attention(cache, name, *piece) for cache, *piece in pieces], dim=1)


def _inference_low_rank(
    x: Tensor, weight: Tensor | Coded | Stacked, a: Tensor, b: Tensor, bias: Tensor | None
) -> Tensor:
    return inference.linear(x, weight, bias) + inference.linear(inference.linear(x, a), b)


def _device(parameters: Weights) -> torch.device:
    embedding = parameters["embed"]
    return embedding.device if isinstance(embedding, Tensor) else torch.device("cpu")


TRAINING = Products(ops.linear, _attention, ops.low_rank, piece=piece)

ACTIVATIONS: Mapping[str, Callable[[Tensor], Tensor]] = {
    "silu": layers.silu,
    "gelu": layers.gelu,
    "gelu_tanh": partial(layers.gelu, approximate="tanh"),
}


class Decoder:
    """The computation of a decoder of one shape, on the device of the parameters it is given."""

    def __init__(self, config: DecoderConfig) -> None:
        self.config = config
        self._tables: dict[int, tuple[Tensor, ...]] = {}

    def __call__(
        self, parameters: Parameters, tokens: Tensor, mask: Tensor | None = None, segments: Tensor | None = None
    ) -> Tensor:
        """The mean loss in nats of predicting ``tokens[:, 1:]`` from ``tokens[:, :-1]``; int64 ``(B, T + 1)``.

        A mask, bool ``(B, T)``, says which predictions count, one at least: the mean is over the rows of these alone.
        Segments, int64 ``(B, T)``, say which places are read together, see :class:`regrow.model.segments.Segments`;
        what is in none of them is as if it were not there.
        """
        final, targets = self.predictions(parameters, tokens, mask, segments)
        return ops.linear_cross_entropy(final, self.head(parameters), targets)

    def predictions(
        self, parameters: Parameters, tokens: Tensor, mask: Tensor | None = None, segments: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """What the output matrix reads for the predictions that count, ``(N, C)``, and the right answers, ``(N,)``."""
        packed = None if segments is None else Segments.of(segments)
        final = self.final(parameters, tokens[:, :-1], TRAINING, packed)
        targets = tokens[:, 1:].reshape(-1)
        counts = None if mask is None else mask.reshape(-1)
        if packed is not None:
            targets = targets.index_select(0, packed.chosen)
            counts = None if counts is None else counts.index_select(0, packed.chosen)
        targets = targets.to(final.device)
        if counts is not None:
            counts = counts.to(final.device)
            targets = targets.masked_select(counts)
            final = final.masked_select(counts[:, None]).view(-1, self.config.width)
        return final, targets

    def head(self, parameters: Parameters) -> Tensor:
        """The output matrix, ``(vocabulary, C)``."""
        return parameters[self._head]

    @property
    def _head(self) -> str:
        return "embed" if self.config.tied_embeddings else "head"

    def logits(self, parameters: Weights, tokens: Tensor, cache: Cache | None = None) -> Tensor:
        """float32 ``(B, T, vocabulary)`` for int64 ``(B, T)``; without gradients.

        Those of a position depend on its token and the ones before, and on nothing else; under ``dynamic`` scaling
        beyond the original context, on how many there are too.

        Args:
            parameters: all of them.
            tokens: of the next positions.
            cache: of the positions before, which ``tokens`` are added to; all of them fit into the context.
        """
        return self.outputs(parameters, self.read(parameters, tokens, cache))

    def last_logits(self, parameters: Weights, tokens: Tensor, cache: Cache | None = None) -> Tensor:
        """The logits of the last position, ``(B, vocabulary)``; see :meth:`logits`."""
        return self.outputs(parameters, self.read(parameters, tokens, cache)[:, -1])

    def outputs(self, parameters: Weights, final: Tensor) -> Tensor:
        """The logits ``(..., vocabulary)`` of some rows of what :meth:`read` and :meth:`step` give, ``(..., C)``."""
        return inference.linear(final, parameters[self._head])

    def read(self, parameters: Weights, tokens: Tensor, cache: Cache | None) -> Tensor:
        """What the output matrix makes logits of, ``(B, T, C)``; see :meth:`logits`."""
        cache = Cache() if cache is None else cache
        end = self._end(cache, tokens.shape[1])
        blocks = Blocks(self.config, [cache], [tokens.shape[1]], len(tokens))
        products = Products(inference.linear, partial(_cached_attention, cache), _inference_low_rank, blocks)
        final = self.final(parameters, tokens, products, first=cache.length)
        cache.length = end
        return final.view(*tokens.shape, -1)

    def step(self, parameters: Weights, texts: Sequence[Tensor], caches: Sequence[Cache]) -> Tensor:
        """What the output matrix makes logits of, for the next tokens of several texts, each as if it were alone.

        Matrices are read once for all of them, which is most of what a token costs. The texts need not be of one
        length, nor as many tokens new in each.

        Args:
            parameters: all of them.
            texts: int64 ``(T,)`` each, one token at least.
            caches: of each, of one sequence; all of it fits into the context.

        Returns:
            ``(R, C)``, the rows of the first text first.

        Raises:
            ValueError: as :meth:`read`, before anything was computed.
        """
        counts = [len(tokens) for tokens in texts]
        ends = [self._end(cache, count) for cache, count in zip(caches, counts, strict=True)]
        places = torch.cat([torch.arange(end - count, end) for end, count in zip(ends, counts, strict=True)])
        lengths = torch.tensor(ends).repeat_interleave(torch.tensor(counts))
        attention = partial(_attention_of_each, caches, counts)
        products = Products(inference.linear, attention, _inference_low_rank, Blocks(self.config, caches, counts))
        tokens = torch.cat(list(texts)).view(1, -1).to(_device(parameters))
        final = self._passing(parameters, tokens, products, places, lengths)(tokens)
        for cache, end in zip(caches, ends, strict=True):
            cache.length = end
        return final

    def _end(self, cache: Cache, count: int) -> int:
        """How many positions there are with ``count`` more than a cache holds."""
        end = cache.length + count
        if end > self.config.context:
            raise ValueError(f"{end} positions are more than the {self.config.context} of the context")
        if cache.length and not rotary.keeps(self.config, cache.length, end):
            raise ValueError(f"what is kept of {cache.length} positions is not what {end} have there")
        return end

    def final(
        self,
        parameters: Weights,
        tokens: Tensor,
        products: Products,
        packed: Segments | None = None,
        first: int = 0,
    ) -> Tensor:
        """What the output matrix reads, ``(R, C)`` for int64 ``(B, T)``, with products of the caller's choice; of a
        packed batch for the places that are in a segment; ``first`` is the position of the first token.
        """
        device = _device(parameters)
        places = torch.arange(first, first + tokens.shape[1])
        lengths = torch.full_like(places, first + tokens.shape[1])
        if packed is not None:
            tokens, places = tokens.reshape(1, -1).index_select(1, packed.chosen), packed.positions
            lengths = packed.lengths
            products = replace(products, attention=packed.to(device).attention(products.attention))
        return self._passing(parameters, tokens, products, places, lengths)(tokens.to(device))

    def passing(self, parameters: Parameters, tokens: Tensor, products: Products) -> Pass:
        """The way of int64 ``(B, T)`` through the layers, for whoever goes it layer by layer."""
        places = torch.arange(tokens.shape[1])
        return self._passing(parameters, tokens, products, places, torch.full_like(places, tokens.shape[1]))

    def _passing(
        self, parameters: Weights, tokens: Tensor, products: Products, places: Tensor, lengths: Tensor
    ) -> Pass:
        device = _device(parameters)
        seen = self._seen(places, lengths, device)
        shape = (tokens.shape[0], tokens.shape[1])
        return Pass(self.config, parameters, products, shape, seen, places.to(device))

    def _seen(self, places: Tensor, lengths: Tensor, device: torch.device) -> tuple[Tensor, ...]:
        """The rows of the tables of positions for places in texts of some lengths, which they may follow from."""
        if self.config.positions != "rotary":
            return ()
        each = lengths.tolist()
        total_of = {length: rotary.total(self.config, length) for length in {*each}}
        self._tables = {total: self._made(total, device) for total in sorted({*total_of.values()})}
        if len(self._tables) == 1:
            (tables,) = self._tables.values()
            return tuple(table.index_select(0, places.to(device)) for table in tables)
        found = []
        for kind in range(2):
            rows = torch.empty((len(places), self.config.rope_width // 2), device=device)
            for total, tables in self._tables.items():
                of = torch.tensor([place for place, length in enumerate(each) if total_of[length] == total])
                rows[of.to(device)] = tables[kind].index_select(0, places[of].to(device))
            found.append(rows)
        return tuple(found)

    def _made(self, total: int, device: torch.device) -> tuple[Tensor, ...]:
        known = self._tables.get(total) or rotary.tables(self.config, total)
        return tuple(table.to(device) for table in known)


@dataclass(frozen=True)
class Between:
    """What comes out of a layer and goes into the next.

    Attributes:
        x: ``(R, C)``.
        kept: of earlier layers, what extra connections add further on, by the pairs of layers.
    """

    x: Tensor
    kept: Mapping[tuple[int, int], Tensor]


@dataclass(frozen=True)
class Pass:
    """The way of one batch through the layers.

    Attributes:
        config: of the decoder.
        parameters: all of them.
        products: of training or inference.
        size: sequences and positions.
        tables: cosines and sines of the positions, if they are rotary.
        places: the positions ``(T,)``.
    """

    config: DecoderConfig
    parameters: Weights
    products: Products
    size: tuple[int, int]
    tables: tuple[Tensor, ...]
    places: Tensor

    def __call__(self, tokens: Tensor) -> Tensor:
        """From tokens ``(B, T)`` to what the output matrix reads, ``(R, C)``."""
        between, done = self.begin(tokens), 0
        while done < self.config.layers:
            found = self.products.whole and self.products.whole.layers(self.parameters, self.tables, done, between.x)
            between, count = (replace(between, x=found[0]), found[1]) if found else (self.layer(done, between), 1)
            done += count
        return self._norm("norm", between.x)

    def begin(self, tokens: Tensor) -> Between:
        """What the first layer reads."""
        x = self._embedded(tokens)
        if self.config.positions == "learned":
            # Looked up for every sequence, so that the sum of the gradients over sequences is exact.
            x = x + ops.embedding(self.places.expand(self.size), self._vector("positions"))
        return Between(x.view(-1, self.config.width), {})

    def layer(self, i: int, between: Between) -> Between:
        """What a layer, numbered from 0, makes of what the one before gave."""
        if self.products.piece is None:
            return self._passed(i, between)

        def computed(parameters: Parameters, given: Between) -> Between:
            return replace(self, parameters=parameters)._passed(i, given)

        begins = f"{layer_name(i)}."
        own = {name: x for name, x in self.parameters.items() if name.startswith(begins) and isinstance(x, Tensor)}
        return self.products.piece(computed, own, between)

    def _passed(self, i: int, between: Between) -> Between:
        x, kept = between.x, dict(between.kept)
        for pair in self.config.skips:
            if pair[1] == i:
                x = x + ops.rms_norm(kept.pop(pair), self._vector(skip(pair)), self.config.norm_epsilon)
        for pair in self.config.skips:
            if pair[0] == i:
                # Names of their own, so that gradients are added two at a time, in one order.
                kept[pair], x = x.view_as(x), x.view_as(x)
        return Between(self._layer(layer_name(i), x), kept)

    def _layer(self, name: str, x: Tensor) -> Tensor:
        attention, mlp = f"{name}.attention", f"{name}.mlp"
        if self.config.parallel:
            # A name of its own for what both blocks read: gradients are then added two at a time, in one order.
            read = x.view_as(x)
            return x + self._block(attention, read, self._attention) + self._block(mlp, read, self._mlp)
        for block, inside in ((attention, self._attention), (mlp, self._mlp)):
            whole = self.products.whole(self.parameters, self.tables, block, x) if self.products.whole else None
            x = x + self._block(block, x, inside) if whole is None else whole
        return x

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
        out = self.products.attention(name, q, k, v).reshape(len(x), -1)
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
        weight = self.parameters[name]
        bias = self._vector(f"{name}.bias") if f"{name}.bias" in self.parameters else None
        if f"{name}.lora_a" not in self.parameters:
            return self.products.linear(x, weight, bias)
        a, b = (self._vector(f"{name}.lora_{part}") for part in "ab")
        return self.products.low_rank(x, weight, a, b, bias)

    def _norm(self, name: str, x: Tensor) -> Tensor:
        gain, epsilon = self._vector(name), self.config.norm_epsilon
        if self.config.norm == "rms":
            return ops.rms_norm(x, gain, epsilon)
        return layers.layer_norm(x, gain, self._vector(f"{name}.bias"), epsilon)

    def _embedded(self, tokens: Tensor) -> Tensor:
        weight = self.parameters["embed"]
        if isinstance(weight, Tensor):
            return ops.embedding(tokens, weight)
        parts = weight.parts if isinstance(weight, Stacked) else (weight,)
        if len(parts) > 1:
            raise TypeError("an embedding is one tensor of a file")
        return parts[0].embedded(tokens)

    def _vector(self, name: str) -> Tensor:
        """A parameter that is float32 in every file."""
        found = self.parameters[name]
        if not isinstance(found, Tensor):
            raise TypeError(f"`{name}` is a matrix of codes")
        return found
