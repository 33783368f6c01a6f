"""Why a stage has to run: its ingredients now beside those of last time."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

_LONGEST = 60
_ABSENT = object()
_Difference = tuple[tuple[str, ...], Any, Any]


def why(old: Mapping[str, Any] | None, new: Mapping[str, Any]) -> list[str]:
    """What is different in ``new``, one reason for each field, e.g. ``parameters.seed 1 -> 2``.

    ``old`` is None for a stage that has never been built.
    """
    if old is None:
        return ["first build"]
    if old["kind"] != new["kind"]:
        return [f"kind {old['kind']} -> {new['kind']}"]  # nothing below can be compared
    return [_phrase(*difference) for difference in _differences(old, new, ())]


def _differences(old: Any, new: Any, path: tuple[str, ...]) -> Iterator[_Difference]:
    """The places where two plain values differ, as deep as both have the same shape."""
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        for name in [*new, *(name for name in old if name not in new)]:
            yield from _differences(old.get(name, _ABSENT), new.get(name, _ABSENT), (*path, name))
    elif _tables(old) and _tables(new) and len(old) == len(new):
        for index, (before, now) in enumerate(zip(old, new, strict=True)):
            yield from _differences(before, now, (*path[:-1], f"{path[-1]}[{index}]"))
    elif _text(old) != _text(new):  # as text, since a key tells 1 from 1.0 and from true
        yield path, old, new


def _text(value: Any) -> str | None:
    return None if value is _ABSENT else json.dumps(value, ensure_ascii=False, sort_keys=True)


def _tables(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(item, Mapping) for item in value)


def _phrase(path: tuple[str, ...], old: Any, new: Any) -> str:
    match path:
        case ("inputs", slot):
            return f"input {slot} {_verb(old, new)}"  # digests would say nothing to a reader
        case ("libraries", name):
            return f"library {name} {_change(old, new)}"
        case ("version",):
            return f"kind version {_change(old, new)}"
        case _:
            return f"{'.'.join(path)} {_change(old, new)}"


def _verb(old: Any, new: Any) -> str:
    return "added" if old is _ABSENT else "removed" if new is _ABSENT else "changed"


def _change(old: Any, new: Any) -> str:
    if new is _ABSENT:
        return "removed"
    if old is _ABSENT:
        return f"added: {_short(new)}"
    before, now = _short(old), _short(new)
    return f"{before} -> {now}" if before != now else "changed"  # a difference beyond what is shown


def _short(value: Any) -> str:
    text = value if isinstance(value, str) and value and value.isprintable() else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _LONGEST else text[: _LONGEST - 3] + "..."
