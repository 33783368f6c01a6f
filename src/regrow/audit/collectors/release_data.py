"""The data manifest of a release, summed up by source."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from regrow.audit.collectors.folder import Folder, UnreadableError, printable
from regrow.audit.facts import Finding, Severity

if TYPE_CHECKING:
    import pyarrow

NAME = "release"
_LARGEST = 1 << 30
_MOST_BYTES = 4 << 30  # of the columns that are read, unpacked
_COLUMNS = ["source", "split", "licence", "bytes"]


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


def manifest(folder: Folder, path: str) -> tuple[Mapping[str, Used], list[Finding]]:
    """Source -> what was used of it, and what is wrong with the manifest."""
    if not folder.has(path):
        said = f"{path} is not there, so nothing says which documents were used"
        return {}, [Finding("release-incomplete", Severity.CONFLICT, said, (folder.inventory(NAME),))]
    try:
        return _read(folder, path), []
    except UnreadableError as error:
        return {}, [error.finding]


def _read(folder: Folder, path: str) -> Mapping[str, Used]:
    import pyarrow
    import pyarrow.parquet

    if folder.size(path) > _LARGEST:
        raise folder.unreadable(path, NAME, "it is too large")
    with folder.open(path, NAME) as file:
        folder.hashes[path] = hashlib.file_digest(file, "sha256").hexdigest()
        file.seek(0)
        try:
            table = _table(pyarrow.parquet.ParquetFile(file))
            return _sums(table)
        except (pyarrow.ArrowException, OSError, ValueError, KeyError, TypeError) as error:
            raise folder.unreadable(path, NAME, f"it is no manifest: {printable(str(error))}") from None


def _table(file: pyarrow.parquet.ParquetFile) -> pyarrow.Table:
    groups = (file.metadata.row_group(number) for number in range(file.metadata.num_row_groups))
    if sum(group.total_byte_size for group in groups) > _MOST_BYTES:
        raise ValueError("it unpacks to too many bytes")
    return file.read(columns=_COLUMNS)


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
