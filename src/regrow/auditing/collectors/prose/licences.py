"""The licence that a card names in its text, beside the tag in its front matter.

A line or a row ``License: X``, what stands under a heading about licences, a sentence that says under which terms the
model is released, and one that forbids all but research or all commerce, the last in the languages that cards are
most written in. A sentence may also say that the model is not under a licence. What is said of code is for the code;
what is said of data, of a base or of a library says nothing of the model.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import cache

from regrow.auditing import names
from regrow.auditing.collectors.folder import Statement, printable
from regrow.auditing.collectors.markdown import Block, clean
from regrow.auditing.collectors.prose.parents import is_of_another
from regrow.auditing.collectors.prose.words import short
from regrow.auditing.facts import Basis, DenialFact, Evidence, LicenceFact, Scope
from regrow.data import any_of, toml, whole_words
from regrow.licences import find
from regrow.licences.naming import begun, named

_LONGEST = 1200  # characters of a sentence
_SHORT = 3  # words of a name
_PIECES = re.compile(r"\s?[,;/&+]\s|\sand\s", re.IGNORECASE)
_CAPITAL = r"(?:[A-Z][\w.+'-]{0,30}|v?\d[\d.]{0,5}|LICENSE)"
_UNKNOWN = re.compile(rf"(?=[A-Z]){_CAPITAL}(?:,? (?:{_CAPITAL}|of|for|licen[cs]e)){{0,8}}")
_IN_NUMBERS = r"(?:[^.;]|\.(?=\d))"  # what a sentence is made of: the point of a version does not end it
_LICENCE = re.compile(r"licen[cs]e|agreement|terms of use", re.IGNORECASE)
_UNDER = re.compile(r"\bunder ")
_NOT_ONLY = r"(?<![a-z])(?<!not )(?<!no )(?<!no es )(?<!não )(?<!não é )(?<!pas )(?<!nicht )(?<!不)(?<!非)"
_QUOTED = re.compile(r">(?!\W*(?:note|warning|important|caution|licen[cs]e|disclaimer)\b)", re.IGNORECASE)
_DEFINITION = re.compile(r"\[[^\[\]]{1,100}\]:")


def licences(block: Block, at: Evidence) -> Iterator[Statement]:
    """The licences that a block says the model is under."""
    if block.kind == "code" or _QUOTED.match(block.text) or _DEFINITION.match(block.text) or is_of_another(block):
        return
    for scope, value, said in _told(block):
        yield from _fact(scope, value, said, block, at)
    if block.kind == "text":
        for said in block.sentences():
            yield from _denied(said, block.headings, at)


def _denied(said: str, headings: tuple[str, ...], at: Evidence) -> Iterator[DenialFact]:
    """The licence that a sentence says the model is not under."""
    for words in _sentences("denied") if len(said) <= _LONGEST and not said.endswith("?") else ():
        if (match := words.search(said)) and _subject(match["subject"], headings) is Scope.EVERYTHING:
            known = begun(_after_lead(said[match.end() :]))
            licence = find(known.expression) if known else None
            if licence is not None:
                yield DenialFact(Basis.DECLARED, at, licence.id, short(said))


def _told(block: Block) -> Iterator[tuple[Scope, str, str]]:
    """What a licence is for, the text that begins with its name, and how it is said."""
    if block.kind == "table":
        rows = ([cell.strip(" *`_") for cell in row.split("|") if cell.strip()] for row in block.text.split("\n"))
        for cells in rows:
            if len(cells) == 2:
                yield from _of_line(": ".join(cells), "")
        return
    title = block.headings[-1] if block.headings else ""
    found = list(_of_lines(block, title))
    yield from found
    if not found and not (title and _words()["headings"].search(title)):
        for said in block.sentences():
            yield from _of_sentence(said, block.headings)


def _of_lines(block: Block, title: str) -> Iterator[tuple[Scope, str, str]]:
    """What the lines of a text name, each of which may be one of the form ``License: X``."""
    lines = [line for written in block.source.split("\n") if (line := clean(written))]
    for number, line in enumerate(lines):
        # A value may go on in the next line.
        yield from _of_line(" ".join((line, *lines[number + 1 : number + 3])), title if number == 0 else "")


def _of_line(line: str, title: str) -> Iterator[tuple[Scope, str, str]]:
    """What a line of the form ``License: name`` names, one under a heading about licences, or one that is a name."""
    under = _titles().fullmatch(title.strip(" :*#"))
    for match in (_keys().match(line), _parts().match(line) if under else None):
        if match:
            value = line[match.end() :].lstrip(" `\"'*:([")
            if match.lastgroup != "data":
                yield from _of_value(Scope(str(match.lastgroup)), value, line)
            return
    if under and under.lastgroup != "data" and _is_name(line):
        yield Scope(str(under.lastgroup)), line, line
    elif (whole := named(line)) and _LICENCE.search(line) and whole.end >= len(line.rstrip(" .")):
        yield Scope.EVERYTHING, line, line


def _of_value(scope: Scope, value: str, line: str) -> Iterator[tuple[Scope, str, str]]:
    """What stands behind ``License:``: a name, one for each part as in ``MIT (code), Gemma (weights)``, or terms."""
    parts = [part for piece in _PIECES.split(value) if (part := _of_part().match(piece)) and _is_name(piece)]
    if parts and scope is Scope.EVERYTHING:
        yield from ((Scope(str(part.lastgroup)), part["name"], line) for part in parts if part.lastgroup != "data")
    elif _is_name(value):
        yield scope, value, line
    else:
        yield from ((scope, id, line) for id, words in _values().items() if words.match(value))


def _is_name(value: str) -> bool:
    """Whether a text begins with the name of terms."""
    text = _after_lead(value)
    return named(text) is not None or bool(_unknown(text))


def _is_open(value: str) -> bool:
    """Whether a text begins with the name of an open licence."""
    known = named(_after_lead(value))
    licence = find(known.expression) if known else None
    return licence is not None and licence.open


def _after_lead(value: str) -> str:
    lead = _lead().match(value)
    return value[lead.end() if lead else 0 :]


def _of_sentence(said: str, headings: tuple[str, ...]) -> Iterator[tuple[Scope, str, str]]:
    if len(said) > _LONGEST or said.endswith("?"):
        return
    for words in _sentences("under"):
        if (match := words.search(said)) and _is_name(said[match.end() :]):
            scope = _subject(match["subject"], headings)
            if scope is not None:
                yield scope, said[match.end() :], said
            if not _is_open(said[match.end() :]):
                return
            break  # what an open licence allows, the same sentence may forbid
    title = _titles().fullmatch(headings[-1].strip(" :*#")) if headings else None
    under = title is not None and title.lastgroup not in ("data", "code")
    if not _words()["terms"].search(said):
        for id, words in _terms():
            match = words.search(said)
            if match and (under or _is_about_all(said, match.start(), headings)):
                named_after = (said[name.end() :] for name in _UNDER.finditer(said))
                closed = (name for name in named_after if _is_name(name) and not _is_open(name))
                yield Scope.EVERYTHING, next(closed, id), said
                return


def _is_about_all(said: str, begin: int, headings: tuple[str, ...]) -> bool:
    """Whether terms that a sentence states from a place on are those of the model: they are where nothing is before."""
    if not re.search(r"[^\W\d_]", _words()["notes"].sub("", said[:begin])):
        return not any(_subjects()[name].search(said) for name in ("code", "data"))
    return _subject(said, headings, stated=True) is not None


def _subject(text: str, headings: tuple[str, ...], stated: bool = False) -> Scope | None:
    """What a sentence is about: all of the model, only its code, or something that is not the model."""
    found = {name for name, words in _subjects().items() if words.search(text)}
    if "other" in found and not stated:
        return None
    if "model" in found or not text.strip(" *_-"):
        return Scope.EVERYTHING
    if found & {"code", "data"}:
        return Scope.CODE if "data" not in found else None
    return Scope.EVERYTHING if "this" in found or _is_own_name(text, headings) else None


def _is_own_name(subject: str, headings: tuple[str, ...]) -> bool:
    """Whether a subject is what the model is called. Under a heading about licences, every name of few words is."""
    small = toml("auditing.collectors", "licences")["small"]
    words = [word for word in re.findall(r"[\w./-]+", subject) if word.lower() not in small]
    own = names.plain("".join(words).rpartition("/")[2])
    title = names.plain(headings[0]) if headings else ""
    if own and title and (own in title or title in own):
        return True
    return 0 < len(words) <= _SHORT and bool(_titles().fullmatch(headings[-1].strip(" :*#") if headings else ""))


def _fact(scope: Scope, value: str, said: str, block: Block, at: Evidence) -> Iterator[LicenceFact]:
    text = _after_lead(value)
    if known := named(text):
        id = None if " " in known.expression else known.expression
        yield LicenceFact(Basis.DECLARED, at, scope, id, known.expression, quote=short(said))
    elif value in toml("auditing.collectors", "licences")["terms"]:
        yield LicenceFact(Basis.DECLARED, at, scope, value, value, quote=short(said))
    elif name := _unknown(text):
        link = next(iter(block.links), "")
        yield LicenceFact(
            Basis.DECLARED, at, scope, None, "other", printable(name, 100), printable(link), quote=short(said)
        )


def _unknown(text: str) -> str:
    """A name that is one of terms, and of none that are known here."""
    match = _UNKNOWN.match(text)
    name = match[0] if match and _LICENCE.search(match[0]) and not _words()["nothing"].match(match[0]) else ""
    return name.rstrip(".,") if len(name.split()) > 1 else ""


@cache
def _keys() -> re.Pattern[str]:
    return re.compile(
        rf"\W{{0,8}}{_groups('keys')}(?:\s?\([^()]{{0,40}}\))?\s{{0,2}}[*_]{{0,2}}(?:[:\uff1a=]|->|\s[-\u2013]\s)",
        re.IGNORECASE,
    )


@cache
def _titles() -> re.Pattern[str]:
    other = r"(?: ?(?:&|and|,) ?[\w ]{1,30})?"
    return re.compile(rf"[^\w]{{0,6}}{_groups('keys')}{other}", re.IGNORECASE)


@cache
def _parts() -> re.Pattern[str]:
    return re.compile(rf"\W{{0,8}}{_groups('parts')}\s{{0,2}}[:\uff1a]", re.IGNORECASE)


@cache
def _of_part() -> re.Pattern[str]:
    return re.compile(rf"(?P<name>[^()]{{2,60}}?) ?(?:\(|for )(?:the )?{_groups('parts')}\b", re.IGNORECASE)


@cache
def _values() -> Mapping[str, re.Pattern[str]]:
    table = toml("auditing.collectors", "licences")["values"]
    return {id: re.compile(any_of(words), re.IGNORECASE) for id, words in table.items()}


def _groups(table: str) -> str:
    groups = (f"(?P<{name}>{any_of(words)})" for name, words in toml("auditing.collectors", "licences")[table].items())
    return any_of(groups)


@cache
def _sentences(how: str) -> tuple[re.Pattern[str], ...]:
    return tuple(
        re.compile(words, re.IGNORECASE) for words in toml("auditing.collectors", "licences")["sentences"][how]
    )


@cache
def _lead() -> re.Pattern[str]:
    return re.compile(toml("auditing.collectors", "licences")["sentences"]["lead"], re.IGNORECASE)


@cache
def _subjects() -> Mapping[str, re.Pattern[str]]:
    return {name: whole_words(words) for name, words in toml("auditing.collectors", "licences")["subjects"].items()}


@cache
def _terms() -> tuple[tuple[str, re.Pattern[str]], ...]:
    table = toml("auditing.collectors", "licences")["terms"]
    forms = ((id, any_of(words).replace("[^.;]", _IN_NUMBERS)) for id, words in table.items())
    return tuple((id, re.compile(f"{_NOT_ONLY}{words}", re.IGNORECASE)) for id, words in forms)


@cache
def _words() -> Mapping[str, re.Pattern[str]]:
    return {name: whole_words(words) for name, words in toml("auditing.collectors", "licences")["not"].items()}
