"""Which model a sentence of a card is about."""

from __future__ import annotations

import re
from collections.abc import Mapping

from regrow.auditing import names
from regrow.data import any_of, toml

_TABLE: Mapping[str, list[str]] = toml("auditing.collectors", "subject")
_MODELS = re.compile(rf"(?<![A-Za-z])(?P<name>{any_of(_TABLE['names'])})(?![A-Za-z])", re.IGNORECASE)
_TUNED = re.compile(any_of(_TABLE["tuned"]), re.IGNORECASE)
_OWN = re.compile(rf"\W*(?:(?i:{any_of(_TABLE['own'])}\b)|[Tt]he\s(?![A-Z])|$)")
_NAME = re.compile(r"\W*(?:[Tt]he\s)?(?P<name>[A-Z][\w.+-]{1,60})")
_VERB = re.compile(
    rf"(?:['\u2019]s)?(?P<more>(?:\s[A-Z\d][\w.+-]{{0,40}}){{0,3}})(?:\smodels?)?\s{any_of(_TABLE['verbs'])}\b"
)
_NO_NAME = re.compile(any_of(_TABLE["no-name"]), re.IGNORECASE)
_NO_TITLE = re.compile(rf"(?:{any_of(_TABLE['no-title'])}|[\W\d_])*", re.IGNORECASE)
_QUOTES = re.compile(r"[\"\u201c\u201e\u00ab\u300c]|^\s*>")
_OF_A_MODEL = tuple(re.compile(form) for form in _TABLE["of-a-model"])


def is_this_model(said: str, headings: tuple[str, ...]) -> bool:
    """Whether no other model is named: one that is not in the title of the card, unless this one is tuned from it."""
    if _TUNED.search(said):
        return True
    title = " ".join(headings[:1]).casefold()
    named = [match["name"] for match in _MODELS.finditer(said)]
    if title:
        named += [match["name"] for form in _OF_A_MODEL for match in form.finditer(said)]
    return all(name.casefold() in title for name in named)


def is_own(before: str, headings: tuple[str, ...]) -> bool:
    """Whether a sentence begins with this model, if this is what stands before the word that tells what was done to it.

    It does with "this", "we" or nothing, or with a name that is in the title. What is quoted, others said.
    """
    if _QUOTES.search(before):
        return False
    return bool(_OWN.match(before)) or is_named(before, headings) or (not headings and bool(_NAME.match(before)))


def is_named(said: str, headings: tuple[str, ...]) -> bool:
    """Whether a sentence begins with a name that is in the title of the card."""
    match = _NAME.match(said)
    return match is not None and bool(headings) and match["name"].casefold() in headings[0].casefold()


def is_on_another(said: str, headings: tuple[str, ...]) -> bool:
    """Whether a sentence begins with the name of a model, which is not the one that the card is headed with."""
    title = headings[0] if headings else ""
    match = _NAME.match(said)
    if match is None or _OWN.match(said) or _NO_TITLE.fullmatch(title) or _NO_NAME.fullmatch(match["name"]):
        return False
    verb = _VERB.match(said, match.end())
    return verb is not None and not _is_called(title, f"{match['name']}{verb['more']}")


def _is_called(title: str, name: str) -> bool:
    """Whether a name and a title have a word in common that is no number."""
    words = (set(re.findall(r"[^\W\d_]{2,}", text.casefold())) for text in (title, name))
    return not set.isdisjoint(*words) or names.plain(name) in names.plain(title)
