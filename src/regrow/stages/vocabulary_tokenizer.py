"""A tokenizer with other tokens: some added, some dropped."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from regrow.corpus import tokenizer, vocabulary
from regrow.recipe.kind import MODEL_FILES, Call, Kind, Released, Slot, Table
from regrow.recipe.values import Texts
from regrow.sections import Parameters

_BESIDE = (tokenizer.CONFIG, tokenizer.SPECIAL, tokenizer.TEMPLATE)


class VocabularyTokenizerParameters(Parameters):
    """Other tokens than those of the base: of its tokenizer and of its weights."""

    add: Texts = Field(
        default=(),
        description="Texts that become a token each. Its row is the mean of the rows of the tokens that it was before.",
        examples=[["<|user|>", "<|tool|>"]],
    )
    special: bool = Field(
        default=True,
        description="Whether the new tokens say what a text is about, and are no part of its letters.",
        examples=[False],
    )
    drop: Texts = Field(
        default=(),
        description="Tokens that there shall be no more, spelled as in `tokenizer.json`. The others are counted anew.",
        examples=[["<|reserved_0|>"]],
    )


def run(call: Call[VocabularyTokenizerParameters]) -> None:
    """Write the changed tokenizer, and what became of each token."""
    wanted = call.parameters
    change = vocabulary.Change(wanted.add, tuple(dict.fromkeys(wanted.drop)), wanted.special)
    vocabulary.change(call.input("tokenizer"), call.output, change)


KIND = Kind(
    name="vocabulary-tokenizer",
    version=1,
    parameters=VocabularyTokenizerParameters,
    # A recipe that learns its tokenizer chooses its tokens there: only those of a base are changed.
    inputs={"files": Slot(MODEL_FILES), "tokenizer": Slot("tokenizer")},
    output="tokenizer",
    run=run,
    libraries=("tokenizers",),
    summary="add tokens to the tokenizer, or drop some",
    table=Table("vocabulary", about="Other tokens than those of the base."),
    after=("import-weights",),  # which reads the base's tokenizer as it was
    released=(
        Released(tokenizer.FILE),
        *(Released(f"{Path(name).stem}.*") for name in _BESIDE),
        Released(vocabulary.RECORD, "changes", always=True),
    ),
)
