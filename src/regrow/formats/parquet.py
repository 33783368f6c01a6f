"""Parquet: the one way in which we write a table, and a reader of chosen columns that bounds what they unpack to."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from regrow.errors import InputError

if TYPE_CHECKING:
    import numpy as np
    import pyarrow
    from numpy.typing import NDArray

MOST_BYTES = 4 << 30
"""Of the columns that are read, unpacked."""

_MOST_IN_A_COLUMN = 1 << 31  # bytes of texts
_BUFFER = 1 << 16  # bytes of a column that are read at a time

REPEATING = ("source", "licence", "availability", "file", "split", "stage", "reason")
"""Columns in which few values stand often, written once each. Another name here changes bytes of tables."""


def write(path: Path, table: pyarrow.Table, *, rows_in_group: int) -> None:
    """Write a table as Parquet whose bytes follow from the rows and the version of pyarrow alone."""
    with writer(path, table.schema) as file:
        file.write_table(table, row_group_size=rows_in_group)


def writer(path: Path, schema: pyarrow.Schema) -> pyarrow.parquet.ParquetWriter:
    """The same, for row groups that are given one after another.

    Uncompressed, since compressors of other builds give other bytes; and with no statistics, which nothing reads.
    """
    import pyarrow.parquet

    return pyarrow.parquet.ParquetWriter(
        path,
        schema,
        version="2.6",
        data_page_version="1.0",
        compression="none",
        use_dictionary=[name for name in REPEATING if name in schema.names],
        write_statistics=False,
        store_schema=False,
    )


def repeated(value: str | int, count: int) -> pyarrow.Array:
    """A column of texts or 64-bit numbers that are all the same.

    Made of buffers, since pyarrow looks for pandas where it is given values of Python: half a second for nothing.
    """
    import numpy as np
    import pyarrow as pa

    if isinstance(value, int):
        return pa.Array.from_buffers(pa.int64(), count, [None, pa.py_buffer(np.full(count, value, np.int64))])
    data = value.encode()
    ends = np.arange(count + 1, dtype=np.int32) * len(data)
    return pa.Array.from_buffers(pa.string(), count, [None, *map(pa.py_buffer, (ends.tobytes(), data * count))])


def column(values: Sequence[Any] | NDArray[Any], kind: pyarrow.DataType) -> pyarrow.Array:
    """A column of values; of whole numbers and of what pyarrow makes some may be None.

    Texts, bytes, 64-bit numbers with a sign and truth values are made of buffers, as in :func:`repeated`, but for texts
    of so many bytes that pyarrow makes several columns of them. All other kinds are made by pyarrow.
    """
    import numpy as np
    import pyarrow as pa

    count = len(values)
    if pa.types.is_string(kind) or pa.types.is_binary(kind):
        texts = [value.encode() if isinstance(value, str) else value for value in values]
        ends = np.cumsum([0, *map(len, texts)], dtype=np.int64)
        if ends[-1] >= _MOST_IN_A_COLUMN:
            return pa.array(values, kind)
        buffers = [None, pa.py_buffer(ends.astype(np.int32)), pa.py_buffer(b"".join(texts))]
    elif pa.types.is_boolean(kind):
        buffers = [None, pa.py_buffer(_bits(values))]
    elif pa.types.is_int64(kind):
        there = [value is not None for value in values]
        numbers = values if all(there) else [value or 0 for value in values]
        buffers = [None if all(there) else pa.py_buffer(_bits(there)), pa.py_buffer(np.array(numbers, np.int64))]
    else:
        return pa.array(values, kind)
    return pa.Array.from_buffers(kind, count, buffers)


def said(texts: pyarrow.StringArray, row: int) -> pyarrow.Buffer:
    """The UTF-8 of a text of a column where it lies: pyarrow would copy it."""
    import numpy as np

    _, offsets, data = texts.buffers()
    start, end = np.frombuffer(offsets, np.int32, 2, 4 * (texts.offset + row)).tolist()
    return data.slice(start, end - start)


def _bits(values: Sequence[bool] | NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Truth values, eight to a byte."""
    import numpy as np

    return np.packbits(np.asarray(values, np.bool_), bitorder="little")


def opened(path: Path) -> pyarrow.parquet.ParquetFile:
    """A table of ours, of which little more than the rows that are asked for is in memory."""
    import pyarrow.parquet

    return pyarrow.parquet.ParquetFile(path, pre_buffer=False, buffer_size=_BUFFER)


def columns(path: Path) -> list[str]:
    """The names of the columns of a table of ours."""
    import pyarrow.parquet

    return list(pyarrow.parquet.read_schema(path).names)


def group_borders(file: pyarrow.parquet.ParquetFile) -> list[int]:
    """The row with which each row group begins, and at last how many rows there are."""
    groups = (file.metadata.row_group(number).num_rows for number in range(file.metadata.num_row_groups))
    return list(accumulate(groups, initial=0))


def group_sizes(file: pyarrow.parquet.ParquetFile, column: str) -> list[int]:
    """The bytes that a column, if there is one, has in each row group; at least one."""
    groups = [file.metadata.row_group(number) for number in range(file.metadata.num_row_groups)]
    if column not in file.schema_arrow.names:
        return [1] * len(groups)
    place = file.schema_arrow.names.index(column)
    return [max(1, group.column(place).total_uncompressed_size) for group in groups]


def read_columns(file: BinaryIO | Path, columns: Sequence[str], most_bytes: int | None = None) -> pyarrow.Table:
    """Read some columns of a table.

    Args:
        file: a path, or a file at its beginning.
        columns: their names; each has to be there.
        most_bytes: what they may unpack to; by default :data:`MOST_BYTES`.

    Raises:
        InputError: if it is no such table, or one too large.
    """
    import pyarrow
    import pyarrow.parquet

    try:
        with pyarrow.parquet.ParquetFile(file) as found:
            most = MOST_BYTES if most_bytes is None else most_bytes
            if unpacked(found) > most and _unpacked(found, frozenset(columns)) > most:
                raise InputError("the table unpacks to too many bytes", why=f"up to {most:,} are read")
            if lacking := [name for name in columns if name not in found.schema_arrow.names]:
                raise InputError(f"the table has no column `{lacking[0]}`")
            return found.read(columns=list(columns))
    except (pyarrow.ArrowException, OSError, ValueError) as error:
        raise InputError("the table cannot be read", why=str(error).partition("\n")[0]) from error


def groups_of_columns(file: BinaryIO | Path, columns: Sequence[str]) -> Iterator[pyarrow.Table]:
    """Read some columns of a table, row group by row group: of a large table, a part is in memory.

    Raises:
        InputError: if it is no such table, or a row group is too large.
    """
    import pyarrow
    import pyarrow.parquet

    try:
        with pyarrow.parquet.ParquetFile(file, pre_buffer=False) as found:
            if lacking := [name for name in columns if name not in found.schema_arrow.names]:
                raise InputError(f"the table has no column `{lacking[0]}`")
            for number in range(found.metadata.num_row_groups):
                if found.metadata.row_group(number).total_byte_size > MOST_BYTES:
                    raise InputError(
                        "the table unpacks to too many bytes", why=f"up to {MOST_BYTES:,} are read at once"
                    )
                yield found.read_row_group(number, columns=list(columns), use_threads=False)
    except (pyarrow.ArrowException, OSError, ValueError) as error:
        raise InputError("the table cannot be read", why=str(error).partition("\n")[0]) from error


def unpacked(file: pyarrow.parquet.ParquetFile) -> int:
    """What a file unpacks to, by what it says. It is asked first: to ask damaged columns would end the process."""
    groups = (file.metadata.row_group(number) for number in range(file.metadata.num_row_groups))
    return sum(max(0, group.total_byte_size) for group in groups)


def _unpacked(file: pyarrow.parquet.ParquetFile, wanted: frozenset[str]) -> int:
    groups = (file.metadata.row_group(number) for number in range(file.metadata.num_row_groups))
    chunks = (group.column(number) for group in groups for number in range(group.num_columns))
    return sum(chunk.total_uncompressed_size for chunk in chunks if chunk.path_in_schema.split(".")[0] in wanted)
