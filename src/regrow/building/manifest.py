"""The data manifest: every document of the training corpus by place, licence and hash, without its text.

Of a text that may not be shared the hash is its leaf in the commitment: anyone could try out what a short text might
have been if it were that of the text alone.
"""

from __future__ import annotations

import lzma
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from regrow.corpus.documents import ORDER
from regrow.corpus.split import PARTS, Split
from regrow.corpus.tables import Stretch, merged, replaced
from regrow.evidence.commitment import leaf
from regrow.formats import parquet, parts

if TYPE_CHECKING:
    import pyarrow

_KEPT = ("id", "source", "licence", "availability", "file", "start", "end", "sha256")
_SALT = "salt"
_GROUP = 1 << 16
_ROWS = 1024  # texts that are read at a time


def write_manifest(split: Path, path: Path) -> None:
    """Write the manifest of a ``split`` artifact, in the order of its documents, as Parquet with fixed settings.

    A few texts are in memory at a time, and the rows of one row group.

    Args:
        split: the folder of the artifact.
        path: the file to write.
    """

    sides = [_Side(Split(folder).path(part), split=part) for part in PARTS for folder in parts.folders(split)]
    schema = sides[0].schema
    with parquet.writer(path, schema) as file:
        for group in _groups(merged(sides, ORDER), schema):
            file.write_table(group, row_group_size=_GROUP)


def _groups(batches: Iterator[pyarrow.RecordBatch], schema: pyarrow.Schema) -> Iterator[pyarrow.Table]:
    """The rows in row groups, all of them full but the last."""
    import pyarrow as pa

    held: list[pa.RecordBatch] = []
    count, given = 0, False
    for batch in batches:
        held.append(batch)
        count += len(batch)
        while count >= _GROUP:
            table = pa.Table.from_batches(held, schema)
            yield table.slice(0, _GROUP).combine_chunks()
            given = True
            held, count = table.slice(_GROUP).to_batches(), count - _GROUP
    if held or not given:
        yield pa.Table.from_batches(held, schema).combine_chunks()


@dataclass(frozen=True)
class _Side(Stretch):
    """The rows of the manifest about the documents of one side of the split, in one part of it."""

    split: str = ""

    @property
    def schema(self) -> pyarrow.Schema:
        """The columns of the manifest."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        schema = pq.read_schema(self.path)
        nothing = pa.RecordBatch.from_arrays([pa.nulls(0, field.type) for field in schema], schema=schema)
        return self._about(nothing).schema

    def batches(self, columns: Sequence[str] | None = None, rows: int = _ROWS) -> Iterator[pyarrow.RecordBatch]:
        """The rows, a few at a time."""
        if columns is not None:
            yield from super().batches(columns, rows)
            return
        salted = [_SALT] if _SALT in parquet.columns(self.path) else []
        for batch in super().batches([*_KEPT, "text", *salted], rows):
            yield self._about(_hidden(batch) if salted else batch)

    def _about(self, batch: pyarrow.RecordBatch) -> pyarrow.RecordBatch:
        """What the manifest says of some documents."""
        import pyarrow as pa
        import pyarrow.compute as pc

        text = batch.column("text")
        measured = (pc.cast(count(text), pa.int64()) for count in (pc.utf8_length, pc.binary_length))
        split = parquet.repeated(self.split, len(batch))
        fields = [batch.schema.field(name) for name in _KEPT]
        more = [pa.field("characters", pa.int64()), pa.field("bytes", pa.int64()), pa.field("split", pa.string())]
        return pa.RecordBatch.from_arrays(
            [*map(batch.column, _KEPT), *measured, split], schema=pa.schema([*fields, *more])
        )


def _hidden(batch: pyarrow.RecordBatch) -> pyarrow.RecordBatch:
    """Documents, with the leaf of each that has a salt in place of the hash of its text."""
    rows = enumerate(zip(*(batch.column(name).to_pylist() for name in (_SALT, "id", "text")), strict=True))
    return replaced(
        batch, "sha256", {row: leaf(salt, id, text.encode()).hex() for row, (salt, id, text) in rows if salt}
    )


def xz(split: Path) -> dict[str, Any]:
    """How well xz packs the validation text once it has seen some training text: a yardstick for the model.

    Of conversations a model is measured by the answers, and there is no such yardstick. Versions of xz differ a little,
    so this is no part of what a release digest covers.
    """
    sides = {part: [Split(folder).path(part) for folder in parts.folders(split)] for part in PARTS}
    if any(map(_has_conversations, chain.from_iterable(sides.values()))):
        return {}
    text = b"".join(_texts(sides["validation"], 1 << 22))
    before = b"".join(_texts(sides["train"], 1 << 20))
    if not text:
        return {}
    return {"bits_per_byte": 8 * (_packed(before + text) - _packed(before)) / len(text), "primed_with": len(before)}


def _has_conversations(path: Path) -> bool:
    import pyarrow.parquet

    return "conversation" in pyarrow.parquet.read_schema(path).names


def _packed(data: bytes) -> int:
    return len(lzma.compress(data, preset=6))


def _texts(paths: Sequence[Path], most: int) -> Iterator[bytes]:
    """Texts from files of documents, until there are about ``most`` bytes."""
    for batch in chain.from_iterable(Stretch(path).batches(["text"], 64) for path in paths):
        for text in batch.column("text").to_pylist():
            if most <= 0:
                return
            data = text.encode()[:most]
            most -= len(data)
            yield data
