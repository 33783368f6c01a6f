"""Make an index of the training text, so that any run of its tokens is found at once."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from regrow.corpus import suffixes
from regrow.corpus.tokens import TokenShards
from regrow.recipe.kind import PROGRAM, Call, Cost, Expected, Kind, Phase, Released, Slot, Table, Task
from regrow.sections import Parameters
from regrow.stages.costs import BYTES_PER_TOKEN, all_of

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_MEMORY = 12  # bytes for a token of a shard


class IndexParameters(Parameters):
    """There is nothing to choose."""


def rows(tokens: TokenShards) -> list[NDArray[Any]]:
    """The files of the training row, mapped from disk."""
    return [tokens.read("train")]


def cut(tokens: Path) -> list[suffixes.Range]:
    """The shards of an index: stretches of the row that end with a document and lie in one file."""
    return suffixes.stretches(_ends(tokens))


def _ends(tokens: Path) -> NDArray[np.int64]:
    import numpy as np
    import pyarrow.parquet as pq

    return np.array(pq.read_table(tokens / "train.documents.parquet", columns=["end"])["end"], np.int64)


def _shards(call: Call[IndexParameters], results: Mapping[str, tuple[Path, ...]]) -> int:
    return len(cut(call.input("tokens")))


def tables(task: Task[IndexParameters]) -> None:
    """Sort the places of one shard."""
    folder = task.files.path(task.call.input("tokens"))
    tokens = TokenShards.open(folder)
    begin, end = cut(folder)[task.index]
    (row,) = rows(tokens)
    suffixes.build(task.output, row[begin:end], begin, task.index, tokens.vocabulary)


def facts(task: Task[IndexParameters]) -> None:
    """Say what shards there are."""
    suffixes.describe(task.output, cut(task.files.path(task.call.input("tokens"))))


def cost(parameters: IndexParameters, inputs: Mapping[str, tuple[Expected, ...]]) -> Cost:
    """Estimate: the tokens of a shard are sorted at a time."""
    tokens = all_of(inputs, "tokens").text / BYTES_PER_TOKEN
    memory = int(PROGRAM + _MEMORY * min(tokens, suffixes.SHARD))
    return Cost(Expected(size=4 * tokens), seconds=tokens / 6e6, memory_bytes=memory)


KIND = Kind(
    name="index",
    version=1,
    parameters=IndexParameters,
    inputs={"tokens": Slot("tokens")},
    output="index",
    phases=(Phase("tables", tables, tasks=_shards, kept=True), Phase("facts", facts, kept=True)),
    libraries=("pydivsufsort",),
    summary="sort the places of the training text by what stands there",
    table=Table("index", about="An index of the training text that is part of the release, for `regrow trace`."),
    cost=cost,
    released=(Released("*", "index", always=True),),
)
