"""safetensors: its header, read more strictly than the library does, and never the tensors themselves.

The header is a length of 8 bytes and as many bytes of JSON: tensor name -> dtype, shape and place. Names occur once,
the data has neither holes nor overlaps, and it ends where the file ends. The library lets some odd files pass:
duplicate names, unknown fields, names that climb out of a folder. Here each is a finding.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, BinaryIO

from regrow.audit.collectors import legal
from regrow.audit.collectors.folder import Folder, Statement, Text, UnreadableError, printable
from regrow.audit.collectors.header import HEADER_LIMIT, LARGEST, Problems, Stored, check_layout, check_name
from regrow.audit.collectors.structured import Data, mapping, read_json
from regrow.audit.facts import (
    ArchitectureFact,
    Basis,
    Component,
    ComponentFact,
    Evidence,
    Finding,
    Scope,
    Severity,
    State,
)

NAME = "safetensors"
FORMAT_LIMIT = 100_000_000
_BITS = {
    **dict.fromkeys(("BOOL", "I8", "U8", "F8_E4M3", "F8_E5M2", "F8_E8M0", "F8_E4M3FNUZ", "F8_E5M2FNUZ"), 8),
    **dict.fromkeys(("I16", "U16", "F16", "BF16"), 16),
    **dict.fromkeys(("I32", "U32", "F32"), 32),
    **dict.fromkeys(("I64", "U64", "F64", "C64"), 64),
    **dict.fromkeys(("F6_E2M3", "F6_E3M2"), 6),
    "F4": 4,
}
_FIELDS = {"dtype", "shape", "data_offsets"}


@dataclass(frozen=True)
class Header:
    """A header, as far as it could be read.

    Attributes:
        tensors: those whose entries make sense.
        metadata: the strings of ``__metadata__``.
        problems: what is wrong.
        sha256: of the bytes from the beginning of the file to the end of the header.
        end: where the header ends.
    """

    tensors: tuple[Stored, ...]
    metadata: Mapping[str, str]
    problems: Problems
    sha256: str
    end: int


def read_header(file: BinaryIO, size: int) -> Header:
    """Read a header. Whatever the bytes are, this gives a header and what is wrong with it.

    Args:
        file: at its beginning.
        size: of the whole file.
    """
    problems = Problems()
    head = file.read(8)
    length = int.from_bytes(head, "little")
    if len(head) < 8 or length > size - 8:
        problems.add("header-truncated", f"a header of {length:,} bytes does not fit into a file of {size:,}")
    elif length > min(HEADER_LIMIT, FORMAT_LIMIT):
        problems.add("header-too-large", f"the header has {length:,} bytes; up to {HEADER_LIMIT:,} are read")
    else:
        raw = file.read(length)
        tensors, metadata = _parse(raw, problems)
        if length % 8:
            problems.add("header-alignment", f"the data begins at byte {8 + length:,}, which is no multiple of 8")
        check_layout(tensors, size - 8 - length, 1, problems)
        return Header(tensors, metadata, problems, hashlib.sha256(head + raw).hexdigest(), 8 + length)
    return Header((), {}, problems, hashlib.sha256(head).hexdigest(), len(head))


def _parse(raw: bytes, problems: Problems) -> tuple[tuple[Stored, ...], Mapping[str, str]]:
    if not raw.startswith(b"{"):
        problems.add("header-padding", "the header does not begin with `{`")
    if raw.rstrip(b" ") != raw.rstrip(b" \0\t\r\n"):
        problems.add("header-padding", "the header is padded with something else than spaces")
    entries = _entries(raw, problems)
    metadata = entries.pop("__metadata__", {})
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        problems.add("header-metadata", "`__metadata__` holds something else than strings")
        metadata = {key: value for key, value in mapping(metadata).items() if isinstance(value, str)}
    found = (_tensor(name, entry, problems) for name, entry in entries.items())
    tensors = tuple(tensor for tensor in found if tensor is not None)
    if not entries and not problems.found:
        problems.add("header-empty", "there are no tensors in it")
    return tensors, metadata


def _entries(raw: bytes, problems: Problems) -> dict[str, Any]:
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


def collect(folder: Folder) -> Iterator[Statement]:
    """The tensors that are stored, and what is wrong with the files."""
    tensors: dict[str, dict[str, Stored]] = {}
    first: Evidence | None = None
    for entry in folder.entries:
        if not entry.path.endswith(".safetensors") or not folder.has(entry.path):
            continue
        try:
            with folder.open(entry.path, NAME) as file:
                header = read_header(file, entry.size)
        except UnreadableError as error:
            yield error.finding
            continue
        folder.hashes[entry.path] = header.sha256
        evidence = folder.evidence(entry.path, NAME, f"bytes 0-{header.end}")
        yield from header.problems.findings(entry.path, evidence)
        if header.tensors:
            yield from _metadata(header.metadata, evidence)
            tensors[entry.path] = {tensor.name: tensor for tensor in header.tensors}
            first = first or evidence
    yield from folder.texts(_indexes(folder), NAME, lambda text: _index(text, folder, tensors))
    if first is not None:
        yield from _summary(tensors, first)


def _summary(tensors: Mapping[str, Mapping[str, Stored]], evidence: Evidence) -> Iterator[Statement]:
    main = {path: stored for path, stored in tensors.items() if "/" not in path} or tensors
    adapters = all("adapter" in path for path in main)
    whole = [tensor for stored in main.values() for tensor in stored.values()]
    dtypes = tuple(sorted({tensor.dtype for tensor in whole}))
    # Packed integers hold several numbers each, so that their count says nothing.
    packed = any(dtype in ("I32", "U8", "I8", "U32") for dtype in dtypes) or adapters
    count = None if packed else sum(tensor.count for tensor in whole)
    yield ArchitectureFact(Basis.FOUND, evidence, "", count, dtypes)
    yield ComponentFact(Basis.FOUND, evidence, Component.PARAMETERS, State.PRESENT, min(main))


def _metadata(metadata: Mapping[str, str], evidence: Evidence) -> Iterator[Statement]:
    if licence := metadata.get("license") or metadata.get("modelspec.license"):
        yield legal.declared(licence, Scope.WEIGHTS, evidence)


def _indexes(folder: Folder) -> list[str]:
    return [entry.path for entry in folder.entries if entry.path.endswith(".safetensors.index.json")]


def _index(text: Text, folder: Folder, tensors: Mapping[str, Mapping[str, Stored]]) -> Iterator[Statement]:
    """Compare the list of a model in several files with the files."""
    data = read_json(text.text)
    yield from data.findings(text, "index-unreadable")
    place = text.path.rpartition("/")[0]
    shards: dict[str, set[str]] = {}
    for name, file in _weight_map(data):
        shards.setdefault(file, set()).add(name)
    evidence = text.at("key weight_map")
    for file, names in sorted(shards.items()):
        path = f"{place}/{file}" if place else file
        if "/" in file or "\\" in file or file == "..":
            yield Finding(
                "index-outside", Severity.WARNING, f"{text.path} speaks of the file `{printable(file)}`", (evidence,)
            )
        elif path not in tensors:
            missing = f"{text.path} speaks of {printable(file)}, which is not there or cannot be read"
            yield Finding("shard-missing", Severity.WARNING, missing, (evidence,))
        elif names != set(tensors[path]):
            other = min(names.symmetric_difference(tensors[path]))
            differs = f"{text.path} and {printable(file)} do not name the same tensors, e.g. `{printable(other)}`"
            yield Finding("index-differs", Severity.WARNING, differs, (evidence,))


def _weight_map(data: Data) -> Iterator[tuple[str, str]]:
    for name, file in mapping(data.value.get("weight_map")).items():
        if isinstance(file, str):
            yield name, file
