"""A tokenizer with the tokens of several models, which are merged."""

from __future__ import annotations

from pathlib import Path

from regrow.corpus import tokenizer, union
from regrow.recipe.kind import MODEL, MODEL_FILES, Call, Kind, Released, Slot, Table
from regrow.stages.merge import Merging
from regrow.stages.models import named

_BESIDE = (tokenizer.CONFIG, tokenizer.SPECIAL, tokenizer.TEMPLATE)


class MergeTokenizerParameters(Merging):
    """The tokens of several models."""


def run(call: Call[MergeTokenizerParameters]) -> None:
    """Write the tokenizer so far with the tokens of the models behind its own."""
    union.unite(call.input("tokenizer"), call.output, named(call, "models", call.parameters.models))


def asked(said: Merging) -> bool:
    """Where tokens are not put together, the tokenizer stays."""
    return said.vocabulary == "union"


KIND = Kind(
    name="merge-tokenizer",
    version=1,
    parameters=MergeTokenizerParameters,
    # As `vocabulary-tokenizer`: a model that is trained from nothing knows the tokens that it was trained on.
    inputs={
        "files": Slot(MODEL_FILES),
        "tokenizer": Slot("tokenizer"),
        "models": Slot(MODEL, many=True, named="models"),
    },
    output="tokenizer",
    run=run,
    libraries=("tokenizers",),
    summary="put the tokens of several models together",
    table=Table("merge"),
    asked=asked,
    after=("import-weights", "vocabulary-tokenizer", "vocabulary"),  # which read the tokenizer as it was
    released=(Released(tokenizer.FILE), *(Released(f"{Path(name).stem}.*") for name in _BESIDE)),
)
