"""Licence texts and policies among the files: identified by what they say, never by what they are called."""

from __future__ import annotations

import re
from collections.abc import Iterator

from regrow.auditing.collectors import kinds
from regrow.auditing.collectors.folder import Folder, Statement, Text, printable
from regrow.auditing.facts import Basis, Evidence, Finding, LicenceFact, Scope, Severity
from regrow.licences import find, identify

NAME = "licence"
_DEEPEST = 3
_POLICY = re.compile(r"notice|copyright|.*use[-_]policy", re.IGNORECASE)
TAG = re.compile(r"SPDX-License-Identifier:[ \t]*(?P<id>[\w.+() -]{1,200})")
_SHORT = 400  # characters; a text this short names its licence instead of giving it
_WORDS = (
    (Scope.DATA, re.compile(r"(^|[-_./])(data|datasets?|corpus)([-_./]|$)", re.IGNORECASE)),
    (Scope.WEIGHTS, re.compile(r"(^|[-_./])(models?|weights|checkpoints?)([-_./]|$)", re.IGNORECASE)),
    (Scope.CODE, re.compile(r"(^|[-_./])(code|src|source|scripts|lib)([-_./]|$)", re.IGNORECASE)),
    (Scope.DOCUMENTS, re.compile(r"(^|[-_./])(docs?|documentation|paper)([-_./]|$)", re.IGNORECASE)),
)


def collect(folder: Folder) -> Iterator[Statement]:
    """Every licence text that is about the model and not about something that was copied in."""
    has_weights = bool(folder.find("weights"))
    paths = [entry.path for entry in folder.find("licence") if _is_ours(entry.path)]
    texts = [path for path in paths if not path.lower().endswith(".pdf")]
    yield from folder.texts(texts, NAME, lambda text: _read(text, has_weights))
    for path in paths:
        if path not in texts:
            yield from _unknown(path, folder.evidence(path, NAME), scope(path, has_weights))


def declared(raw: str, scope: Scope, at: Evidence, name: str = "", link: str = "") -> LicenceFact:
    """A licence as somebody writes it.

    Args:
        raw: the tag or expression.
        scope: what it is for.
        at: where it stands.
        name: what it is called, if the tag is a general one.
        link: where its text is said to be.
    """
    known = find(raw) or (find(name) if name else None)
    id = known.id if known is not None else None
    return LicenceFact(Basis.DECLARED, at, scope, id, printable(raw), printable(name), printable(link))


def scope(path: str, has_weights: bool) -> Scope:
    """What the licence at a place is for."""
    for found, words in _WORDS:
        if words.search(path):
            return found
    return Scope.EVERYTHING if has_weights or "/" not in path else Scope.CODE


def _is_ours(path: str) -> bool:
    return path.count("/") < _DEEPEST and not kinds.is_copied(path)


def _read(text: Text, has_weights: bool) -> Iterator[Statement]:
    place, whole = scope(text.path, has_weights), text.at()
    tag = TAG.search(text.text)
    if tag and len(text.text) <= _SHORT:
        yield declared(tag["id"].strip(), place, whole)
        return
    match = identify(text.text)
    if match is not None:
        yield LicenceFact(Basis.FOUND, whole, place, match.id, text.path, score=match.score)
    elif text.text.strip():
        yield from _unknown(text.path, whole, place)


def _unknown(path: str, whole: Evidence, place: Scope) -> Iterator[Statement]:
    """A text that says nothing here: it is not one that is known, or is in a format that is not read."""
    if not _POLICY.match(path.rpartition("/")[2]):
        yield LicenceFact(Basis.FOUND, whole, place, None, path, score=0.0)
    elif "policy" in path.lower():
        said = f"{printable(path)} limits what the model may be used for; its text is not one that is known here"
        yield Finding("use-policy", Severity.NOTE, said, (whole,))
