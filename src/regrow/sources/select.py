"""Patterns that choose files: ``*``, ``?`` and ``[...]`` within a folder's name, ``**`` for any number of folders."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cache


def matches(path: str, patterns: Iterable[str]) -> bool:
    """Whether a relative POSIX path fits one of the patterns, capitals and all."""
    return any(_compiled(pattern).fullmatch(path) for pattern in patterns)


@cache
def _compiled(pattern: str) -> re.Pattern[str]:
    folders = [part for part in pattern.split("/") if part not in ("", ".")]
    text = ""
    for place, part in enumerate(folders):
        last = place == len(folders) - 1
        if part == "**":
            text += ".*" if last else "(?:[^/]+/)*"
        else:
            text += _part(part) + ("" if last else "/")
    return re.compile(text, re.DOTALL)


def _part(part: str) -> str:
    """The regular expression of one folder or file name. A bracket that is not closed stands for itself."""
    text = ""
    for token in re.findall(r"\*+|\?|\[!?+.[^\]]*\]|.", part, re.DOTALL):
        if token[0] == "*":
            text += "[^/]*"
        elif token == "?":
            text += "[^/]"
        elif len(token) > 1:
            text += _bracket(token[1:-1])
        else:
            text += re.escape(token)
    return text


def _bracket(inside: str) -> str:
    """The regular expression of one character out of a bracket. A range that runs backwards holds none."""
    others = inside.startswith("!")
    found = ""
    for first, last in re.findall("(.)(?:-(.))?", inside.removeprefix("!"), re.DOTALL):
        if not last:
            found += re.escape(first)
        elif first <= last:
            found += f"{re.escape(first)}-{re.escape(last)}"
    if not found:
        return "[^/]" if others else "(?!)"
    return f"(?!/)[{'^' if others else ''}{found}]"
