"""Files of sources that lie beside a recipe by their hashes, so that nobody has to be asked for them."""

from __future__ import annotations

from pathlib import Path

from regrow.recipe.beside import beside
from regrow.recipe.pin import Pin

FOLDER = "regrow.fork"
"""Beside the recipe of a fork: what is kept of the release that it was made from. It is never read as a source."""

FILES = f"{FOLDER}/files"
"""There lie files that others would have to be asked for, each called by the sha256 of its bytes."""


def place(pin: Pin) -> str:
    """Where a pinned file lies beside the recipe, if it does."""
    return f"{FILES}/{pin.sha256}"


def find(base: Path, pin: Pin) -> Path | None:
    """A pinned file that lies beside a recipe. Whether its bytes are the ones is for the caller to see."""
    path = beside(base, place(pin))
    return path if path is not None and path.is_file() else None
