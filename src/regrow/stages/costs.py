"""What stages cost that go through all of the text: rough guesses to tell minutes from hours, not measurements."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from regrow.formats import parts
from regrow.recipe.kind import PROGRAM, Cost, Expected

if TYPE_CHECKING:
    from pyarrow.parquet import FileMetaData

BYTES_PER_TOKEN = 3.5
WRITING = 0.012
"""Seconds in which a small model writes a token."""

_STREAM = 1 << 27  # bytes of rows in memory, where they come and go


def all_of(inputs: Mapping[str, tuple[Expected, ...]], slot: str) -> Expected:
    """What is expected in a slot, taken together."""
    given = inputs.get(slot, ())
    return replace(
        given[0] if given else Expected(),
        size=sum(one.size for one in given),
        text=sum(one.text for one in given),
        documents=sum(one.documents for one in given),
    )


def texts_held(*tables: str) -> Callable[[Expected, Path], Expected]:
    """What an artifact of documents holds, by what its tables say of themselves; the texts are not read."""

    def found(expected: Expected, artifact: Path) -> Expected:
        import pyarrow.parquet as pq

        held = [pq.read_metadata(folder / table) for folder in parts.folders(artifact) for table in tables]
        return replace(
            expected,
            text=sum(_text(one) for one in held),
            documents=sum(one.num_rows for one in held),
        )

    return found


def _text(table: FileMetaData) -> int:
    """Bytes of the texts of a table of documents; it is not compressed."""
    place = table.schema.names.index("text")
    return sum(table.row_group(number).column(place).total_uncompressed_size for number in range(table.num_row_groups))


def through_text(slot: str, bytes_per_second: float) -> Callable[[Any, Mapping[str, tuple[Expected, ...]]], Cost]:
    """The cost of going through all text in a slot once, on one core, little of it at a time, and writing as much."""

    def cost(parameters: Any, inputs: Mapping[str, tuple[Expected, ...]]) -> Cost:
        given = all_of(inputs, slot)
        gives = replace(given, size=given.text)
        return Cost(gives, seconds=given.text / bytes_per_second, memory_bytes=PROGRAM + _STREAM)

    return cost


def asking(inputs: Mapping[str, tuple[Expected, ...]]) -> int:
    """Bytes of memory that a model needs to be asked: its weights in float32, twice while they are loaded."""
    return PROGRAM + 8 * all_of(inputs, "weights").parameters


def rewriting(given: Expected, gives: Expected) -> Cost:
    """The cost of reading weights and writing others, on one core; both are held in memory."""
    size = given.size + gives.size
    return Cost(gives, seconds=size / 3e8, memory_bytes=int(PROGRAM + 2 * size))
