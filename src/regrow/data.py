"""Data files: TOML beside the code that it is for, each read once."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Mapping
from functools import cache
from importlib.resources import files
from typing import Any


@cache
def toml(package: str, name: str) -> Mapping[str, Any]:
    """Read the file ``data/NAME.toml`` of a package below ``regrow``."""
    return tomllib.loads((files(f"regrow.{package}") / "data" / f"{name}.toml").read_text("utf-8"))


def any_of(patterns: Iterable[str]) -> str:
    """One regular expression for several."""
    return f"(?:{'|'.join(patterns)})"


def whole_words(patterns: Iterable[str]) -> re.Pattern[str]:
    """One regular expression for several that have to match whole words, in any case."""
    return re.compile(rf"\b{any_of(patterns)}\b", re.IGNORECASE)
