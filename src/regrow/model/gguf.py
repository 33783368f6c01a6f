"""A decoder out of a GGUF file, in float32, whatever its numbers are stored as.

The names of tensors are those of the ``gguf`` package, which also knows what the bytes of quantised blocks stand for.
What the keys are called is written in docs/gguf.md of github.com/ggml-org/ggml.

Example:
    >>> model = load(Path("SmolLM2-135M-Instruct.Q4_1.gguf"))
    >>> model.config.layers
    30
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from regrow.errors import InputError
from regrow.formats.gguf import Header, read_header
from regrow.model.config import DecoderConfig
from regrow.model.families import families
from regrow.model.family import Family
from regrow.model.keys import SCALINGS
from regrow.model.options import OptionError
from regrow.model.pieces import Form, Gated, Heads, Whole
from regrow.model.weights import Ends
from regrow.words import listed, shown

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

STORED = ("F32", "F16", "BF16", "Q8_0", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q4_K", "Q6_K")
"""The types of tensors that are read."""

ARCHITECTURES: Mapping[str, str] = {
    "llama": "llama",
    "qwen2": "qwen2",
    "qwen3": "qwen3",
    "olmo2": "olmo2",
    "gpt2": "gpt2",
    "gptneox": "gpt_neox",
}
"""What a file calls its architecture -> the family of ours."""

_INTERLEAVED = ("llama",)
_KEYS: Mapping[str, str] = {
    "block_count": "layers",
    "embedding_length": "width",
    "attention.head_count": "heads",
    "attention.head_count_kv": "kv_heads",
    "attention.key_length": "head_width",
    "feed_forward_length": "hidden",
    "context_length": "context",
    "attention.layer_norm_rms_epsilon": "norm_epsilon",
    "attention.layer_norm_epsilon": "norm_epsilon",
    "use_parallel_residual": "parallel",
}
_ROTARY: Mapping[str, str] = {
    "rope.freq_base": "rope_theta",
    "rope.dimension_count": "partial_rotary_factor",
    "rope.scaling.type": "rope_type",
    "rope.scaling.factor": "factor",
}
_NUMBERS = frozenset((*_KEYS, *_ROTARY)) - {"rope.scaling.type"}
_WHOLE = frozenset((
    *(f"tokenizer.ggml.{name}" for name in ("tokens", "token_type", "merges", "scores")),
    "tokenizer.chat_template",
    *(f"{architecture}.{key}" for architecture in ARCHITECTURES for key in (*_KEYS, *_ROTARY)),
))  # fmt: skip
"""What is asked for whole: of a tokenizer, its lists; of a decoder, numbers, and a list of them is not its length."""
_NAMED = 3


class InTurn(Heads):
    """Queries, keys and values as three, the two halves of each head interleaved: llama.cpp turns a Llama's so."""

    def together(self, config: DecoderConfig, tensors: list[Tensor]) -> Tensor:  # type: ignore[override]
        """See :class:`regrow.model.pieces.Form`."""
        heads = (config.heads, config.kv_heads)
        query, key = (_halves(x, count) for x, count in zip(tensors, heads, strict=False))
        return super().together(config, [query, key, tensors[2]])


@dataclass(frozen=True)
class Model:
    """What a file holds.

    Attributes:
        config: the decoder.
        parameters: float32, by our names.
        metadata: key -> value; lists of the tokenizer are tuples.
    """

    config: DecoderConfig
    parameters: dict[str, Tensor]
    metadata: Mapping[str, Any]


def metadata(path: Path) -> Mapping[str, Any]:
    """What a file says of itself and of its tokenizer.

    Raises:
        InputError: if its header is broken.
    """
    return _header(path).values


def ends(said: Mapping[str, Any]) -> Ends:
    """The tokens that begin and end a text; where a file does not say one, it is the other, or the first."""
    begin, end = (said.get(f"tokenizer.ggml.{name}_token_id") for name in ("bos", "eos"))
    known = [token for token in (end, begin) if type(token) is int] or [0]
    return Ends(begin if type(begin) is int else known[0], known[0])


def load(path: Path) -> Model:
    """Read a model.

    Raises:
        InputError: if the file is broken, or holds a model or numbers that are not known here.
    """
    header = _header(path)
    family = _family(path, header)
    stored = {tensor.name: tensor for tensor in header.tensors}
    config = _config(path, header, family)
    theirs = replace(family, parameters=dict(_forms(family, config)))
    _require(path, theirs.shapes(config), stored)
    tensors = dict(_tensors(path, header, theirs.shapes(config)))
    return Model(config, theirs.together(config, tensors), header.values)


def _header(path: Path) -> Header:
    try:
        with path.open("rb") as file:
            header = read_header(file, path.stat().st_size, _WHOLE)
    except OSError as error:
        raise _unreadable(path, error.strerror or str(error)) from error
    for examples in header.problems.found.values():
        raise _unreadable(path, examples[0])
    return header


def _family(path: Path, header: Header) -> Family:
    name = header.values.get("general.architecture")
    if name not in list(ARCHITECTURES):
        raise InputError(
            f"a model of the architecture {shown(name)} cannot be read", where=f"{path}: general.architecture",
            why="its tensors have names and an order that are not known here",
            hint=f"known are {listed(ARCHITECTURES)}",
        )  # fmt: skip
    return families()[ARCHITECTURES[str(name)]]


def _config(path: Path, header: Header, family: Family) -> DecoderConfig:
    """The decoder, in the words of the family's ``config.json``: what that leaves out is as usual in the family."""
    keys = dict(_keys(path, header))
    options = {option: keys[key] for key, option in _KEYS.items() if key in keys}
    shapes = {tensor.name: tensor.shape for tensor in header.tensors}
    options["vocabulary"] = shapes.get("token_embd.weight", (0,))[0]
    options["tied_embeddings"] = "output.weight" not in shapes
    options["qkv_bias"] = "blk.0.attn_q.bias" in shapes or "blk.0.attn_qkv.bias" in shapes
    options["out_bias"] = "blk.0.attn_output.bias" in shapes
    options["mlp_bias"] = "blk.0.ffn_down.bias" in shapes
    values: dict[str, Any] = {place: value for option, value in options.items() if (place := family.place(option))}
    if rotary := family.place("rope_theta"):
        values[rotary] = _rotary(path, keys, options)
    try:
        config = family.read(values)
    except OptionError as error:
        where = f"{path}: {_said_by(header, family, error.where)}"
        raise InputError(error.what, where=where, why=error.why, hint=error.hint) from error
    lost = [name for name, value in options.items() if getattr(config, name) != value and name != "head_width"]
    if lost:
        raise _unreadable(path, f"no model of the kind `{family.name}` has such {listed(lost)}")
    return config


def _keys(path: Path, header: Header) -> Iterator[tuple[str, Any]]:
    """The keys of the architecture, without its name in front."""
    prefix = _prefix(header)
    for key, value in header.values.items():
        if not key.startswith(prefix):
            continue
        name = key.removeprefix(prefix)
        if name in _NUMBERS and type(value) not in (int, float, bool):
            raise InputError(
                f"must be a number, not {shown(value)}", where=f"{path}: {key}",
                why="layers that are not all alike are not known here" if isinstance(value, tuple) else "",
            )  # fmt: skip
        # A float32 of the file, as the decimal number that was meant: 1e-05 and not 9.999999747378752e-06.
        yield name, _decimal(value) if isinstance(value, float) else value


def _prefix(header: Header) -> str:
    return f"{header.values['general.architecture']}."


def _said_by(header: Header, family: Family, place: str) -> str:
    """The key of the file for one of ``config.json``; what is told by no key is told by the shapes of tensors."""
    keys = [key for key, option in _KEYS.items() if family.place(option) == place]
    keys = [key for key in keys if f"{_prefix(header)}{key}" in header.values] or keys
    keys += [key for key, member in _ROTARY.items() if place.endswith(f".{member}")]
    return f"{_prefix(header)}{keys[0]}" if keys else place


def _decimal(value: float) -> float:
    import numpy as np

    return float(str(np.float32(value)))


def _rotary(path: Path, keys: Mapping[str, Any], options: Mapping[str, Any]) -> dict[str, Any]:
    kind = keys.get("rope.scaling.type", "none")
    words = {"none": "default", "linear": "linear"}
    if kind not in words:
        raise InputError(
            f"positions that are scaled as {shown(kind)} cannot be read", where=f"{path}: rope.scaling.type",
            hint=f"known are {listed(words)}",
        )  # fmt: skip
    table = {"rope_type": words[kind], "rope_theta": keys.get("rope.freq_base", 10000.0)}
    assert table["rope_type"] in SCALINGS
    if kind == "linear":
        table["factor"] = keys.get("rope.scaling.factor")
    if turned := keys.get("rope.dimension_count"):
        width = options.get("head_width") or options["width"] // max(1, options["heads"])
        table["partial_rotary_factor"] = turned / width if width else None
    return table


def _forms(family: Family, config: DecoderConfig) -> Iterator[tuple[str, Form]]:
    """How the parameters lie in a file: transposed and interleaved matrices of Hugging Face's files are plain there."""
    import gguf

    arch = next(one for one, name in gguf.MODEL_ARCH_NAMES.items() if ARCHITECTURES.get(name) == family.name)
    names = gguf.get_tensor_name_map(arch, config.layers)
    turned = any(ARCHITECTURES[name] == family.name for name in _INTERLEAVED)

    def theirs(module: str) -> str:
        name = names.get_name(module.replace("*", "0"))
        if name is None:
            raise AssertionError(f"the library has no name for {module}")
        return name.replace("blk.0.", "blk.*.")

    for ours, form in family.parameters.items():
        modules = tuple(map(theirs, form.modules))
        match form:
            case Heads():
                yield ours, (InTurn if turned else Heads)(*modules)
            case Gated():
                yield ours, Gated(*modules)
            case _:
                yield ours, Whole(*modules)


def _require(path: Path, wanted: Mapping[str, tuple[int, ...]], stored: Mapping[str, Any]) -> None:
    """The tensors are those of the decoder, told before anything large is read."""
    if missing := [name for name in wanted if name not in stored]:
        raise _unreadable(path, f"it lacks {_some(missing)}")
    if "rope_freqs.weight" in stored:
        raise InputError(
            "this model cannot be read", where=f"{path}: rope_freqs.weight",
            why="it turns its heads at frequencies of its own, as Llama 3.1 does",
            hint="take the model's folder with its `config.json` instead",
        )  # fmt: skip
    if extra := [name for name in sorted(stored) if name not in wanted]:
        raise _unreadable(path, f"it has tensors that such a model does not have: {_some(extra)}")
    for name, shape in wanted.items():
        if stored[name].shape != shape:
            raise _unreadable(path, f"`{name}` is {stored[name].shape}, and the keys tell of {shape}")
        if (kind := stored[name].dtype) not in STORED:
            raise InputError(
                f"numbers of the type {kind} cannot be read",
                where=f"{path}: {name}",
                hint=f"known are {listed(STORED)}",
            )


def _tensors(path: Path, header: Header, wanted: Mapping[str, tuple[int, ...]]) -> Iterator[tuple[str, Tensor]]:
    """The numbers of each tensor; the file is mapped, and one tensor's blocks are turned into numbers at a time."""
    import gguf
    import numpy as np
    import torch

    data = np.memmap(path, mode="r", dtype=np.uint8, offset=header.data)
    for tensor in header.tensors:
        raw: np.ndarray[Any, Any] = data[tensor.begin : tensor.end]
        kind = gguf.GGMLQuantizationType[tensor.dtype]
        numbers = gguf.quants.dequantize(raw.reshape(tensor.shape[0] if len(tensor.shape) > 1 else 1, -1), kind)
        yield tensor.name, torch.from_numpy(numbers.astype(np.float32, copy=True)).reshape(wanted[tensor.name])


def _halves(x: Tensor, heads: int) -> Tensor:
    """Rows of a head that lie as pairs, as two halves."""
    pairs = x.view(heads, x.shape[0] // heads // 2, 2, -1)
    return pairs.transpose(1, 2).reshape(x.shape)


def _some(names: list[str]) -> str:
    rest = len(names) - _NAMED
    return listed(names[:_NAMED]) + (f" and {rest} more" if rest > 0 else "")


def _unreadable(path: Path, why: str) -> InputError:
    return InputError("this model cannot be read", where=str(path), why=why)
