"""Chosen columns of the Parquet files of a release, as far as they fit into memory and are what they should be."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import reduce
from typing import TYPE_CHECKING, BinaryIO

from regrow.errors import InputError
from regrow.formats.parquet import groups_of_columns, read_columns, repeated

if TYPE_CHECKING:
    import pyarrow

_WAITING = 1 << 18
"""Rows that are added up together at least."""


def read(
    file: BinaryIO,
    texts: Sequence[str] = (),
    numbers: Sequence[str] = (),
    optional: Sequence[str] = (),
    gaps: Sequence[str] = (),
) -> pyarrow.Table:
    """Some columns.

    Args:
        file: a Parquet file.
        texts: names of columns of texts.
        numbers: names of columns of whole numbers.
        optional: names of columns of texts that may have empty cells.
        gaps: names of columns of whole numbers that may have empty cells; one that is not there has no others.

    Raises:
        ValueError: if there are no such columns, they are of another type, or they are too large.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    fields = {**dict.fromkeys((*texts, *optional), pa.string()), **dict.fromkeys((*numbers, *gaps), pa.int64())}
    try:
        lacking = [name for name in gaps if name not in pq.read_schema(file).names]
        file.seek(0)
        table = read_columns(file, [name for name in fields if name not in lacking])
        for name in lacking:
            table = table.append_column(name, pa.nulls(len(table), pa.int64()))
        return _checked(table, fields, (*texts, *numbers))
    except InputError as error:
        raise _plain(error) from error
    except (TypeError, pa.ArrowException) as error:
        raise ValueError(str(error).partition("\n")[0]) from error


def groups(
    file: BinaryIO, texts: Sequence[str] = (), numbers: Sequence[str] = (), optional: Sequence[str] = ()
) -> Iterator[pyarrow.Table]:
    """The same of tables that may be larger than memory: row group by row group.

    Raises:
        ValueError: as :func:`read`.
    """
    import pyarrow as pa

    fields = {**dict.fromkeys((*texts, *optional), pa.string()), **dict.fromkeys(numbers, pa.int64())}
    try:
        for table in groups_of_columns(file, list(fields)):
            yield _checked(table, fields, (*texts, *numbers))
    except InputError as error:
        raise _plain(error) from error
    except (TypeError, pa.ArrowException) as error:
        raise ValueError(str(error).partition("\n")[0]) from error


def summed(groups: Iterable[pyarrow.Table], keys: Sequence[str], value: str) -> pyarrow.Table:
    """The sum of a column of numbers and the count of rows, for all rows that have the same keys, in their order.

    By sorting, since pyarrow's own groups bring pandas along where it is installed: half a second.

    Returns:
        the keys, which are texts, ``sum`` and ``count``.
    """
    import pyarrow as pa

    numbers = ("sum", "count")
    schema = pa.schema({**dict.fromkeys(keys, pa.string()), **dict.fromkeys(numbers, pa.int64())})
    found, more = pa.Table.from_arrays([pa.nulls(0, field.type) for field in schema], schema=schema), []
    for table in groups:
        given = table.select([*keys, value]).append_column("count", repeated(1, len(table)))
        more.append(_merged(given.rename_columns([*keys, *numbers]).cast(schema), keys))
        if sum(map(len, more)) > max(_WAITING, len(found)):
            found, more = _merged(pa.concat_tables([found, *more]), keys), []
    return _merged(pa.concat_tables([found, *more]), keys)


def _merged(table: pyarrow.Table, keys: Sequence[str]) -> pyarrow.Table:
    """Rows in the order of their keys, of which those that have the same are added up: the columns behind the keys."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if not len(table):
        return table
    table = ordered(table, keys).combine_chunks()
    columns, last = {name: table[name].combine_chunks() for name in table.column_names}, len(table) - 1
    differ = [pc.not_equal(columns[key].slice(1), columns[key].slice(0, last)) for key in keys]
    ends = pa.concat_arrays([pc.indices_nonzero(reduce(pc.or_, differ)).cast(pa.int64()), repeated(last, 1)])
    found = {name: column.take(ends) for name, column in columns.items() if name in keys}
    for name in (name for name in columns if name not in keys):
        sums = pc.cumulative_sum(columns[name]).take(ends)
        found[name] = pc.subtract(sums, pa.concat_arrays([repeated(0, 1), sums.slice(0, len(sums) - 1)]))
    return pa.Table.from_arrays([*found.values()], schema=table.schema)


def ordered(table: pyarrow.Table, keys: Sequence[str]) -> pyarrow.Table:
    """The rows in the order of some columns."""
    import pyarrow.compute as pc

    return table.take(pc.sort_indices(table, sort_keys=[(key, "ascending") for key in keys]))


def _checked(table: pyarrow.Table, fields: dict[str, pyarrow.DataType], full: Sequence[str]) -> pyarrow.Table:
    """A table whose columns are of the types that they should be, without empty cells in some."""
    import pyarrow as pa

    table = table.select(list(fields)).cast(pa.schema(fields))
    table.validate(full=True)  # texts are read as they come, and may be no UTF-8
    if any(table[name].null_count for name in full):
        raise ValueError("there are empty cells")
    return table


def _plain(error: InputError) -> ValueError:
    return ValueError(": ".join(filter(None, (error.what, error.why))))
