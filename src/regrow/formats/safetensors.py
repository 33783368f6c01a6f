"""safetensors: a reader of the header, stricter than the library, and the one way in which we write a file.

The header is a length of 8 bytes and as many bytes of JSON: tensor name -> dtype, shape and place. Names occur once,
the data has neither holes nor overlaps, and it ends where the file ends. The library lets some odd files pass:
duplicate names, unknown fields, names that climb out of a folder. Here each is a problem that is told.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, BinaryIO, Literal

from regrow.errors import InputError
from regrow.formats import header
from regrow.formats.header import HEADER_LIMIT, LARGEST, Problems, Stored, check_layout, check_name, printable

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor

FORMAT_LIMIT = 100_000_000
_BITS = {
    **dict.fromkeys(("BOOL", "I8", "U8", "F8_E4M3", "F8_E5M2", "F8_E8M0", "F8_E4M3FNUZ", "F8_E5M2FNUZ"), 8),
    **dict.fromkeys(("I16", "U16", "F16", "BF16"), 16),
    **dict.fromkeys(("I32", "U32", "F32"), 32),
    **dict.fromkeys(("I64", "U64", "F64", "C64"), 64),
    **dict.fromkeys(("F6_E2M3", "F6_E3M2"), 6),
    "F4": 4,
}
_FLOAT = "torch.float32"
_WRITTEN = {_FLOAT: ("F32", "<f4"), "torch.int32": ("I32", "<i4"), "torch.int64": ("I64", "<i8")}
_ALIGNMENT = 8
STRETCH = 1 << 20
"""Bytes of a tensor that are copied at a time."""
Dtype = Literal["float32", "bfloat16"]
"""What numbers are written as, in transformers' words."""
SIZES: Mapping[Dtype, int] = {"float32": 4, "bfloat16": 2}
_FIELDS = {"dtype", "shape", "data_offsets"}


@dataclass(frozen=True)
class Header(header.Header):
    """A header, as far as it could be read; ``metadata`` has the strings of ``__metadata__``."""

    metadata: Mapping[str, str]


def read_header(file: BinaryIO, size: int) -> Header:
    """Read a header. Whatever the bytes are, this gives a header and what is wrong with it.

    Args:
        file: at its beginning.
        size: of the whole file.
    """
    problems = Problems()
    head, raw = _raw(file, size, problems)
    if raw is None:
        return Header((), problems, hashlib.sha256(head).hexdigest(), len(head), {})
    tensors, metadata = _parse(raw, problems)
    end = len(head) + len(raw)
    if len(raw) % _ALIGNMENT:
        problems.add("header-alignment", f"the data begins at byte {end:,}, which is no multiple of 8")
    check_layout(tensors, size - end, 1, problems)
    return Header(tensors, problems, hashlib.sha256(head + raw).hexdigest(), end, metadata)


def read_entries(file: BinaryIO, size: int) -> Mapping[str, Any]:
    """Read what a header says of each tensor, as it stands there: for whoever needs no more than shapes.

    Raises:
        InputError: if it is no header, or one too large to read.
    """
    problems = Problems()
    _, raw = _raw(file, size, problems)
    found = _entries(raw or b"{}", problems)
    for rule in ("header-truncated", "header-too-large", "header-broken"):
        if examples := problems.found.get(rule):
            raise InputError("the safetensors header cannot be read", why=examples[0])
    return {name: entry for name, entry in found.items() if name != "__metadata__"}


def safetensors_bytes(
    tensors: Mapping[str, Tensor],
    dtype: Dtype = "float32",
    more: Mapping[str, str] = MappingProxyType({}),
    kept: Collection[str] = (),
) -> bytes:
    """All that :func:`write_safetensors` writes, for tensors of which nobody minds a copy."""
    return b"".join(_written(tensors, dtype, more, kept))


def write_safetensors(
    path: Path,
    tensors: Mapping[str, Tensor],
    dtype: Dtype = "float32",
    more: Mapping[str, str] = MappingProxyType({}),
    kept: Collection[str] = (),
) -> None:
    """Write tensors of float32, int32 and int64 in the safetensors format, in the one order and spacing we write it in.

    The format leaves the order of tensors and keys open and the library's choice may change, so the header is
    written here: names sorted, ``__metadata__`` first, no spaces, padded with spaces to 8 bytes; ``-0.0`` is
    written as ``+0.0``. Of the tensors no more than a mebibyte is copied at a time.

    Args:
        path: of the file.
        tensors: by their names; each is asked for once, in the order of the names.
        dtype: what those of float32 are stored as.
        more: what else the header is to say, behind the format.
        kept: names of those that stay float32 all the same.

    Raises:
        InputError: if a number becomes infinite.
    """
    with path.open("wb") as file:
        for piece in _written(tensors, dtype, more, kept):
            file.write(piece)


def _written(
    tensors: Mapping[str, Tensor], dtype: Dtype, more: Mapping[str, str], kept: Collection[str]
) -> Iterator[bytes | memoryview]:
    """The bytes of a file, piece by piece."""
    entries: dict[str, object] = {"__metadata__": {"format": "pt", **dict(sorted(more.items()))}}
    names, offset = sorted(tensors), 0
    shortened = {name for name in names if dtype != "float32" and str(tensors[name].dtype) == _FLOAT} - set(kept)
    for name in names:
        x = tensors[name]
        end = offset + x.numel() * (SIZES[dtype] if name in shortened else x.element_size())
        kind = "BF16" if name in shortened else _WRITTEN[str(x.dtype)][0]
        entries[name] = {"dtype": kind, "shape": list(x.shape), "data_offsets": [offset, end]}
        offset = end
    text = json.dumps(entries, separators=(",", ":")).encode()
    text += b" " * (-len(text) % _ALIGNMENT)
    yield len(text).to_bytes(8, "little") + text
    for name in names:
        for rows in stretches(tensors[name]):
            yield _shortened(name, rows) if name in shortened else canonical(rows)


def _shortened(name: str, x: Tensor) -> bytes:
    """The bfloat16 bytes of a tensor, ``-0.0`` as ``+0.0``."""
    import numpy as np

    from regrow.formats.gguf_blocks import UnfitError, encode

    try:
        return encode(np.frombuffer(canonical(x), "<f4"), "BF16")
    except UnfitError as error:
        raise InputError(f"the numbers of `{name}` cannot be written as bfloat16", why=str(error)) from error


def stretches(x: Tensor) -> Iterator[Tensor]:
    """A tensor cut along its first axis into parts of a mebibyte, or of one row where that is more."""
    x = x.detach() if x.dim() else x.detach().view(1)
    rows = max(1, STRETCH // max(1, x[:1].numel() * x.element_size()))
    for start in range(0, x.shape[0], rows):
        yield x[start : start + rows]


def canonical(x: Tensor) -> memoryview:
    """The little-endian bytes of a tensor of float32, int32 or int64, ``-0.0`` as ``+0.0``: a copy."""
    import numpy as np

    values = x.detach().cpu().contiguous().numpy().astype(_WRITTEN[str(x.dtype)][1], copy=False)
    with np.errstate(invalid="ignore"):  # of a stranger's file: a signalling NaN is written as a quiet one
        return (np.ravel(values) + np.zeros(1, values.dtype)).view(np.uint8).data


def _raw(file: BinaryIO, size: int, problems: Problems) -> tuple[bytes, bytes | None]:
    """Read the length of a header and its bytes; None if they are not there or too many."""
    head = file.read(8)
    length = int.from_bytes(head, "little")
    if len(head) < 8 or length > size - 8:
        problems.add("header-truncated", f"a header of {length:,} bytes does not fit into a file of {size:,}")
    elif length > min(HEADER_LIMIT, FORMAT_LIMIT):
        problems.add("header-too-large", f"the header has {length:,} bytes; up to {HEADER_LIMIT:,} are read")
    else:
        return head, file.read(length)
    return head, None


def _parse(raw: bytes, problems: Problems) -> tuple[tuple[Stored, ...], Mapping[str, str]]:
    if not raw.startswith(b"{"):
        problems.add("header-padding", "the header does not begin with `{`")
    if raw.rstrip(b" ") != raw.rstrip(b" \0\t\r\n"):
        problems.add("header-padding", "the header is padded with something else than spaces")
    entries = _entries(raw, problems)
    metadata = entries.pop("__metadata__", {})
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        problems.add("header-metadata", "`__metadata__` holds something else than strings")
        metadata = metadata if isinstance(metadata, dict) else {}
        metadata = {key: value for key, value in metadata.items() if isinstance(value, str)}
    found = (_tensor(name, entry, problems) for name, entry in entries.items())
    tensors = tuple(tensor for tensor in found if tensor is not None)
    if not entries and not problems.found:
        problems.add("header-empty", "there are no tensors in it")
    return tensors, metadata


def _entries(raw: bytes, problems: Problems) -> dict[str, Any]:
    """Parse a header as far as it is a JSON object."""

    def pairs(items: list[tuple[str, Any]]) -> dict[str, Any]:
        value = dict(items)
        if len(value) < len(items):
            twice = next(name for name, count in Counter(name for name, _ in items).items() if count > 1)
            problems.add("header-duplicate-key", f"`{printable(twice)}` occurs twice")
        return value

    def constant(name: str) -> None:
        problems.add("header-broken", f"it holds {name}, which is no JSON")

    try:
        value = json.loads(raw.strip(b"\0").decode("utf-8"), object_pairs_hook=pairs, parse_constant=constant)
    except (ValueError, RecursionError) as error:  # a decoding error is a ValueError
        problems.add("header-broken", f"the header is not JSON in UTF-8: {printable(str(error))}")
        return {}
    if not isinstance(value, dict):
        problems.add("header-broken", "the header is not a JSON object")
        return {}
    return value


def _tensor(name: str, entry: Any, problems: Problems) -> Stored | None:
    check_name(name, problems)
    shown = printable(name)
    if not isinstance(entry, dict) or not set(entry) >= _FIELDS:
        problems.add("header-broken", f"`{shown}` lacks dtype, shape or data_offsets")
        return None
    if strange := set(entry) - _FIELDS:
        problems.add("header-unknown-field", f"`{shown}` has the field `{printable(min(strange))}`")
    dtype, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not _sizes(shape) or not _sizes(offsets) or len(offsets) != 2 or offsets[0] > offsets[1]:
        problems.add("header-shape", f"`{shown}` has a shape or a place that makes no sense")
        return None
    count = math.prod(shape)
    if count > LARGEST:
        problems.add("header-shape", f"`{shown}` has more numbers than any file can hold")
        return None
    bits = _BITS.get(dtype) if isinstance(dtype, str) else None
    if bits is None:
        problems.add("header-unknown-type", f"`{shown}` is of type `{printable(str(dtype))}`")
        return Stored(name, printable(str(dtype), 20), count, offsets[0], offsets[1])
    if count * bits != 8 * (offsets[1] - offsets[0]):
        problems.add("header-shape", f"`{shown}` has {offsets[1] - offsets[0]:,} bytes, its shape asks for others")
    return Stored(name, dtype, count, offsets[0], offsets[1])


def _sizes(value: Any) -> bool:
    return (
        isinstance(value, list)
        and len(value) <= 64
        and all(type(number) is int and 0 <= number <= LARGEST for number in value)
    )
