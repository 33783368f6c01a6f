"""Chosen columns of the Parquet files of a release, as far as they fit into memory and are what they should be."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, BinaryIO

if TYPE_CHECKING:
    import pyarrow

MOST_BYTES = 4 << 30
"""Of the columns that are read, unpacked."""


def read(
    file: BinaryIO, texts: Sequence[str] = (), numbers: Sequence[str] = (), optional: Sequence[str] = ()
) -> pyarrow.Table:
    """Some columns.

    Args:
        file: a Parquet file.
        texts: names of columns of texts.
        numbers: names of columns of whole numbers.
        optional: names of columns of texts that may have empty cells.

    Raises:
        ValueError: if there are no such columns, they are of another type, or they are too large.
    """
    import pyarrow as pa
    import pyarrow.parquet

    fields = {**dict.fromkeys((*texts, *optional), pa.string()), **dict.fromkeys(numbers, pa.int64())}
    try:
        parquet = pyarrow.parquet.ParquetFile(file)
        if _unpacked(parquet, frozenset(fields)) > MOST_BYTES:
            raise ValueError("it unpacks to too many bytes")
        table = parquet.read(columns=list(fields)).select(list(fields)).cast(pa.schema(fields))
        table.validate(full=True)  # texts are read as they come, and may be no UTF-8
    except (OSError, KeyError, TypeError, pa.ArrowException) as error:
        raise ValueError(str(error).partition("\n")[0]) from error
    if any(table[name].null_count for name in (*texts, *numbers)):
        raise ValueError("there are empty cells")
    return table


def _unpacked(file: pyarrow.parquet.ParquetFile, wanted: frozenset[str]) -> int:
    groups = (file.metadata.row_group(number) for number in range(file.metadata.num_row_groups))
    chunks = (group.column(number) for group in groups for number in range(group.num_columns))
    return sum(chunk.total_uncompressed_size for chunk in chunks if chunk.path_in_schema.split(".")[0] in wanted)
