"""Llama (Touvron et al., 2023), and whatever is a Llama by another name; what ``regrow build`` writes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from regrow.model.config import uneven
from regrow.model.family import Family
from regrow.model.keys import ACTIVATIONS, Key, Rotary
from regrow.model.pieces import Gated, Heads, Whole


def _uneven(heads: int, said: Mapping[str, Any]) -> str:
    """Transformers refuses such a Llama even where `head_dim` says how wide a head is."""
    return uneven(heads, said["width"])


FAMILY = Family(
    name="llama",
    architecture="LlamaForCausalLM",
    members=(
        Key("vocab_size", "vocabulary"),
        Key("num_hidden_layers", "layers"),
        Key("hidden_size", "width"),
        Key("num_attention_heads", "heads", check=_uneven),
        Key("num_key_value_heads", "kv_heads", absent=None),
        Key("head_dim", "head_width", absent=None),
        Key("intermediate_size", "hidden"),
        Key("max_position_embeddings", "context"),
        Key("tie_word_embeddings", "tied_embeddings", absent=False),
        Key("rms_norm_eps", "norm_epsilon"),
        Key("hidden_act", "activation", words=ACTIVATIONS, absent="silu"),
        Key("attention_bias", "qkv_bias", absent=False),
        Key("attention_bias", "out_bias", absent=False),
        Key("mlp_bias", "mlp_bias", absent=False),
        Rotary(),
    ),
    parameters={
        "embed": Whole("model.embed_tokens"),
        "layers.*.attention.norm": Whole("model.layers.*.input_layernorm"),
        "layers.*.attention.qkv": Heads(
            "model.layers.*.self_attn.q_proj", "model.layers.*.self_attn.k_proj", "model.layers.*.self_attn.v_proj"
        ),
        "layers.*.attention.out": Whole("model.layers.*.self_attn.o_proj"),
        "layers.*.mlp.norm": Whole("model.layers.*.post_attention_layernorm"),
        "layers.*.mlp.gate_up": Gated("model.layers.*.mlp.gate_proj", "model.layers.*.mlp.up_proj"),
        "layers.*.mlp.down": Whole("model.layers.*.mlp.down_proj"),
        "norm": Whole("model.norm"),
        "head": Whole("lm_head"),
    },
    remarks={"attention_dropout": 0.0, "initializer_range": 0.02, "pretraining_tp": 1, "use_cache": True},
)
