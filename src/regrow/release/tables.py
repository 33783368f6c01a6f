"""Chosen columns of the Parquet files of a release, as far as they fit into memory and are what they should be."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, BinaryIO

from regrow.errors import InputError
from regrow.formats.parquet import read_columns

if TYPE_CHECKING:
    import pyarrow


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

    fields = {**dict.fromkeys((*texts, *optional), pa.string()), **dict.fromkeys(numbers, pa.int64())}
    try:
        table = read_columns(file, list(fields)).select(list(fields)).cast(pa.schema(fields))
        table.validate(full=True)  # texts are read as they come, and may be no UTF-8
    except InputError as error:
        raise ValueError(": ".join(filter(None, (error.what, error.why)))) from error
    except (TypeError, pa.ArrowException) as error:
        raise ValueError(str(error).partition("\n")[0]) from error
    if any(table[name].null_count for name in (*texts, *numbers)):
        raise ValueError("there are empty cells")
    return table
