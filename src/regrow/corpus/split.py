"""The artifact ``split``: the documents that training sees, those that it never sees, and what was left out before."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from regrow.corpus.documents import EXCLUDED, Document, Exclusion, read_documents, write_documents, write_exclusions

Part = Literal["train", "validation"]
PARTS: tuple[Part, ...] = ("train", "validation")


@dataclass(frozen=True)
class Split:
    """A split on disk.

    Attributes:
        folder: where it lies.
    """

    folder: Path

    def path(self, part: Part) -> Path:
        """The table of the documents of a part."""
        return self.folder / f"{part}.parquet"

    def documents(self, part: Part) -> list[Document]:
        """The documents of a part, in canonical order."""
        return read_documents(self.path(part))

    @staticmethod
    def write(folder: Path, parts: Mapping[Part, Sequence[Document]], excluded: Sequence[Exclusion]) -> None:
        """Write both parts, and the record of what was left out before."""
        for part in PARTS:
            write_documents(folder / f"{part}.parquet", parts[part])
        write_exclusions(folder / EXCLUDED, excluded)
