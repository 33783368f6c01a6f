"""Turn the documents into rows of tokens."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from regrow.corpus.documents import Document
from regrow.corpus.split import PARTS, Split
from regrow.corpus.tokenizer import Tokenizer
from regrow.corpus.tokens import ROW, TokenShards
from regrow.errors import StageError
from regrow.recipe.kind import Call, Cost, Expected, Kind, Released, Slot
from regrow.sections import Parameters
from regrow.stages.costs import all_of, text_memory

# Characters that the library works on at once: it needs a hundred bytes and more for each.
_BATCH = 2**19


class TokenizeParameters(Parameters):
    """There is nothing to choose."""


def run(call: Call[TokenizeParameters]) -> None:
    """Encode both parts of the split, each document followed by the end-of-text token."""
    tokenizer, split = Tokenizer.open(call.input("tokenizer")), Split(call.input("split"))
    parts = {part: split.documents(part) for part in PARTS}
    TokenShards.write(
        call.output,
        {part: _encoded(documents, tokenizer, call) for part, documents in parts.items()},
        vocabulary=tokenizer.vocabulary,
        end_of_text=tokenizer.end_of_text,
        validation_bytes=sum(len(document.text.encode()) for document in parts["validation"]),
    )


def _encoded(
    documents: list[Document], tokenizer: Tokenizer, call: Call[TokenizeParameters]
) -> Iterator[tuple[str, list[int]]]:
    done = 0
    for batch in _batches(documents):
        ids = tokenizer.documents([document.text for document in batch])
        said = tokenizer.letters(ids)
        for document, row, text in zip(batch, ids, said, strict=True):
            if text != document.text:
                raise StageError(
                    f"the tokens of document {document.id} do not say what it says",
                    where=document.locator,
                    why="decoding them gives another text",
                )
            yield document.id, row
        done += len(batch)
        call.context.emit("progress", done=done, total=len(documents), unit="documents")
        if call.context.stopping():
            call.context.stop()


def _batches(documents: Sequence[Document]) -> Iterator[list[Document]]:
    """The documents in their order, as many at a time as have about ``_BATCH`` characters together."""
    batch: list[Document] = []
    size = 0
    for document in documents:
        batch.append(document)
        size += len(document.text)
        if size >= _BATCH:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def cost(parameters: TokenizeParameters, inputs: Mapping[str, tuple[Expected, ...]]) -> Cost:
    """Estimate: all text is read, and about as many bytes of tokens are written."""
    split, vocabulary = all_of(inputs, "split"), all_of(inputs, "tokenizer").vocabulary
    gives = replace(split, size=split.text, vocabulary=vocabulary)
    return Cost(gives, seconds=split.text / 5e6, memory_bytes=text_memory(split.text))


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
    released=(Released(ROW, "data", "tokens.parquet"),),
)
