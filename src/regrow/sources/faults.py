"""What to say when other bytes came than were promised."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path

from regrow.errors import InputError
from regrow.recipe.pin import Pin
from regrow.sources.packing import HEAD, is_pointer

LINE_ENDS = (
    "Git may have changed the ends of lines (core.autocrlf): write `* -text` into `.gitattributes` beside the recipe, "
    "then check the files out again"
)
"""The hint for a text that came with other line ends."""

_CHUNK = 1 << 20


def unexpected(pin: Pin, where: str, came: str, path: Path | None = None) -> InputError:
    """The error for bytes that are not those of the lock.

    Args:
        pin: what was promised.
        where: where the bytes came from.
        came: what came, in words.
        path: a file to look into, for a guess at what happened.
    """
    what, hint = f"`{pin.file}` is not what was locked", ""
    if path is not None and _is_page(path):
        what += ": a web page came instead"
        hint = "a log-in page or a notice of the network may be in the way"
    elif path is not None and is_pointer(_head(path)):
        what += ": a pointer of Git LFS came instead"
        hint = "`git lfs pull` fetches the text itself"
    elif path is not None and differs_in_line_ends(path, pin):
        what += ": only line ends differ"
        hint = LINE_ENDS
    return InputError(
        what,
        where=where,
        why=f"the lock has {pin.size} bytes with sha256 {pin.sha256}; {came} came",
        hint=hint or "if the change is meant, remove `regrow.lock` and lock again; otherwise find out who changed it",
    )


def differs_in_line_ends(path: Path, pin: Pin) -> bool:
    """Whether a file would be what was promised if all of its lines ended as Unix or as Windows ends them."""
    return pin.sha256 in (_sha256(path, _as_unix), _sha256(path, lambda data: _as_unix(data).replace(b"\n", b"\r\n")))


def _sha256(path: Path, change: Callable[[bytes], bytes]) -> str:
    found = hashlib.sha256()
    for data in _pieces(path):
        found.update(change(data))
    return found.hexdigest()


def _as_unix(data: bytes) -> bytes:
    return data.replace(b"\r\n", b"\n")


def _pieces(path: Path) -> Iterator[bytes]:
    """The bytes of a file, in pieces that never part the two of a line's end."""
    kept = b""
    with path.open("rb") as file:
        while data := file.read(_CHUNK):
            data = kept + data
            kept = b"\r" if data.endswith(b"\r") else b""
            yield data.removesuffix(kept)
    yield kept


def _head(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(2 * HEAD)


def _is_page(path: Path) -> bool:
    return _head(path)[:512].lstrip(b"\xef\xbb\xbf \t\r\n").lower().startswith((b"<!doctype html", b"<html"))
