"""GPT-2 (Radford et al., 2019). Its matrices are kept the other way round: a row for each input."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from regrow.model.family import Family
from regrow.model.keys import ACTIVATIONS, Fixed, Key
from regrow.model.pieces import Transposed, Whole


def _four_widths(said: Mapping[str, Any]) -> int:
    return 4 * int(said["width"])


FAMILY = Family(
    name="gpt2",
    architecture="GPT2LMHeadModel",
    options={
        "positions": "learned",
        "norm": "layer",
        "gated": False,
        "qkv_bias": True,
        "out_bias": True,
        "mlp_bias": True,
    },
    members=(
        Key("vocab_size", "vocabulary"),
        Key("n_layer", "layers"),
        Key("n_embd", "width"),
        Key("n_head", "heads"),
        Key("n_inner", "hidden", absent=_four_widths),
        Key("n_positions", "context"),
        Key("tie_word_embeddings", "tied_embeddings", absent=True),
        Key("layer_norm_epsilon", "norm_epsilon", absent=1e-5),
        Key("activation_function", "activation", words={"gelu_new": "gelu_tanh", **ACTIVATIONS}, absent="gelu_tanh"),
        Fixed("scale_attn_weights", True),
        Fixed("scale_attn_by_inverse_layer_idx", False),
        Fixed("add_cross_attention", False),
    ),
    parameters={
        "embed": Whole("transformer.wte"),
        "positions": Whole("transformer.wpe"),
        "layers.*.attention.norm": Whole("transformer.h.*.ln_1"),
        "layers.*.attention.qkv": Transposed("transformer.h.*.attn.c_attn"),
        "layers.*.attention.out": Transposed("transformer.h.*.attn.c_proj"),
        "layers.*.mlp.norm": Whole("transformer.h.*.ln_2"),
        "layers.*.mlp.up": Transposed("transformer.h.*.mlp.c_fc"),
        "layers.*.mlp.down": Transposed("transformer.h.*.mlp.c_proj"),
        "norm": Whole("transformer.ln_f"),
        "head": Whole("lm_head"),
    },
    remarks={"attn_pdrop": 0.0, "embd_pdrop": 0.0, "initializer_range": 0.02, "resid_pdrop": 0.0, "use_cache": True},
)
