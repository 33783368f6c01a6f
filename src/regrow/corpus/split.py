"""The artifact ``split``: the documents that training sees, those that it never sees, and what was left out before."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from regrow.corpus.documents import EXCLUDED, Document, Exclusion, documents_of, write_documents, write_exclusions
from regrow.corpus.tables import Stretch

if TYPE_CHECKING:
    import pyarrow

Part = Literal["train", "validation"]
PARTS: tuple[Part, ...] = ("train", "validation")


@dataclass(frozen=True)
class Split:
    """A split on disk, in one part, or a part of one.

    Attributes:
        folder: where it lies.
    """

    folder: Path

    def path(self, part: Part) -> Path:
        """The table of the documents of a part."""
        return self.folder / f"{part}.parquet"

    def batches(self, part: Part, columns: Sequence[str] | None = None) -> Iterator[pyarrow.RecordBatch]:
        """The rows of that table, a few at a time: all columns, or some."""
        return Stretch(self.path(part)).batches(columns)

    def documents(self, part: Part) -> Iterator[Document]:
        """The documents of a part, in canonical order, a few in memory."""
        for batch in self.batches(part):
            yield from documents_of(batch)

    def count(self, part: Part) -> int:
        """How many documents a part has."""
        import pyarrow.parquet as pq

        return int(pq.read_metadata(self.path(part)).num_rows)

    @staticmethod
    def write(folder: Path, parts: Mapping[Part, Sequence[Document]], excluded: Sequence[Exclusion]) -> None:
        """Write both parts, and the record of what was left out before."""
        for part in PARTS:
            write_documents(folder / f"{part}.parquet", parts[part])
        write_exclusions(folder / EXCLUDED, excluded)
