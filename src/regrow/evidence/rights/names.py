"""The names of licences in sentences: what follows "licensed under", or stands behind "License:"."""

from __future__ import annotations

import re
from functools import cache, lru_cache

from regrow.evidence.rights.wording import compiled, pattern
from regrow.licences import find
from regrow.licences.naming import Named
from regrow.licences.naming import named as begins_with

_NAME = 200  # characters in which a name ends
_BEHIND = 260  # characters behind the name of a licence of GNU in which its version is
_VERSION = re.compile(r"\bv(?:ersion)?s?\.?\s*(?P<version>\d(?:\.\d)?)\b", re.IGNORECASE)
_LATER = re.compile(r"any\s+(?:later|newer)|or\s+(?:later|newer|above|higher)|(?<=\d)\+", re.IGNORECASE)
_SORTS = {"lesser": "lgpl", "library": "lgpl", "affero": "agpl"}
_PERL = re.compile(r"(?:the\s+)?(?:same\s+)?terms\s+as\s+perl", re.IGNORECASE)


def name_after(text: str, at: int) -> tuple[str, int] | None:
    """The licence that the words after a verb name, and where the name ends."""
    same = _PERL.match(text, _blank(text, at))
    if same:
        return "artistic-1.0-perl OR gpl", same.end()
    lead = pattern("lead").match(text, _blank(text, at))
    return named(text, lead.end() if lead else at)


def _blank(text: str, at: int) -> int:
    while at < len(text) and text[at].isspace():
        at += 1
    return at


def named(text: str, at: int) -> tuple[str, int] | None:
    """The licence that a text names at a place, and where the name ends."""
    if gnu := _gnu_names().match(text, at):
        return _gnu(text, gnu)
    name = _name(text[at : at + _NAME])
    return (name.expression, at + name.end) if name else None


@lru_cache(4096)
def _name(text: str) -> Named | None:
    """The licence that a text begins with; one that shares its name with other things has to be called a licence."""
    name = begins_with(text)
    known = find(name.expression) if name else None
    if name and known and known.exact and not re.search("licen[cs]e", text[: name.end], re.IGNORECASE):
        return None
    return name


def _gnu(text: str, name: re.Match[str]) -> tuple[str, int]:
    """A licence of GNU, whose version is said somewhere behind its name."""
    sort = _SORTS.get((name["sort"] or "").lower(), (name["short"] or "gpl").lower())
    behind = text[name.end() : name.end() + _BEHIND]
    version = _VERSION.search(behind)
    if version is None:
        return sort, name.end()
    number = version["version"]
    later = "-or-later" if _LATER.search(behind, version.end() - 1) else ""
    known = find(f"{sort}-{number if '.' in number else f'{number}.0'}{later}") or find(f"{sort}-{number}")
    return (known.id if known else sort), name.end() + version.end()


@cache
def _gnu_names() -> re.Pattern[str]:
    long = "(?:gnu )?(?:(?P<sort>lesser|library|affero) )?(?:general|gnu) public licen[cs]e"
    return compiled(rf"{long}|(?P<short>[la]?gpl)\b(?!v?-?\d)")


@lru_cache(4096)
def whole(value: str) -> str:
    """The licence that a value names if that is all it does; a note in brackets may follow."""
    if (known := find(value) or find(re.sub(r"^gnu\s+", "", value, flags=re.IGNORECASE))) is not None:
        return known.id
    name = begins_with(value)
    rest = value[name.end :] if name else ""
    return name.expression if name and re.fullmatch(r"\W*(?:licen[cs]e)?\W*(?:\(.*|<.*|see .*)?", rest) else ""
