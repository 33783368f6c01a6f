"""What stands beside a text about its rights: in other fields of its row, in the head of its page, in headers of HTTP.

It is kept with the document as lines that would say the same in the text itself, so that one reader understands both::

    >>> said([("license", "CC-BY-NC-4.0"), ("tdm_reservation", 1), ("title", "The heron")])
    'License: CC-BY-NC-4.0\\ntdm-reservation: 1'

Fields are known by the words of their names, whatever joins them: ``license_url``, ``max_stars_repo_licenses``,
``X-Robots-Tag``, ``dc.rights``. What lets everyone in, such as ``robots: index, follow``, says nothing and is not kept.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import lru_cache
from typing import Any

NESTED = ("metadata", "meta")
"""Fields that hold such fields of their own."""

_WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])")
_LONGEST_NAME, _LONGEST = 80, 2000  # characters of a name, and of a value
_YES = frozenset(("1", "true", "yes", "reserved", "opt-out", "optout"))
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")


def said(fields: Iterable[tuple[str, Any]]) -> str:
    """What some fields say of the rights in the text beside them, in lines; empty if they say nothing.

    Args:
        fields: names and values, of whatever type JSON has; texts may be UTF-8.
    """
    return "\n".join(dict.fromkeys(_lines(fields)))


def of_row(values: Mapping[str, Any], text: str = "") -> str:
    """What a row says of the rights in its text, at little cost for the many that say nothing.

    Args:
        values: by the names of their fields.
        text: the field that holds the text, which is not beside itself.
    """
    telling = [name for name in values if sort_of(name) or name in NESTED]
    return said((name, values[name]) for name in telling if name != text) if telling else ""


def sort_of(name: str) -> str:
    """What a field of a name may say: the key of a reader, or nothing."""
    return _sort_of(name) if len(name) <= _LONGEST_NAME else ""


@lru_cache(4096)
def _sort_of(name: str) -> str:
    words = {word.lower() for word in _WORD.findall(name)}
    return next((sort for sort, known in _NAMES.items() if words & known), "")


def _lines(fields: Iterable[tuple[str, Any]]) -> Iterator[str]:
    for name, value in fields:
        if sort := sort_of(name):
            for one in value if isinstance(value, list | tuple) else (value,):
                yield from _READERS[sort](_plain(one, sort))
        elif name in NESTED and isinstance(value, Mapping):
            yield from _lines((inner, one) for inner, one in value.items() if inner not in NESTED)


def _plain(value: Any, sort: str) -> str:
    """A value as text; empty for what is none, or too long to be a word on rights."""
    if isinstance(value, int) and sort in _ANSWERS:
        return str(value).lower()
    if not isinstance(value, str | bytes) or len(value) > _LONGEST:
        return ""
    data = value.encode("utf-8", "ignore") if isinstance(value, str) else value
    return _CONTROL.sub(" ", data.decode("utf-8", "ignore")).strip()


def _licence(value: str) -> Iterator[str]:
    line = " ".join(value.split())
    if line.lower().startswith(("http://", "https://")):
        yield f'<link rel="license" href="{line}">'
    elif line:
        yield f"License: {line}"


def _rights(value: str) -> Iterator[str]:
    if line := " ".join(value.split()):
        yield line


def _robots(value: str) -> Iterator[str]:
    if "user-agent" in value.lower():  # a whole robots.txt
        yield value
    elif "noai" in value.lower():
        yield f"robots: {' '.join(value.split())}"


def _reservation(value: str) -> Iterator[str]:
    if value.lower() in _YES:
        yield "tdm-reservation: 1"


def _no_ai(value: str) -> Iterator[str]:
    if value.lower() in _YES:
        yield "robots: noai"


_NAMES: Mapping[str, frozenset[str]] = {
    "licence": frozenset(("license", "licence", "licenses", "licences", "spdx")),
    "robots": frozenset(("robots",)),
    "tdm": frozenset(("tdm", "tdmrep")),
    "noai": frozenset(("noai",)),
    "rights": frozenset(("rights", "copyright")),
}
_ANSWERS = ("tdm", "noai")  # fields that say yes or no, maybe in numbers
_READERS: Mapping[str, Callable[[str], Iterator[str]]] = {
    "licence": _licence,
    "robots": _robots,
    "tdm": _reservation,
    "noai": _no_ai,
    "rights": _rights,
}
"""Of each sort of field, the lines that a value of it stands for."""
