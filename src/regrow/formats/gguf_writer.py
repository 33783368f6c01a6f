"""GGUF: the one way in which we write a file, as a stream, with every type named and none guessed.

The format is version 3, little-endian, of docs/gguf.md in github.com/ggml-org/ggml. The specification leaves the order
of keys, tensors and data open; here equal contents are equal bytes:

* ``general.architecture`` is the first key, as converters have it; the others follow, sorted.
* ``general.alignment`` is there if the alignment is not 32, and never otherwise.
* Tensors are sorted by name, and their data has the same order: llama.cpp wants each to begin where the one before
  ends, rounded up to the alignment.
* Header and tensors, the last one too, are padded with zeros to the alignment.
* ``-0.0`` in metadata is written as ``+0.0``. The data of tensors is written as it is given.

What a reader would refuse, or cut off, is refused here: the limits are those of the specification, of llama.cpp (names
of 63 bytes, no arrays in arrays, no NUL in strings, since it hands them on as C has them) and of our own reader.
"""

from __future__ import annotations

import math
import re
import struct
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import BinaryIO

from regrow.formats.gguf import (
    ALIGNMENT,
    LONGEST_KEY,
    METADATA_LIMIT,
    MOST_KEYS,
    MOST_TENSORS,
    PLAIN,
    SCALARS,
    TYPES,
    Kind,
)
from regrow.formats.header import LARGEST, Problems, check_name, printable

VERSION = 3
LONGEST_NAME = 63
"""In bytes: the specification allows 64, llama.cpp wants one of them for a NUL."""
MOST_DIMENSIONS = 4

_ARCHITECTURE = "general.architecture"
_ALIGNMENT = "general.alignment"
_QUANTIZATION = "general.quantization_version"
_KEY = re.compile(r"[a-z0-9_]+(\.[a-z0-9_]+)*")
_PYTHON: Mapping[Kind, type] = {Kind.BOOL: bool, Kind.STRING: str, Kind.FLOAT32: float, Kind.FLOAT64: float}
_NUMBERS = {name: (number, block, size) for number, (name, block, size) in TYPES.items()}

Scalar = bool | int | float | str
Data = bytes | Callable[[], bytes | Iterable[bytes]]


@dataclass(frozen=True)
class Value:
    """A value of the metadata, of a type that is meant.

    Attributes:
        kind: how it is written; every one but ``ARRAY``.
        value: a ``bool``, ``str``, ``float`` or ``int``, as the kind asks for; a ``float`` is rounded to a FLOAT32.

    Raises:
        ValueError: if the value is of another Python type than the kind, or does not fit into it.
    """

    kind: Kind
    value: Scalar

    def __post_init__(self) -> None:
        _check_scalar(self.kind)
        _encoded(self.kind, self.value)


@dataclass(frozen=True)
class Array:
    """An array of the metadata: values of one kind, or none at all. Arrays of arrays are not written.

    Raises:
        ValueError: if a value is of another Python type than the kind, or does not fit into it.
    """

    kind: Kind
    values: tuple[Scalar, ...]

    def __post_init__(self) -> None:
        if type(self.values) is not tuple:
            raise ValueError(f"the values of an array are a {type(self.values).__name__}, not a tuple")
        _check_scalar(self.kind)
        for value in self.values:
            _encoded(self.kind, value)


@dataclass(frozen=True)
class Tensor:
    """A tensor to be written.

    Attributes:
        name: of up to 63 bytes.
        type: as GGML calls it, such as ``F32`` or ``Q8_0``.
        shape: as torch and numpy have it, rows first; the file has it the other way round.
        data: as GGML stores it, little-endian; or what gives it, whole or in pieces, when its turn comes.

    Raises:
        ValueError: if no reader would take such a tensor, or the data is not as long as type and shape ask for.
    """

    name: str
    type: str
    shape: tuple[int, ...]
    data: Data = field(repr=False)

    def __post_init__(self) -> None:
        _check_name(self.name)
        _check_shape(self.name, self.type, self.shape)
        if isinstance(self.data, bytes) and len(self.data) != self.size:
            raise ValueError(_length(self, f"{len(self.data):,}"))

    @property
    def size(self) -> int:
        """The bytes of its data."""
        _, block, size = _NUMBERS[self.type]
        return math.prod(self.shape) // block * size


def write_gguf(
    file: BinaryIO, metadata: Mapping[str, Value | Array], tensors: Iterable[Tensor], alignment: int = ALIGNMENT
) -> None:
    """Write a file, with one piece of a tensor in memory at a time.

    Args:
        file: to write to.
        metadata: in any order; without ``general.alignment``.
        tensors: in any order.
        alignment: of the data: a power of two from 8 to 65,536.

    Raises:
        ValueError: before anything is written, if a reader would refuse the file; and in the middle of it, if what a
            function gives is not as long as type and shape ask for. What is written by then is no GGUF file.
    """
    for piece in gguf_pieces(metadata, tensors, alignment):
        file.write(piece)


def gguf_bytes(metadata: Mapping[str, Value | Array], tensors: Iterable[Tensor], alignment: int = ALIGNMENT) -> bytes:
    """Give a whole file, for small ones; see ``write_gguf``."""
    return b"".join(gguf_pieces(metadata, tensors, alignment))


def gguf_pieces(
    metadata: Mapping[str, Value | Array], tensors: Iterable[Tensor], alignment: int = ALIGNMENT
) -> Iterator[bytes]:
    """Give a file in pieces; see ``write_gguf``. All but the data from functions is checked before this returns."""
    ordered = sorted(tensors, key=lambda tensor: tensor.name)
    _check_alignment(alignment)
    _check_tensors(ordered)
    _check_metadata(metadata, ordered)
    header = _header(metadata, ordered, alignment)
    return _pieces(header, ordered, alignment)


def _pieces(header: bytes, tensors: Sequence[Tensor], alignment: int) -> Iterator[bytes]:
    yield header
    for tensor in tensors:
        yield from _data(tensor)
        yield bytes(-tensor.size % alignment)


def _data(tensor: Tensor) -> Iterator[bytes]:
    """Give the data of a tensor, never more than belongs there."""
    given = tensor.data if isinstance(tensor.data, bytes) else tensor.data()
    count = 0
    for piece in (given,) if isinstance(given, bytes) else given:
        count += len(piece)
        if count > tensor.size:
            raise ValueError(_length(tensor, f"at least {count:,}"))
        yield piece
    if count < tensor.size:
        raise ValueError(_length(tensor, f"{count:,}"))


# The header


def _header(metadata: Mapping[str, Value | Array], tensors: Sequence[Tensor], alignment: int) -> bytes:
    entries = dict(metadata)
    if alignment != ALIGNMENT:
        entries[_ALIGNMENT] = Value(Kind.UINT32, alignment)
    parts = [b"GGUF" + struct.pack("<IQQ", VERSION, len(tensors), len(entries))]
    keys = sorted(entries, key=lambda key: (key != _ARCHITECTURE, key))
    parts.extend(_text(key) + _value(entries[key]) for key in keys)
    begin = 0
    for tensor in tensors:
        parts.append(_entry(tensor, begin))
        begin += tensor.size + -tensor.size % alignment
    header = b"".join(parts)
    if len(header) > METADATA_LIMIT or len(entries) > MOST_KEYS or begin > LARGEST:
        size = f"{len(header):,} bytes, of {len(entries):,} keys and of {begin:,} bytes of data"
        raise ValueError(f"a header of {size} is larger than what is read")
    return header + bytes(-len(header) % alignment)


def _value(value: Value | Array) -> bytes:
    """Encode the type of a value, and the value."""
    if isinstance(value, Value):
        return struct.pack("<I", value.kind) + _encoded(value.kind, value.value)
    head = struct.pack("<IIQ", Kind.ARRAY, value.kind, len(value.values))
    return head + b"".join(_encoded(value.kind, one) for one in value.values)


def _encoded(kind: Kind, value: Scalar) -> bytes:
    """Encode a value, and refuse one that is not of its kind."""
    wanted = _PYTHON.get(kind, int)
    if type(value) is not wanted or value != value:
        raise ValueError(f"{_shown(value)} is no {wanted.__name__} that can be written as {kind.name}")
    if isinstance(value, str):
        return _text(value)
    try:
        return struct.pack(f"<{SCALARS[kind]}", value + 0.0 if isinstance(value, float) else value)
    except (struct.error, OverflowError):
        raise ValueError(f"{_shown(value)} does not fit into {kind.name}") from None


def _text(text: str) -> bytes:
    try:
        raw = text.encode()
    except UnicodeEncodeError:
        raise ValueError(f"{_shown(text)} cannot be written in UTF-8") from None
    if b"\0" in raw:
        raise ValueError(f"{_shown(text)} has a NUL in it")
    return struct.pack("<Q", len(raw)) + raw


def _entry(tensor: Tensor, begin: int) -> bytes:
    """Encode what the header says of a tensor; GGML names the axis that is contiguous first."""
    count = len(tensor.shape)
    dimensions = struct.pack(f"<I{count}Q", count, *reversed(tensor.shape))
    return _text(tensor.name) + dimensions + struct.pack("<IQ", _NUMBERS[tensor.type][0], begin)


# What is refused


def _check_scalar(kind: Kind) -> None:
    if not isinstance(kind, Kind) or kind == Kind.ARRAY:
        raise ValueError(f"{_shown(kind)} is not the kind of a single value")


def _check_name(name: str) -> None:
    problems = Problems()
    check_name(name, problems)
    for examples in problems.found.values():
        raise ValueError(f"{examples[0]}, which is not safe as the name of a file")
    if (count := len(name.encode())) > LONGEST_NAME:
        raise ValueError(f"the name `{printable(name)}` has {count:,} bytes; up to {LONGEST_NAME} are read")


def _check_shape(name: str, type_: str, shape: tuple[int, ...]) -> None:
    if type_ not in _NUMBERS:
        raise ValueError(f"`{name}` is of the unknown type `{printable(str(type_))}`")
    if not 1 <= len(shape) <= MOST_DIMENSIONS:
        raise ValueError(f"`{name}` has {len(shape)} dimensions; 1 to {MOST_DIMENSIONS} can be written")
    if not all(type(size) is int and size >= 1 for size in shape) or math.prod(shape) > LARGEST:
        raise ValueError(f"`{name}` has the shape {printable(str(tuple(shape)))}, which makes no sense")
    block = _NUMBERS[type_][1]
    if shape[-1] % block:
        raise ValueError(
            f"a row of `{name}` has {shape[-1]:,} numbers, no multiple of the {block} in a block of {type_}"
        )


def _check_alignment(alignment: int) -> None:
    if type(alignment) is not int or not 8 <= alignment <= 1 << 16 or alignment & (alignment - 1):
        raise ValueError(f"the alignment is {alignment}, not a power of two from 8 to 65,536")


def _check_tensors(tensors: Sequence[Tensor]) -> None:
    """Check tensors that are sorted by name."""
    if not 1 <= len(tensors) <= MOST_TENSORS:
        raise ValueError(f"there are {len(tensors):,} tensors; 1 to {MOST_TENSORS:,} can be written")
    for before, tensor in pairwise(tensors):
        if before.name == tensor.name:
            raise ValueError(f"the tensor `{tensor.name}` is there twice")


def _check_metadata(metadata: Mapping[str, Value | Array], tensors: Sequence[Tensor]) -> None:
    for key, value in metadata.items():
        if not _KEY.fullmatch(key) or len(key) > LONGEST_KEY:
            raise ValueError(f"the key `{printable(key)}` is not made of lower_snake_case words with dots between them")
        if not isinstance(value, Value | Array):
            raise ValueError(f"`{key}` is of the type {type(value).__name__}, not a Value or an Array")
    if _ALIGNMENT in metadata:
        raise ValueError(f"`{_ALIGNMENT}` is written where the argument `alignment` asks for it")
    _check_key(metadata, _ARCHITECTURE, Kind.STRING, "a file")
    if quantised := [tensor.name for tensor in tensors if tensor.type not in PLAIN]:
        _check_key(metadata, _QUANTIZATION, Kind.UINT32, f"`{quantised[0]}`, which is quantised,")


def _check_key(metadata: Mapping[str, Value | Array], key: str, kind: Kind, what: str) -> None:
    found = metadata.get(key)
    if not isinstance(found, Value) or found.kind != kind:
        raise ValueError(f"{what} needs the key `{key}`, of the kind {kind.name}")


def _length(tensor: Tensor, found: str) -> str:
    shape = " x ".join(map(str, tensor.shape))
    return f"the data of `{tensor.name}` has {found} bytes; {tensor.type} of {shape} asks for {tensor.size:,}"


def _shown(value: object) -> str:
    return f"`{printable(repr(value), 60)}`"
