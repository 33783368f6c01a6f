"""A decoder as the keys and tensors of a GGUF file: what :mod:`regrow.model.gguf` reads, from the same declarations.

Whatever a file cannot tell is refused by its name before anything is written: no engine would compute it, and none
would say so.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, replace
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from regrow.errors import InputError
from regrow.formats.gguf import Kind
from regrow.formats.gguf_blocks import BLOCK, ROUNDING, WHOLE, UnfitError, encode, encode_whole
from regrow.formats.gguf_writer import Tensor, Value
from regrow.model.config import DecoderConfig
from regrow.model.families import families
from regrow.model.family import Family
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

    from regrow.model.packed import Codes

FILE_TYPES: Mapping[str, int] = {
    "F32": 0, "F16": 1, "BF16": 32, "Q8_0": 7, "Q4_0": 2, "Q4_1": 3, "Q5_0": 8, "Q5_1": 9,
}  # fmt: skip
"""The types of files there can be -> what llama.cpp calls each in ``general.file_type``."""

_ELSE = "`--to hf` writes what transformers reads, if that can"
_AT_ONE_LENGTH = "choose the length for which they are right with `context`, as in `--context 4096`"
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
        rounded: names of those that were integers of few bits, for which their type has no room, with it.
    """

    metadata: Mapping[str, Value]
    tensors: tuple[Tensor, ...]
    kept: Mapping[str, str]
    rounded: Mapping[str, str]

    def remarks(self) -> list[str]:
        """What is not as whoever asked for it may think, in words."""
        kept = sorted({(own, re.sub(r"^blk\.\d+\.", "blk.*.", name)) for name, own in self.kept.items()})
        types = sorted(set(self.rounded.values()))
        again = [f"of matrices that are integers, {len(self.rounded)} are rounded once more, to {listed(types)}"]
        return [f"`{name}` is written as {own}" for own, name in kept] + (again if types else [])


@dataclass(frozen=True)
class Laid:
    """A decoder as the tensors of a file, whose types are still to be chosen.

    Attributes:
        tensors: float32, by the names of the file.
        whole: those of them that are integers with scales.
    """

    tensors: Mapping[str, torch.Tensor]
    whole: Mapping[str, Codes]

    def tensor(self, name: str, type: str) -> Tensor:
        """A tensor of a file, whose bytes are made when they are asked for."""
        return Tensor(name, type, tuple(self.tensors[name].shape), partial(self.encoded, name, type))

    def encoded(self, name: str, type: str) -> bytes:
        """The bytes of a tensor; a matrix of integers is written with these where the type has room for them.

        Raises:
            InputError: if its numbers do not fit into the type.
        """
        codes = self.whole.get(name)
        if codes and _has_room(type, codes):
            scales = codes.scales.repeat_interleave(codes.group // BLOCK, 1)
            return encode_whole(codes.integers.numpy(), scales.numpy(), type)
        try:
            return encode(self.tensors[name].contiguous().numpy(), type)
        except UnfitError as error:
            raise InputError(
                f"the numbers of `{name}` cannot be written as {type}", why=str(error), hint="choose another type"
            ) from error


def laid(config: DecoderConfig, parameters: Mapping[str, torch.Tensor], codes: Mapping[str, Codes]) -> Laid:
    """Lay the parameters of a decoder out as tensors; see :func:`written`."""
    architecture = architecture_of(config)
    family = laid_out(architecture)
    tensors = family.apart(config, parameters)
    if config.tied_embeddings and ARCHITECTURES[architecture].head:
        tensors[HEAD] = tensors[EMBEDDING]
    if config.rope_scaling == "llama3":
        from regrow.model.rotary import divisors

        tensors[FREQUENCIES] = divisors(config)
    return Laid(tensors, dict(_pieces(family, config, codes)))


def written(
    config: DecoderConfig,
    parameters: Mapping[str, torch.Tensor],
    type: str,
    codes: Mapping[str, Codes] = MappingProxyType({}),
) -> Written:
    """Lay a decoder out.

    Numbers that are one for each feature, and learned positions, are F32 whatever is asked for, as engines want them.
    Of a type with less than eight bits, the matrix that gives the logits is Q8_0; and of a matrix whose rows are no
    whole blocks, F16. A matrix that is integers with scales already is written with these, where its type has room for
    them: then an engine computes with the very same numbers.

    Args:
        config: the decoder.
        parameters: float32, by our names.
        type: one of :data:`FILE_TYPES`.
        codes: of the parameters, those that are integers with scales.

    Raises:
        InputError: if a file cannot tell of this decoder, or hold its numbers as ``type``.
    """
    architecture = architecture_of(config)
    _require_known(config, architecture)
    said, found = dict(_keys(config, architecture)), laid(config, parameters, codes)
    tensors = found.tensors
    _require_the_same(config, said, tensors)
    logits = HEAD if HEAD in tensors else EMBEDDING
    types = {name: _type(name, tuple(x.shape), type, name == logits) for name, x in tensors.items()}
    said["general.file_type"] = Value(Kind.UINT32, FILE_TYPES[type])
    said["general.quantization_version"] = Value(Kind.UINT32, _QUANTIZATION)
    said["general.size_label"] = Value(Kind.STRING, _size(sum(x.numel() for x in parameters.values())))
    if type not in _PLAIN:
        said["regrow.rounding"] = Value(Kind.STRING, ROUNDING)
    kept = {name: own for name, own in types.items() if own != type and tensors[name].dim() > 1}
    fitting = {name for name, codes in found.whole.items() if _has_room(types[name], codes)}
    rounded = {name: types[name] for name in found.whole if name not in fitting and types[name] != "F32"}
    return Written(said, tuple(found.tensor(name, types[name]) for name in tensors), kept, rounded)


def _pieces(family: Family, config: DecoderConfig, codes: Mapping[str, Codes]) -> Iterator[tuple[str, Codes]]:
    """The matrices of the file that are integers with scales."""
    for ours, form, theirs in family.places(config):
        if ours in codes:
            yield from zip(theirs, codes[ours].apart(form, config), strict=True)


def _has_room(type: str, codes: Codes) -> bool:
    """Whether blocks of a type can be these integers and scales."""
    exact = bool((codes.scales.half().float() == codes.scales).all())
    return codes.bits <= WHOLE.get(type, 0) and codes.group % BLOCK == 0 and exact


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
        what, why = f"positions that are scaled as {shown(scaling)}", "engines have no such rule, and would not say"
        raise _untold(what, why, _AT_ONE_LENGTH if scaling == "dynamic" else _ELSE)
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


def _untold(what: str, why: str, hint: str = _ELSE) -> InputError:
    return InputError(f"{what} cannot be written as GGUF", why=why, hint=hint)
