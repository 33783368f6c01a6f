"""Which model a sentence of a card is about."""

from __future__ import annotations

import re
from collections.abc import Mapping

from regrow.auditing.data import any_of, toml

_TABLE: Mapping[str, list[str]] = toml("collectors", "subject")
_MODELS = re.compile(rf"(?<![A-Za-z])(?P<name>{any_of(_TABLE['names'])})(?![A-Za-z])", re.IGNORECASE)
_TUNED = re.compile(any_of(_TABLE["tuned"]), re.IGNORECASE)
_OF_A_MODEL = tuple(re.compile(form) for form in _TABLE["of-a-model"])


def is_this_model(said: str, headings: tuple[str, ...]) -> bool:
    """Whether no other model is named: one that is not in the title of the card, unless this one is tuned from it."""
    if _TUNED.search(said):
        return True
    title = " ".join(headings[:1]).casefold()
    named = [match["name"] for match in _MODELS.finditer(said)]
    if title:
        named += [match["name"] for form in _OF_A_MODEL for match in form.finditer(said)]
    return all(name.casefold() in title for name in named)
