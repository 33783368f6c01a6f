"""OLMo 2 (OLMo team, 2024), which normalises what its blocks give."""

from __future__ import annotations

from regrow.model.family import Family
from regrow.model.keys import ACTIVATIONS, Key, Rotary
from regrow.model.pieces import Gated, Heads, Whole

FAMILY = Family(
    name="olmo2",
    architecture="Olmo2ForCausalLM",
    options={"head_norm": "whole", "norm_place": "after"},
    members=(
        Key("vocab_size", "vocabulary"),
        Key("num_hidden_layers", "layers"),
        Key("hidden_size", "width"),
        Key("num_attention_heads", "heads"),
        Key("num_key_value_heads", "kv_heads", absent=None),
        Key("intermediate_size", "hidden"),
        Key("max_position_embeddings", "context"),
        Key("tie_word_embeddings", "tied_embeddings", absent=False),
        Key("rms_norm_eps", "norm_epsilon", absent=1e-5),
        Key("hidden_act", "activation", words=ACTIVATIONS, absent="silu"),
        Key("attention_bias", "qkv_bias", absent=False),
        Key("attention_bias", "out_bias", absent=False),
        Rotary(),
    ),
    parameters={
        "embed": Whole("model.embed_tokens"),
        "layers.*.attention.qkv": Heads(
            "model.layers.*.self_attn.q_proj", "model.layers.*.self_attn.k_proj", "model.layers.*.self_attn.v_proj"
        ),
        "layers.*.attention.q_norm": Whole("model.layers.*.self_attn.q_norm"),
        "layers.*.attention.k_norm": Whole("model.layers.*.self_attn.k_norm"),
        "layers.*.attention.out": Whole("model.layers.*.self_attn.o_proj"),
        "layers.*.attention.out_norm": Whole("model.layers.*.post_attention_layernorm"),
        "layers.*.mlp.gate_up": Gated("model.layers.*.mlp.gate_proj", "model.layers.*.mlp.up_proj"),
        "layers.*.mlp.down": Whole("model.layers.*.mlp.down_proj"),
        "layers.*.mlp.out_norm": Whole("model.layers.*.post_feedforward_layernorm"),
        "norm": Whole("model.norm"),
        "head": Whole("lm_head"),
    },
    remarks={"attention_dropout": 0.0, "initializer_range": 0.02, "use_cache": True},
)
