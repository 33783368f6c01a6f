"""Licence texts and policies among the files: identified by what they say, never by what they are called."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import PurePosixPath

from regrow.audit.collectors.folder import Folder, Statement, Text, printable
from regrow.audit.facts import Basis, Evidence, Finding, LicenceFact, Scope, Severity

NAME = "licence"
_VENDORED = frozenset(("third_party", "third-party", "vendor", "node_modules", "site-packages", "external", "deps"))
_DEEPEST = 3
_POLICY = re.compile(r"notice|copyright|.*use[-_]policy", re.IGNORECASE)
_TAG = re.compile(r"SPDX-License-Identifier:[ \t]*(?P<id>[\w.+() -]{1,200})")
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
    paths = [entry.path for entry in folder.find("licence") if _is_ours(entry.path) and _is_text(entry.path)]
    yield from folder.texts(paths, NAME, lambda text: _read(text, has_weights))


def declared(raw: str, scope: Scope, at: Evidence, name: str = "", link: str = "") -> LicenceFact:
    """A licence as somebody writes it.

    Args:
        raw: the tag or expression.
        scope: what it is for.
        at: where it stands.
        name: what it is called, if the tag is a general one.
        link: where its text is said to be.
    """
    from regrow.audit.licences import find

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
    parts = PurePosixPath(path).parts
    return len(parts) <= _DEEPEST and not _VENDORED.intersection(part.lower() for part in parts)


def _is_text(path: str) -> bool:
    return not path.lower().endswith((".pdf", ".html"))


def _read(text: Text, has_weights: bool) -> Iterator[Statement]:
    from regrow.audit.licences import identify

    place, whole = scope(text.path, has_weights), text.at()
    tag = _TAG.search(text.text)
    if tag and len(text.text) <= _SHORT:
        yield declared(tag["id"].strip(), place, whole)
        return
    match = identify(text.text)
    policy = bool(_POLICY.match(text.path.rpartition("/")[2]))
    if match is not None:
        yield LicenceFact(Basis.FOUND, whole, place, match.id, text.path, score=match.score)
    elif not policy and text.text.strip():
        yield LicenceFact(Basis.FOUND, whole, place, None, text.path, score=0.0)
    elif "policy" in text.path.lower():
        said = f"{printable(text.path)} limits what the model may be used for; its text is not one that is known here"
        yield Finding("use-policy", Severity.NOTE, said, (whole,))
