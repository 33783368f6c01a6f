"""No audit tells where somebody's home is, neither the auditor's nor that of whoever made the model.

Configurations hold the path that a model was loaded from, and a claims file is named by its path. An audit is passed
on, so in all that it says a path below a home begins there: ``/home/ann/models/base`` is ``./models/base``.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import fields, is_dataclass, replace
from enum import Enum
from pathlib import Path
from typing import Any, TypeVar

from regrow.store.places import home

T = TypeVar("T")

_USUAL = (r"/(?:home|Users)/[^/\s\"'`<>:;,()\[\]]+", "/root", r"[A-Za-z]:[\\/]+Users[\\/]+[^\\/\s\"'`<>:;,()\[\]]+")

_CHOSEN = ("REGROW_STORE", "XDG_CACHE_HOME")
"""Variables that name places which a home has otherwise."""


def without_homes(value: T) -> T:
    """A value with all dataclasses, lists and strings in it, and no home in any of them."""
    pattern = _pattern()
    changed: T = _changed(value, pattern)
    return changed


def _pattern() -> re.Pattern[str]:
    chosen = (os.environ.get(name, "") for name in _CHOSEN)
    places = (str(home()), str(home().resolve()), *(place for place in chosen if Path(place).is_absolute()))
    own = {place.rstrip("/\\") for place in places} - {""}
    homes = [*map(re.escape, sorted(own, key=len, reverse=True)), *_USUAL]
    return re.compile(rf"(?<![\w.~-])(?:{'|'.join(homes)})(?![\w.-])")


def _changed(value: Any, pattern: re.Pattern[str]) -> Any:
    if isinstance(value, str) and not isinstance(value, Enum):
        return pattern.sub(".", value)
    if isinstance(value, tuple | list):
        return type(value)(_changed(one, pattern) for one in value)
    if isinstance(value, Mapping):
        return {_changed(key, pattern): _changed(one, pattern) for key, one in value.items()}
    if not is_dataclass(value) or isinstance(value, type):
        return value
    old = {field.name: getattr(value, field.name) for field in fields(value)}
    new = {name: _changed(one, pattern) for name, one in old.items()}
    return value if new == old else replace(value, **new)
