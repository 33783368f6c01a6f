"""Licences: a catalogue of what they ask, how they are named, and which one a text is."""

from __future__ import annotations

from regrow.licences.catalogue import Kind, Licence, Right, every, find, get
from regrow.licences.comparing import covers, names_none
from regrow.licences.matching import Match, identify

__all__ = ["Kind", "Licence", "Match", "Right", "covers", "every", "find", "get", "identify", "names_none"]
