"""What a text says of its rights: licences that it is put under, texts of licences, reservations, and what it forbids.

A statement counts if the text speaks of itself: "this work is licensed under", "License: MIT" at the begin of a line, a
tag of SPDX. That a licence is only spoken of ("the GPL was written in 1989", "some of it is under the MIT licence") is
no statement, since it puts nothing under that licence.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from itertools import chain

from regrow.data import toml
from regrow.evidence.rights.copies import copies
from regrow.evidence.rights.passages import BEHIND, Passage, passages
from regrow.evidence.rights.places import Place, cues
from regrow.licences import find
from regrow.licences.catalogue import linked
from regrow.licences.expressions import alternatives
from regrow.licences.matching import familiar
from regrow.licences.naming import Named, named

TAG, LICENCE, TEXT = "licence-tag", "licence", "licence-text"
COPYRIGHT, RESERVED = "copyright", "rights-reserved"
RESTRICTION, OPT_OUT = "restriction", "opt-out"

PUBLIC_DOMAIN = "public-domain"

ELSEWHERE = "licence elsewhere"
"""Said of reserved rights where the text speaks of a licence beside it."""

_NAME = 200  # characters in which a name ends
_NEAR, _AHEAD = 140, 64  # characters before and behind a cue in which its verb is
_SENTENCE = 700  # characters of a sentence that is looked at
_TITLED = 300  # characters under a heading


@dataclass(frozen=True)
class Statement:
    """Something that a text says of its rights.

    Attributes:
        sort: one of the names above; it is also the tag.
        start: its first byte in the text.
        end: one past the last.
        says: an expression of licences, a sort of restriction or signal, or nothing.
    """

    sort: str
    start: int
    end: int
    says: str = ""

    @property
    def is_licence(self) -> bool:
        """Whether it puts the text under a licence that is known here."""
        return self.sort in (TAG, LICENCE, TEXT) and bool(self.says)


def statements(data: bytes, places: Sequence[Place]) -> list[Statement]:
    """The statements of a text, in their order.

    Args:
        data: the text as UTF-8.
        places: its cues (:mod:`regrow.evidence.rights.places`), in their order.
    """
    found: dict[tuple[str, int], Statement] = {}
    for one in chain.from_iterable(map(_read, passages(data, places))):
        found.setdefault((one.sort, one.start), one)
    texts = [Statement(TEXT, *one) for one in copies(data, [one for one in places if "copy" in cues()[one.cue]])]
    return sorted((*found.values(), *texts), key=lambda one: (one.start, one.end, one.sort, one.says))


def _read(passage: Passage) -> Iterator[Statement]:
    for place in passage.places:
        for name in cues()[place.cue]:
            if name in _READERS and (said := _READERS[name](passage, place.at)):
                sort, start, end, says = said
                yield Statement(sort, passage.begin + start, passage.begin + end, says)


Said = tuple[str, int, int, str]
"""Sort, start and end in the passage, and what it says."""


# Licences


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
    value = passage.raw[key.end() : min(end, key.end() + _NAME)].rstrip(" \t\r\"'`*_])}.,;/-")
    says = _whole(value)
    return (LICENCE, at, key.end() + len(value), says) if says else None


@lru_cache(4096)
def _whole(value: str) -> str:
    """The licence that a value names if that is all it does; a note in brackets may follow."""
    if (known := find(value) or find(re.sub(r"^gnu\s+", "", value, flags=re.IGNORECASE))) is not None:
        return known.id
    name = named(value)
    rest = value[name.end :] if name else ""
    return name.expression if name and re.fullmatch(r"\W*(?:licen[cs]e)?\W*(?:\(.*|<.*|see .*)?", rest) else ""


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
    lead = _lead().match(first)
    if (name := _named(first, lead.end() if lead else 0)) and re.match(
        r"\W*(?:licen[cs]e\w*)?\W*(?:$|\n|see|copy|\(c\))", first[name[1] :], re.IGNORECASE
    ):
        return LICENCE, at, title.end() + name[1], name[0]
    for under in re.finditer(r"\bunder\s", first, re.IGNORECASE):
        verb = _verb().search(first, 0, under.start())
        name = _name_after(first, under.end())
        if verb and name and not _other().search(first, 0, verb.start()):
            return LICENCE, at, title.end() + name[1], name[0]
    return None


def _grant(passage: Passage, at: int) -> Said | None:
    """A sentence by which the text puts itself under a licence."""
    under = passage.small.find("under", max(0, at - _NEAR), at + _AHEAD)
    while under >= 0:
        end = under + len("under")
        begin = passage.start_of_sentence(under)
        verb = _verb().search(passage.text, max(begin, under - _VERB), under)
        name = _name_after(passage.text, end) if verb and passage.text[end : end + 1].isspace() else None
        if verb and name and at < name[1] and _of_itself(passage.text[begin:under], verb[0]):
            return LICENCE, begin, name[1], name[0]
        under = passage.small.find("under", end, at + _AHEAD)
    return None


_VERB = 60  # characters before "under" in which there is a verb
_LICENSED = re.compile(r"licen[cs]ed\b", re.IGNORECASE)


def _adjective(passage: Passage, at: int) -> Said | None:
    """A sentence like "this work is MIT licensed"."""
    if not _LICENSED.match(passage.text, at):
        return None
    begin = passage.start_of_sentence(at)
    is_so = _adjectives().search(passage.text[begin:at])
    if is_so is None or not _own().search(passage.text, begin, at) or _other().search(passage.text, begin, at):
        return None
    says = _whole(is_so["name"])
    return (LICENCE, begin, at + len("licensed"), says) if says else None


def _of_itself(words: str, verb: str) -> bool:
    """Whether the words of a sentence, the last of which are its verb, say that the text speaks of itself."""
    before = words.removesuffix(verb)
    if not re.search(r"[^\W\d_]", before):
        return True
    return _own().search(words) is not None and _other().search(before) is None


_VERSION = re.compile(r"\bv(?:ersion)?s?\.?\s*(?P<version>\d(?:\.\d)?)\b", re.IGNORECASE)
_LATER = re.compile(r"any\s+(?:later|newer)|or\s+(?:later|newer|above|higher)|(?<=\d)\+", re.IGNORECASE)
_SORTS = {"lesser": "lgpl", "library": "lgpl", "affero": "agpl"}
_PERL = re.compile(r"(?:the\s+)?(?:same\s+)?terms\s+as\s+perl", re.IGNORECASE)


def _name_after(text: str, at: int) -> tuple[str, int] | None:
    """The licence that the words after a verb name, and where the name ends."""
    same = _PERL.match(text, _blank(text, at))
    if same:
        return "artistic-1.0-perl OR gpl", same.end()
    lead = _lead().match(text, _blank(text, at))
    return _named(text, lead.end() if lead else at)


def _blank(text: str, at: int) -> int:
    while at < len(text) and text[at].isspace():
        at += 1
    return at


def _named(text: str, at: int) -> tuple[str, int] | None:
    """The licence that a text names at a place, and where the name ends."""
    if gnu := _gnu_names().match(text, at):
        return _gnu(text, gnu)
    name = _name(text[at : at + _NAME])
    return (name.expression, at + name.end) if name else None


@lru_cache(4096)
def _name(text: str) -> Named | None:
    """The licence that a text begins with; one that shares its name with other things has to be called a licence."""
    name = named(text)
    known = find(name.expression) if name else None
    if name and known and known.exact and not re.search("licen[cs]e", text[: name.end], re.IGNORECASE):
        return None
    return name


def _gnu(text: str, name: re.Match[str]) -> tuple[str, int]:
    """A licence of GNU, whose version is said somewhere behind its name."""
    sort = _SORTS.get((name["sort"] or "").lower(), (name["short"] or "gpl").lower())
    behind = text[name.end() : name.end() + 260]
    version = _VERSION.search(behind)
    if version is None:
        return sort, name.end()
    number = version["version"]
    later = "-or-later" if _LATER.search(behind, version.end() - 1) else ""
    known = find(f"{sort}-{number if '.' in number else f'{number}.0'}{later}") or find(f"{sort}-{number}")
    return (known.id if known else sort), name.end() + version.end()


_CC = re.compile(
    r"licenses/(?P<sort>by[a-z-]{0,9})/(?P<version>\d\.\d)|publicdomain/(?P<free>zero|mark)", re.IGNORECASE
)
_SAYS_SO = re.compile(r"licen[cs]|under|rights|copyright|\xa9|\(c\)", re.IGNORECASE)


def _address(passage: Passage, at: int) -> Said | None:
    """An address of Creative Commons in a sentence of the text about itself."""
    where = _CC.match(passage.raw, at)
    if where is None or "commons.org/" not in passage.raw[max(0, at - 24) : at].lower():
        return None
    says = {"zero": "cc0-1.0", "mark": PUBLIC_DOMAIN}.get((where["free"] or "").lower(), "")
    known = find(says or f"cc-{where['sort']}-{where['version']}".lower())
    begin = passage.start_of_sentence(at)
    before = re.sub(r"\S*commons\.org/$", "", passage.text[begin:at])
    if known is None or not _SAYS_SO.search(before) or not _own().search(before) or _other().search(before):
        return None
    return LICENCE, begin, where.end(), known.id


_HREF = re.compile(r"[^<>]{0,200}?\bhref\s*=\s*[\"'](?P<address>[^\"'<>]{1,200})", re.IGNORECASE)


def _relation(passage: Passage, at: int) -> Said | None:
    """A link that says of itself that it leads to the licence."""
    if not re.search(r"\brel\s*=\s*[\"'][\w ]{0,20}$", passage.raw[max(0, at - 30) : at], re.IGNORECASE):
        return None
    begin = passage.raw.rfind("<", 0, at)
    link = _HREF.match(passage.raw, max(0, begin + 1))
    if link is None:
        return None
    known = linked(link["address"]) or ((name := named(link["address"])) and find(name.expression)) or None
    return (LICENCE, max(0, begin), link.end(), known.id) if known else None


def _domain(passage: Passage, at: int) -> Said | None:
    """A sentence by which a text says that it is in the public domain."""
    begin = passage.start_of_sentence(at)
    end = at + len("public domain")
    before = passage.text[begin:at]
    alone = not re.search(r"\w", before) or passage.begins_line(at)
    if alone and re.match(r"[\s.*_)]*(?:\n|$|[A-Z])", passage.raw[end : end + 40]):
        return LICENCE, at, end, PUBLIC_DOMAIN
    if _own().search(before) and _INTO.search(before) and not _other().search(before):
        return LICENCE, begin, end, PUBLIC_DOMAIN
    return None


_INTO = re.compile(
    r"\b(?:is|are|been|hereby|i|placed?|put|released?|dedicated?|donated?|committed)\b.{0,80}\b(?:in|into|to|within)\s+(?:the\s+)?$",
    re.IGNORECASE | re.DOTALL,
)


# Reservations


_HOLDER = re.compile(
    r"copyrights?\W{0,4}(?:\(c\)|\xc2?\xa9|&copy;|(?:19|20)\d\d|by\b)|\xc2\xa9\W{0,3}(?:19|20)\d\d|\(c\)\W{0,3}(?:19|20)\d\d",
    re.IGNORECASE,
)


def _copyright(passage: Passage, at: int) -> Said | None:
    """A notice of copyright: the word or its sign, and a year or a holder."""
    notice = _HOLDER.match(passage.raw, at)
    if notice is None or (notice[0][0] not in "cC" and "copyright" in passage.raw[max(0, at - 16) : at].lower()):
        return None
    return COPYRIGHT, at, notice.end(), ""


def _reserved(passage: Passage, at: int) -> Said | None:
    """All rights reserved."""
    all_of = re.search(r"\ball\s+$", passage.text[max(0, at - 12) : at], re.IGNORECASE)
    if all_of is None:
        return None
    elsewhere = _pointer().search(passage.text, max(0, at - BEHIND), at + BEHIND)
    return RESERVED, at - len(all_of[0]), at + len("rights reserved"), ELSEWHERE if elsewhere else ""


# What is forbidden


def _restriction(passage: Passage, at: int) -> Said | None:
    """A sentence that forbids."""
    begin, end = passage.sentence(at)
    sentence = passage.text[begin : min(end, begin + _SENTENCE)]
    cue = next((cue for cue in _cues_of_restrictions() if passage.small.startswith(cue, at)), "")
    for one in _restrictions():
        if cue not in one.cues or not one.needs.search(sentence):
            continue
        for found in one.says.finditer(sentence):
            within = found.start() <= at - begin + len(cue) and at - begin < found.end()
            if within and _GUARDS[one.sort](sentence, found) and not _is_of_licence(sentence):
                return RESTRICTION, begin, begin + len(sentence.rstrip()), one.sort
    return None


def _is_of_licence(sentence: str) -> bool:
    """Whether a sentence only looks like one that forbids, or belongs to the text of an open licence."""
    return _unless().search(sentence) is not None or familiar(sentence) >= _FAMILIAR


_FAMILIAR = 0.5  # of the words of a sentence


def _anyway(sentence: str, found: re.Match[str]) -> bool:
    return True


_FORBIDS = re.compile(
    r"\b(?:no part|not|never|prohibited|forbidden|must|illegal|unlawful)\b.*"
    r"\b(?:copi|copy|re-?publi|reproduc|redistribut|distribut|publish|post|transmit|stor)",
    re.IGNORECASE | re.DOTALL,
)
_WHOLE = re.compile(r"without|in (?:any|whole|part)|no part|permission|elsewhere|\bplease\b|strictly", re.IGNORECASE)


def _forbids(sentence: str, found: re.Match[str]) -> bool:
    """Whether something is forbidden without the permission that a sentence speaks of."""
    return _FORBIDS.search(sentence) is not None


def _of_text(sentence: str, found: re.Match[str]) -> bool:
    """Whether what may not be passed on is a text: of an error, one says the same."""
    if re.search("re-?publi", found[0], re.IGNORECASE):
        return True
    return (_own().search(sentence) or _WHOLE.search(sentence)) is not None


def _subject(sentence: str, found: re.Match[str]) -> bool:
    """Whether a sentence about a use is about the text itself."""
    before = sentence[: found.start()]
    alone = len(re.findall(r"\w+", before)) <= 2
    return (alone or _own().search(before) is not None) and not _other().search(before)


_GUARDS: Mapping[str, Callable[[str, re.Match[str]], bool]] = {
    "no-training": _anyway,
    "no-republishing": _of_text,
    "permission-needed": _forbids,
    "non-commercial": _subject,
    "personal-use": _subject,
}

_RESERVATION = re.compile(r"tdm[-_]reservation[\"']?[^\w\n]{1,12}(?:content[^\w\n]{1,4})?1\b", re.IGNORECASE)
_DISALLOW = re.compile(
    r"[\w-]*bot\s{0,4}\n(?:(?!user-agent).{0,80}\n){0,4}?\s*disallow:[ \t]*/\s*(?:\n|$)", re.IGNORECASE
)


def _signal(passage: Passage, at: int) -> Said | None:
    """A sign that machines are to leave the text alone."""
    if found := _RESERVATION.match(passage.raw, at):
        return OPT_OUT, at, found.end(), "tdm-reservation"
    before = passage.raw[max(0, at - 100) : at].lower()
    if passage.raw[at : at + 4].lower() == "noai" and "robots" in before:
        return OPT_OUT, at, at + 4, "noai"
    found = _DISALLOW.match(passage.raw, at)
    if found and re.search(r"(?:^|\n)user-agent:[ \t]*$", before):
        return OPT_OUT, at, found.end(), "robots"
    return None


_READERS: Mapping[str, Callable[[Passage, int], Said | None]] = {
    "tag": _tag,
    "relation": _relation,
    "address": _address,
    "line": _line,
    "heading": _heading,
    "grant": _grant,
    "adjective": _adjective,
    "domain": _domain,
    "copyright": _copyright,
    "reserved": _reserved,
    "restriction": _restriction,
    "signal": _signal,
}


# How things are worded


@cache
def _pattern(name: str) -> re.Pattern[str]:
    said: str = toml("evidence.rights", "statements")[name]
    return _compiled(said)


def _compiled(said: str) -> re.Pattern[str]:
    """A pattern in which a blank that is not one of a class of characters stands for any white space."""
    return re.compile(_BLANK.sub(_white, said), re.IGNORECASE | re.DOTALL)


_BLANK = re.compile(r"\[(?:\\.|[^\]\\])*\]| \??")


def _white(found: re.Match[str]) -> str:
    return {" ": r"\s+", " ?": r"\s*"}.get(found[0], found[0])


def _lead() -> re.Pattern[str]:
    return _pattern("lead")


def _verb() -> re.Pattern[str]:
    return _pattern("verb")


def _own() -> re.Pattern[str]:
    return _pattern("own")


def _other() -> re.Pattern[str]:
    return _pattern("other")


@cache
def _adjectives() -> re.Pattern[str]:
    return _compiled(r"\b(?:is|are) (?P<name>[\w.+ -]{2,40}?)[ -]$")


@cache
def _gnu_names() -> re.Pattern[str]:
    long = "(?:gnu )?(?:(?P<sort>lesser|library|affero) )?(?:general|gnu) public licen[cs]e"
    return _compiled(rf"{long}|(?P<short>[la]?gpl)\b(?!v?-?\d)")


@cache
def _pointer() -> re.Pattern[str]:
    return _compiled(toml("evidence.rights", "statements")["pointer"]["says"])


@cache
def _unless() -> re.Pattern[str]:
    return _compiled(toml("evidence.rights", "statements")["restrictions"]["unless"])


@dataclass(frozen=True)
class _Restriction:
    """How something is forbidden: see ``data/statements.toml``."""

    sort: str
    cues: tuple[str, ...]
    needs: re.Pattern[str]
    says: re.Pattern[str]


@cache
def _restrictions() -> tuple[_Restriction, ...]:
    told = toml("evidence.rights", "statements")["restriction"]
    return tuple(
        _Restriction(one["sort"], tuple(one["cues"]), re.compile(one["needs"], re.IGNORECASE), _compiled(one["says"]))
        for one in told
    )


@cache
def _cues_of_restrictions() -> frozenset[str]:
    return frozenset(cue for one in _restrictions() for cue in one.cues)
