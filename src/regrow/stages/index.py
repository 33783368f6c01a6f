"""Make an index of the training text, so that any run of its tokens is found at once."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from regrow.corpus import suffixes
from regrow.corpus.encoded import ROW
from regrow.corpus.tokens import TokenShards
from regrow.recipe.kind import PROGRAM, Call, Cost, Expected, Kind, Phase, Released, Slot, Table, Task
from regrow.sections import Parameters
from regrow.stages.costs import BYTES_PER_TOKEN, all_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

_MEMORY = 10  # bytes for a token of a shard


class IndexParameters(Parameters):
    """There is nothing to choose."""


def rows(tokens: TokenShards) -> list[NDArray[Any]]:
    """The files of the training row, mapped from disk."""
    import numpy as np

    return [suffixes.mapped(one / "train.bin", np.dtype(tokens.dtype).newbyteorder("<").str) for one in tokens.folders]


def cut(tokens: TokenShards) -> list[suffixes.Range]:
    """The shards of an index: stretches of the row that end with a document and lie in one file."""
    import numpy as np
    import pyarrow.parquet as pq

    found, begin = [], 0
    for folder, count in zip(tokens.folders, tokens.counts["train"], strict=True):
        ends = np.array(pq.read_table(folder / ROW, columns=["end"])["end"], np.int64)
        found += [(begin + first, begin + last) for first, last in suffixes.stretches(ends)]
        begin += count
    return found


def _shards(call: Call[IndexParameters], results: Mapping[str, tuple[Path, ...]]) -> int:
    return len(cut(TokenShards.open(call.input("tokens"))))


def tables(task: Task[IndexParameters]) -> None:
    """Sort the places of one shard."""
    tokens = TokenShards.open(task.files.path(task.call.input("tokens")))
    begin, end = cut(tokens)[task.index]
    suffixes.build(task.output, tokens.read("train", begin, end), begin, task.index, tokens.vocabulary)


def facts(task: Task[IndexParameters]) -> None:
    """Say what shards there are."""
    suffixes.describe(task.output, cut(TokenShards.open(task.files.path(task.call.input("tokens")))))


def cost(parameters: IndexParameters, inputs: Mapping[str, tuple[Expected, ...]]) -> Cost:
    """Estimate: the tokens of a shard are sorted at a time."""
    tokens = all_of(inputs, "tokens").text / BYTES_PER_TOKEN
    memory = int(PROGRAM + _MEMORY * min(tokens, suffixes.SHARD))
    return Cost(Expected(size=4 * tokens), seconds=tokens / 9e6, memory_bytes=memory)


KIND = Kind(
    name="index",
    version=2,
    parameters=IndexParameters,
    inputs={"tokens": Slot("tokens")},
    output="index",
    phases=(Phase("tables", tables, tasks=_shards, kept=True), Phase("facts", facts, kept=True)),
    summary="sort the places of the training text by what stands there",
    table=Table("index", about="An index of the training text that is part of the release, for `regrow trace`."),
    cost=cost,
    released=(Released("*", "index", always=True, verbatim=True),),
)
