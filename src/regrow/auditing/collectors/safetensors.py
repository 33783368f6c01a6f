"""safetensors files: the tensors that are stored, and whether a list of several files fits them."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

from regrow.auditing.collectors import legal, weights
from regrow.auditing.collectors.folder import Folder, Statement, Text, printable
from regrow.auditing.collectors.structured import Data, mapping, read_json
from regrow.auditing.facts import (
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
from regrow.formats.header import Stored
from regrow.formats.safetensors import Header, read_header

NAME = "safetensors"
_LACKING = ("header-past-end", "shard-missing")


def collect(folder: Folder) -> Iterator[Statement]:
    """Read the tensors that are stored, and what is wrong with the files."""
    tensors: dict[str, dict[str, Stored]] = {}
    places: list[Evidence] = []

    def stored(path: str, header: Header, evidence: Evidence) -> Iterator[Statement]:
        tensors[path] = {tensor.name: tensor for tensor in header.tensors}
        places.append(evidence)
        if licence := header.metadata.get("license") or header.metadata.get("modelspec.license"):
            yield legal.declared(licence, Scope.WEIGHTS, evidence)

    told = list(weights.read(folder, NAME, read_header, stored))
    indexes = [entry.path for entry in folder.entries if entry.path.endswith(".safetensors.index.json")]
    told += folder.texts(indexes, NAME, lambda text: _index(text, tensors))
    yield from told
    if places:
        lacking = {one.evidence[0].file for one in told if isinstance(one, Finding) and one.id in _LACKING}
        lacking |= {path for path in tensors if not weights.whole(path, tensors)}
        yield from _summary(tensors, places[0], lacking)


def _summary(
    tensors: Mapping[str, Mapping[str, Stored]], evidence: Evidence, lacking: Collection[str]
) -> Iterator[Statement]:
    """What the tensors are, and whether all of them are there: not if a file in ``lacking`` is beside the main ones."""
    main = {path: stored for path, stored in tensors.items() if "/" not in path} or tensors
    adapters = all("adapter" in path for path in main)
    whole = [tensor for stored in main.values() for tensor in stored.values()]
    dtypes = tuple(sorted({tensor.dtype for tensor in whole}))
    # Packed integers hold several numbers each, so that their count says nothing.
    packed = any(dtype in ("I32", "U8", "I8", "U32") for dtype in dtypes) or adapters
    count = None if packed else sum(tensor.count for tensor in whole)
    yield ArchitectureFact(Basis.FOUND, evidence, "", count, dtypes)
    top = any("/" not in path for path in main)
    state = State.PROMISED if any(not top or "/" not in path for path in lacking) else State.PRESENT
    yield ComponentFact(Basis.FOUND, evidence, Component.PARAMETERS, state, min(main))


def _index(text: Text, tensors: Mapping[str, Mapping[str, Stored]]) -> Iterator[Statement]:
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
            outside = f"{text.path} speaks of the file `{printable(file)}`"
            yield Finding("index-outside", Severity.WARNING, outside, (evidence,))
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
