"""How the tokens of documents are written: a row of them for each part of the split, and a table of whose they are.

What is written grows with the documents, and what is held in memory does not.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple

from regrow.corpus.split import Part
from regrow.corpus.tables import GROUP, Stretch
from regrow.formats import parquet
from regrow.store.digest import canonical_json

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

FACTS = "tokens.json"

_COLUMNS = ("id", "start", "end", "learnt", "rejected")
_ONES = b"\1" * (1 << 20)


def table_of(part: Part) -> str:
    """The table that says which tokens of a row are whose: ``[start, end)``, of a text with the one that ends it.

    Of a conversation ``learnt`` of them count in the loss. From ``rejected`` on they are those of the rejected one.
    """
    return f"{part}.documents.parquet"


ROW = table_of("train")
"""That of the training row."""


class Encoded(NamedTuple):
    """The tokens of a document.

    Attributes:
        id: of the document.
        tokens: of a text without the one that ends it, of a conversation all.
        learnt: of a conversation, which of them count in the loss; None for a text, of which all do.
        rejected: of a pair, how many are of the first conversation; the others are of the one with the rejected answer.
        size: UTF-8 bytes of what is learnt; of a pair, of the chosen one.
    """

    id: str
    tokens: Sequence[int] | NDArray[np.unsignedinteger]
    learnt: Sequence[bool] | NDArray[np.bool_] | None = None
    rejected: int | None = None
    size: int = 0


def write(directory: Path, parts: Mapping[Part, Iterable[Encoded]], *, vocabulary: int, end_of_text: int) -> None:
    """Write the artifact, or a part of it.

    Args:
        directory: where.
        parts: for each part of the split its documents, of which texts get the token that ends them.
        vocabulary: number of tokens there are.
        end_of_text: the token after each document.
    """
    import numpy as np

    dtype = np.dtype("uint16" if vocabulary <= 2**16 else "uint32")
    rows = {part: _write_row(directory, part, documents, dtype, end_of_text) for part, documents in parts.items()}
    facts: dict[str, Any] = {
        "dtype": dtype.name,
        "vocabulary": vocabulary,
        "end_of_text": end_of_text,
        "validation_bytes": rows["validation"].size,
        **{f"{part}_tokens": row.count for part, row in rows.items()},
    }
    (directory / FACTS).write_bytes(canonical_json(facts) + b"\n")


@dataclass
class _Row:
    """What was written of a row so far: how many tokens, and for how many bytes of text."""

    count: int = 0
    size: int = 0


def _write_row(
    directory: Path, part: Part, documents: Iterable[Encoded], dtype: np.dtype[Any], end_of_text: int
) -> _Row:
    """Write the row of a part, whose its tokens are and, if not all, which are learnt."""
    import numpy as np

    row, last = _Row(), np.array([end_of_text], dtype.newbyteorder("<"))
    with ExitStack() as stack:
        file = stack.enter_context((directory / f"{part}.bin").open("wb"))
        marks = stack.enter_context(_Marks(directory / f"{part}.learnt"))
        table = stack.enter_context(_Table(directory / table_of(part)))
        for document in documents:
            tokens = np.asarray(document.tokens, last.dtype)
            tokens = np.concatenate((tokens, last)) if document.learnt is None else tokens
            file.write(tokens.tobytes())
            start, end = row.count, row.count + len(tokens)
            kept = None
            if document.learnt is not None:
                learnt = np.asarray(document.learnt, np.bool_)
                marks.write(start, learnt)
                kept = int(learnt[: document.rejected].sum())
            rejected = None if document.rejected is None else start + document.rejected
            table.add(document.id, start, end, kept, rejected)
            row.count, row.size = end, row.size + document.size
        marks.fill(row.count)
    return row


class _Marks:
    """Writes which tokens of a row are learnt, into a file that is there only if there is a conversation."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: BinaryIO | None = None
        self._count = 0

    def __enter__(self) -> _Marks:
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            self._file.close()

    def write(self, start: int, learnt: NDArray[np.bool_]) -> None:
        """Write those of a conversation that begins there; all tokens before it that nobody spoke of are learnt."""
        if self._file is None:
            self._file = self._path.open("wb")
        self.fill(start)
        self._file.write(learnt.tobytes())
        self._count += len(learnt)

    def fill(self, count: int) -> None:
        """Let all tokens up to there be learnt, if there is a conversation at all."""
        while self._file is not None and self._count < count:
            self._count += self._file.write(_ONES[: count - self._count])


class _Table:
    """Writes whose the tokens are, some documents at a time. A column that nothing stands in is left out."""

    def __init__(self, path: Path) -> None:
        import pyarrow as pa

        self._path, self._whole = path, path.with_name(f"{path.name}.whole")
        self._schema = pa.schema([pa.field(name, pa.int64() if name != "id" else pa.string()) for name in _COLUMNS])
        self._writer = parquet.writer(self._whole, self._schema)
        self._rows: list[tuple[Any, ...]] = []
        self._used: set[str] = {"id", "start", "end"}

    def __enter__(self) -> _Table:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None and self._rows:
            self._write()
        self._writer.close()
        if kind is None:
            self._narrow()

    def add(self, *row: Any) -> None:
        """Add a document."""
        self._rows.append(row)
        if len(self._rows) == GROUP:
            self._write()

    def _write(self) -> None:
        import pyarrow as pa

        rows, self._rows = self._rows, []
        fields = zip(zip(*rows, strict=True), self._schema, strict=True)
        arrays = [parquet.column(column, field.type) for column, field in fields]
        self._used |= {name for name, array in zip(_COLUMNS, arrays, strict=True) if array.null_count < len(array)}
        self._writer.write_table(pa.table(arrays, schema=self._schema), row_group_size=GROUP)

    def _narrow(self) -> None:
        """Give the table its name, without the columns that nothing stands in."""
        import pyarrow as pa

        names = [name for name in _COLUMNS if name in self._used]
        if len(names) == len(_COLUMNS):
            self._whole.rename(self._path)
            return
        schema = pa.schema([self._schema.field(name) for name in names])
        groups = map(pa.Table.from_batches, zip(Stretch(self._whole).batches(names, rows=GROUP)))
        with parquet.writer(self._path, schema) as writer:
            writer.write_table(next(groups, pa.Table.from_batches([], schema)))
            for group in groups:
                writer.write_table(group)
        self._whole.unlink()
