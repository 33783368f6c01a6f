"""How statements about rights are worded: the patterns of ``data/statements.toml``."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from regrow.data import toml

_BLANK = re.compile(r"\[(?:\\.|[^\]\\])*\]| \??")


@cache
def pattern(name: str) -> re.Pattern[str]:
    """The pattern of a name, whatever the case."""
    said: str = _told()[name]
    return compiled(said)


def compiled(said: str) -> re.Pattern[str]:
    """A pattern in which a blank that is not one of a class of characters stands for any white space."""
    return re.compile(_BLANK.sub(_white, said), re.IGNORECASE | re.DOTALL)


def _white(found: re.Match[str]) -> str:
    return {" ": r"\s+", " ?": r"\s*"}.get(found[0], found[0])


def speaks_of_itself(words: str) -> bool:
    """Whether words say that the text speaks of itself."""
    return pattern("own").search(words) is not None


def speaks_of_others(words: str) -> bool:
    """Whether words say that something is not so, or is so of something else."""
    return pattern("other").search(words) is not None


@dataclass(frozen=True)
class Restriction:
    """How something is forbidden.

    Attributes:
        sort: what is forbidden.
        cues: at which to look.
        needs: what every such sentence has; found at once where the rest takes time.
        says: the words.
    """

    sort: str
    cues: tuple[str, ...]
    needs: re.Pattern[str]
    says: re.Pattern[str]


@cache
def restrictions() -> tuple[Restriction, ...]:
    """All ways to forbid something."""
    return tuple(
        Restriction(one["sort"], tuple(one["cues"]), re.compile(one["needs"], re.IGNORECASE), compiled(one["says"]))
        for one in _told()["restriction"]
    )


def _told() -> Mapping[str, Any]:
    return toml("evidence.rights", "statements")
