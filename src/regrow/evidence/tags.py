"""What is found in single documents, and where: rows beside the documents, which stay as they are.

A tag says a place and a sort, and never the text itself, so tags can be published where texts cannot. A filter is a
view of them: it can be changed and run again without another search.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from regrow.corpus.tables import GROUP, Order, Stretch, TableWriter
from regrow.evidence.record import TAGS
from regrow.formats import parquet

if TYPE_CHECKING:
    import pyarrow

ORDER = Order(("source", "document", "tag", "start", "end", "value"))
_HELD = 1 << 19  # rows


@dataclass(frozen=True)
class Tag:
    """Something in a document.

    Attributes:
        source: of the document, by its name in the recipe.
        document: its id.
        tag: what is there, e.g. ``licence`` or ``email``: small letters, digits and hyphens.
        start: the first character of its text that is meant.
        end: one past the last; both 0 if all of the document is meant.
        value: what of it may be said, e.g. an SPDX identifier; or nothing.
    """

    source: str
    document: str
    tag: str
    start: int
    end: int
    value: str = ""


def schema() -> pyarrow.Schema:
    """The columns of a table of tags."""
    import pyarrow as pa

    types = {"int": pa.int64(), "str": pa.string()}
    return pa.schema([pa.field(one.name, types[str(one.type)], False) for one in fields(Tag)])


def writer(folder: Path) -> TableWriter:
    """A table of tags in an artifact, or in a part of one; ``add`` takes them in any order."""
    return TableWriter(folder / TAGS, schema(), ORDER)


class Runs:
    """Tags as they come, in files whose rows are in order each, so that any number of them can be brought together.

    Args:
        folder: where the files are made.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._held: list[pyarrow.Table] = []
        self._files = 0

    def __enter__(self) -> Runs:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if kind is None:
            self._write()

    def add(self, rows: pyarrow.Table) -> None:
        """Take some rows, in any order."""
        self._held.append(rows)
        if sum(one.num_rows for one in self._held) >= _HELD:
            self._write()

    def _write(self) -> None:
        import pyarrow as pa

        held, self._held = self._held, []
        rows = pa.concat_tables(held or [schema().empty_table()])
        parquet.write(self._folder / f"{self._files:05}.parquet", _sorted(rows), rows_in_group=GROUP)
        self._files += 1


def gather(folders: Iterable[Path], output: Path) -> None:
    """Write the tags of all files that :class:`Runs` made into one table of an artifact."""
    files = [file for folder in folders for file in sorted(folder.glob("*.parquet"))]
    with writer(output) as table:
        for rows in _merged(files):
            table.extend(rows)


def _merged(files: Sequence[Path]) -> Iterator[pyarrow.Table]:
    """The rows of files that are in order each, as those of one, some thousand at a time."""
    import pyarrow as pa

    streams = [Stretch(file).batches(rows=GROUP) for file in files]
    heads = [(next(stream, None), stream) for stream in streams]
    here = [(batch, stream) for batch, stream in heads if batch is not None]
    while here:
        limit = min(ORDER.key(batch, batch.num_rows - 1) for batch, _ in here)
        taken, left = [], []
        for batch, stream in here:
            whole = ORDER.key(batch, batch.num_rows - 1) == limit
            count = batch.num_rows if whole else bisect_left(ORDER.keys(batch), limit)
            taken.append(batch.slice(0, count))
            rest = next(stream, None) if whole else batch.slice(count)
            left += [] if rest is None else [(rest, stream)]
        yield _sorted(pa.Table.from_batches(taken))
        here = left


def _sorted(rows: pyarrow.Table) -> pyarrow.Table:
    return rows.sort_by([(name, "ascending") for name in ORDER.columns]).combine_chunks()
