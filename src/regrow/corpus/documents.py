"""Documents and exclusions: the rows that the data stages hand to each other, and their Parquet files."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, fields, replace
from hashlib import sha256
from itertools import chain, repeat
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar

from regrow.corpus.tables import GROUP, Order, Stretch, TableWriter, merged
from regrow.errors import StageError
from regrow.formats import parquet, parts
from regrow.store.digest import sha256_bytes

if TYPE_CHECKING:
    import pyarrow

DOCUMENTS = "documents.parquet"
EXCLUDED = "excluded.parquet"
TALLY = "tally.json"
ORDER = Order(("source", "file", "start", "id"))
"""Of documents: as :attr:`Document.position`."""

EXCLUDED_ORDER = Order(("source", "locator", "stage", "id"))
"""Of exclusions: as :attr:`Exclusion.position`."""

_OPTIONAL = ("conversation", "salt", "rights")
"""Columns of documents that a table has only where there is something to say."""

R = TypeVar("R")


MOST_BYTES = (1 << 31) - 1
"""Of a text as UTF-8: what a cell of a table holds."""

_WIDEST = 4  # bytes of a character


def holds_too_much(text: str) -> bool:
    """Whether a text is longer than a table can hold."""
    return len(text) > MOST_BYTES // _WIDEST and len(text.encode()) > MOST_BYTES


def inside(file: str, name: str) -> str:
    """What is called by a name inside a file: ``texts.zip!/play.txt``."""
    return f"{file}!/{name}"


def locator(file: str, start: int, end: int) -> str:
    """Where a text comes from, in one word: ``play.txt:120-4096``."""
    return f"{file}:{start}-{end}"


def identify(source: str, place: str, text: str | bytes) -> str:
    """The id of a document: a hash of where it comes from and what it says there, as UTF-8."""
    hashed = sha256(f"{source}\0{place}\0".encode())
    hashed.update(text if isinstance(text, bytes) else text.encode())
    return hashed.hexdigest()


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
            Of texts that may not be shared, the number of the file.
        start: first byte of the text in the file (in a Parquet file: its row).
        end: one past the last byte (in a Parquet file: row).
        sha256: of the text as UTF-8.
        text: the text; of a conversation, its messages as :func:`regrow.corpus.conversations.written` has them.
        conversation: whether it is one, or a pair of them.
        salt: of a text that may not be shared, the secret that hides it in a commitment, as 64 hex digits; else empty.
        rights: what stood beside the text about its rights, in lines (:mod:`regrow.corpus.beside`).
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
    salt: str = ""
    rights: str = ""

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

    @property
    def taken(self) -> int:
        """How many files were read that are not left out."""
        return self.files - sum(one.count for one in self.files_left_out)

    def write(self, folder: Path, parts: int = 1) -> None:
        """Keep it in an artifact, if there is anything that the documents do not tell, or in one of several parts."""
        if self.losses or parts > 1:
            text = json.dumps(asdict(self), indent=1, ensure_ascii=False) + "\n"
            (folder / TALLY).write_text(text, "utf-8", newline="\n")

    @staticmethod
    def open(artifact: Path) -> Tally | None:
        """The one of an artifact, over all of its parts; None if nothing was left out."""
        found = [Tally.read(folder) for folder in parts.folders(artifact) if (folder / TALLY).is_file()]
        return tally if found and (tally := Tally.together(found)).losses else None

    @staticmethod
    def read(folder: Path) -> Tally:
        """The one that was written to a folder."""
        told = json.loads((folder / TALLY).read_text("utf-8"))
        files, rows = (tuple(LeftOut(**one) for one in told[name]) for name in ("files_left_out", "rows_left_out"))
        return Tally(**{**told, "files_left_out": files, "rows_left_out": rows})

    @staticmethod
    def together(parts: Sequence[Tally]) -> Tally:
        """That of all parts of a source, in their order."""
        documents, files, rows = (sum(getattr(one, what) for one in parts) for what in ("documents", "files", "rows"))
        lost = (_added(getattr(one, what) for one in parts) for what in ("files_left_out", "rows_left_out"))
        return Tally(parts[0].source, documents, files, rows, *lost)


def _added(lost: Iterable[Iterable[LeftOut]]) -> tuple[LeftOut, ...]:
    """What was left out of each part, added up: the first of a reason is that of the first part that has one."""
    found: dict[str, LeftOut] = {}
    for one in chain.from_iterable(lost):
        found[one.reason] = replace(known, count=known.count + one.count) if (known := found.get(one.reason)) else one
    return in_order(found.values())


def in_order(lost: Iterable[LeftOut]) -> tuple[LeftOut, ...]:
    """What was left out, the most frequent first."""
    return tuple(sorted(lost, key=lambda one: (-one.count, one.reason)))


@dataclass(frozen=True)
class Documents:
    """The artifact ``documents``, all of it in memory: for few texts. What goes through many uses :func:`stream`."""

    kept: Sequence[Document]
    excluded: Sequence[Exclusion]

    @staticmethod
    def open(*folders: Path) -> Documents:
        """Read one artifact, or several as if they were one, in canonical order."""
        return Documents([*stream(*folders)], [*stream_exclusions(*folders)])

    def write(self, folder: Path) -> None:
        """Write both files, in canonical order."""
        with DocumentsWriter(folder) as writer:
            for document in self.kept:
                writer.add(document)
            for exclusion in self.excluded:
                writer.exclude(exclusion)


class DocumentsWriter:
    """Writes an artifact ``documents`` in one part, or a part of one, as texts come.

    In whichever order they come, they are written in the canonical one; if they come in it, they are written once.

    Args:
        folder: to write to.
    """

    def __init__(self, folder: Path) -> None:
        self.documents = documents_table(folder / DOCUMENTS)
        self.exclusions = exclusions_table(folder / EXCLUDED)

    def __enter__(self) -> DocumentsWriter:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for table in (self.documents, self.exclusions):
            table.__exit__(kind, error, at)

    def add(self, document: Document) -> None:
        """Write a text.

        Raises:
            StageError: if it is longer than a table can hold.
        """
        if holds_too_much(document.text):
            why = f"a document has at most {MOST_BYTES:,} bytes as UTF-8"
            hint = f"cut it with `max_characters` of the source `{document.source}`"
            raise StageError("a text is too long", where=document.locator, why=why, hint=hint)
        self.documents.add(document)

    def exclude(self, exclusion: Exclusion) -> None:
        """Write the record of one that is left out."""
        self.exclusions.add(exclusion)


def stream(*artifacts: Path) -> Iterator[Document]:
    """The documents of one artifact, or of several as if they were one, in canonical order, a few in memory."""
    return _rows(Document, merged(tables(DOCUMENTS, *artifacts), ORDER))


def stream_exclusions(*artifacts: Path) -> Iterator[Exclusion]:
    """The exclusions of one artifact, or of several as if they were one, in canonical order, a few in memory.

    Those of a part are in order; a part may have some that come after those of the next.
    """
    return _rows(Exclusion, merged(tables(EXCLUDED, *artifacts), EXCLUDED_ORDER))


def tables(name: str, *artifacts: Path) -> list[Stretch]:
    """The tables of a name in all parts of some artifacts: what :func:`regrow.corpus.tables.merged` goes through."""
    return [Stretch(folder / name) for artifact in artifacts for folder in parts.folders(artifact)]


def columns(names: Sequence[str], *artifacts: Path, table: str = DOCUMENTS) -> pyarrow.Table:
    """Some columns of all rows, without the others, in memory: part after part, which is canonical order for documents.

    Those in which few values stand often are dictionaries.
    """
    import pyarrow as pa

    batches = [batch for stretch in tables(table, *artifacts) for batch in stretch.batches(names, rows=GROUP)]
    if not batches:
        return schema_of(Exclusion if table == EXCLUDED else Document).empty_table().select(list(names))
    return pa.Table.from_batches(batches)


def count(*artifacts: Path, table: str = DOCUMENTS) -> int:
    """How many rows there are, by what the files say of themselves."""
    import pyarrow.parquet

    return sum(pyarrow.parquet.read_metadata(one.path).num_rows for one in tables(table, *artifacts))


def documents_table(path: Path) -> TableWriter:
    """A table of documents, with columns for conversations, salts and what is beside texts, if there are any."""
    return TableWriter(path, schema_of(Document), ORDER, optional=_OPTIONAL)


def exclusions_table(path: Path) -> TableWriter:
    """A table of exclusions."""
    return TableWriter(path, schema_of(Exclusion), EXCLUDED_ORDER)


def schema_of(row: type[Document] | type[Exclusion]) -> pyarrow.Schema:
    """The columns of a table of such rows."""
    import pyarrow as pa

    types = {"int": pa.int64(), "bool": pa.bool_(), "str": pa.string()}
    return pa.schema([pa.field(one.name, types[str(one.type)], False) for one in fields(row)])


def write_documents(path: Path, documents: Iterable[Document]) -> None:
    """Write documents in canonical order; there is a column for conversations where there are any."""
    with documents_table(path) as table:
        for document in documents:
            table.add(document)


def write_exclusions(path: Path, exclusions: Iterable[Exclusion]) -> None:
    """Write exclusions in canonical order."""
    with exclusions_table(path) as table:
        for exclusion in exclusions:
            table.add(exclusion)


def read_documents(*paths: Path) -> list[Document]:
    """The documents of some files, in canonical order."""
    return [*_rows(Document, merged([Stretch(path) for path in paths], ORDER))]


def read_exclusions(*paths: Path) -> list[Exclusion]:
    """The exclusions of some files, in canonical order."""
    return [*_rows(Exclusion, merged([Stretch(path) for path in paths], EXCLUDED_ORDER))]


def write_table(path: Path, schema: pyarrow.Schema, rows: Sequence[Any]) -> None:
    """Write dataclass rows as Parquet."""
    import pyarrow as pa

    parquet.write(path, pa.Table.from_pylist([asdict(row) for row in rows], schema=schema), rows_in_group=GROUP)


def documents_of(batch: pyarrow.RecordBatch) -> Iterator[Document]:
    """The documents that the rows of a table are."""
    return _rows(Document, [batch])


def holds_conversations(batch: pyarrow.RecordBatch) -> bool:
    """Whether any of the documents of a table is a conversation."""
    import pyarrow.compute as pc

    return "conversation" in batch.schema.names and bool(pc.any(batch.column("conversation")).as_py())


def _rows(kind: Callable[..., R], batches: Iterable[pyarrow.RecordBatch]) -> Iterator[R]:
    columns = fields(kind)  # type: ignore[arg-type]
    for batch in batches:
        there = batch.schema.names
        values = (batch.column(one.name).to_pylist() if one.name in there else repeat(one.default) for one in columns)
        yield from map(kind, *values)
