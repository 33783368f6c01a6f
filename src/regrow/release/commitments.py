"""Commitments in a release to texts that may not be shared, and what its manifest says of the same texts."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pyarrow.compute as pc

from regrow.evidence.commitment import COMMITMENT, Commitment, root
from regrow.release.files import DamagedError, read_text
from regrow.release.layout import EVIDENCE, MANIFEST
from regrow.release.release import Release


@dataclass(frozen=True)
class Row:
    """What the manifest says of a document that may not be shared.

    Attributes:
        id: of the document.
        leaf: that stands for it.
        bytes: of its text.
        split: whether it is in ``train`` or in ``validation``.
    """

    id: str
    leaf: bytes
    bytes: int
    split: str


def commitments(release: Release) -> dict[str, Commitment]:
    """Source -> the commitment to its texts, of all sources of which there is one.

    Raises:
        DamagedError: if one cannot be read.
    """
    pattern = f"/{COMMITMENT}"
    places = [path for path in release.files.paths() if path.startswith(f"{EVIDENCE}/") and path.endswith(pattern)]
    found = {}
    for path in sorted(places):
        release.require(path)
        try:
            made = Commitment.read(read_text(release.files, path))
        except (ValueError, RecursionError) as error:
            raise DamagedError(release.path, path, f"it is no commitment as regrow writes it: {error}") from error
        found[made.source] = made
    return found


def rows(release: Release, source: str) -> Iterator[Row]:
    """The documents of a source, in the order in which they are committed to.

    Raises:
        DamagedError: if the manifest cannot be read.
    """
    names = ["id", "sha256", "split"]
    for table in release.groups(MANIFEST, ["source", *names], ["bytes"]):
        for one in table.filter(pc.field("source") == source).to_pylist():
            try:
                yield Row(one["id"], bytes.fromhex(one["sha256"]), one["bytes"], one["split"])
            except ValueError as error:
                raise DamagedError(release.path, MANIFEST, "a hash in it is none") from error


def fault(release: Release, made: Commitment) -> str:
    """In what the manifest and a commitment disagree; empty if in nothing."""
    found = [*rows(release, made.source)]
    seen = {
        "root": root(row.leaf for row in found),
        "documents": len(found),
        "bytes": sum(row.bytes for row in found),
        "training": sum(row.split == "train" for row in found),
    }
    said = {name: getattr(made, name) for name in seen}
    wrong = [f"{name} {seen[name]}, and not {said[name]}" for name in seen if seen[name] != said[name]]
    return f"{MANIFEST} gives of `{made.source}` the {wrong[0]}" if wrong else ""
