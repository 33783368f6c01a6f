"""Tables in canonical order that may be larger than memory: written as rows come, and read a few rows at a time."""

from __future__ import annotations

import heapq
from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from itertools import pairwise
from operator import attrgetter
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from regrow.formats import parquet

if TYPE_CHECKING:
    import pyarrow

GROUP = 4096
"""Rows of a row group, at most."""

GROUP_BYTES = 1 << 26
"""Bytes of text with which a row group ends, however few rows it has: it is what readers hold in memory."""

_BATCH = 1024  # rows that are read at a time
_FEW = 16  # of each table where many are merged
_HELD = 1 << 16  # rows that are held to be sorted
_HELD_SIZE = 1 << 22  # characters of them
_SORTED_SIZE = 1 << 25  # the same once some were out of order, so that there are few files to merge
_TEXT = "text"


@dataclass(frozen=True)
class Order:
    """The columns by which the rows of a table are in canonical order; texts are compared by their characters."""

    columns: tuple[str, ...]

    def key(self, batch: pyarrow.RecordBatch, row: int) -> tuple[Any, ...]:
        """The values of a row by which it is compared."""
        return tuple(batch.column(name)[row].as_py() for name in self.columns)

    def keys(self, batch: pyarrow.RecordBatch) -> list[tuple[Any, ...]]:
        """The same of all rows."""
        return list(zip(*(batch.column(name).to_pylist() for name in self.columns), strict=True))


@dataclass(frozen=True)
class Stretch:
    """Neighbouring rows of a table.

    Attributes:
        path: of the table.
        start: the first row.
        end: one past the last; None for the end of the table.
    """

    path: Path
    start: int = 0
    end: int | None = None

    def batches(self, columns: Sequence[str] | None = None, rows: int = _BATCH) -> Iterator[pyarrow.RecordBatch]:
        """The rows, a few at a time.

        Args:
            columns: which ones are read; None for all.
            rows: as many of them at a time, at most.
        """
        with parquet.opened(self.path) as file:
            borders = parquet.group_borders(file)
            end = borders[-1] if self.end is None else self.end
            groups = [number for number, (a, b) in enumerate(pairwise(borders)) if a < end and b > self.start]
            if not groups:
                return
            at = borders[groups[0]]
            for batch in file.iter_batches(rows, row_groups=groups, columns=columns, use_threads=False):
                first, last = max(0, self.start - at), min(batch.num_rows, end - at)
                at += batch.num_rows
                if first < last:
                    yield batch.slice(first, last - first)

    def first(self, order: Order) -> tuple[Any, ...] | None:
        """By what its first row is compared; None if there is no row."""
        batch = next(self.batches(order.columns, rows=1), None)
        return None if batch is None else order.key(batch, 0)


def merged(
    stretches: Sequence[Stretch], order: Order, columns: Sequence[str] | None = None, rows: int = _BATCH
) -> Iterator[pyarrow.RecordBatch]:
    """The rows of tables, each of which is in canonical order, as those of one table.

    A table is open only while its rows come: of a thousand that follow one another, one at a time.

    Args:
        stretches: of the tables.
        order: of the rows.
        columns: which ones are read; None for all. If there are several tables, those of the order have to be among
            them.
        rows: as many of a table at a time, at most.
    """
    if len(stretches) == 1:
        yield from stretches[0].batches(columns, rows)
        return
    firsts = ((stretch.first(order), number) for number, stretch in enumerate(stretches))
    heap = [(first, number) for first, number in firsts if first is not None]
    heapq.heapify(heap)
    begun: dict[int, _Begun] = {}
    while heap:
        _, number = heapq.heappop(heap)
        if number in begun:
            here = begun.pop(number)
        else:
            others = stretches[number].batches(columns, rows)
            here = _Begun.at(next(others), others, order)
        # Of rows that are compared alike one comes at a time.
        end = max(here.row + 1, bisect_left(here.keys, heap[0][0], here.row)) if heap else len(here.keys)
        yield here.batch.slice(here.row, end - here.row)
        if end < len(here.keys):
            here = replace(here, row=end)
        elif (batch := next(here.others, None)) is not None:
            here = _Begun.at(batch, here.others, order)
        else:
            continue
        begun[number] = here
        heapq.heappush(heap, (here.keys[here.row], number))


@dataclass(frozen=True)
class _Begun:
    """A table some of whose rows are merged.

    Attributes:
        batch: rows that are at hand.
        keys: by what each of them is compared.
        row: the first that is not merged yet.
        others: the rows behind them.
    """

    batch: pyarrow.RecordBatch
    keys: list[tuple[Any, ...]]
    row: int
    others: Iterator[pyarrow.RecordBatch]

    @staticmethod
    def at(batch: pyarrow.RecordBatch, others: Iterator[pyarrow.RecordBatch], order: Order) -> _Begun:
        """The beginning of some rows."""
        return _Begun(batch, order.keys(batch), 0, others)


def replaced(batch: pyarrow.RecordBatch, name: str, values: Mapping[int, str | bytes]) -> pyarrow.RecordBatch:
    """A batch in which some rows have other values in a column.

    Args:
        batch: the rows.
        name: of the column.
        values: row -> the value, as a text or UTF-8, in ascending order of the rows.
    """
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    mask = np.zeros(batch.num_rows, np.bool_)
    mask[list(values)] = True
    column = parquet.column([*values.values()], pa.string())
    if len(values) < batch.num_rows:
        column = pc.replace_with_mask(batch.column(name), parquet.column(mask, pa.bool_()), column)
    return batch.set_column(batch.schema.get_field_index(name), batch.schema.field(name), column)


class TableWriter:
    """Writes a table in canonical order, whatever the order in which its rows come.

    Those that come in order go straight to the file. Others begin a file beside it, and all are merged at the end. The
    bytes follow from the rows alone.

    Args:
        path: of the table.
        schema: its columns.
        order: of its rows.
        optional: columns of truth values or texts that the table has only if one of them is true, or says something.
    """

    def __init__(self, path: Path, schema: pyarrow.Schema, order: Order, optional: Sequence[str] = ()) -> None:
        self.path = path
        self.count = 0
        self._schema, self._order, self._optional = schema, order, optional
        self._rows: list[Any] = []
        self._size = 0
        self._runs: list[_Run] = []

    def __enter__(self) -> TableWriter:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if kind is None:
            self.finish()
        else:
            self.abandon()

    def add(self, row: Any) -> None:
        """Add a row: an object that has the columns as attributes."""
        self._rows.append(row)
        self._size += len(getattr(row, _TEXT, ""))
        if len(self._rows) >= _HELD or self._size >= (_HELD_SIZE if len(self._runs) < 2 else _SORTED_SIZE):
            self._flush()

    def extend(self, rows: pyarrow.Table | pyarrow.RecordBatch) -> None:
        """Add rows that are in order among themselves."""
        self._flush()
        if rows.num_rows:
            self._append(rows)

    def finish(self) -> None:
        """Write what is left, and merge."""
        self._flush()
        runs = self._runs or [self._begun()]
        for run in runs:
            run.file.finish()
        if len(runs) > 1:
            paths = [path.rename(self._beside(number)) for number, path in enumerate(run.file.path for run in runs)]
            file = _File(self.path, self._schema, self._optional)
            for batch in merged([Stretch(path) for path in paths], self._order, rows=max(_FEW, _BATCH // len(paths))):
                file.write(batch)
            file.finish()
            for path in paths:
                path.unlink()

    def abandon(self) -> None:
        """Close the files, which are not whole."""
        for run in self._runs:
            run.file.close()

    def _flush(self) -> None:
        if self._rows:
            rows, self._rows, self._size = self._rows, [], 0
            rows.sort(key=attrgetter(*self._order.columns))
            self._append(_table(rows, self._schema))

    def _append(self, rows: pyarrow.Table | pyarrow.RecordBatch) -> None:
        """Write rows behind those that they follow: of several files, that whose last row is the nearest."""
        self.count += rows.num_rows
        first, last = self._order.key(rows, 0), self._order.key(rows, rows.num_rows - 1)
        run = max((run for run in self._runs if run.last <= first), key=attrgetter("last"), default=None)
        run = self._begun() if run is None else run
        run.file.write(rows)
        run.last = last

    def _begun(self) -> _Run:
        path = self._beside(len(self._runs)) if self._runs else self.path
        run = _Run(_File(path, self._schema, self._optional))
        self._runs.append(run)
        return run

    def _beside(self, number: int) -> Path:
        return self.path.with_name(f"{self.path.name}.{number}")


@dataclass
class _Run:
    """A file of rows in order, and by what the last of them is compared."""

    file: _File
    last: tuple[Any, ...] = ()


class _File:
    """A Parquet file whose rows come in order, in batches of any size."""

    def __init__(self, path: Path, schema: pyarrow.Schema, optional: Sequence[str]) -> None:
        self.path = path
        self._whole, self._optional = schema, optional
        self._columns = [name for name in schema.names if name not in optional]
        self._held: list[pyarrow.Table] = []
        self._rows = self._bytes = 0
        self._groups = 0
        self._begin()

    def _begin(self) -> None:
        self._stack = ExitStack()
        import pyarrow as pa

        self._schema = pa.schema([self._whole.field(name) for name in self._columns])
        self._writer = self._stack.enter_context(parquet.writer(self.path, self._schema))

    def write(self, rows: pyarrow.Table | pyarrow.RecordBatch) -> None:
        """Write rows, or hold them until there are enough for a row group."""
        import pyarrow as pa

        table = pa.Table.from_batches([rows]) if isinstance(rows, pa.RecordBatch) else rows
        there = (name for name in self._optional if name in table.column_names and name not in self._columns)
        if said := {name for name in there if _says_something(table.column(name))}:
            self._widen(said)
        table = self._fitted(table)
        start = 0
        for end in self._ends(table):
            self._held.append(table.slice(start, end - start))
            self._write_group()
            start = end
        if start < table.num_rows:
            self._held.append(table.slice(start))

    def finish(self) -> None:
        """Write what is left; the file is whole then."""
        if self._held or not self._groups:
            self._write_group()
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._stack.close()

    def _ends(self, table: pyarrow.Table) -> Iterator[int]:
        """Where row groups end."""
        sizes = _sizes(table)
        if self._rows + table.num_rows < GROUP and self._bytes + sum(sizes) < GROUP_BYTES:
            self._rows, self._bytes = self._rows + table.num_rows, self._bytes + sum(sizes)
            return
        for row, size in enumerate(sizes):
            self._rows, self._bytes = self._rows + 1, self._bytes + size
            if self._rows == GROUP or self._bytes >= GROUP_BYTES:
                self._rows = self._bytes = 0
                yield row + 1

    def _write_group(self) -> None:
        import pyarrow as pa

        held, self._held = self._held, []
        table = pa.concat_tables(held).combine_chunks() if held else pa.Table.from_batches([], self._schema)
        self._writer.write_table(table, row_group_size=max(1, table.num_rows))
        self._groups += 1

    def _widen(self, columns: set[str]) -> None:
        """Give the rows that are written already some optional columns, too."""
        held, self._held = self._held, []
        self.close()
        self._columns = [name for name in self._whole.names if name in columns or name in self._columns]
        narrow = self.path.rename(self.path.with_name(f"{self.path.name}.narrow"))
        self._begin()
        if self._groups:
            with parquet.opened(narrow) as file:
                for group in range(file.num_row_groups):
                    table = self._fitted(file.read_row_group(group, use_threads=False))
                    self._writer.write_table(table.combine_chunks(), row_group_size=table.num_rows)
        narrow.unlink()
        self._held = [self._fitted(table) for table in held]

    def _fitted(self, table: pyarrow.Table) -> pyarrow.Table:
        """Rows with the columns of the file; in an optional one that they lack, they say nothing."""
        import pyarrow as pa

        for name in self._optional:
            if name in self._columns and name not in table.column_names:
                kind = self._whole.field(name).type
                nothing = False if pa.types.is_boolean(kind) else ""
                table = table.append_column(name, parquet.column([nothing] * table.num_rows, kind))
        return table.select(self._columns).cast(self._schema)


def _says_something(column: pyarrow.ChunkedArray) -> bool:
    """Whether a column has a value that is not false or empty."""
    import pyarrow as pa
    import pyarrow.compute as pc

    said = pc.any(column) if pa.types.is_boolean(column.type) else pc.sum(pc.binary_length(column))
    return bool(said.as_py())


def _sizes(table: pyarrow.Table) -> list[int]:
    """The bytes of the text of each row."""
    import pyarrow.compute as pc

    if _TEXT not in table.column_names:
        return [0] * int(table.num_rows)
    return list(pc.binary_length(table.column(_TEXT)).to_pylist())


def _table(rows: Sequence[Any], schema: pyarrow.Schema) -> pyarrow.Table:
    import pyarrow as pa

    columns = [parquet.column(list(map(attrgetter(field.name), rows)), field.type) for field in schema]
    return pa.table(columns, schema=schema)
