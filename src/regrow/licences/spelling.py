"""Names of licences as words that can be compared, however they are written: ``CC BY-SA v4`` is ``cc-by-sa-4.0``."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache

from regrow.data import toml

WORD = re.compile(
    r"non[- ]?commercial|share[- ]?alike|no[- ]?deriv(?:ative|ation)?s?|open[- ]?rail(?:\+\+)?|[a-z]+|\d+(?:\.\d+)*",
    re.IGNORECASE,
)
_BRACKETS = re.compile(r"\(([^()]*)\)")
_PIECE = re.compile(rf"{WORD.pattern}|[^\s_,'\"“”-]", re.IGNORECASE)
_ONLY = re.compile(r"(?<=\d)[- ]only$", re.IGNORECASE)  # of the GNU licences, and no later version


def plain(word: str) -> str:
    """A word in the way in which all are compared; 2.0 is 2."""
    plain = re.sub(r"[- ]", "", word.casefold())
    plain = re.sub(r"(?:\.0)+$", "", plain) if plain[0].isdigit() else plain
    same: str = toml("licences", "naming")["same"].get(plain, plain)
    return same


def words(name: str) -> Iterator[str]:
    """The words of a name. What is neither word nor space counts as one."""
    text = _ONLY.sub("", _BRACKETS.sub(r" \1 ", name.strip()))
    return (plain(match[0]) for match in _PIECE.finditer(text))


def key(name: str) -> tuple[str, ...]:
    """The words of a name but those that any name may have or lack."""
    return tuple(word for word in words(name) if word not in _optional())


@cache
def _optional() -> frozenset[str]:
    return frozenset(toml("licences", "naming")["optional"])
