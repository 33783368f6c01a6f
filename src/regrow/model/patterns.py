"""Patterns that choose parameters by their names.

Example:
    >>> names = ("embed", "layers.001.mlp.down", "layers.002.mlp.down")
    >>> chosen(("layers.2-9", "embed"), names)
    ('embed', 'layers.002.mlp.down')
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache

from regrow.errors import InputError
from regrow.words import suggestion

_RANGE = re.compile(r"(\d{1,6})(?:-(\d{1,6}))?")


def chosen(patterns: Sequence[str], names: Sequence[str]) -> tuple[str, ...]:
    """The names that fit one of the patterns, in their order.

    A pattern is the beginning of a name, in whole parts between dots: ``layers.3`` is all of a layer, ``layers.20-29``
    are ten of them; ``*`` stands for any parts, as in ``*.attention``.

    Raises:
        InputError: if a pattern fits nothing; it names it.
    """
    for pattern in patterns:
        if not any(_fits(pattern, name) for name in names):
            raise InputError(
                f"no parameter fits `{pattern}`",
                why="a pattern is the beginning of a name, in whole parts; `*` stands for any",
                hint=suggestion(pattern, names, "the names are"),
            )
    return tuple(name for name in names if any(_fits(pattern, name) for pattern in patterns))


@cache
def ends_with(pattern: str, name: str) -> bool:
    """Whether a pattern is the end of a name, in whole parts."""
    return _follows(tuple(reversed(pattern.split("."))), tuple(reversed(name.split("."))))


@cache
def _fits(pattern: str, name: str) -> bool:
    return _follows(tuple(pattern.split(".")), tuple(name.split(".")))


def _follows(pattern: tuple[str, ...], parts: tuple[str, ...]) -> bool:
    if not pattern:
        return True
    if pattern[0] == "*":
        return any(_follows(pattern[1:], parts[i:]) for i in range(1, len(parts) + 1))
    return bool(parts) and _is_part(pattern[0], parts[0]) and _follows(pattern[1:], parts[1:])


def _is_part(pattern: str, part: str) -> bool:
    numbers = _RANGE.fullmatch(pattern)
    if numbers and part.isdecimal():
        first = int(numbers[1])
        return first <= int(part) <= int(numbers[2] or first)
    return pattern == part
