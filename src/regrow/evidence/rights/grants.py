"""How a text puts itself under a licence. A reader looks at one place, and gives what a statement there says."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import cache, lru_cache

from regrow.evidence.rights.names import name_after, named, whole
from regrow.evidence.rights.passages import Passage
from regrow.evidence.rights.sorts import LICENCE, PUBLIC_DOMAIN, TAG, Said
from regrow.evidence.rights.wording import compiled, pattern, speaks_of_itself, speaks_of_others
from regrow.licences import Licence, find
from regrow.licences.catalogue import linked
from regrow.licences.expressions import alternatives
from regrow.licences.naming import named as begins_with

_NEAR, _AHEAD = 140, 64  # characters before and behind a cue in which its verb is
_VERB = 60  # characters before "under" in which there is a verb
_TITLED = 300  # characters under a heading
_VALUE = 200  # characters behind "License:"

_IDENTIFIER = re.compile(r"licen[cs]e-identifier:[ \t]*(?P<id>[\w.+()][\w.+() -]{0,200})", re.IGNORECASE)


def _tag(passage: Passage, at: int) -> Said | None:
    """A tag of SPDX, with nothing but marks before it."""
    begin = at - len("spdx-")
    tag = _IDENTIFIER.match(passage.raw, at)
    if tag is None or passage.raw[max(0, begin) : at].lower() != "spdx-" or not passage.begins_line(begin):
        return None
    return TAG, begin, tag.end(), _expression(tag["id"].strip(" -"))


@lru_cache(4096)
def _expression(said: str) -> str:
    """An expression as it is told; of an identifier that nobody knows, the identifier."""
    ways = alternatives(said)
    return " OR ".join(" AND ".join(way) for way in ways) if ways else said


_KEY = re.compile(
    r"licen[cs]es?[\"'`*_]{0,3}[ \t]?(?:[:=][ \t]*|(?:::[ \t]*[\w .-]{1,40}[ \t]*)*::[ \t]*)[\"'`*_\[({]{0,4}",
    re.IGNORECASE,
)
_BEFORE_KEY = re.compile(
    r"[^\w\n]{0,16}(?:(?:the|code|content|contents|text|texts|data|dataset|package|project|software|source|book|"
    r"documentation|docs?|default|spdx|@)[ _-]?){0,2}",
    re.IGNORECASE,
)


def _line(passage: Passage, at: int) -> Said | None:
    """A line ``License: X``, with nothing behind the name."""
    key = _KEY.match(passage.raw, at)
    line = passage.raw.rfind("\n", 0, at) + 1
    if key is None or not _BEFORE_KEY.fullmatch(passage.raw, line, at):
        return None
    end = passage.raw.find("\n", key.end())
    end = len(passage.raw) if end < 0 else end
    value = passage.raw[key.end() : min(end, key.end() + _VALUE)].rstrip(" \t\r\"'`*_])}.,;/-")
    says = whole(value)
    return (LICENCE, at, key.end() + len(value), says) if says else None


_HEADING = re.compile(
    r"licen[cs](?:es?|ing)(?:[ \t]+(?:&|and|information|terms)[ \t]*\w*)?[ \t]*[:#*=~\"]*[ \t]*\r?\n[\s=~^#*_\"'-]*",
    re.IGNORECASE,
)


def _heading(passage: Passage, at: int) -> Said | None:
    """What stands under a heading that says "License"."""
    title = _HEADING.match(passage.raw, at)
    if title is None or not _BEFORE_KEY.fullmatch(passage.raw, passage.raw.rfind("\n", 0, at) + 1, at):
        return None
    first = passage.text[title.end() : min(passage.end_of_sentence(title.end()), title.end() + _TITLED)]
    lead = pattern("lead").match(first)
    if (name := named(first, lead.end() if lead else 0)) and re.match(
        r"\W*(?:licen[cs]e\w*)?\W*(?:$|\n|see|copy|\(c\))", first[name[1] :], re.IGNORECASE
    ):
        return LICENCE, at, title.end() + name[1], name[0]
    for under in re.finditer(r"\bunder\s", first, re.IGNORECASE):
        verb = pattern("verb").search(first, 0, under.start())
        name = name_after(first, under.end())
        if verb and name and not speaks_of_others(first[: verb.start()]):
            return LICENCE, at, title.end() + name[1], name[0]
    return None


def _grant(passage: Passage, at: int) -> Said | None:
    """A sentence by which the text puts itself under a licence."""
    under = passage.small.find("under", max(0, at - _NEAR), at + _AHEAD)
    while under >= 0:
        end = under + len("under")
        begin = passage.start_of_sentence(under)
        verb = pattern("verb").search(passage.text, max(begin, under - _VERB), under)
        name = name_after(passage.text, end) if verb and passage.text[end : end + 1].isspace() else None
        if verb and name and at < name[1] and _of_itself(passage.text[begin:under], verb[0]):
            return LICENCE, begin, name[1], name[0]
        under = passage.small.find("under", end, at + _AHEAD)
    return None


_LICENSED = re.compile(r"licen[cs]ed\b", re.IGNORECASE)


def _adjective(passage: Passage, at: int) -> Said | None:
    """A sentence like "this work is MIT licensed"."""
    if not _LICENSED.match(passage.text, at):
        return None
    begin = passage.start_of_sentence(at)
    is_so = _adjectives().search(passage.text[begin:at])
    if is_so is None or not speaks_of_itself(passage.text[begin:at]) or speaks_of_others(passage.text[begin:at]):
        return None
    says = whole(is_so["name"])
    return (LICENCE, begin, at + len("licensed"), says) if says else None


def _of_itself(words: str, verb: str) -> bool:
    """Whether the words of a sentence, the last of which are its verb, say that the text speaks of itself."""
    before = words.removesuffix(verb)
    if not re.search(r"[^\W\d_]", before):
        return True
    return speaks_of_itself(words) and not speaks_of_others(before)


_CC = re.compile(
    r"licenses/(?P<sort>by[a-z-]{0,9})/(?P<version>\d\.\d)|publicdomain/(?P<free>zero|mark)", re.IGNORECASE
)
_SAYS_SO = re.compile(r"licen[cs]|under|rights|copyright|\xa9|\(c\)", re.IGNORECASE)


def _address(passage: Passage, at: int) -> Said | None:
    """An address of Creative Commons in a sentence of the text about itself."""
    where = _CC.match(passage.raw, at)
    if where is None or "commons.org/" not in passage.raw[max(0, at - 24) : at].lower():
        return None
    known = _of_commons(where)
    begin = passage.start_of_sentence(at)
    before = re.sub(r"\S*commons\.org/$", "", passage.text[begin:at])
    if known is None or not _SAYS_SO.search(before) or not speaks_of_itself(before) or speaks_of_others(before):
        return None
    return LICENCE, begin, where.end(), known.id


def _of_commons(where: re.Match[str]) -> Licence | None:
    says = {"zero": "cc0-1.0", "mark": PUBLIC_DOMAIN}.get((where["free"] or "").lower(), "")
    return find(says or f"cc-{where['sort']}-{where['version']}".lower())


_HREF = re.compile(r"[^<>]{0,200}?\bhref\s*=\s*[\"'](?P<address>[^\"'<>]{1,200})", re.IGNORECASE)


def _relation(passage: Passage, at: int) -> Said | None:
    """A link that says of itself that it leads to the licence."""
    if not re.search(r"\brel\s*=\s*[\"'][\w ]{0,20}$", passage.raw[max(0, at - 30) : at], re.IGNORECASE):
        return None
    begin = passage.raw.rfind("<", 0, at)
    link = _HREF.match(passage.raw, max(0, begin + 1))
    if link is None:
        return None
    address = link["address"]
    known = (
        ((where := _CC.search(address)) and _of_commons(where))
        or linked(address)
        or ((name := begins_with(address)) and find(name.expression))
        or None
    )
    return (LICENCE, max(0, begin), link.end(), known.id) if known else None


def _domain(passage: Passage, at: int) -> Said | None:
    """A sentence by which a text says that it is in the public domain."""
    public = re.search(r"\bpublic\s+$", passage.text[max(0, at - 24) : at], re.IGNORECASE)
    if public is None:
        return None
    at, end = at - len(public[0]), at + len("domain")
    begin = passage.start_of_sentence(at)
    before = passage.text[begin:at]
    alone = not re.search(r"\w", before) or passage.begins_line(at)
    if alone and re.match(r"[\s.*_)]*(?:\n|$|[A-Z])", passage.raw[end : end + 40]):
        return LICENCE, at, end, PUBLIC_DOMAIN
    if speaks_of_itself(before) and _INTO.search(before) and not speaks_of_others(before):
        return LICENCE, begin, end, PUBLIC_DOMAIN
    return None


_INTO = re.compile(
    r"\b(?:is|are|been|hereby|i|placed?|put|released?|dedicated?|donated?|committed)\b.{0,80}"
    r"\b(?:in|into|to|within)\s+(?:the\s+)?$",
    re.IGNORECASE | re.DOTALL,
)


@cache
def _adjectives() -> re.Pattern[str]:
    return compiled(r"\b(?:is|are) (?P<name>[\w.+ -]{2,40}?)[ -]$")


READERS: Mapping[str, Callable[[Passage, int], Said | None]] = {
    "tag": _tag,
    "relation": _relation,
    "address": _address,
    "line": _line,
    "heading": _heading,
    "grant": _grant,
    "adjective": _adjective,
    "domain": _domain,
}
