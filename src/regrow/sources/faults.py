"""What to say when other bytes came than were promised."""

from __future__ import annotations

from pathlib import Path

from regrow.errors import InputError
from regrow.recipe.pin import Pin


def unexpected(pin: Pin, where: str, came: str, path: Path | None = None) -> InputError:
    """The error for bytes that are not those of the lock.

    Args:
        pin: what was promised.
        where: where the bytes came from.
        came: what came, in words.
        path: a file to look into, for a guess at what happened.
    """
    page = path is not None and _is_page(path)
    return InputError(
        f"`{pin.file}` is not what was locked" + (": a web page came instead" if page else ""),
        where=where,
        why=f"the lock has {pin.size} bytes with sha256 {pin.sha256}; {came} came",
        hint="a log-in page or a notice of the network may be in the way"
        if page
        else "if the change is meant, remove `regrow.lock` and lock again; otherwise find out who changed it",
    )


def _is_page(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(512).lstrip(b"\xef\xbb\xbf \t\r\n").lower().startswith((b"<!doctype html", b"<html"))
