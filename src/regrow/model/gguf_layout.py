"""What a decoder is called in a GGUF file: architectures, keys and tensors, declared once and used both ways.

What the keys and tensors are called is written in docs/gguf.md of github.com/ggml-org/ggml, and what an engine makes of
them in the models of llama.cpp.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from regrow.errors import InputError
from regrow.formats.gguf import Kind
from regrow.model.config import DecoderConfig
from regrow.model.families import families
from regrow.model.family import Family
from regrow.model.pieces import Form, Gated, Heads, Whole
from regrow.words import listed

if TYPE_CHECKING:
    from torch import Tensor

BIASES = ("qkv_bias", "out_bias", "mlp_bias")
"""Options of a decoder that a file tells by having the tensors."""


@dataclass(frozen=True)
class Architecture:
    """What a file calls its architecture, and what an engine takes for granted of it.

    Attributes:
        family: ours, as which it is read.
        interleaved: whether the two halves of each query and key lie in turn.
        head: whether there has to be a head, also where it is the embedding.
        biases: options that say which biases an engine knows; of others it refuses the file.
        needed: those that there have to be.
    """

    family: str
    interleaved: bool = False
    head: bool = False
    biases: Sequence[str] = ()
    needed: Sequence[str] = ()


ARCHITECTURES: Mapping[str, Architecture] = {
    "llama": Architecture("llama", interleaved=True, biases=BIASES),
    "qwen2": Architecture("qwen2", biases=("qkv_bias",)),
    "qwen3": Architecture("qwen3", biases=("qkv_bias",)),
    "olmo2": Architecture("olmo2", head=True, biases=("qkv_bias",)),
    "gpt2": Architecture("gpt2", biases=BIASES, needed=BIASES),
    "gptneox": Architecture("gpt_neox", head=True, biases=BIASES, needed=BIASES),
}
_WRITTEN: Mapping[str, str] = {"mistral": "llama", **{one.family: name for name, one in ARCHITECTURES.items()}}
"""Family -> the architecture that it is written as."""

KEYS: Mapping[str, tuple[Kind, str]] = {
    "block_count": (Kind.UINT32, "layers"),
    "embedding_length": (Kind.UINT32, "width"),
    "attention.head_count": (Kind.UINT32, "heads"),
    "attention.head_count_kv": (Kind.UINT32, "kv_heads"),
    "attention.key_length": (Kind.UINT32, "head_width"),
    "feed_forward_length": (Kind.UINT32, "hidden"),
    "context_length": (Kind.UINT32, "context"),
    "attention.layer_norm_rms_epsilon": (Kind.FLOAT32, "norm_epsilon"),
    "attention.layer_norm_epsilon": (Kind.FLOAT32, "norm_epsilon"),
    "use_parallel_residual": (Kind.BOOL, "parallel"),
}
"""Keys after the name of the architecture -> how they are written, and the option that each says."""

ONLY: Mapping[str, tuple[str, object]] = {
    "attention.layer_norm_rms_epsilon": ("norm", "rms"),
    "attention.layer_norm_epsilon": ("norm", "layer"),
    "use_parallel_residual": ("family", "gpt_neox"),
}
"""Keys that are written of some decoders only: those that have this option."""

DIMENSIONS = "rope.dimension_count"
SCALING = "rope.scaling.type"
ROTARY: Mapping[str, tuple[Kind, str]] = {
    "rope.freq_base": (Kind.FLOAT32, "rope_theta"),
    "rope.scaling.factor": (Kind.FLOAT32, "factor"),
    "rope.scaling.original_context_length": (Kind.UINT32, "original_max_position_embeddings"),
    "rope.scaling.yarn_beta_fast": (Kind.FLOAT32, "beta_fast"),
    "rope.scaling.yarn_beta_slow": (Kind.FLOAT32, "beta_slow"),
}
"""Keys that say a number of the table ``rope_parameters`` of a ``config.json``."""

SCALINGS: Mapping[str, str] = {"none": "default", "linear": "linear", "yarn": "yarn"}
"""The scalings that keys tell -> their ``rope_type``. Of ``llama3``, the divisors of the frequencies are a tensor."""

FREQUENCIES = "rope_freqs.weight"
"""A divisor of each frequency, of the architecture ``llama`` only: other engines' models do not look at it."""

OWN_ROTARY: Mapping[str, tuple[Kind, str]] = {
    f"regrow.rope.{name}": (kind, name)
    for kind, name in (
        (Kind.STRING, "rope_type"),
        (Kind.FLOAT32, "factor"),
        (Kind.FLOAT32, "low_freq_factor"),
        (Kind.FLOAT32, "high_freq_factor"),
        (Kind.UINT32, "original_max_position_embeddings"),
    )
}
"""What the divisors were computed from, which no key of theirs tells."""

EMBEDDING, HEAD, POSITIONS = "token_embd.weight", "output.weight", "position_embd.weight"

_MODULES: Mapping[str, tuple[str, ...]] = {
    "embed": ("token_embd",),
    "positions": ("position_embd",),
    "layers.*.attention.norm": ("blk.*.attn_norm",),
    "layers.*.attention.qkv": ("blk.*.attn_q", "blk.*.attn_k", "blk.*.attn_v"),
    "layers.*.attention.q_norm": ("blk.*.attn_q_norm",),
    "layers.*.attention.k_norm": ("blk.*.attn_k_norm",),
    "layers.*.attention.out": ("blk.*.attn_output",),
    "layers.*.attention.out_norm": ("blk.*.post_attention_norm",),
    "layers.*.mlp.norm": ("blk.*.ffn_norm",),
    "layers.*.mlp.gate_up": ("blk.*.ffn_gate", "blk.*.ffn_up"),
    "layers.*.mlp.up": ("blk.*.ffn_up",),
    "layers.*.mlp.down": ("blk.*.ffn_down",),
    "layers.*.mlp.out_norm": ("blk.*.post_ffw_norm",),
    "norm": ("output_norm",),
    "head": ("output",),
}
_JOINED = "blk.*.attn_qkv"
"""Queries, keys and values where the files of the family have them as one."""


class InTurn(Heads):
    """Queries, keys and values as three, the two halves of each head interleaved: llama.cpp turns a Llama's so."""

    def apart(self, config: DecoderConfig, parameter: Tensor) -> Sequence[Tensor]:
        """See :class:`regrow.model.pieces.Form`."""
        query, key, value = super().apart(config, parameter)
        return in_turn(query, config.heads), in_turn(key, config.kv_heads), value

    def together(self, config: DecoderConfig, tensors: Sequence[Tensor]) -> Tensor:
        """See :class:`regrow.model.pieces.Form`."""
        query, key, value = tensors
        return super().together(config, [_halves(query, config.heads), _halves(key, config.kv_heads), value])


def architecture_of(config: DecoderConfig) -> str:
    """What a file calls the architecture of a decoder.

    Raises:
        InputError: if there is none for its family.
    """
    if config.family not in _WRITTEN:
        raise InputError(
            f"a model of the kind `{config.family}` cannot be written as GGUF",
            why="engines know no such architecture", hint=f"known are {listed(_WRITTEN)}",
        )  # fmt: skip
    return _WRITTEN[config.family]


def laid_out(architecture: str) -> Family:
    """The family of an architecture, with its parameters as they lie in a file: transposed and interleaved matrices of
    Hugging Face's files are plain there.
    """
    family = families()[ARCHITECTURES[architecture].family]
    return replace(family, parameters=dict(_forms(family, ARCHITECTURES[architecture].interleaved)))


def _forms(family: Family, interleaved: bool) -> Iterator[tuple[str, Form]]:
    for ours, form in family.parameters.items():
        modules = _MODULES[ours]
        match form:
            case Heads():
                yield ours, (InTurn if interleaved else Heads)(*modules)
            case Gated():
                yield ours, Gated(*modules)
            case _:
                yield ours, Whole(modules[0] if len(modules) == 1 else _JOINED)


def in_turn(rows: Tensor, heads: int) -> Tensor:
    """Rows whose heads lie as two halves, as pairs."""
    return _swapped(rows, heads, 2, rows.shape[0] // heads // 2)


def _halves(rows: Tensor, heads: int) -> Tensor:
    return _swapped(rows, heads, rows.shape[0] // heads // 2, 2)


def _swapped(x: Tensor, heads: int, outer: int, inner: int) -> Tensor:
    return x.reshape(heads, outer, inner, -1).transpose(1, 2).reshape(x.shape)
