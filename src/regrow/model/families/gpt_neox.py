"""GPT-NeoX (Black et al., 2022), of which the Pythia models are."""

from __future__ import annotations

from regrow.model.family import Family
from regrow.model.keys import ACTIVATIONS, Key, Rotary
from regrow.model.pieces import HeadByHead, Whole

FAMILY = Family(
    name="gpt_neox",
    architecture="GPTNeoXForCausalLM",
    options={"norm": "layer", "gated": False, "mlp_bias": True},
    members=(
        Key("vocab_size", "vocabulary"),
        Key("num_hidden_layers", "layers"),
        Key("hidden_size", "width"),
        Key("num_attention_heads", "heads"),
        Key("intermediate_size", "hidden"),
        Key("max_position_embeddings", "context"),
        Key("tie_word_embeddings", "tied_embeddings", absent=False),
        Key("layer_norm_eps", "norm_epsilon", absent=1e-5),
        Key("hidden_act", "activation", words=ACTIVATIONS, absent="gelu"),
        Key("attention_bias", "qkv_bias", absent=True),
        Key("attention_bias", "out_bias", absent=True),
        Key("use_parallel_residual", "parallel", absent=True),
        Rotary(theta="rotary_emb_base", share="rotary_pct", usual_share=0.25),
    ),
    parameters={
        "embed": Whole("gpt_neox.embed_in"),
        "layers.*.attention.norm": Whole("gpt_neox.layers.*.input_layernorm"),
        "layers.*.attention.qkv": HeadByHead("gpt_neox.layers.*.attention.query_key_value"),
        "layers.*.attention.out": Whole("gpt_neox.layers.*.attention.dense"),
        "layers.*.mlp.norm": Whole("gpt_neox.layers.*.post_attention_layernorm"),
        "layers.*.mlp.up": Whole("gpt_neox.layers.*.mlp.dense_h_to_4h"),
        "layers.*.mlp.down": Whole("gpt_neox.layers.*.mlp.dense_4h_to_h"),
        "norm": Whole("gpt_neox.final_layer_norm"),
        "head": Whole("embed_out"),
    },
    remarks={"attention_dropout": 0.0, "hidden_dropout": 0.0, "initializer_range": 0.02, "use_cache": True},
)
