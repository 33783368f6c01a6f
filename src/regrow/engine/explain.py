"""Why a stage has to run: its ingredients now beside those of last time."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from regrow.recipe.differences import Difference, differences

_LONGEST = 60


def why(old: Mapping[str, Any] | None, new: Mapping[str, Any]) -> list[str]:
    """What is different in ``new``, one reason for each field, e.g. ``parameters.seed 1 -> 2``.

    ``old`` is None for a stage that has never been built.
    """
    if old is None:
        return ["first build"]
    if old["kind"] != new["kind"]:
        return [f"kind {old['kind']} -> {new['kind']}"]  # nothing below can be compared
    return [_phrase(one) for one in differences(old, new)]


def _phrase(one: Difference) -> str:
    match one.path:
        case ("inputs", slot):
            return f"input {slot} {one.verb}"  # digests would say nothing to a reader
        case ("libraries", name):
            return f"library {name} {one.words(_short)}"
        case ("version",):
            return f"kind version {one.words(_short)}"
        case _:
            return f"{'.'.join(one.path)} {one.words(_short)}"


def _short(value: Any) -> str:
    text = value if isinstance(value, str) and value and value.isprintable() else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _LONGEST else text[: _LONGEST - 3] + "..."
