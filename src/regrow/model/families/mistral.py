"""Mistral (Jiang et al., 2023), without windows of attention."""

from __future__ import annotations

from dataclasses import replace

from regrow.model.families.llama import FAMILY as LLAMA
from regrow.model.keys import ACTIVATIONS, Fixed, Key, Rotary

FAMILY = replace(
    LLAMA,
    name="mistral",
    architecture="MistralForCausalLM",
    members=(
        Key("vocab_size", "vocabulary"),
        Key("num_hidden_layers", "layers"),
        Key("hidden_size", "width"),
        Key("num_attention_heads", "heads"),
        Key("num_key_value_heads", "kv_heads", absent=8),
        Key("head_dim", "head_width", absent=None),
        Key("intermediate_size", "hidden"),
        Key("max_position_embeddings", "context"),
        Key("tie_word_embeddings", "tied_embeddings", absent=False),
        Key("rms_norm_eps", "norm_epsilon"),
        Key("hidden_act", "activation", words=ACTIVATIONS, absent="silu"),
        Fixed("sliding_window", None),
        Rotary(),
    ),
    remarks={"attention_dropout": 0.0, "initializer_range": 0.02, "use_cache": True},
)
