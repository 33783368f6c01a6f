"""Documents and exclusions: the rows that the data stages hand to each other, and their Parquet files."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from regrow.formats import parquet
from regrow.store.digest import sha256_bytes

if TYPE_CHECKING:
    import pyarrow

DOCUMENTS = "documents.parquet"
EXCLUDED = "excluded.parquet"


def locator(file: str, start: int, end: int) -> str:
    """Where a text comes from, in one word: ``play.txt:120-4096``."""
    return f"{file}:{start}-{end}"


def identify(source: str, place: str, text: str) -> str:
    """The id of a document: a hash of where it comes from and what it says there."""
    return sha256_bytes(f"{source}\0{place}\0{text}".encode())


@dataclass(frozen=True)
class Document:
    """One training text.

    Attributes:
        id: stays the same whatever later stages do to the text.
        source: name of the source in the recipe.
        licence: of the source, as the recipe declares it.
        availability: of the source, as the recipe declares it.
        file: path of the file in the source; in an archive, ``archive!/path``.
        start: first byte of the text in the file (in a Parquet file: its row).
        end: one past the last byte (in a Parquet file: row).
        sha256: of the text as UTF-8.
        text: the text.
    """

    id: str
    source: str
    licence: str
    availability: str
    file: str
    start: int
    end: int
    sha256: str
    text: str

    @property
    def locator(self) -> str:
        """Where it comes from, in one word."""
        return locator(self.file, self.start, self.end)

    @property
    def position(self) -> tuple[str, str, int, str]:
        """Sorts documents into their canonical order."""
        return (self.source, self.file, self.start, self.id)

    @property
    def rank(self) -> tuple[str, str, str, int]:
        """Sorts equals so that "the first of a group" does not depend on who came first."""
        return (self.sha256, self.source, self.file, self.start)

    def with_text(self, text: str) -> Document:
        """The same document saying something else."""
        return self if text == self.text else replace(self, text=text, sha256=sha256_bytes(text.encode()))

    def excluded(self, stage: str, reason: str, detail: str = "") -> Exclusion:
        """The record of its being left out."""
        return Exclusion(self.id, self.source, self.locator, stage, reason, detail, len(self.text))


@dataclass(frozen=True)
class Exclusion:
    """A text, or a file, that was read but not used.

    Attributes:
        id: of the document.
        source: name of the source in the recipe.
        locator: where it comes from.
        stage: kind of the stage that left it out.
        reason: a few words, the same for all documents left out for it.
        detail: what is special to this one.
        characters: of the text; 0 if there was none to count.
    """

    id: str
    source: str
    locator: str
    stage: str
    reason: str
    detail: str
    characters: int

    @property
    def position(self) -> tuple[str, str, str, str]:
        """Sorts exclusions into their canonical order."""
        return (self.source, self.locator, self.stage, self.id)


@dataclass(frozen=True)
class Documents:
    """The artifact ``documents``: texts, and the record of every text that was left out on the way to them."""

    kept: Sequence[Document]
    excluded: Sequence[Exclusion]

    @staticmethod
    def open(*folders: Path) -> Documents:
        """Read one artifact, or several as if they were one, in canonical order."""
        return Documents(
            read_documents(*(folder / DOCUMENTS for folder in folders)),
            read_exclusions(*(folder / EXCLUDED for folder in folders)),
        )

    def write(self, folder: Path) -> None:
        """Write both files, in canonical order."""
        write_documents(folder / DOCUMENTS, self.kept)
        write_exclusions(folder / EXCLUDED, self.excluded)


def write_documents(path: Path, documents: Iterable[Document]) -> None:
    """Write documents in canonical order."""
    import pyarrow as pa

    texts = ("id", "source", "licence", "availability", "file", "sha256", "text")
    names = Document.__dataclass_fields__
    schema = pa.schema([pa.field(name, pa.string() if name in texts else pa.int64(), False) for name in names])
    write_table(path, schema, sorted(documents, key=lambda document: document.position))


def write_exclusions(path: Path, exclusions: Iterable[Exclusion]) -> None:
    """Write exclusions in canonical order."""
    import pyarrow as pa

    names = Exclusion.__dataclass_fields__
    schema = pa.schema([pa.field(name, pa.int64() if name == "characters" else pa.string(), False) for name in names])
    write_table(path, schema, sorted(exclusions, key=lambda exclusion: exclusion.position))


def read_documents(*paths: Path) -> list[Document]:
    """The documents of some files, in canonical order."""
    found = [Document(**row) for path in paths for row in _rows(path)]
    return sorted(found, key=lambda document: document.position)


def read_exclusions(*paths: Path) -> list[Exclusion]:
    """The exclusions of some files, in canonical order."""
    found = [Exclusion(**row) for path in paths for row in _rows(path)]
    return sorted(found, key=lambda exclusion: exclusion.position)


def write_table(path: Path, schema: pyarrow.Schema, rows: Sequence[Any]) -> None:
    """Write dataclass rows as Parquet."""
    import pyarrow as pa

    parquet.write(path, pa.Table.from_pylist([asdict(row) for row in rows], schema=schema), rows_in_group=4096)


def _rows(path: Path) -> list[dict[str, Any]]:
    import pyarrow.parquet as pq

    rows: list[dict[str, Any]] = pq.ParquetFile(path).read().to_pylist()
    return rows
