"""Turn the documents into rows of tokens."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from regrow.corpus.documents import Document, read_documents, write_table
from regrow.corpus.tokenizer import Tokenizer
from regrow.errors import StageError
from regrow.recipe.kind import Call, Cost, Expected, Kind, Released, Slot
from regrow.sections import Parameters
from regrow.stages.costs import all_of, text_memory
from regrow.store.digest import canonical_json

_BATCH = 64


class TokenizeParameters(Parameters):
    """There is nothing to choose."""


@dataclass(frozen=True)
class Place:
    """Tokens ``[start, end)`` of the row are a document's; the last of them is the end-of-text token."""

    id: str
    start: int
    end: int


def run(call: Call[TokenizeParameters]) -> None:
    """Encode both parts of the split, each document followed by the end-of-text token."""
    tokenizer = Tokenizer.open(call.input("tokenizer"))
    parts = {part: read_documents(call.input("split") / f"{part}.parquet") for part in ("train", "validation")}
    facts: dict[str, Any] = {
        "dtype": "uint16" if tokenizer.vocabulary <= 2**16 else "uint32",
        "vocabulary": tokenizer.vocabulary,
        "end_of_text": tokenizer.end_of_text,
        "validation_bytes": sum(len(document.text.encode()) for document in parts["validation"]),
    }
    for part, documents in parts.items():
        facts[f"{part}_tokens"] = _write(call, part, tokenizer, documents, facts)
    (call.output / "tokens.json").write_bytes(canonical_json(facts) + b"\n")


def _write(
    call: Call[TokenizeParameters], part: str, tokenizer: Tokenizer, documents: list[Document], facts: dict[str, Any]
) -> int:
    """Write one part; returns its number of tokens."""
    import numpy as np
    import pyarrow as pa

    dtype = np.dtype(facts["dtype"]).newbyteorder("<")
    places: list[Place] = []
    start = 0
    with (call.output / f"{part}.bin").open("wb") as file:
        for document, ids in _encoded(documents, tokenizer, call):
            file.write(np.array([*ids, facts["end_of_text"]], dtype).tobytes())
            places.append(Place(document.id, start, start + len(ids) + 1))
            start = places[-1].end
    schema = pa.schema([("id", pa.string()), ("start", pa.int64()), ("end", pa.int64())])
    write_table(call.output / f"{part}.documents.parquet", schema, places)
    return start


def _encoded(
    documents: list[Document], tokenizer: Tokenizer, call: Call[TokenizeParameters]
) -> Iterator[tuple[Document, list[int]]]:
    for begin in range(0, len(documents), _BATCH):
        batch = documents[begin : begin + _BATCH]
        ids = tokenizer.documents([document.text for document in batch])
        said = tokenizer.letters(ids)
        for document, row, text in zip(batch, ids, said, strict=True):
            if text != document.text:
                raise StageError(
                    f"the tokens of document {document.id} do not say what it says",
                    where=document.locator,
                    why="decoding them gives another text",
                )
            yield document, row
        call.context.emit("progress", done=begin + len(batch), total=len(documents), unit="documents")
        if call.context.stopping():
            call.context.stop()


def cost(parameters: TokenizeParameters, inputs: Mapping[str, tuple[Expected, ...]]) -> Cost:
    """Estimate: all text is read, and about as many bytes of tokens are written."""
    split, vocabulary = all_of(inputs, "split"), all_of(inputs, "tokenizer").vocabulary
    gives = replace(split, size=split.text, vocabulary=vocabulary)
    return Cost(gives, seconds=split.text / 2e6, memory_bytes=text_memory(split.text))


KIND = Kind(
    name="tokenize",
    version=1,
    parameters=TokenizeParameters,
    inputs={"split": Slot("split"), "tokenizer": Slot("tokenizer")},
    output="tokens",
    run=run,
    libraries=("pyarrow", "tokenizers"),
    summary="turn the documents into tokens",
    usual=True,
    cost=cost,
    released=(Released("train.documents.parquet", "data", "tokens.parquet"),),
)
