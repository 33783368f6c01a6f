"""Tokenizers of others that lie beside weights, taken over as they are; those in GGUF files: :mod:`gguf_tokenizer`."""

from __future__ import annotations

import shutil
from pathlib import Path

from regrow.corpus.alphabet import NEEDED
from regrow.corpus.tokenizer import CONFIG, FILE, SPECIAL, TEMPLATE, Tokenizer
from regrow.errors import InputError

_HINT = "what can be read is byte-level BPE in a `tokenizer.json`, with a token that ends a text"


def take_over(source: Path, folder: Path) -> None:
    """Copy a tokenizer that lies beside weights.

    Args:
        source: the folder with ``tokenizer.json``.
        folder: the artifact.

    Raises:
        InputError: if it is of a kind that is not known here.
    """
    if not (source / FILE).is_file():
        raise InputError(f"the model brings no `{FILE}`", where=str(source), hint=_HINT)
    for name in (FILE, CONFIG, SPECIAL, TEMPLATE):
        if (source / name).is_file():
            shutil.copyfile(source / name, folder / name)
    require_known(folder)


def require_known(folder: Path, where: str = "") -> None:
    """What came from others is told as theirs, by its name there: nothing of ours is damaged.

    Args:
        folder: has the tokenizer.
        where: it came from, if not from files of these names.

    Raises:
        InputError: if the tokenizer in the folder is of a kind that is not known here.
    """
    try:
        opened = Tokenizer.open(folder)
    except InputError as error:
        raise InputError(error.what, where=where or Path(error.where).name, why=error.why, hint=_HINT) from error
    lost = opened.unknown_bytes
    if lost & NEEDED:
        why = f"it has no token for {len(lost)} of the 256 bytes, and texts would lose letters"
        raise InputError("the tokenizer cannot be read", where=where or FILE, why=why, hint=_HINT)
