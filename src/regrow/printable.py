"""Text from elsewhere, made fit to be shown: it may hold what a terminal takes for a command."""

from __future__ import annotations

import unicodedata


def escaped(text: str, keep: str = "") -> str:
    """``text`` with whatever does not print shown as what it is, ``\\x1b`` or ``\\u202e``; nothing is dropped.

    That is control characters, escape codes, marks that turn the writing direction, and halves of surrogate pairs.
    Spaces of all kinds stay.

    Args:
        text: whose it may be.
        keep: characters that stay as well.
    """
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() or one in keep or _is_space(one) else _escape(one) for one in text)


def _is_space(character: str) -> bool:
    return unicodedata.category(character) == "Zs"


def _escape(character: str) -> str:
    return character.encode("unicode_escape", "surrogatepass").decode("ascii")


def one_line(text: str, most: int = 400) -> str:
    """What strangers call their files, or say, as a part of a line of ours: it shall not look like another line."""
    kept = escaped(text[:most])
    return kept if len(text) <= most else f"{kept}..."
