"""Names of licences in running text: which licence the words at its beginning name.

A name counts however it is punctuated, with or without "the", "license" and "version". A name that goes on, as in
"Apache 2.0 with restrictions" or "MIT-like", is another one. Where the version is not said, it is one of several.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache

from regrow.data import toml
from regrow.licences.catalogue import every, find, linked
from regrow.licences.spelling import WORD, plain

_BREAK = re.compile(r"[^\s,\-_*`\"'“”(\[\]]")
_VERSION = re.compile(r"\d+(?:\.\d+)*")
_LONGEST = 16  # words of a name
_REACH = 200  # characters in which a name ends
_OTHERWISE = re.compile(
    r"[\s,)\]*`]{0,4}(?:with|plus|but(?! you can| we| please)|except|like|style|inspired|based|compatible|modified)\b"
    r"|[\s,)]{0,2}and (?:additional|further|an?)\b|[\s)]{0,2}\+|[-.]\w|\s{0,2}w/",
    re.IGNORECASE,
)
_COMMON = re.compile(r"(?:cc|commons)[ -]*$", re.IGNORECASE)
_COMMONS = re.compile(r"creativecommons\.org/licenses/(?P<kind>by[a-z-]{0,6})/(?P<version>\d\.\d)")
_OR = re.compile(r"[\s,)\]*`\"']{0,4}(?:licen[cs]es?\s)?(?P<how>or|and|/|&)\s{0,2}(?:the\s|an?\s)?", re.IGNORECASE)


@dataclass(frozen=True)
class Named:
    """What a text names.

    Attributes:
        expression: an id, or an expression of ids.
        end: where in the text the name ends.
    """

    expression: str
    end: int


def named(text: str) -> Named | None:
    """The licence, or those joined by "and" or "or", that the words or the address at the beginning of a text name."""
    if text.startswith("http"):
        return _at(text.split()[0])
    first = _one(text)
    if first is None or _OTHERWISE.match(text, first.end):
        return None
    joint = _OR.match(text, first.end)
    other = _one(text[joint.end() :]) if joint else None
    if joint is None or other is None:
        return first
    how = "AND" if joint["how"].lower() in ("and", "&") else "OR"
    ids = [f"({part})" if " " in part else part for part in (first.expression, other.expression)]
    return Named(f" {how} ".join(ids) if ids[0] != ids[1] else first.expression, joint.end() + other.end)


def begun(text: str) -> Named | None:
    """The licence that the words at the beginning of a text name, however the text goes on."""
    return _one(text)


def _at(address: str) -> Named | None:
    """The licence whose text is at an address."""
    found = _COMMONS.search(address.lower())
    known = find(f"cc-{found['kind']}-{found['version']}") if found else linked(address)
    return Named(known.id, len(address)) if known is not None else None


def _one(text: str) -> Named | None:
    best: Named | None = None
    said: tuple[str, ...] = ()
    for word in _words(text[:_REACH]):
        name = plain(word[0])
        if name in _changed():
            return None
        if name in _fillers():
            # The word of the name that everybody leaves out ends it too.
            best = Named(best.expression, word.end()) if best and said and name == "license" else best
            continue
        if word[0].lower() == "by" and not said and not _COMMON.search(text, 0, word.start()):
            break  # the little word, and not the name of a licence
        said = (*said, name)
        if len(said) > _LONGEST or said not in _beginnings():
            if _VERSION.fullmatch(name) and len(name) < len("2000"):
                return None  # a version that is not known
            break
        if ids := _ids(said):
            best = Named(ids, word.end())
    return best


def _words(text: str) -> Iterator[re.Match[str]]:
    """The words of a text as long as nothing but spaces and light punctuation is between them."""
    end = 0
    for word in WORD.finditer(text):
        if _BREAK.search(text[end : word.start()]):
            return
        end = word.end()
        yield word


@cache
def _fillers() -> frozenset[str]:
    return frozenset(toml("licences", "naming")["fillers"])


@cache
def _changed() -> frozenset[str]:
    """The words that make of a licence's name that of another licence."""
    return frozenset(toml("licences", "naming")["changed"])


@cache
def _names() -> Mapping[tuple[str, ...], tuple[str, ...]]:
    """The words of every name -> the ids that they can mean: more than one where the version is left out."""
    exact: dict[tuple[str, ...], str] = {}
    loose: dict[tuple[str, ...], list[str]] = {}
    for licence in every():
        for name in (licence.id, licence.spdx, licence.title, *licence.hf, *licence.aliases):
            said = tuple(word for match in WORD.finditer(name) if (word := plain(match[0])) not in _fillers())
            if said:
                exact.setdefault(said, licence.id)
            versioned = len(said) > 1 and _VERSION.fullmatch(said[-1]) and licence.spdx and name != licence.title
            if versioned and licence.checked:  # nobody means the old versions, which nobody here has read
                loose.setdefault(said[:-1], []).append(licence.id)
    unsaid = {said: tuple(sorted(set(ids))) for said, ids in loose.items() if said not in exact}
    return {**unsaid, **{said: (id,) for said, id in exact.items()}}


@cache
def _beginnings() -> frozenset[tuple[str, ...]]:
    return frozenset(said[:length] for said in _names() for length in range(1, len(said) + 1))


def _ids(said: tuple[str, ...]) -> str:
    return " OR ".join(_names().get(said, ()))
