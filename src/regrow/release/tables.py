"""Chosen columns of the Parquet files of a release, as far as they fit into memory and are what they should be."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, BinaryIO

from regrow.errors import InputError
from regrow.formats.parquet import read_columns

if TYPE_CHECKING:
    import pyarrow


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
        table = table.select(list(fields)).cast(pa.schema(fields))
        table.validate(full=True)  # texts are read as they come, and may be no UTF-8
    except InputError as error:
        raise ValueError(": ".join(filter(None, (error.what, error.why)))) from error
    except (TypeError, pa.ArrowException) as error:
        raise ValueError(str(error).partition("\n")[0]) from error
    if any(table[name].null_count for name in (*texts, *numbers)):
        raise ValueError("there are empty cells")
    return table
