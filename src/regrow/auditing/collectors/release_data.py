"""The data manifest of a release, summed up by source."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from regrow.auditing.collectors.folder import Folder, UnreadableError, printable
from regrow.auditing.facts import Finding, Severity
from regrow.release import Release
from regrow.release.files import DamagedError
from regrow.release.layout import MANIFEST

if TYPE_CHECKING:
    import pyarrow

NAME = "release"
_LARGEST = 1 << 30


@dataclass(frozen=True)
class Used:
    """What was used of a source.

    Attributes:
        documents: how many.
        training: bytes of text.
        evaluation: bytes of text that was held out.
        licences: of its documents.
    """

    documents: int
    training: int
    evaluation: int
    licences: str


def manifest(folder: Folder, release: Release) -> tuple[Mapping[str, Used], list[Finding]]:
    """Source -> what was used of it, and what is wrong with the manifest."""
    if not folder.has(MANIFEST):
        said = f"{MANIFEST} is not there, so nothing says which documents were used"
        return {}, [Finding("release-incomplete", Severity.CONFLICT, said, (folder.inventory(NAME),))]
    try:
        return _read(folder, release), []
    except UnreadableError as error:
        return {}, [error.finding]


def _read(folder: Folder, release: Release) -> Mapping[str, Used]:
    if folder.size(MANIFEST) > _LARGEST:
        raise folder.unreadable(MANIFEST, NAME, "it is too large")
    with folder.open(MANIFEST, NAME) as file:
        folder.hashes[MANIFEST] = hashlib.file_digest(file, "sha256").hexdigest()
    try:
        table = release.manifest(texts=["source", "split", "licence"], numbers=["bytes"])
    except DamagedError as error:
        raise folder.unreadable(MANIFEST, NAME, f"it is no manifest: {printable(error.cause)}") from None
    return _sums(table) if table is not None else {}


def _sums(table: pyarrow.Table) -> Mapping[str, Used]:
    grouped = table.group_by(["source", "split", "licence"]).aggregate([("bytes", "sum"), ("bytes", "count")])
    found: dict[str, Used] = {}
    for row in sorted(grouped.to_pylist(), key=lambda row: (row["source"], row["licence"], row["split"])):
        name, size, held_out = str(row["source"]), int(row["bytes_sum"]), row["split"] != "train"
        before = found.get(name, Used(0, 0, 0, ""))
        licences = {*filter(None, before.licences.split(", ")), str(row["licence"])}
        found[name] = Used(
            before.documents + int(row["bytes_count"]),
            before.training + (0 if held_out else size),
            before.evaluation + (size if held_out else 0),
            printable(", ".join(sorted(licences))),
        )
    return found
