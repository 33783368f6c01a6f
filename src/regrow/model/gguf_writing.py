"""A decoder as the keys and tensors of a GGUF file: what :mod:`regrow.model.gguf` reads, from the same declarations.

Whatever a file cannot tell is refused by its name before anything is written: no engine would compute it, and none
would say so.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any

from regrow.errors import InputError
from regrow.formats.gguf import Kind
from regrow.formats.gguf_blocks import BLOCK, ROUNDING, UnfitError, encode
from regrow.formats.gguf_writer import Tensor, Value
from regrow.model.config import DecoderConfig
from regrow.model.families import families
from regrow.model.gguf import config_of
from regrow.model.gguf_layout import (
    ARCHITECTURES,
    BIASES,
    DIMENSIONS,
    EMBEDDING,
    FREQUENCIES,
    HEAD,
    KEYS,
    ONLY,
    OWN_ROTARY,
    POSITIONS,
    ROTARY,
    SCALING,
    SCALINGS,
    architecture_of,
    laid_out,
)
from regrow.model.options import OptionError
from regrow.words import listed, shown

if TYPE_CHECKING:
    import torch

FILE_TYPES: Mapping[str, int] = {
    "F32": 0, "F16": 1, "BF16": 32, "Q8_0": 7, "Q4_0": 2, "Q4_1": 3, "Q5_0": 8, "Q5_1": 9,
}  # fmt: skip
"""The types of files there can be -> what llama.cpp calls each in ``general.file_type``."""

_PLAIN = ("F32", "F16", "BF16")
_FEW_BITS = ("Q4_0", "Q4_1", "Q5_0", "Q5_1")
_QUANTIZATION = 2


@dataclass(frozen=True)
class Written:
    """What a decoder is in a file.

    Attributes:
        metadata: the keys that tell of the decoder and of its types.
        tensors: names, types and shapes at once, the bytes when they are asked for.
        kept: names of matrices that are not of the type that was asked for, each with its type.
    """

    metadata: Mapping[str, Value]
    tensors: tuple[Tensor, ...]
    kept: Mapping[str, str]


def written(config: DecoderConfig, parameters: Mapping[str, torch.Tensor], type: str) -> Written:
    """Lay a decoder out.

    Numbers that are one for each feature, and learned positions, are F32 whatever is asked for, as engines want them.
    Of a type with less than eight bits, the matrix that gives the logits is Q8_0; and of a matrix whose rows are no
    whole blocks, F16.

    Args:
        config: the decoder.
        parameters: float32, by our names.
        type: one of :data:`FILE_TYPES`.

    Raises:
        InputError: if a file cannot tell of this decoder, or hold its numbers as ``type``.
    """
    architecture = architecture_of(config)
    _require_known(config, architecture)
    tensors = laid_out(architecture).apart(config, parameters)
    if config.tied_embeddings and ARCHITECTURES[architecture].head:
        tensors[HEAD] = tensors[EMBEDDING]
    said = dict(_keys(config, architecture))
    if config.rope_scaling == "llama3":
        from regrow.model.rotary import divisors

        tensors[FREQUENCIES] = divisors(config)
    _require_the_same(config, said, tensors)
    logits = HEAD if HEAD in tensors else EMBEDDING
    types = {name: _type(name, tuple(x.shape), type, name == logits) for name, x in tensors.items()}
    said["general.file_type"] = Value(Kind.UINT32, FILE_TYPES[type])
    said["general.quantization_version"] = Value(Kind.UINT32, _QUANTIZATION)
    said["general.size_label"] = Value(Kind.STRING, _size(sum(x.numel() for x in parameters.values())))
    if type not in _PLAIN:
        said["regrow.rounding"] = Value(Kind.STRING, ROUNDING)
    kept = {name: own for name, own in types.items() if own != type and tensors[name].dim() > 1}
    return Written(said, tuple(_tensor(name, types[name], x) for name, x in tensors.items()), kept)


def _tensor(name: str, type: str, x: torch.Tensor) -> Tensor:
    def data() -> bytes:
        try:
            return encode(x.contiguous().numpy(), type)
        except UnfitError as error:
            raise InputError(
                f"the numbers of `{name}` cannot be written as {type}", why=str(error), hint="choose another type"
            ) from error

    return Tensor(name, type, tuple(x.shape), data)


def _type(name: str, shape: tuple[int, ...], wanted: str, logits: bool) -> str:
    if len(shape) == 1 or name == POSITIONS:
        return "F32"
    if wanted not in _PLAIN and shape[-1] % BLOCK:
        return "F16"
    return "Q8_0" if wanted in _FEW_BITS and logits else wanted


def _size(count: int) -> str:
    """How many parameters there are, as it is written on files: `135M`."""
    for letter, unit in (("T", 10**12), ("B", 10**9), ("M", 10**6), ("K", 10**3)):
        if count >= unit:
            return f"{_rounded(count, unit)}{letter}"
    return str(count)


def _rounded(count: int, unit: int) -> str:
    tenths = (10 * count + unit // 2) // unit
    return str(tenths // 10) if tenths >= 100 or tenths % 10 == 0 else f"{tenths // 10}.{tenths % 10}"


# What a decoder says


def _keys(config: DecoderConfig, architecture: str) -> Iterator[tuple[str, Value]]:
    yield "general.architecture", Value(Kind.STRING, architecture)
    for key, (kind, option) in KEYS.items():
        name, wanted = ONLY.get(key, (option, getattr(config, option)))
        if getattr(config, name) == wanted:
            yield f"{architecture}.{key}", Value(kind, getattr(config, option))
    yield f"{architecture}.attention.value_length", Value(Kind.UINT32, config.head_width)
    yield f"{architecture}.vocab_size", Value(Kind.UINT32, config.vocabulary)
    if config.positions == "rotary":
        yield from _rotary(config, architecture)


def _rotary(config: DecoderConfig, architecture: str) -> Iterator[tuple[str, Value]]:
    """The table ``rope_parameters`` of the family's ``config.json``, each of its members by the key that says it."""
    table = dict(families()[config.family].write(config)["rope_parameters"])
    scaling = table["rope_type"]
    by_divisors = scaling == "llama3"
    if scaling not in SCALINGS.values() and not by_divisors:
        raise _untold(f"positions that are scaled as {shown(scaling)}", "engines have no such rule, and would not say")
    if by_divisors and architecture != "llama":
        raise _untold(f"positions that are scaled as {shown(scaling)}", f"no engine does so for `{architecture}`")
    yield f"{architecture}.{DIMENSIONS}", Value(Kind.UINT32, config.rope_width)
    table.pop("partial_rotary_factor", None)
    keys: dict[str, tuple[Kind, str]] = {f"{architecture}.{key}": said for key, said in ROTARY.items()}
    if by_divisors:
        keys = {f"{architecture}.rope.freq_base": ROTARY["rope.freq_base"], **OWN_ROTARY}
    else:
        del table["rope_type"]
        told = next(key for key, name in SCALINGS.items() if name == scaling)
        if told != "none":
            yield f"{architecture}.{SCALING}", Value(Kind.STRING, told)
    for key, (kind, member) in keys.items():
        if member in table:
            value = table.pop(member)
            yield key, Value(kind, float(value) if kind == Kind.FLOAT32 else value)
    if table:
        raise _untold(f"`rope_parameters` with {listed(table)}", "no key of such a file says it")


def _require_known(config: DecoderConfig, architecture: str) -> None:
    """The decoder is one of its family, and an engine knows what it is made of."""
    try:
        families()[config.family].write(config)
    except OptionError as error:
        raise _untold("this decoder", error.what) from error
    known = ARCHITECTURES[architecture]
    for option in BIASES:
        if getattr(config, option) and option not in known.biases:
            raise _untold(f"a decoder with `{option}`", f"models of `{architecture}` have no such biases in engines")
        if not getattr(config, option) and option in known.needed:
            raise _untold(f"a decoder without `{option}`", f"models of `{architecture}` always have it in engines")


def _require_the_same(config: DecoderConfig, said: Mapping[str, Value], tensors: Mapping[str, Any]) -> None:
    """What a reader makes of the keys is the decoder that they are of; only a number may be rounded to float32."""
    shapes = {name: tuple(x.shape) for name, x in tensors.items()}
    try:
        read = config_of("", {key: value.value for key, value in said.items()}, shapes, config.tied_embeddings)
    except (InputError, OptionError) as error:
        raise _untold("this decoder", f"its file would be read so: {error.what}") from error
    read = replace(read, family=config.family)
    family = families()[config.family]
    lost = [one.name for one in fields(config) if not _alike(getattr(read, one.name), getattr(config, one.name))]
    # What another value of it would not change in the family's own files either is part of no such decoder.
    whole = family.write(config)
    lost = [name for name in lost if family.write(replace(config, **{name: getattr(read, name)})) != whole]
    if lost:
        raise _untold(f"a decoder with this {listed(lost)}", "no key of such a file says it")


def _alike(one: object, other: object) -> bool:
    if isinstance(one, float) and isinstance(other, float):
        return math.isclose(one, other, rel_tol=2**-23)
    return one == other


def _untold(what: str, why: str) -> InputError:
    return InputError(
        f"{what} cannot be written as GGUF", why=why, hint="`--to hf` writes what transformers reads, if that can"
    )
