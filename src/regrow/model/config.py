"""The shape of a decoder, and what follows from it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

HUGGING_FACE = {
    "vocabulary": ("vocab_size",),
    "layers": ("num_hidden_layers",),
    "width": ("hidden_size",),
    "heads": ("num_attention_heads",),
    "kv_heads": ("num_key_value_heads",),
    "hidden": ("intermediate_size",),
    "context": ("max_position_embeddings",),
    "tied_embeddings": ("tie_word_embeddings",),
    "rope_theta": ("rope_parameters", "rope_theta"),
    "norm_epsilon": ("rms_norm_eps",),
}
"""Our names of what shapes a decoder, and where Hugging Face's ``config.json`` has each."""


@dataclass(frozen=True)
class DecoderConfig:
    """A decoder of the Llama kind (Touvron et al., 2023).

    Attributes:
        vocabulary: number of tokens.
        layers: number of blocks.
        width: of the residual stream.
        heads: query heads; each is ``width / heads`` wide.
        kv_heads: key and value heads, a divisor of ``heads``.
        hidden: width of the gated feed-forward layer.
        context: longest sequence, in tokens.
        tied_embeddings: whether the output matrix is the embedding.
        rope_theta: base of the rotary position embedding.
        norm_epsilon: added to the mean square in normalisation.
    """

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

    @property
    def head_width(self) -> int:
        """The width of one head."""
        return self.width // self.heads

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Parameter names and shapes, in the order in which they are used.

        Matrices that read the same input are kept as one (queries, keys and values; gate and up).
        """
        qkv = (self.heads + 2 * self.kv_heads) * self.head_width
        shapes: dict[str, tuple[int, ...]] = {"embed": (self.vocabulary, self.width)}
        for i in range(self.layers):
            shapes |= {
                f"layers.{i:03}.attention.norm": (self.width,),
                f"layers.{i:03}.attention.qkv": (qkv, self.width),
                f"layers.{i:03}.attention.out": (self.width, self.width),
                f"layers.{i:03}.mlp.norm": (self.width,),
                f"layers.{i:03}.mlp.gate_up": (2 * self.hidden, self.width),
                f"layers.{i:03}.mlp.down": (self.width, self.hidden),
            }
        shapes["norm"] = (self.width,)
        if not self.tied_embeddings:
            shapes["head"] = (self.vocabulary, self.width)
        return shapes

    def hugging_face(self, end_of_text: int) -> dict[str, Any]:
        """The ``config.json`` of a Hugging Face ``LlamaForCausalLM``."""
        return {
            "architectures": ["LlamaForCausalLM"],
            "attention_bias": False,
            "attention_dropout": 0.0,
            "bos_token_id": end_of_text,
            "eos_token_id": end_of_text,
            "dtype": "float32",
            "head_dim": self.head_width,
            "hidden_act": "silu",
            "hidden_size": self.width,
            "initializer_range": 0.02,
            "intermediate_size": self.hidden,
            "max_position_embeddings": self.context,
            "mlp_bias": False,
            "model_type": "llama",
            "num_attention_heads": self.heads,
            "num_hidden_layers": self.layers,
            "num_key_value_heads": self.kv_heads,
            "pretraining_tp": 1,
            "rms_norm_eps": self.norm_epsilon,
            "rope_parameters": {"rope_theta": self.rope_theta, "rope_type": "default"},
            "rope_theta": self.rope_theta,
            "tie_word_embeddings": self.tied_embeddings,
            "torch_dtype": "float32",
            "use_cache": True,
            "vocab_size": self.vocabulary,
        }


def shape_in(config: Mapping[str, Any]) -> dict[str, Any]:
    """What a ``config.json`` says of the shape, by our names, as it stands there.

    Raises:
        LookupError: if something is missing.
        TypeError: if there is no table where one should be.
    """
    return {name: _at(config, path) for name, path in HUGGING_FACE.items()}


def _at(value: Any, path: tuple[str, ...]) -> Any:
    for key in path:
        value = value[key]
    return value
