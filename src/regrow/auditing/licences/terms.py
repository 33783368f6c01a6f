"""What the licences of a lineage come to for the audited model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from regrow.auditing.facts import Evidence, Finding, Scope
from regrow.auditing.result import Conflict, DataShare, Duty, Outcome


@dataclass(frozen=True)
class Effective:
    """What holds for one scope of the audited model, licences of ancestors that reach it included.

    Attributes:
        ids: of the model's own licences, which hold together, and of those ancestors' licences that take something;
            empty if the model has none or it is not known.
        open: everyone may use, change and share it for any purpose.
        osi: every licence that carries it is approved by the Open Source Initiative.
        use: it may be used for any purpose.
        commercial: it may be used commercially (perhaps only up to some size).
        modify: it may be changed.
        share: it may be passed on.
        reason: one line.
        evidence: where the licences were read.
        limited_by: id of the nearest ancestor whose licence takes something away, or empty.
    """

    ids: tuple[str, ...]
    open: Outcome
    osi: Outcome
    use: Outcome
    commercial: Outcome
    modify: Outcome
    share: Outcome
    reason: str
    evidence: tuple[Evidence, ...] = ()
    limited_by: str = ""


@dataclass(frozen=True)
class Terms:
    """Duties, conflicts and findings of the licences, data by licence, and what holds for each scope."""

    duties: tuple[Duty, ...]
    conflicts: tuple[Conflict, ...]
    data: tuple[DataShare, ...]
    findings: tuple[Finding, ...]
    effective: Mapping[Scope, Effective]
