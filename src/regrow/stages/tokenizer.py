"""Learn a byte-level BPE tokenizer from the training documents."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import Field

from regrow.corpus import tokenizer
from regrow.corpus.documents import documents_table
from regrow.corpus.split import Split
from regrow.errors import StageError
from regrow.formats import parquet, parts
from regrow.recipe.kind import PROGRAM, Call, Cost, Expected, Kind, Phase, Released, Slot, Table, Task
from regrow.sections import LARGEST, Parameters
from regrow.stages.costs import all_of
from regrow.store.digest import sha256_bytes
from regrow.words import counted

if TYPE_CHECKING:
    import numpy as np
    import pyarrow
    from numpy.typing import NDArray

_SIZES, _DECIDED = "sizes.npy", "decided.json"

_BUCKETS = 1 << 16
"""Into so many the documents are told apart by a hash; a sample is the first of them."""

_MEMORY_PER_BYTE = 4  # of the sample: what the library holds of the words of an English text


class TokenizerParameters(Parameters):
    """The byte-level BPE tokenizer, trained on the training documents."""

    vocabulary: int = Field(
        description="Tokens to tell apart: 256 bytes, the end of a text, and merges.",
        examples=[4096],
        ge=257,
        le=2**18,
        json_schema_extra={"why": "every byte and the end of a text are tokens, and more than 2**18 are of no use"},
    )
    sample_bytes: int = Field(
        default=2**28,
        description="Bytes of text that are learnt from, at most: if there are more, those of the documents whose ids "
        "have the smallest hashes. Memory grows with the different words in them.",
        examples=[2**30],
        ge=2**20,
        le=LARGEST,
    )


def _parts(call: Call[TokenizerParameters], results: Mapping[str, tuple[Path, ...]]) -> int:
    return len(parts.folders(call.input("split")))


def _batches(task: Task[TokenizerParameters]) -> Iterator[tuple[pyarrow.RecordBatch, NDArray[np.int64]]]:
    """The training documents of the part that a task is for, and the bucket of each."""
    import numpy as np

    split = Split(task.files.path(parts.folder(task.call.input("split"), task.index, task.count)))
    for batch in split.batches("train"):
        yield batch, np.array([_bucket(one) for one in batch.column("id").to_pylist()], np.int64)


def _bucket(document: str) -> int:
    return int(sha256_bytes(f"tokenizer\0{document}".encode())[:4], 16)


def measure(task: Task[TokenizerParameters]) -> None:
    """Count the bytes of text in each bucket."""
    import numpy as np
    import pyarrow.compute as pc

    sizes = np.zeros(_BUCKETS, np.int64)
    for batch, buckets in _batches(task):
        np.add.at(sizes, buckets, pc.binary_length(batch.column("text")).to_numpy())
    np.save(task.output / _SIZES, sizes)


def decide(task: Task[TokenizerParameters]) -> None:
    """Take as many buckets as together have no more bytes than the recipe allows; at least one with a document."""
    import numpy as np

    sizes = np.zeros(_BUCKETS, np.int64)
    for folder in task.given("measure"):
        sizes += np.load(task.files.path(folder / _SIZES))
    within = int(np.searchsorted(np.cumsum(sizes), task.call.parameters.sample_bytes, "right"))
    found = {"buckets": max(within, int(np.argmax(sizes > 0)) + 1)}
    (task.output / _DECIDED).write_text(json.dumps(found) + "\n", encoding="utf-8")


def sample(task: Task[TokenizerParameters]) -> None:
    """Copy the documents of a part that are learnt from."""
    import pyarrow as pa

    (decided,) = task.given("decide")
    buckets = json.loads(task.files.path(decided / _DECIDED).read_text(encoding="utf-8"))["buckets"]
    with documents_table(Split(task.output).path("train")) as table:
        for batch, bucket in _batches(task):
            table.extend(batch.filter(parquet.column(bucket < buckets, pa.bool_())))


def learn(task: Task[TokenizerParameters]) -> None:
    """Train on the sample, in canonical order."""
    asked = task.call.parameters
    documents = 0

    def texts() -> Iterator[str]:
        nonlocal documents
        for folder in task.given("sample"):
            for batch in Split(task.files.path(folder)).batches("train", ["text"]):
                documents += batch.num_rows
                for text in batch.column("text").to_pylist():
                    yield from tokenizer.pieces(text)

    learnt = tokenizer.learn(texts(), asked.vocabulary)
    found = learnt.get_vocab_size()
    if found != asked.vocabulary:
        raise StageError(
            f"a vocabulary of {asked.vocabulary} tokens is more than the text allows",
            why=f"in {counted(documents, 'document')} every pair of tokens that occurs twice is merged at {found}",
            hint=f"set `tokenizer.vocabulary` to {found} or less, or add text",
        )
    tokenizer.write(learnt, task.output)


def cost(parameters: TokenizerParameters, inputs: Mapping[str, tuple[Expected, ...]]) -> Cost:
    """Estimate: all text is looked at, some is learnt from, and a table of tokens comes out."""
    text = all_of(inputs, "split").text
    learnt_from = min(text, parameters.sample_bytes)
    seconds = text / 100e6 + learnt_from / 6e6
    memory = int(PROGRAM + _MEMORY_PER_BYTE * learnt_from)
    return Cost(Expected(vocabulary=parameters.vocabulary), seconds=seconds, memory_bytes=memory)


KIND = Kind(
    name="tokenizer",
    version=3,
    parameters=TokenizerParameters,
    inputs={"split": Slot("split")},
    output="tokenizer",
    phases=(
        Phase("measure", measure, _parts),
        Phase("decide", decide),
        Phase("sample", sample, _parts),
        Phase("learn", learn, kept=True),
    ),
    libraries=("tokenizers",),
    summary="learn a byte-level BPE tokenizer",
    table=Table("tokenizer", about="The byte-level BPE tokenizer, trained on the training documents."),
    cost=cost,
    released=tuple(map(Released, (tokenizer.FILE, tokenizer.CONFIG, tokenizer.SPECIAL))),
)
