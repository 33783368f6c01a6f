"""What no class of transformers computes, such as extra connections between layers: a family of our own.

The keys are those that others have too, as far as there are any, and else the names of our options; tensors are called
as parameters are here. Transformers says of it that it does not recognise the architecture, and loads nothing.
"""

from __future__ import annotations

from dataclasses import fields

from regrow.model.config import DecoderConfig
from regrow.model.family import Family
from regrow.model.keys import ACTIVATIONS, Key, Rotary
from regrow.model.pieces import Whole

_KEYS = {
    "vocabulary": "vocab_size",
    "layers": "num_hidden_layers",
    "width": "hidden_size",
    "heads": "num_attention_heads",
    "kv_heads": "num_key_value_heads",
    "hidden": "intermediate_size",
    "context": "max_position_embeddings",
    "tied_embeddings": "tie_word_embeddings",
    "head_width": "head_dim",
    "norm_epsilon": "norm_eps",
    "activation": "hidden_act",
}
_ATTENTION = ("norm", "qkv", "q_norm", "k_norm", "out", "out_norm")
_MLP = ("norm", "gate_up", "up", "down", "out_norm")
_PARAMETERS = (
    "embed", "positions", "layers.*.skip.*", *(f"layers.*.attention.{part}" for part in _ATTENTION),
    *(f"layers.*.mlp.{part}" for part in _MLP), "norm", "head",
)  # fmt: skip

FAMILY = Family(
    name="regrow",
    architecture="RegrowDecoder",
    members=(
        *(
            Key(_KEYS.get(option, option), option, words=ACTIVATIONS if option == "activation" else {})
            for option in (one.name for one in fields(DecoderConfig))
            if option != "family" and not option.startswith("rope_")
        ),
        Rotary(share="partial_rotary_factor"),
    ),
    parameters={name: Whole(name) for name in _PARAMETERS},
    library="regrow",
)
