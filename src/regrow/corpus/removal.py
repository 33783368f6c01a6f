"""The artifact ``removal``: which documents are to be left out of a corpus, and why each of them.

It has a table of single documents, and names whole sources, whose documents are not in the table. Nothing of it is
text, so all of it can be published.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING

from regrow.corpus.duplicates import Duplicate
from regrow.corpus.tables import Order, Stretch, TableWriter, merged

if TYPE_CHECKING:
    import pyarrow

TABLE = "removal.parquet"
FACTS = "removal.json"
WENT_ALONG = "documents.txt"
"""A list of ids: what has to be left out elsewhere, for whoever does not have the sources that are left out."""

ORDER = Order(("source", "locator", "id"))

SOURCE = "left out with its source"
NAMED = "left out by name"
ALIKE = "says what another one says that is left out"
"""Reasons, as exclusions have them."""


@dataclass(frozen=True)
class Removed:
    """A document that goes, or one that had gone before and would come back if nobody looked.

    Attributes:
        id: of the document.
        source: name of its source in the recipe.
        locator: where it comes from.
        reason: :data:`NAMED` or :data:`ALIKE`.
        detail: which document it is like, as :class:`regrow.corpus.duplicates.Duplicate` writes it; or nothing.
        there: whether it is among the documents; False if ``deduplicate`` left it out in favour of one that goes.
        bytes: of its text as UTF-8; 0 if it is not there.
    """

    id: str
    source: str
    locator: str
    reason: str
    detail: str
    there: bool
    bytes: int

    @property
    def like(self) -> Duplicate | None:
        """Which document it is like."""
        return Duplicate.of_words(self.detail)


@dataclass(frozen=True)
class Count:
    """What there is of a source, and what of that goes: by its source or by name, and for what it says."""

    documents: int = 0
    bytes: int = 0
    gone: int = 0
    gone_bytes: int = 0
    alike: int = 0
    alike_bytes: int = 0

    def __add__(self, other: Count) -> Count:
        """Both together."""
        return Count(*(getattr(self, one.name) + getattr(other, one.name) for one in fields(self)))

    @property
    def left(self) -> int:
        """Documents that stay."""
        return self.documents - self.gone - self.alike


@dataclass(frozen=True)
class Facts:
    """What a removal says of itself.

    Attributes:
        sources: of which all documents go.
        named: how many documents were named.
        near_duplicates: the least Jaccard index of what counts as alike; 0 if only ``deduplicate`` looked.
        counts: source -> what there is of it and what goes.
    """

    sources: tuple[str, ...]
    named: int
    near_duplicates: float
    counts: Mapping[str, Count]

    def write(self, folder: Path) -> None:
        """Write it into an artifact."""
        text = json.dumps(asdict(self), indent=1, sort_keys=True)
        (folder / FACTS).write_text(text + "\n", "utf-8", newline="\n")

    @staticmethod
    def read(folder: Path) -> Facts:
        """That of an artifact."""
        told = json.loads((folder / FACTS).read_text("utf-8"))
        counts = {source: Count(**one) for source, one in told["counts"].items()}
        return Facts(tuple(told["sources"]), told["named"], told["near_duplicates"], counts)

    @property
    def whole(self) -> Count:
        """All sources together."""
        return sum(self.counts.values(), Count())


@dataclass(frozen=True)
class Removal:
    """The artifact, opened.

    Attributes:
        sources: of which all documents go.
        documents: id -> reason and detail, of the others that go.
    """

    sources: frozenset[str]
    documents: Mapping[str, tuple[str, str]]

    @staticmethod
    def open(folder: Path) -> Removal:
        """Read one."""
        found = {one.id: (one.reason, one.detail) for one in read([folder]) if one.there}
        return Removal(frozenset(Facts.read(folder).sources), found)

    def why(self, document: str, source: str) -> tuple[str, str] | None:
        """Reason and detail if a document goes."""
        return (SOURCE, "") if source in self.sources else self.documents.get(document)


def writer(folder: Path) -> TableWriter:
    """A table in an artifact, or in what becomes one; ``add`` takes :class:`Removed` in any order."""
    return TableWriter(folder / TABLE, schema(), ORDER)


def schema() -> pyarrow.Schema:
    """The columns of the table."""
    import pyarrow as pa

    types = {"int": pa.int64(), "bool": pa.bool_(), "str": pa.string()}
    return pa.schema([pa.field(one.name, types[str(one.type)], False) for one in fields(Removed)])


def read(folders: Sequence[Path]) -> Iterator[Removed]:
    """The documents of some tables, in their order, a few in memory."""
    for batch in merged([Stretch(folder / TABLE) for folder in folders], ORDER):
        yield from map(Removed, *(column.to_pylist() for column in batch.columns))
