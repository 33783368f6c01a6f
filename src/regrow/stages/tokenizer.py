"""Learn a byte-level BPE tokenizer from the training documents."""

from __future__ import annotations

from pydantic import Field

from regrow.corpus import tokenizer
from regrow.corpus.documents import read_documents
from regrow.errors import StageError
from regrow.recipe.kind import Call, Kind, Parameters, Slot


class TokenizerParameters(Parameters):
    """What to learn."""

    vocabulary: int = Field(
        ge=257,
        le=2**18,
        description="Number of tokens: one for the end of a text, 256 for the bytes, and merges of these.",
    )


def run(call: Call) -> None:
    """Train on the documents in canonical order."""
    documents = read_documents(call.input("split") / "train.parquet")
    learnt = tokenizer.learn((document.text for document in documents), call.parameters.vocabulary)
    found = learnt.get_vocab_size()
    if found != call.parameters.vocabulary:
        raise StageError(
            f"a vocabulary of {call.parameters.vocabulary} tokens is more than the text allows",
            why=f"in {len(documents)} documents every pair of tokens that occurs twice is merged at {found}",
            hint=f"set `tokenizer.vocabulary` to {found} or less, or add text",
        )
    tokenizer.write(learnt, call.output)


KIND = Kind(
    name="tokenizer",
    version=1,
    parameters=TokenizerParameters,
    inputs={"split": Slot("split")},
    output="tokenizer",
    run=run,
    libraries=("tokenizers",),
    summary="learn a byte-level BPE tokenizer",
)
