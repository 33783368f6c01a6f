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
    """The one model in a folder and those below it.

    Raises:
        InputError: if there is none, or there are several.
    """
    files = sorted(path for path in root.rglob("*.gguf") if path.is_file())
    folders = sorted(path.parent for path in root.rglob(CONFIG) if path.is_file())
    found = [Found(path.parent, path) for path in files] + [Found(path, None) for path in folders]
    if not found:
        raise InputError("there is no model", why=f"there is neither a `{CONFIG}` nor a GGUF file")
    if len(found) > 1:
        names = [str((one.gguf or one.folder / CONFIG).relative_to(root)) for one in found]
        raise InputError(
            f"there are {len(found)} models: {listed(names)}", hint="choose one with `select` or `exclude`"
        )
    return found[0]
