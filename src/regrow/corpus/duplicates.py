"""What is written down of a document that another one stands for: the one way to say it, and to read it again."""

from __future__ import annotations

import re
from dataclasses import dataclass

EXACT, NEAR = "exact duplicate", "near-duplicate"
"""The reasons of such exclusions."""

_WORDS = re.compile(r"of (?P<id>[0-9a-f]{64})(?:, Jaccard (?P<similarity>[01]\.\d{4}))?")


@dataclass(frozen=True)
class Duplicate:
    """Of a document that says what another one says: the detail of its exclusion.

    Attributes:
        of: the id of the other one.
        similarity: the Jaccard index of their sets of runs of words; 1 for a copy, of which no figure is told.
    """

    of: str
    similarity: float | None = None

    def __str__(self) -> str:
        """In words, e.g. ``of 1f2e..., Jaccard 0.9123``."""
        return f"of {self.of}" if self.similarity is None else f"of {self.of}, Jaccard {self.similarity:.4f}"

    @staticmethod
    def read(reason: str, detail: str) -> Duplicate | None:
        """What an exclusion says of it; None if it was made for another reason."""
        return Duplicate.of_words(detail) if reason in (EXACT, NEAR) else None

    @staticmethod
    def of_words(detail: str) -> Duplicate | None:
        """What its words say; None if they are others."""
        found = _WORDS.fullmatch(detail)
        if found is None:
            return None
        return Duplicate(found["id"], float(found["similarity"]) if found["similarity"] else None)
