"""Rows of Parquet: what is asked for, read by the bytes and integers that are stored, whatever they stand for.

Nothing depends on what a library makes of a value: a time with a zone needs no table of time zones, and nanoseconds
need no other type than the integers they are.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any

from regrow.corpus.beside import NESTED, sort_of
from regrow.corpus.content import Content, Kept
from regrow.corpus.reading import Reading, Refusal
from regrow.corpus.rows import Row, names, no_field, refused, require_groups, row_of
from regrow.corpus.signatures import is_parquet, kind_of
from regrow.errors import StageError
from regrow.formats.parquet import unpacked

if TYPE_CHECKING:
    import pyarrow

_ROWS = 4096  # in memory at a time, texts that repeat being there once
_FEW = 64  # the same of large row groups, where one that repeats is there as often as it does
_BUFFER = 1 << 20  # bytes of a column that are read at a time
_SMALL = 1 << 26  # bytes that a file may unpack to, however small it is
_TIMES = 100  # as many as it has itself that it may unpack to otherwise
_LEAST = 16  # bytes that a row counts for
_LONGEST_TYPE = 80


def parquet_rows(content: Content, reading: Reading) -> Iterator[Row | Refusal]:
    """A column of each row; the place of a row is its number."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    ends, size = content.ends, content.size
    if not is_parquet(ends):
        kind = kind_of(ends)
        yield Refusal(0, size, "not a Parquet file", f"it is {kind}" if kind else "")
        return
    try:
        schema = pq.read_schema(_source(content))
        columns = [reading.field, *reading.group_by]
        texts = [name for name in columns if schema.names.count(name) == 1 and _is_text(schema.field(name).type)]
        file = pq.ParquetFile(_source(content), buffer_size=_BUFFER)
        if not (large := _is_large(file)):
            texts += _leaves(file.schema, _beside(schema, reading))
            file = pq.ParquetFile(_source(content), read_dictionary=list(dict.fromkeys(texts)), buffer_size=_BUFFER)
    except MemoryError:  # says something of the machine, not of the file
        raise
    except (pa.ArrowException, OSError, ValueError):
        yield _damaged(ends, 0, size)
        return
    if trouble := _trouble(schema, reading):
        yield Refusal(0, size, "no text", trouble)
        return
    require_groups(reading, schema.names, "there is no column")
    yield from _rows(content, file, reading, _Budget(max(_SMALL, _TIMES * size)), _FEW if large else _ROWS)


def _source(content: Content) -> pyarrow.NativeFile:
    """What pyarrow reads from. It closes it, but not the file."""
    import pyarrow as pa

    return pa.PythonFile(Kept(content.opened()), mode="r")


def _is_large(file: Any) -> bool:
    """Whether texts are better written out as they are read: pyarrow holds all of a row group that are not.

    Row groups are asked, and not the texts in them: to ask damaged columns would end the process.
    """
    groups = (file.metadata.row_group(number) for number in range(file.metadata.num_row_groups))
    return max((group.total_byte_size for group in groups), default=0) > _SMALL


def _trouble(schema: pyarrow.Schema, reading: Reading) -> str:
    """What is wrong with the column that should hold the text."""
    import pyarrow as pa

    if reading.field not in schema.names:
        return no_field("column", reading.field, schema.names)
    if twice := [name for name in (reading.field, *reading.group_by) if schema.names.count(name) > 1]:
        return f"it has {names(twice[:1])} twice"
    type = schema.field(reading.field).type
    if _holds_text(type) or pa.types.is_null(type):
        return ""
    texts = [field.name for field in schema if _holds_text(field.type)]
    return f"column `{reading.field}` holds {_named(type)}; those that hold text: {names(texts)}"


def _beside(schema: pyarrow.Schema, reading: Reading) -> list[str]:
    """The columns that may say something of the rights in the texts, and such fields of columns that hold several."""
    known = {reading.field, *reading.group_by}
    nested = [
        (f"{name}.{inner.name}", inner.type)
        for name in NESTED
        if name not in known and schema.names.count(name) == 1 and _holds_fields(schema.field(name).type)
        for inner in schema.field(name).type
    ]
    single = [(one.name, one.type) for one in schema if schema.names.count(one.name) == 1 and one.name not in known]
    return [name for name, type in (*single, *nested) if sort_of(name) and _may_speak(type)]


def _leaves(schema: Any, names: Sequence[str]) -> list[str]:
    """Where the texts of columns are stored, those of lists included."""
    stored = [schema.column(number) for number in range(len(schema.names))]
    return [
        one.path
        for one in stored
        if one.physical_type == "BYTE_ARRAY" and any(f"{one.path}.".startswith(f"{name}.") for name in names)
    ]


def _holds_fields(type: pyarrow.DataType) -> bool:
    import pyarrow as pa

    return bool(pa.types.is_struct(type))


def _may_speak(type: pyarrow.DataType) -> bool:
    """Whether values of a type may be words, or yes and no."""
    import pyarrow as pa

    listed = pa.types.is_list(type) or pa.types.is_large_list(type)
    return _holds_text(type.value_type if listed else type) or bool(
        pa.types.is_boolean(type) or pa.types.is_integer(type)
    )


def _column(batch: pyarrow.RecordBatch, name: str) -> pyarrow.Array:
    """A column, or a field of one."""
    import pyarrow.compute as pc

    if name in batch.schema.names:
        return batch.column(batch.schema.get_field_index(name))
    outer, _, inner = name.partition(".")
    return pc.struct_field(batch.column(batch.schema.get_field_index(outer)), inner)


def _rows(content: Content, file: Any, reading: Reading, budget: _Budget, rows: int) -> Iterator[Row | Refusal]:
    import pyarrow as pa

    claimed = file.metadata.num_rows
    at = 0
    columns = list(dict.fromkeys([reading.field, *reading.group_by, *_beside(file.schema_arrow, reading)]))
    try:
        if not budget.spend(claimed * _LEAST + unpacked(file)):
            yield budget.refusal(content.size)
            return
        batches = file.iter_batches(rows, columns=columns, use_threads=False)
        while (batch := next(batches, None)) is not None:
            if not budget.spend(_text_bytes(batch, reading.field)):
                yield budget.refusal(content.size)
                return
            values = [_values(_column(batch, name), name) for name in columns]
            for row in zip(*values, strict=True):
                yield _row(at, row, columns, reading)
                at += 1
    except MemoryError:
        raise
    except (pa.ArrowException, OSError, ValueError):  # what pyarrow says of damaged bytes
        yield _damaged(content.ends, at, max(at, min(claimed, at + content.size)))


def _row(at: int, values: Sequence[Any], columns: Sequence[str], reading: Reading) -> Row | Refusal:
    found = dict(zip(columns, values, strict=True))
    text = values[0]
    if isinstance(text, bytes):
        try:
            found[reading.field] = text.decode()
        except UnicodeDecodeError as error:
            detail = f"byte {error.start} of the value is 0x{text[error.start]:02x}"
            return refused(at, at + 1, "not utf-8", detail)
    return row_of(at, at + 1, found, reading)


class _Budget:
    """Counts what a file unpacks to: a small one may hold the same text a million times."""

    def __init__(self, most: int) -> None:
        self._left = self._most = most

    def spend(self, size: int) -> bool:
        """Take some bytes into account; False if there are too many."""
        self._left -= max(0, size)
        return self._left >= 0

    def refusal(self, size: int) -> Refusal:
        """The refusal of a file of some bytes."""
        return Refusal(0, size, "unpacks to too much", f"{size:,} bytes hold more than {self._most:,}")


def _text_bytes(batch: pyarrow.RecordBatch, field: str) -> int:
    """How many bytes of text the rows have, without writing those out that are the same."""
    import pyarrow as pa
    import pyarrow.compute as pc

    column = batch.column(batch.schema.get_field_index(field))
    if not pa.types.is_dictionary(column.type):
        return int(column.nbytes)
    return int(pc.sum(pc.take(pc.binary_length(column.dictionary), column.indices)).as_py() or 0)


def _values(column: pyarrow.Array, name: str) -> list[Any]:
    """The values of a column as plain ones: bytes for text, integers for times."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if isinstance(column, pa.DictionaryArray):
        used = column.indices.drop_null().unique()  # a batch may bring along the dictionary of many
        known = dict(zip(used.to_pylist(), _values(column.dictionary.take(used), name), strict=True))
        return [known.get(place) for place in column.indices.to_pylist()]
    if isinstance(column, pa.ExtensionArray):
        return _values(column.storage, name)
    if pa.types.is_list(column.type) and pa.types.is_dictionary(column.type.value_type):
        items = iter(_values(column.flatten(), name))
        return [[*islice(items, length or 0)] for length in pc.list_value_length(column).to_pylist()]
    try:
        values: list[Any] = column.cast(_plain(column.type)).to_pylist()
    except pa.ArrowNotImplementedError as error:
        raise StageError(
            f"rows cannot be grouped by column `{name}`",
            why=f"it holds {_named(column.type)}",
            hint="name a column of texts, numbers or times as `group_by`",
        ) from error
    return values


def _plain(type: pyarrow.DataType) -> pyarrow.DataType:
    """The type of the values as they are stored."""
    import pyarrow as pa

    is_ = pa.types
    if isinstance(type, pa.ExtensionType):
        return _plain(type.storage_type)
    if is_.is_dictionary(type):
        return _plain(type.value_type)
    if is_.is_date32(type) or is_.is_time32(type):
        return pa.int32()
    if is_.is_temporal(type) and not is_.is_interval(type):
        return pa.int64()
    if is_.is_string(type) or is_.is_large_string(type) or is_.is_string_view(type):
        return pa.large_binary()
    if is_.is_map(type):
        return pa.map_(_plain(type.key_type), _plain(type.item_type))
    if is_.is_fixed_size_list(type):
        return pa.list_(_plain(type.value_type), type.list_size)
    if is_.is_list(type) or is_.is_large_list(type):
        return pa.large_list(_plain(type.value_type))
    if is_.is_struct(type):
        return pa.struct([field.with_type(_plain(field.type)) for field in type])
    return type


def _holds_text(type: pyarrow.DataType) -> bool:
    import pyarrow as pa

    if isinstance(type, pa.ExtensionType):
        return _holds_text(type.storage_type)
    if pa.types.is_dictionary(type):
        return _holds_text(type.value_type)
    return _is_text(type) or bool(pa.types.is_string_view(type))


def _is_text(type: pyarrow.DataType) -> bool:
    import pyarrow as pa

    return bool(pa.types.is_string(type) or pa.types.is_large_string(type))


def _named(type: pyarrow.DataType) -> str:
    name = str(type)
    return name if len(name) <= _LONGEST_TYPE else f"{name[:_LONGEST_TYPE]}..."


def _damaged(ends: bytes, start: int, end: int) -> Refusal:
    what = "encrypted" if ends.startswith(b"PARE") else "damaged"
    return Refusal(start, end, f"a Parquet file that is {what}")
