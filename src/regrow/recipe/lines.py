"""Where things stand in a TOML text: the line of every table and key, which the standard parser does not tell."""

from __future__ import annotations

import re
import tomllib
from collections import Counter
from collections.abc import Mapping

from regrow.sections import Place

_KEY = r"""(?:[A-Za-z0-9_-]+|"(?:[^"\\\n]|\\.)*"|'[^'\n]*')"""
_DOTTED = rf"{_KEY}(?:[ \t]*\.[ \t]*{_KEY})*"
_HEADER = re.compile(rf"[ \t]*(\[\[?)[ \t]*({_DOTTED})[ \t]*\]")
_ASSIGNMENT = re.compile(rf"[ \t]*({_DOTTED})[ \t]*=")
_TOKEN = re.compile(
    r'"""(?:[^\\]|\\.)*?"{3,5}|' + r"'''.*?'{3,5}|" + r""""(?:[^"\\\n]|\\.)*"|'[^'\n]*'|\#[^\n]*|.""", re.DOTALL
)


def lines(text: str) -> dict[Place, int]:
    """The line, counted from 1, of every table and key of a well-formed TOML text; inline tables count as values."""
    found: dict[Place, int] = {}
    counts: Counter[Place] = Counter()
    table: Place = ()
    position, line = 0, 1
    while position < len(text):
        if header := _HEADER.match(text, position):
            table = _enter(counts, _split(header[2]), repeated=header[1] == "[[")
            found.setdefault(table, line)
            if header[1] == "[[":
                found.setdefault(table[:-1], line)
        elif assignment := _ASSIGNMENT.match(text, position):
            path = table
            for key in _split(assignment[1]):
                path = (*path, key)
                found.setdefault(path, line)
        end = _end_of_statement(text, position)
        line += text.count("\n", position, end)
        position = end
    return found


def line_of(path: Place, known: Mapping[Place, int]) -> int | None:
    """The line of ``path``, or of the innermost table or key around it; None for what would stand at the top."""
    place = innermost(path, known)
    return None if place is None else known[place]


def innermost(path: Place, known: Mapping[Place, int]) -> Place | None:
    """``path``, or the innermost table or key around it that is known."""
    return next((path[:n] for n in range(len(path), 0, -1) if path[:n] in known), None)


def _split(dotted: str) -> list[str]:
    keys = re.findall(_KEY, dotted)
    return [key if key[0] not in "\"'" else next(iter(tomllib.loads(f"{key} = 0"))) for key in keys]


def _enter(counts: Counter[Place], keys: list[str], *, repeated: bool) -> Place:
    """The path of the table that a header opens: of an array, a new element if ``repeated``, else the last.

    ``counts`` holds the lengths of the arrays so far.
    """
    path: Place = ()
    for i, key in enumerate(keys):
        path = (*path, key)
        if repeated and i == len(keys) - 1:
            counts[path] += 1
        if counts[path]:
            path = (*path, counts[path] - 1)
    return path


def _end_of_statement(text: str, position: int) -> int:
    """The start of the first line that does not belong to the statement at ``position``."""
    depth = 0
    for token in _TOKEN.finditer(text, position):
        if token[0] in "[{":
            depth += 1
        elif token[0] in "]}":
            depth -= 1
        elif token[0] == "\n" and depth <= 0:
            return token.end()
    return len(text)
