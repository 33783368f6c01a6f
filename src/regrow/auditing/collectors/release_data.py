"""The data manifest of a release, summed up by source."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from typing import Any

from regrow.auditing.collectors.folder import Folder, UnreadableError, printable
from regrow.auditing.facts import Finding, Severity
from regrow.release import Release, tables
from regrow.release.files import DamagedError
from regrow.release.layout import MANIFEST

NAME = "release"


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

    @property
    def bytes(self) -> int:
        """All of its text."""
        return self.training + self.evaluation


def manifest(folder: Folder, release: Release) -> tuple[Mapping[str, Used], list[Finding]]:
    """Source -> what was used of it, and what is wrong with the manifest."""
    if not folder.has(MANIFEST):
        said = f"{MANIFEST} is not there, so nothing says which documents were used"
        return {}, [Finding("release-incomplete", Severity.CONFLICT, said, (folder.inventory(NAME),))]
    try:
        folder.hash(MANIFEST, NAME)
        keys = ["source", "split", "licence"]
        rows = tables.summed(release.groups(MANIFEST, keys, ["bytes"]), keys, "bytes").to_pylist()
    except DamagedError as error:
        return {}, [folder.unreadable(MANIFEST, NAME, f"it is no manifest: {printable(error.cause)}").finding]
    except UnreadableError as error:
        return {}, [error.finding]
    return {name: _used(list(group)) for name, group in groupby(rows, key=itemgetter("source"))}, []


def _used(rows: Sequence[Mapping[str, Any]]) -> Used:
    size = sum(row["sum"] for row in rows)
    held_out = sum(row["sum"] for row in rows if row["split"] != "train")
    licences = sorted({row["licence"] for row in rows})
    return Used(sum(row["count"] for row in rows), size - held_out, held_out, printable(", ".join(licences)))
