"""What an audit says: verdicts, answers, duties and conflicts, each with its reason and evidence."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

from regrow.auditing.facts import Evidence, Finding
from regrow.auditing.lineage import Lineage


class Outcome(StrEnum):
    """Three values: not knowing is neither yes nor no."""

    MET = "met"
    NOT_MET = "not met"
    NOT_SHOWN = "not shown"


@dataclass(frozen=True)
class Verdict:
    """One rule, judged.

    Attributes:
        rule: id of the rule, e.g. ``osaid-1.0/data-information/description``.
        title: of the rule, for people.
        outcome: met, not met or not shown.
        reason: one line.
        reading: whether the rule is our reading and not the text's own words.
        evidence: what the reason rests on.
        limited_by: id of the ancestor that limits the result, or empty.
        missing: what would have to be added, one line each; empty if met.
    """

    rule: str
    title: str
    outcome: Outcome
    reason: str
    reading: bool = False
    evidence: tuple[Evidence, ...] = ()
    limited_by: str = ""
    missing: tuple[str, ...] = ()


@dataclass(frozen=True)
class Definition:
    """A definition of openness, judged as a whole.

    Attributes:
        id: ``osaid-1.0``, ``mof``, ``mof-listed``, ``eu-ai-act-53-2`` or ``ladder``.
        title: for people, with the version of the source.
        outcome: of the whole.
        level: the class or rung reached (``I``, ``rebuilt-here``), or empty.
        verdicts: of each rule.
        next: what to add to reach the next class or to meet the definition, one line each.
        notes: open questions and duties that remain, as facts.
    """

    id: str
    title: str
    outcome: Outcome
    level: str
    verdicts: tuple[Verdict, ...]
    next: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Answer:
    """A part or a freedom: ``yes``, ``no`` or ``not shown``, with the reason in one line."""

    name: str
    answer: str
    reason: str
    evidence: tuple[Evidence, ...] = ()
    limited_by: str = ""


@dataclass(frozen=True)
class Cost:
    """What a rebuild would take; None where it cannot be told.

    Attributes:
        flops: operations of training.
        accelerator_hours: hours on one ``accelerator``, as stated.
        accelerator: the hardware meant.
        source: ``the plan``, ``stated``, ``estimated as 6 x parameters x tokens``, or why nothing can be told.
    """

    flops: float | None
    accelerator_hours: float | None
    accelerator: str
    source: str


@dataclass(frozen=True)
class Duty:
    """Something a licence asks of whoever uses, changes or shares this model.

    Attributes:
        text: one line, specific to this model.
        licence: id of the licence.
        origin: id of the model (or name of the data) whose licence it is.
        when: ``use``, ``share``, ``modify``, ``output`` or ``scale``.
        evidence: where the licence was read.
    """

    text: str
    licence: str
    origin: str
    when: str
    evidence: tuple[Evidence, ...] = ()


@dataclass(frozen=True)
class Conflict:
    """Two licences, or a licence and a label, that cannot both hold; ``between`` names the two sides."""

    text: str
    between: tuple[str, str]
    evidence: tuple[Evidence, ...] = ()


@dataclass(frozen=True)
class DataShare:
    """Training data under one licence: bytes, share of the known bytes (0 to 1), and how many sources."""

    licence: str
    bytes: int | None
    share: float | None
    sources: int


@dataclass(frozen=True)
class Claim:
    """What the maker says, against what was found: ``outcome`` is met if it was delivered."""

    text: str
    topic: str
    outcome: Outcome
    reason: str
    evidence: tuple[Evidence, ...] = ()


@dataclass(frozen=True)
class PolicyCheck:
    """A line of the user's policy: what was asked, and whether it holds."""

    text: str
    outcome: Outcome
    reason: str


@dataclass(frozen=True)
class Audit:
    """Everything an audit says of one version of one model.

    ``mof_class`` is ``I``, ``II``, ``III`` or None, and ``mof_class_basis`` says of what: ``delivered`` of what is
    there, ``listed`` of what a file of the Model Openness Tool says. ``osaid`` is the outcome of the Open Source AI
    Definition.
    """

    id: str
    kind: str
    name: str
    version: str
    date: str
    parts: tuple[Answer, ...]
    freedoms: tuple[Answer, ...]
    cost: Cost
    definitions: tuple[Definition, ...]
    duties: tuple[Duty, ...]
    conflicts: tuple[Conflict, ...]
    data: tuple[DataShare, ...]
    lineage: Lineage
    claims: tuple[Claim, ...]
    findings: tuple[Finding, ...]
    policy: tuple[PolicyCheck, ...]
    osaid: Outcome
    mof_class: str | None
    mof_class_basis: Literal["delivered", "listed"] = "delivered"
