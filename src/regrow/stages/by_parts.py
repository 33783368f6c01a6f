"""Going through the documents of a corpus by its parts: a task for each part, and a look at whether to stop."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from regrow.corpus.documents import DOCUMENTS, count
from regrow.corpus.tables import Stretch
from regrow.formats import parts
from regrow.recipe.kind import Call, Task

if TYPE_CHECKING:
    import pyarrow


def parts_of(call: Call[Any], results: Mapping[str, tuple[Path, ...]]) -> int:
    """How many parts the documents in the slot ``documents`` have: so many tasks go through them."""
    return len(parts.folders(call.input("documents")))


def part_of(task: Task[Any]) -> Path:
    """The folder of the part that a task is for."""
    return task.files.path(parts.folder(task.call.input("documents"), task.index, task.count))


def batches(task: Task[Any], columns: Sequence[str] | None = None) -> Iterator[pyarrow.RecordBatch]:
    """The documents of the part that a task is for, some at a time; how far it is is told, and a stop heeded.

    Args:
        task: the task.
        columns: which ones are read; None for all.
    """
    part, done = part_of(task), 0
    total = count(part)
    for batch in Stretch(part / DOCUMENTS).batches(columns):
        yield batch
        done += batch.num_rows
        task.call.context.emit("progress", done=done, total=total, unit="documents")
        if task.call.context.stopping():
            task.call.context.stop()
