"""A model that a recipe made on the way, for stages that take others: two that it trained, to be merged."""

from __future__ import annotations

import shutil

from regrow.recipe.kind import MODEL, Call, Kind, Slot
from regrow.sections import Parameters


class AsModelParameters(Parameters):
    """There is nothing to choose."""


def run(call: Call[AsModelParameters]) -> None:
    """Put weights and tokenizer side by side, as those of a `[[parent]]` are."""
    for slot in ("tokenizer", "weights"):
        for path in sorted(call.input(slot).iterdir()):
            if path.is_file():
                shutil.copyfile(path, call.output / path.name)


KIND = Kind(
    name="as-model",
    version=1,
    parameters=AsModelParameters,
    inputs={"weights": Slot("weights"), "tokenizer": Slot("tokenizer")},
    output=MODEL,
    run=run,
    after=("merge-tokenizer",),  # whose tokens it may have; what that takes are a recipe's parents
    summary="let weights be one of several models",
)
