"""Small helpers for messages."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterable
from typing import Any

DAMAGED = "get the files again; of a release, `regrow verify` names those that are damaged or missing"
"""A hint, where files of a model cannot be read, whoever made it."""

_LONGEST = 60
_NAMED = 40


def closest(word: str, known: Iterable[str], likeness: float = 0.6) -> str | None:
    """The known word that ``word`` was probably meant to be: alike by at least ``likeness``, of 1."""
    names = {name.lower(): name for name in known}
    match = difflib.get_close_matches(word.lower(), names, n=1, cutoff=likeness)
    return names[match[0]] if match else None


def nearest(word: str, known: Iterable[str], most: int = 5) -> list[str]:
    """Known names that ``word`` may stand for, by the whole name or the last part of a path, the most alike first."""
    named: dict[str, list[str]] = {}
    for name in known:
        for spelling in dict.fromkeys((name.lower(), name.lower().rpartition("/")[2])):
            named.setdefault(spelling, []).append(name)
    close = difflib.get_close_matches(word.lower(), named, n=most, cutoff=0.6)
    return list(dict.fromkeys(name for spelling in close for name in named[spelling]))[:most]


def suggestion(word: str, known: Iterable[str], otherwise: str) -> str:
    """``did you mean ...?``, or else a list of what is known, introduced by ``otherwise``."""
    known = list(known)
    if match := closest(word, known):
        return f"did you mean `{match}`?"
    return f"{otherwise} {some(known, _NAMED)}" if known else ""


def listed(names: Iterable[str]) -> str:
    """Names in backticks, joined by commas."""
    return ", ".join(f"`{name}`" for name in names) or "none"


def some(names: Iterable[str], most: int = 3) -> str:
    """The first few names, and how many more there are."""
    known = list(names)
    return listed(known[:most]) + (f" and {len(known) - most:,} more" if len(known) > most else "")


def counted(number: int, what: str) -> str:
    """A number of things: ``1 row``, ``2,000 rows``."""
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def shown(value: Any) -> str:
    """A value as a reader of the recipe knows it, in one short piece, without what may be a password in an address."""
    if isinstance(value, dict):
        return "a table"
    if isinstance(value, list) and any(isinstance(item, dict) for item in value):
        return "a list of tables"
    text = re.sub(r"//\S*@", "//...@", json.dumps(value, ensure_ascii=False))
    return text if len(text) <= _LONGEST else text[: _LONGEST - 3] + "..."
