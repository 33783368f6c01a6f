"""Learn a byte-level BPE tokenizer from the training documents."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import Field

from regrow.corpus import tokenizer
from regrow.corpus.split import Split
from regrow.errors import StageError
from regrow.recipe.kind import Call, Cost, Expected, Kind, Released, Slot, Table
from regrow.sections import Parameters
from regrow.stages.costs import all_of, text_memory


class TokenizerParameters(Parameters):
    """The byte-level BPE tokenizer, trained on the training documents."""

    vocabulary: int = Field(
        description="Tokens to tell apart: 256 bytes, the end of a text, and merges.",
        examples=[4096],
        ge=257,
        le=2**18,
        json_schema_extra={"why": "every byte and the end of a text are tokens, and more than 2**18 are of no use"},
    )


def run(call: Call[TokenizerParameters]) -> None:
    """Train on the documents in canonical order."""
    documents = Split(call.input("split")).documents("train")
    learnt = tokenizer.learn((document.text for document in documents), call.parameters.vocabulary)
    found = learnt.get_vocab_size()
    if found != call.parameters.vocabulary:
        raise StageError(
            f"a vocabulary of {call.parameters.vocabulary} tokens is more than the text allows",
            why=f"in {len(documents)} documents every pair of tokens that occurs twice is merged at {found}",
            hint=f"set `tokenizer.vocabulary` to {found} or less, or add text",
        )
    tokenizer.write(learnt, call.output)


def cost(parameters: TokenizerParameters, inputs: Mapping[str, tuple[Expected, ...]]) -> Cost:
    """Estimate: all text is read, and a table of tokens comes out."""
    text = all_of(inputs, "split").text
    return Cost(Expected(vocabulary=parameters.vocabulary), seconds=text / 6e6, memory_bytes=text_memory(text))


KIND = Kind(
    name="tokenizer",
    version=2,
    parameters=TokenizerParameters,
    inputs={"split": Slot("split")},
    output="tokenizer",
    run=run,
    libraries=("tokenizers",),
    summary="learn a byte-level BPE tokenizer",
    table=Table("tokenizer", about="The byte-level BPE tokenizer, trained on the training documents."),
    cost=cost,
    released=tuple(map(Released, (tokenizer.FILE, tokenizer.CONFIG, tokenizer.SPECIAL))),
)
