"""The data manifest: every document of the training corpus by place, licence and hash, without its text."""

from __future__ import annotations

import lzma
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from regrow.corpus.split import PARTS, Split
from regrow.formats import parquet

if TYPE_CHECKING:
    import pyarrow

_KEPT = ("id", "source", "licence", "availability", "file", "start", "end", "sha256")


def write_manifest(split: Path, path: Path) -> None:
    """Write the manifest of a ``split`` artifact, in the order of its documents, as Parquet with fixed settings.

    Args:
        split: the folder of the artifact.
        path: the file to write.
    """
    import pyarrow

    table = pyarrow.concat_tables(rows for part in PARTS for rows in _rows(Split(split).path(part), part))
    order = [(column, "ascending") for column in ("source", "file", "start", "id")]
    parquet.write(path, table.sort_by(order).combine_chunks(), rows_in_group=1 << 16)


def _rows(path: Path, split: str) -> Iterator[pyarrow.Table]:
    """The rows of one side of the split, a batch of texts in memory at a time."""
    import pyarrow
    import pyarrow.compute as pc
    import pyarrow.parquet

    with pyarrow.parquet.ParquetFile(path) as file:
        empty = file.schema_arrow.empty_table().to_batches() or [pyarrow.RecordBatch.from_pylist([], file.schema_arrow)]
        for batch in (*empty, *file.iter_batches(4096, columns=[*_KEPT, "text"])):
            table = pyarrow.Table.from_batches([batch])
            text = table["text"]
            yield (
                table.select(_KEPT)
                .replace_schema_metadata(None)
                .append_column("characters", pc.cast(pc.utf8_length(text), pyarrow.int64()))
                .append_column("bytes", pc.cast(pc.binary_length(text), pyarrow.int64()))
                .append_column("split", pyarrow.array([split] * len(table), pyarrow.string()))
            )


def xz(split: Path) -> dict[str, Any]:
    """How well xz packs the validation text once it has seen some training text: a yardstick for the model.

    Of conversations a model is measured by the answers, and there is no such yardstick. Versions of xz differ a little,
    so this is no part of what a release digest covers.
    """
    if any(_has_conversations(Split(split).path(part)) for part in PARTS):
        return {}
    text = b"".join(_texts(Split(split).path("validation"), 1 << 22))
    before = b"".join(_texts(Split(split).path("train"), 1 << 20))
    if not text:
        return {}
    return {"bits_per_byte": 8 * (_packed(before + text) - _packed(before)) / len(text), "primed_with": len(before)}


def _has_conversations(path: Path) -> bool:
    import pyarrow.parquet

    return "conversation" in pyarrow.parquet.read_schema(path).names


def _packed(data: bytes) -> int:
    return len(lzma.compress(data, preset=6))


def _texts(path: Path, most: int) -> Iterator[bytes]:
    """Texts from a file of documents, until there are about ``most`` bytes."""
    import pyarrow.parquet

    with pyarrow.parquet.ParquetFile(path) as file:
        for batch in file.iter_batches(64, columns=["text"]):
            for text in batch["text"].to_pylist():
                if most <= 0:
                    return
                data = text.encode()[:most]
                most -= len(data)
                yield data
