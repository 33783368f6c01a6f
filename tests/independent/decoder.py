"""The decoder: its parameters, its loss and its gradients, from docs/arithmetic.md alone."""

from dataclasses import dataclass

import numpy as np

from . import layers
from .arithmetic import exp64, f32, f64, log64, normals, ordered_product, sin_cos64, turned


@dataclass(frozen=True)
class Shape:
    """The shape of a decoder."""

    vocabulary: int
    layers: int
    width: int
    heads: int
    kv_heads: int
    hidden: int
    context: int
    tied_embeddings: bool = True
    rope_theta: float = 10000.0
    norm_epsilon: float = 1e-5

    def parameters(self):
        """Names and shapes."""
        head = self.width // self.heads
        found = {"embed": (self.vocabulary, self.width), "norm": (self.width,)}
        if not self.tied_embeddings:
            found["head"] = (self.vocabulary, self.width)
        for i in range(self.layers):
            found[f"layers.{i:03}.attention.norm"] = (self.width,)
            found[f"layers.{i:03}.attention.qkv"] = ((self.heads + 2 * self.kv_heads) * head, self.width)
            found[f"layers.{i:03}.attention.out"] = (self.width, self.width)
            found[f"layers.{i:03}.mlp.norm"] = (self.width,)
            found[f"layers.{i:03}.mlp.gate_up"] = (2 * self.hidden, self.width)
            found[f"layers.{i:03}.mlp.down"] = (self.width, self.hidden)
        return found


def initial(shape, seed):
    """Initial parameters."""
    return {name: initial_parameter(shape, seed, name, size) for name, size in shape.parameters().items()}


def initial_parameter(shape, seed, name, size):
    """One of them."""
    if len(size) == 1:
        return np.ones(size, f32)
    deviation = 0.02
    if name.endswith((".out", ".down")):
        deviation = 0.02 / np.sqrt(2.0 * f64(shape.layers))
    return f32(normals(seed, f"initial {name}", size[0] * size[1]) * deviation).reshape(size)


def rotary_tables(shape):
    """Cosines and sines of positions and pairs."""
    width = shape.width // shape.heads
    j = np.arange(width // 2).astype(f64)
    frequencies = f32(exp64(-((j * 2.0) / f64(width)) * log64(np.array([shape.rope_theta]))))
    angles = np.arange(shape.context).astype(f32)[:, None] * frequencies
    sine, cosine = sin_cos64(angles.astype(f64))
    return f32(cosine), f32(sine)


def loss_and_gradients(shape, p, tokens):
    """The mean loss of a micro-batch ``(B, T + 1)``, and the gradients of the parameters."""
    seen, targets = tokens[:, :-1], tokens[:, 1:].ravel()
    tables = [table[: seen.shape[1]] for table in rotary_tables(shape)]
    x, undo = p["embed"][seen.ravel()], []
    for i in range(shape.layers):
        x, backward = attention_block(shape, p, f"layers.{i:03}.attention", x, seen.shape, tables)
        undo.append(backward)
        x, backward = mlp_block(shape, p, f"layers.{i:03}.mlp", x)
        undo.append(backward)
    final, inverse = layers.rms_norm(x, p["norm"], shape.norm_epsilon)
    head = "embed" if shape.tied_embeddings else "head"
    loss, dfinal, dhead = layers.linear_cross_entropy(final, p[head], targets)
    g = {head: dhead}
    dx, g["norm"] = layers.rms_norm_backward(dfinal, x, p["norm"], inverse)
    for backward in reversed(undo):
        dx = backward(dx, g)
    dembed = layers.embedding_backward(dx, seen.ravel(), shape.vocabulary)
    g["embed"] = dhead + dembed if shape.tied_embeddings else dembed
    return loss, g


def attention_block(shape, p, name, x, size, tables):
    """``x`` plus attention, and a function from its gradient to that of the input."""
    normal, inverse = layers.rms_norm(x, p[f"{name}.norm"], shape.norm_epsilon)
    q, k, v = heads(shape, layers.linear(normal, p[f"{name}.qkv"]), size)
    cosine, sine = tables
    y, kept = layers.attention(layers.rotate(q, cosine, sine), layers.rotate(k, cosine, sine), v)
    y = y.reshape(x.shape)

    def backward(dx, g):
        dy, g[f"{name}.out"] = layers.linear_backward(dx, y, p[f"{name}.out"])
        dq, dk, dv = layers.attention_backward(dy.reshape(*size, shape.heads, -1), kept)
        turned_back = layers.rotate(dq, cosine, -sine), layers.rotate(dk, cosine, -sine), dv
        dqkv = np.concatenate(turned_back, 2).reshape(len(x), -1)
        dnormal, g[f"{name}.qkv"] = layers.linear_backward(dqkv, normal, p[f"{name}.qkv"])
        through, g[f"{name}.norm"] = layers.rms_norm_backward(dnormal, x, p[f"{name}.norm"], inverse)
        return dx + through

    return x + layers.linear(y, p[f"{name}.out"]), backward


def heads(shape, x, size):
    """Queries, keys and values of the rows of the fused product."""
    x = x.reshape(*size, -1, shape.width // shape.heads)
    return np.split(x, (shape.heads, shape.heads + shape.kv_heads), 2)


def mlp_block(shape, p, name, x):
    """``x`` plus the feed-forward layer, and a function from its gradient to that of the input."""
    normal, inverse = layers.rms_norm(x, p[f"{name}.norm"], shape.norm_epsilon)
    both = layers.linear(normal, p[f"{name}.gate_up"])
    y = layers.swiglu(both)

    def backward(dx, g):
        dy, g[f"{name}.down"] = layers.linear_backward(dx, y, p[f"{name}.down"])
        dboth = layers.swiglu_backward(dy, both)
        dnormal, g[f"{name}.gate_up"] = layers.linear_backward(dboth, normal, p[f"{name}.gate_up"])
        through, g[f"{name}.norm"] = layers.rms_norm_backward(dnormal, x, p[f"{name}.norm"], inverse)
        return dx + through

    return x + layers.linear(y, p[f"{name}.down"]), backward


def logits(shape, p, tokens):
    """float32 ``(B, T, vocabulary)`` of inference, for ``(B, T)`` tokens."""
    cosine, sine = (table[: tokens.shape[1]] for table in rotary_tables(shape))
    x = p["embed"][tokens.ravel()]
    for i in range(shape.layers):
        name = f"layers.{i:03}"
        normal, _ = layers.rms_norm(x, p[f"{name}.attention.norm"], shape.norm_epsilon)
        q, k, v = heads(shape, ordered_product(normal, turned(p[f"{name}.attention.qkv"])), tokens.shape)
        y = layers.ordered_attention(layers.rotate(q, cosine, sine), layers.rotate(k, cosine, sine), v)
        x = x + ordered_product(y.reshape(x.shape), turned(p[f"{name}.attention.out"]))
        normal, _ = layers.rms_norm(x, p[f"{name}.mlp.norm"], shape.norm_epsilon)
        y = layers.swiglu(ordered_product(normal, turned(p[f"{name}.mlp.gate_up"])))
        x = x + ordered_product(y, turned(p[f"{name}.mlp.down"]))
    final, _ = layers.rms_norm(x, p["norm"], shape.norm_epsilon)
    head = p["embed" if shape.tied_embeddings else "head"]
    return ordered_product(final, turned(head)).reshape(*tokens.shape, -1)
