"""A model as others publish it: which of some files are one, and what it says of itself.

Example:
    >>> found = find(Path("folder"))
    >>> found.gguf, found.folder
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from regrow.errors import InputError
from regrow.words import listed

CONFIG = "config.json"
WHOLE = "a model is a GGUF file, or a folder with `config.json`, weights in safetensors and `tokenizer.json`"
"""A hint, where something of it is missing."""


@dataclass(frozen=True)
class Found:
    """Where a model lies.

    Attributes:
        folder: that of its files.
        gguf: the one file that it is; None for the files of Hugging Face's libraries.
    """

    folder: Path
    gguf: Path | None


def find(root: Path) -> Found:
    """The one model in a folder and those below it. A GGUF file in or below the folder of a model is that one again,
    as in our releases and on hubs; only where the folder has no weights, the file is the model.

    Raises:
        InputError: if there is none, or there are several.
    """
    files = sorted(path for path in root.rglob("*.gguf") if path.is_file())
    folders = sorted(path.parent for path in root.rglob(CONFIG) if path.is_file())
    whole = [folder for folder in folders if any(folder.glob("*.safetensors"))]
    files = [path for path in files if not set(whole).intersection(path.parents)]
    folders = [folder for folder in folders if folder in whole or not any(folder in path.parents for path in files)]
    found = [Found(path.parent, path) for path in files] + [Found(path, None) for path in folders]
    if not found:
        raise InputError(
            "there is no model", where=str(root), why=f"there is neither a `{CONFIG}` nor a GGUF file", hint=WHOLE
        )
    if len(found) > 1:
        names = [str((one.gguf or one.folder / CONFIG).relative_to(root)) for one in found]
        raise InputError(
            f"there are {len(found)} models: {listed(names)}", hint="choose one with `select` or `exclude`"
        )
    return found[0]
