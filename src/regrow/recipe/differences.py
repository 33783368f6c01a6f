"""Where two plain values differ: the one comparison behind the reasons of a plan, of a lock and of a verification."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from regrow.words import shown

ABSENT = object()
"""Stands for a value that is not there."""


@dataclass(frozen=True)
class Difference:
    """A place where two values differ.

    Attributes:
        path: keys from the top; of a table in a list as ``source[0]``.
        old: the value before, or :data:`ABSENT`.
        new: the value now, or :data:`ABSENT`.
    """

    path: tuple[str, ...]
    old: Any
    new: Any

    @property
    def verb(self) -> str:
        """What happened, in a word."""
        return "added" if self.old is ABSENT else "removed" if self.new is ABSENT else "changed"

    def words(self, show: Callable[[Any], str] = shown) -> str:
        """What happened, with the values."""
        if self.new is ABSENT:
            return "removed"
        if self.old is ABSENT:
            return f"added: {show(self.new)}"
        before, now = show(self.old), show(self.new)
        return f"{before} -> {now}" if before != now else "changed"  # a difference beyond what is shown


def differences(old: Any, new: Any, path: tuple[str, ...] = ()) -> Iterator[Difference]:
    """Compare two plain values, as deep as both have the same shape, in the order of the new one.

    Numbers are compared as they are written: a key tells 1 from 1.0 and from true.
    """
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        for name in [*new, *(name for name in old if name not in new)]:
            yield from differences(old.get(name, ABSENT), new.get(name, ABSENT), (*path, name))
    elif path and _tables(old) and _tables(new) and len(old) == len(new):
        for index, (before, now) in enumerate(zip(old, new, strict=True)):
            yield from differences(before, now, (*path[:-1], f"{path[-1]}[{index}]"))
    elif _text(old) != _text(new):
        yield Difference(path, old, new)


def _text(value: Any) -> str | None:
    return None if value is ABSENT else json.dumps(value, ensure_ascii=False, sort_keys=True)


def _tables(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(item, Mapping) for item in value)
