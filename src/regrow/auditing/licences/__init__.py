"""Which licences a model is under, and what is inherited along the lineage."""

from __future__ import annotations

from regrow.auditing.licences.conclusion import says_none
from regrow.auditing.licences.judging import judge
from regrow.auditing.licences.terms import Effective, Terms

__all__ = ["Effective", "Terms", "judge", "says_none"]
