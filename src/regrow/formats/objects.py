"""Objects of JSON of which none may be meant in two ways."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from regrow.words import shown

_SHOWN = 60
"""Characters of a name that somebody gave."""


def once(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    """The object of these members, as an ``object_pairs_hook``: readers may take either of two of one name.

    Raises:
        ValueError: if a name stands there twice.
    """
    found = dict(pairs)
    if len(found) < len(pairs):
        twice = next(name for name, count in Counter(name for name, _ in pairs).items() if count > 1)
        raise ValueError(f"an object has {shown(twice[:_SHOWN])} twice")
    return found
