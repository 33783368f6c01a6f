"""GGUF: its metadata and list of tensors, read as a stream with every length checked before it is believed.

The format is that of docs/gguf.md in github.com/ggml-org/ggml; ``gguf_writer`` writes it. Lists, such as those of
tokens, are stepped over, and built only where they are asked for. Native loaders have had memory errors from lengths,
counts and dimensions in this header, so a file that this reader finds fault with should not be handed to one.
"""

from __future__ import annotations

import hashlib
import math
import struct
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any, BinaryIO

from regrow.formats import header
from regrow.formats.header import LARGEST, Fault, Problems, Stored, check_layout, check_name, printable

METADATA_LIMIT = 64 << 20
"""The largest header that is read, and that is written."""

MOST_KEYS = 100_000
MOST_TENSORS = 1_000_000
LONGEST_KEY = 1024
ALIGNMENT = 32
"""Of the tensors, if the metadata does not say."""

_KEPT_STRING = 1 << 16
_DEEPEST_ARRAY = 4
_CHUNK = 1 << 20


class Kind(IntEnum):
    """The types of metadata values, as the specification calls and numbers them."""

    UINT8 = 0
    INT8 = 1
    UINT16 = 2
    INT16 = 3
    UINT32 = 4
    INT32 = 5
    FLOAT32 = 6
    BOOL = 7
    STRING = 8
    ARRAY = 9
    UINT64 = 10
    INT64 = 11
    FLOAT64 = 12


SCALARS: Mapping[int, str] = {
    Kind.UINT8: "B",
    Kind.INT8: "b",
    Kind.UINT16: "H",
    Kind.INT16: "h",
    Kind.UINT32: "I",
    Kind.INT32: "i",
    Kind.FLOAT32: "f",
    Kind.BOOL: "B",
    Kind.UINT64: "Q",
    Kind.INT64: "q",
    Kind.FLOAT64: "d",
}
"""Kind of value -> its format in ``struct``."""

TYPES: Mapping[int, tuple[str, int, int]] = {
    0: ("F32", 1, 4),
    1: ("F16", 1, 2),
    2: ("Q4_0", 32, 18),
    3: ("Q4_1", 32, 20),
    6: ("Q5_0", 32, 22),
    7: ("Q5_1", 32, 24),
    8: ("Q8_0", 32, 34),
    9: ("Q8_1", 32, 40),
    10: ("Q2_K", 256, 84),
    11: ("Q3_K", 256, 110),
    12: ("Q4_K", 256, 144),
    13: ("Q5_K", 256, 176),
    14: ("Q6_K", 256, 210),
    15: ("Q8_K", 256, 292),
    16: ("IQ2_XXS", 256, 66),
    17: ("IQ2_XS", 256, 74),
    18: ("IQ3_XXS", 256, 98),
    19: ("IQ1_S", 256, 50),
    20: ("IQ4_NL", 32, 18),
    21: ("IQ3_S", 256, 110),
    22: ("IQ2_S", 256, 82),
    23: ("IQ4_XS", 256, 136),
    24: ("I8", 1, 1),
    25: ("I16", 1, 2),
    26: ("I32", 1, 4),
    27: ("I64", 1, 8),
    28: ("F64", 1, 8),
    29: ("IQ1_M", 256, 56),
    30: ("BF16", 1, 2),
    34: ("TQ1_0", 256, 54),
    35: ("TQ2_0", 256, 66),
    39: ("MXFP4", 32, 17),
}
"""Number of a type of tensors -> its name, numbers in a block, bytes of a block."""

PLAIN = frozenset(("F32", "F16", "BF16", "F64", "I8", "I16", "I32", "I64"))
"""The types that store each number by itself; all others are quantised."""


class _FaultError(Exception):
    """The bytes make no sense from here on."""

    def __init__(self, rule: Fault, text: str) -> None:
        super().__init__(text)
        self.rule = rule


@dataclass
class _Cursor:
    """The beginning of a file, read in pieces as it is needed."""

    file: BinaryIO
    size: int
    data: bytearray = field(default_factory=bytearray)
    position: int = 0

    def take(self, count: int) -> int:
        """Step over ``count`` bytes, which are then in ``data``; gives where they begin."""
        begin, end = self.position, self.position + count
        if end > min(self.size, METADATA_LIMIT):
            rule: Fault = "header-past-end" if end > self.size else "header-too-large"
            raise _FaultError(rule, f"at byte {begin:,} something of {count:,} bytes is said to follow")
        while len(self.data) < end:
            more = self.file.read(max(_CHUNK, end - len(self.data)))
            if not more:
                raise _FaultError("header-past-end", f"the file ends at byte {len(self.data):,}")
            self.data += more
        self.position = end
        return begin

    def number(self, format: str) -> Any:
        begin = self.take(struct.calcsize(f"<{format}"))
        return struct.unpack_from(f"<{format}", self.data, begin)[0]

    def text(self) -> str:
        length = self.number("Q")
        begin = self.take(length)
        return self.data[begin : begin + min(length, _KEPT_STRING)].decode("utf-8", "replace")


@dataclass(frozen=True)
class Header(header.Header):
    """The metadata and tensors of a file, as far as they could be read.

    Attributes:
        version: of the format.
        values: key -> value of scalars and strings (long ones cut); of arrays, their length, or a tuple if it was asked
            for.
        data: where the data of the tensors begins in the file.
    """

    version: int
    values: Mapping[str, Any]
    data: int = 0


def read_header(file: BinaryIO, size: int, whole: Collection[str] = ()) -> Header:
    """Read the beginning of a GGUF file. Whatever the bytes are, this gives a header and what is wrong with it.

    Args:
        file: at its beginning.
        size: of the whole file.
        whole: the keys of strings to give uncut and of arrays, of strings or numbers, to build; a string in them that
            is no UTF-8 is a fault.
    """
    cursor, problems = _Cursor(file, size), Problems()
    values: dict[str, Any] = {}
    tensors: list[Stored] = []
    version = 0
    try:
        version, count_tensors, count_values = _preamble(cursor)
        for _ in range(count_values):
            _pair(cursor, values, whole, problems)
        tensors.extend(_tensor(cursor, problems) for _ in range(count_tensors))
    except _FaultError as fault:
        problems.add(fault.rule, str(fault))
    else:
        _check(tensors, values, cursor, problems)
    alignment = values.get("general.alignment", ALIGNMENT)
    data = -(-cursor.position // alignment) * alignment if _is_alignment(alignment) else 0
    sha256 = hashlib.sha256(cursor.data[: cursor.position]).hexdigest()
    return Header(tuple(tensors), problems, sha256, cursor.position, version, values, data)


def _preamble(cursor: _Cursor) -> tuple[int, int, int]:
    begin = cursor.take(4)
    if cursor.data[begin : begin + 4] != b"GGUF":
        raise _FaultError("header-broken", "it does not begin with `GGUF`")
    version = cursor.number("I")
    if version not in (2, 3):
        what = "big-endian" if version in (2 << 24, 3 << 24) else f"of version {version:,}"
        raise _FaultError("header-version", f"it is {what}; versions 2 and 3, little-endian, are known")
    tensors, values = cursor.number("Q"), cursor.number("Q")
    if tensors > MOST_TENSORS or values > MOST_KEYS:
        raise _FaultError("header-too-large", f"it claims {tensors:,} tensors and {values:,} keys")
    return version, tensors, values


def _pair(cursor: _Cursor, values: dict[str, Any], whole: Collection[str], problems: Problems) -> None:
    key = cursor.text()
    if not key or len(key) > LONGEST_KEY or not key.isprintable():
        problems.add("header-name", f"a key is called `{printable(key)}`")
    type = cursor.number("I")
    read = _WHOLE.get(type) if key in whole else None
    value = read(cursor) if read else _value(cursor, type, 0, problems)
    if key in values:
        problems.add("header-duplicate-key", f"`{printable(key)}` occurs twice")
    else:
        values[key] = value


def _value(cursor: _Cursor, type: int, depth: int, problems: Problems) -> Any:
    if type == Kind.STRING:
        return cursor.text()
    if type == Kind.ARRAY:
        return _array(cursor, depth, problems)
    if type not in SCALARS:
        raise _FaultError("header-broken", f"a value is of the unknown type {type:,}")
    number = cursor.number(SCALARS[type])
    if type == Kind.BOOL and number > 1:
        problems.add("header-broken", f"a boolean has the value {number}")
    return bool(number) if type == Kind.BOOL else number


def _list(cursor: _Cursor) -> tuple[Any, ...]:
    """An array of strings or numbers, built."""
    type, count = cursor.number("I"), cursor.number("Q")
    if type in SCALARS:
        begin = cursor.take(count * struct.calcsize(f"<{SCALARS[type]}"))
        return struct.unpack_from(f"<{count}{SCALARS[type]}", cursor.data, begin)
    if type != Kind.STRING:
        raise _FaultError("header-broken", f"an array of strings or numbers is of type {type:,}")
    return tuple(_whole_text(cursor) for _ in range(min(count, cursor.size)))


def _whole_text(cursor: _Cursor) -> str:
    begin = cursor.take(cursor.number("Q"))
    try:
        return cursor.data[begin : cursor.position].decode("utf-8")
    except UnicodeDecodeError as error:
        raise _FaultError("header-broken", f"a string at byte {begin:,} is not UTF-8") from error


_WHOLE: Mapping[int, Callable[[_Cursor], Any]] = {Kind.ARRAY: _list, Kind.STRING: _whole_text}


def _array(cursor: _Cursor, depth: int, problems: Problems) -> int:
    """Step over an array; gives its length."""
    type, count = cursor.number("I"), cursor.number("Q")
    if type in SCALARS:
        cursor.take(count * struct.calcsize(f"<{SCALARS[type]}"))
    elif type == Kind.STRING:
        for _ in range(count):
            cursor.take(cursor.number("Q"))
    elif type == Kind.ARRAY and depth < _DEEPEST_ARRAY:
        for _ in range(count):
            _array(cursor, depth + 1, problems)
    else:
        raise _FaultError("header-broken", f"an array is of type {type:,}, or too deep")
    return int(count)


def _tensor(cursor: _Cursor, problems: Problems) -> Stored:
    name = cursor.text()
    check_name(name, problems)
    shown = printable(name)
    dimensions = cursor.number("I")
    if dimensions > 8:
        raise _FaultError("header-shape", f"`{shown}` has {dimensions:,} dimensions")
    shape = [cursor.number("Q") for _ in range(dimensions)]
    type, begin = cursor.number("I"), cursor.number("Q")
    count = math.prod(shape)
    if count > LARGEST or begin > LARGEST or any(size < 1 for size in shape):
        problems.add("header-shape", f"`{shown}` has a shape or a place that makes no sense")
        return Stored(name, "", 0, 0, None)
    if type not in TYPES:
        problems.add("header-unknown-type", f"`{shown}` is of the unknown type {type}")
        return Stored(name, f"type-{type}", count, begin, None)
    dtype, block, size = TYPES[type]
    if (shape[0] if shape else 1) % block:
        problems.add("header-shape", f"a row of `{shown}` is not made of whole blocks of {block}")
    return Stored(name, dtype, count, begin, begin + count // block * size, tuple(reversed(shape)))


def _is_alignment(value: Any) -> bool:
    return type(value) is int and 8 <= value <= 1 << 16 and value % 8 == 0


def _check(tensors: list[Stored], values: Mapping[str, Any], cursor: _Cursor, problems: Problems) -> None:
    seen: set[str] = set()
    for tensor in tensors:
        if tensor.name in seen:
            problems.add("header-duplicate-key", f"the tensor `{printable(tensor.name)}` occurs twice")
        seen.add(tensor.name)
    alignment = values.get("general.alignment", ALIGNMENT)
    if not _is_alignment(alignment):
        problems.add("header-shape", f"the alignment is {printable(str(alignment))}")
        return
    if bad := [tensor.name for tensor in tensors if tensor.begin % alignment]:
        problems.add("header-alignment", f"`{printable(bad[0])}` does not begin at a multiple of {alignment}")
    if tensors:
        data = -(-cursor.position // alignment) * alignment
        check_layout(tensors, cursor.size - data, alignment, problems)
    else:
        problems.add("header-empty", "there are no tensors in it")
