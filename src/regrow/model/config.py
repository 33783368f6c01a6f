"""What a decoder is made of, and what follows from it."""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import cache
from typing import Annotated, Any, Literal, get_type_hints

from regrow.model.options import OptionError, Within, checked

Activation = Literal["silu", "gelu", "gelu_tanh"]
Norm = Literal["rms", "layer"]
Place = Literal["before", "after", "both"]
HeadNorm = Literal["none", "head", "whole"]
Positions = Literal["rotary", "learned"]
Scaling = Literal["none", "linear", "llama3", "yarn", "dynamic"]
LONGEST = 2**17
"""The longest sequence there may be, in tokens."""

Shapes = dict[str, tuple[int, ...]]
Heads = Annotated[int, Within(1, 2**16)]
Factor = Annotated[float, Within(1, 1e6)]
Positive = Annotated[float, Within(0, 1e6, open=True)]
Share = Annotated[float, Within(0, 1e3)]
Pairs = tuple[tuple[int, int], ...]


@dataclass(frozen=True, kw_only=True)
class DecoderConfig:
    """A decoder, as options that are each a number, a text or a truth value; by default of the Llama kind.

    Attributes:
        vocabulary: number of tokens.
        layers: number of blocks.
        width: of the residual stream.
        heads: query heads.
        kv_heads: key and value heads, a divisor of ``heads``.
        hidden: width of the feed-forward layer.
        context: longest sequence, in tokens.
        tied_embeddings: whether the output matrix is the embedding.
        rope_theta: base of the rotary position embedding.
        norm_epsilon: added to the mean square in normalisation.
        head_width: of one head; 0 stands for ``width / heads``.
        norm: root-mean-square normalisation with a gain, or LayerNorm with gain and bias.
        norm_place: whether a block's input is normalised, what it adds to the residual stream (OLMo 2), or both.
        head_norm: whether queries and keys are normalised, each head by itself (Qwen 3) or all together (OLMo 2).
        positions: rotary, or a learned vector for each position that is added to the embedding (GPT-2).
        rope_share: the share of a head's width that is turned (GPT-NeoX).
        rope_scaling: how a model that was trained on shorter sequences turns its heads.
        rope_factor: so many times longer.
        rope_original_context: the shorter length; of ``llama3``, ``yarn`` and ``dynamic``.
        rope_low_factor: of the wavelengths that are scaled, at least the shorter length divided by it; of ``llama3``,
            as the next.
        rope_high_factor: of those that are not, at most the shorter length divided by it.
        rope_beta_fast: turns over the shorter length of the pairs that are not scaled; of ``yarn``, as the next five.
        rope_beta_slow: turns of those that are scaled in full.
        rope_truncate: whether the places of the two are rounded outwards to whole pairs.
        rope_attention_factor: multiplies what is turned; 0 stands for what follows from the factor.
        rope_mscale: of what follows from the factor, one part; 0 for none, as the next.
        rope_mscale_all_dim: the part that it is divided by.
        parallel: whether both blocks of a layer read the same input (GPT-NeoX), or one what the other wrote.
        qkv_bias: whether queries, keys and values have a bias.
        out_bias: whether the matrix behind attention has one.
        mlp_bias: whether those of the feed-forward layer have one.
        gated: whether the feed-forward layer multiplies a gate in.
        activation: of the feed-forward layer.
        skips: pairs ``(a, b)``: what layer a reads is added, normalised and times a gain, to what layer b reads.
        family: the kind of files it is written as (:mod:`regrow.model.families`); nothing is computed from it.

    Raises:
        OptionError: if there is no such decoder; names the option.
    """

    vocabulary: Annotated[int, Within(1, 2**24)]
    layers: Annotated[int, Within(1, 4096)]
    width: Annotated[int, Within(2, 2**20)]
    heads: Heads
    kv_heads: Heads
    hidden: Annotated[int, Within(1, 2**22)]
    context: Annotated[int, Within(2, LONGEST)]
    tied_embeddings: bool = True
    rope_theta: Annotated[float, Within(1, 1e12)] = 10000.0
    norm_epsilon: Annotated[float, Within(0, 1, open=True)] = 1e-5
    head_width: Annotated[int, Within(0, 2**20)] = 0
    norm: Norm = "rms"
    norm_place: Place = "before"
    head_norm: HeadNorm = "none"
    positions: Positions = "rotary"
    rope_share: Annotated[float, Within(0, 1, open=True)] = 1.0
    rope_scaling: Scaling = "none"
    rope_factor: Factor = 1.0
    rope_original_context: Annotated[int, Within(1, 2**20)] = 8192
    rope_low_factor: Factor = 1.0
    rope_high_factor: Factor = 4.0
    rope_beta_fast: Positive = 32.0
    rope_beta_slow: Positive = 1.0
    rope_truncate: bool = True
    rope_attention_factor: Share = 0.0
    rope_mscale: Share = 0.0
    rope_mscale_all_dim: Share = 0.0
    parallel: bool = False
    qkv_bias: bool = False
    out_bias: bool = False
    mlp_bias: bool = False
    gated: bool = True
    activation: Activation = "silu"
    skips: Pairs = ()
    family: str = "llama"

    def __post_init__(self) -> None:
        for option in fields(self):
            checked(option.name, hints()[option.name], getattr(self, option.name))
        if not self.head_width:
            if fault := uneven(self.heads, self.width):
                raise OptionError(fault, where="heads")
            object.__setattr__(self, "head_width", self.width // self.heads)
        if self.heads % self.kv_heads:
            raise OptionError(f"{self.kv_heads} key and value heads do not divide {self.heads} heads", where="kv_heads")
        if self.positions == "rotary" and (self.rope_width < 2 or self.rope_width % 2):
            raise OptionError(
                f"{self.rope_width} numbers of each head would be turned, which is not even",
                where="head_width" if self.rope_share == 1.0 else "rope_share",
                why="rotary positions turn pairs of numbers",
            )
        if self.rope_scaling == "llama3" and self.rope_high_factor <= self.rope_low_factor:
            raise OptionError("must be more than the low factor", where="rope_high_factor")
        if self.rope_scaling == "yarn" and self.rope_beta_fast < self.rope_beta_slow:
            raise OptionError("must not be less than the slow one", where="rope_beta_fast")
        if self.rope_scaling == "dynamic" and self.positions == "rotary" and self.rope_width < 4:
            raise OptionError("must be at least 4 where the base grows with the length", where="head_width")
        object.__setattr__(self, "skips", checked("skips", Pairs, self.skips))  # JSON has lists
        for pair in self.skips:
            if not 0 <= pair[0] < pair[1] < self.layers or self.skips.count(pair) > 1:
                raise OptionError(
                    f"there can be no connection {list(pair)}, or not twice",
                    where="skips",
                    why=f"the first layer comes before the second, and the last of all is {self.layers - 1}",
                )

    @property
    def rope_width(self) -> int:
        """How many numbers of a head are turned."""
        return int(self.head_width * self.rope_share)

    @property
    def qkv(self) -> tuple[int, int, int]:
        """The widths of queries, keys and values side by side."""
        keys = self.kv_heads * self.head_width
        return self.heads * self.head_width, keys, keys

    def shapes(self) -> Shapes:
        """Parameter names and shapes, in the order in which they are used.

        Matrices that read the same input are kept as one (queries, keys and values; gate and up).
        """
        shapes: Shapes = {"embed": (self.vocabulary, self.width)}
        if self.positions == "learned":
            shapes["positions"] = (self.context, self.width)
        layer = {
            **self._block("attention", self._attention()),
            **self._block("mlp", self._mlp()),
        }
        for i in range(self.layers):
            shapes |= dict.fromkeys((skip(pair) for pair in self.skips if pair[1] == i), (self.width,))
            shapes |= {f"{layer_name(i)}.{name}": shape for name, shape in layer.items()}
        shapes |= self._gains("norm", self.width)
        if not self.tied_embeddings:
            shapes["head"] = (self.vocabulary, self.width)
        return shapes

    def layered(self) -> tuple[str, ...]:
        """The names of the parameters of layers, which nothing but their own layer reads."""
        begins = tuple(f"{layer_name(i)}." for i in range(self.layers))
        return tuple(name for name in self.shapes() if name.startswith(begins))

    def _block(self, name: str, inside: Shapes) -> Shapes:
        before = self._gains("norm", self.width) if self.norm_place != "after" else {}
        after = self._gains("out_norm", self.width) if self.norm_place != "before" else {}
        return {f"{name}.{part}": shape for part, shape in (before | inside | after).items()}

    def _attention(self) -> Shapes:
        queries, keys, _ = self.qkv
        norms: Shapes = {}
        if self.head_norm != "none":
            alone = self.head_norm == "head"
            norms |= self._gains("q_norm", self.head_width if alone else queries)
            norms |= self._gains("k_norm", self.head_width if alone else keys)
        joined = _matrix("qkv", sum(self.qkv), self.width, self.qkv_bias)
        return joined | norms | _matrix("out", self.width, queries, self.out_bias)

    def _mlp(self) -> Shapes:
        name, rows = ("gate_up", 2 * self.hidden) if self.gated else ("up", self.hidden)
        return _matrix(name, rows, self.width, self.mlp_bias) | _matrix("down", self.width, self.hidden, self.mlp_bias)

    def _gains(self, name: str, width: int) -> Shapes:
        names = (name, f"{name}.bias") if self.norm == "layer" else (name,)
        return dict.fromkeys(names, (width,))


def skip(pair: tuple[int, int]) -> str:
    """The parameter of an extra connection: the gain of what the first layer reads, where the second reads it."""
    return f"{layer_name(pair[1])}.skip.{pair[0]:03}"


def layer_name(i: int) -> str:
    """What the names of the parameters of a layer begin with, numbered from 0."""
    return f"layers.{i:03}"


def _matrix(name: str, rows: int, columns: int, bias: bool) -> Shapes:
    shapes: Shapes = {name: (rows, columns)}
    return {**shapes, f"{name}.bias": (rows,)} if bias else shapes


@cache
def hints() -> dict[str, Any]:
    """The types of the options, with their bounds."""
    return get_type_hints(DecoderConfig, include_extras=True)


def uneven(heads: int, width: int) -> str:
    """What is wrong if heads do not share the width evenly, in words; nothing if they do."""
    return f"{heads} heads do not divide the width {width}" if width % heads else ""
