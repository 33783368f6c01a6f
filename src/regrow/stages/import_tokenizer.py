"""The tokenizer of another model, with the way in which it writes conversations."""

from __future__ import annotations

from pathlib import Path

from regrow.corpus import tokenizer, tokenizers
from regrow.recipe.kind import MODEL_FILES, Call, Kind, Released, Slot
from regrow.sections import Parameters

_BESIDE = (tokenizer.CONFIG, tokenizer.SPECIAL, tokenizers.TEMPLATE)
"""What may lie beside it."""


class ImportTokenizerParameters(Parameters):
    """There is nothing to choose."""


def run(call: Call[ImportTokenizerParameters]) -> None:
    """Copy the files of a tokenizer, or write those of one in a GGUF file."""
    from regrow.model import gguf
    from regrow.model.foreign import find

    root = call.input("files")
    found = find(root)
    if found.gguf is None:
        tokenizers.take_over(found.folder, call.output)
    else:
        tokenizers.from_gguf(gguf.metadata(found.gguf), str(found.gguf.relative_to(root)), call.output)


KIND = Kind(
    name="import-tokenizer",
    version=1,
    parameters=ImportTokenizerParameters,
    inputs={"files": Slot(MODEL_FILES)},
    output="tokenizer",
    run=run,
    libraries=("tokenizers",),
    summary="take over the tokenizer of another model",
    usual=True,
    released=(Released(tokenizer.FILE), *(Released(f"{Path(name).stem}.*") for name in _BESIDE)),
)
