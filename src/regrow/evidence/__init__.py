"""Evidence: what is found in a corpus, with how it was found and what such a search cannot see."""

from __future__ import annotations

from regrow.evidence.record import EVIDENCE, FOLDER, TAGS, Evidence, Rows

__all__ = ["EVIDENCE", "FOLDER", "TAGS", "Evidence", "Rows"]
