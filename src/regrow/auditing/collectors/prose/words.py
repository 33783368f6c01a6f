"""The words by which sentences are understood: the lists of ``data/prose.toml``."""

from __future__ import annotations

import re
from collections.abc import Mapping

from regrow.auditing.collectors.folder import printable
from regrow.data import toml, whole_words

_QUOTE = 300

PATTERNS: Mapping[str, Mapping[str, re.Pattern[str]]] = {
    table: {name: whole_words(words) for name, words in lists.items()}
    for table, lists in toml("auditing.collectors", "prose").items()
}
"""What the lists stand for -> how their words are recognised."""


def says(text: str, name: str) -> bool:
    """Whether any of the words of a list is in a text."""
    return PATTERNS["words"][name].search(text) is not None


def short(text: str) -> str:
    """The beginning of what is said, in one line."""
    return printable(" ".join(text.split()), _QUOTE)
