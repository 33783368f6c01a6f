"""Documents and exclusions: the rows that the data stages hand to each other, and their Parquet files."""

from __future__ import annotations

import json
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
TALLY = "tally.json"


def inside(file: str, name: str) -> str:
    """What is called by a name inside a file: ``texts.zip!/play.txt``."""
    return f"{file}!/{name}"


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
        file: path of the file in the source; in an archive, ``archive!/path``. A row or page that was too long is
            taken for a file of its own, which holds its text as UTF-8: ``file!/START-END``, by its place in the file.
        start: first byte of the text in the file (in a Parquet file: its row).
        end: one past the last byte (in a Parquet file: row).
        sha256: of the text as UTF-8.
        text: the text; of a conversation, its messages as :func:`regrow.corpus.conversations.written` has them.
        conversation: whether it is one, or a pair of them.
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
    conversation: bool = False

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
class LeftOut:
    """Files or rows of a source that are without a text, all for one reason.

    Attributes:
        reason: as in their exclusions.
        count: of them.
        first: the locator of the first.
        detail: of the first.
    """

    reason: str
    count: int
    first: str
    detail: str

    def __str__(self) -> str:
        """In words, e.g. ``not JSON (190), first a.jsonl:120-148``."""
        return f"{self.reason} ({self.count:,}), first {self.first}" + (f": {self.detail}" if self.detail else "")


@dataclass(frozen=True)
class Tally:
    """What became of the files of a source, and of the rows in them.

    Attributes:
        source: its name.
        documents: that were made.
        files: that were read.
        rows: that were read.
        files_left_out: those that are without a text, by reason, the most frequent first.
        rows_left_out: as for files.
    """

    source: str
    documents: int
    files: int
    rows: int
    files_left_out: tuple[LeftOut, ...] = ()
    rows_left_out: tuple[LeftOut, ...] = ()

    @property
    def losses(self) -> list[tuple[int, int, str, tuple[LeftOut, ...]]]:
        """How many of how many files or rows were left out, what they are, and why; nothing where none was."""
        told = (("files", self.files, self.files_left_out), ("rows", self.rows, self.rows_left_out))
        return [(sum(one.count for one in why), whole, unit, why) for unit, whole, why in told if why]

    def words(self) -> str:
        """What was left out and why, in a line: ``190 of 200 rows of texts: not JSON (190), first a.jsonl:0-28``."""
        told = (
            f"{lost:,} of {whole:,} {unit} of {self.source}: {'; '.join(map(str, why))}"
            for lost, whole, unit, why in self.losses
        )
        return "; and ".join(told)

    def write(self, folder: Path) -> None:
        """Keep it in an artifact, if there is anything that the documents do not tell."""
        if self.losses:
            text = json.dumps(asdict(self), indent=1, ensure_ascii=False) + "\n"
            (folder / TALLY).write_text(text, "utf-8", newline="\n")

    @staticmethod
    def open(folder: Path) -> Tally | None:
        """The one in an artifact; None if nothing was left out."""
        if not (folder / TALLY).is_file():
            return None
        told = json.loads((folder / TALLY).read_text("utf-8"))
        files, rows = (tuple(LeftOut(**one) for one in told[name]) for name in ("files_left_out", "rows_left_out"))
        return Tally(**{**told, "files_left_out": files, "rows_left_out": rows})


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
    """Write documents in canonical order; there is a column for conversations where there are any."""
    import pyarrow as pa

    types = {"start": pa.int64(), "end": pa.int64(), "conversation": pa.bool_()}
    rows = sorted(documents, key=lambda document: document.position)
    names = list(Document.__dataclass_fields__)
    if not any(document.conversation for document in rows):
        names.remove("conversation")
    schema = pa.schema([pa.field(name, types.get(name, pa.string()), False) for name in names])
    write_table(path, schema, rows)


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
