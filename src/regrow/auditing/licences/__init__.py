"""Licences: a catalogue of what they ask, which one a text is, and what is inherited along the lineage."""

from __future__ import annotations

from regrow.auditing.licences.catalogue import Kind, Licence, Right, every, find, get
from regrow.auditing.licences.conclusion import names_none, says_none
from regrow.auditing.licences.judging import judge
from regrow.auditing.licences.matching import Match, identify
from regrow.auditing.licences.terms import Effective, Terms

__all__ = [
    "Effective",
    "Kind",
    "Licence",
    "Match",
    "Right",
    "Terms",
    "every",
    "find",
    "get",
    "identify",
    "judge",
    "names_none",
    "says_none",
]
