"""What a report says: plain values, whoever made them. :func:`regrow.report.read.load` reads them from a release."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from regrow.evidence import Evidence
from regrow.release.lineage import Model
from regrow.release.release import Loss, Sample
from regrow.report.doubts import Doubt

NAMED = 200
"""Files of a source that a report names; the list of documents has all."""


@dataclass(frozen=True)
class Found:
    """What a check of the text found.

    Attributes:
        stage: that looked.
        evidence: what it says.
    """

    stage: str
    evidence: Evidence


@dataclass(frozen=True)
class Base:
    """Another model, from which the released one was made.

    Attributes:
        fetch: where it was got.
        licence: of its weights, as the recipe declares it.
    """

    fetch: str
    licence: str


@dataclass(frozen=True)
class Effect:
    """What a change did, in short.

    Attributes:
        stage: that made it.
        function: whether it was kept: ``exact``, ``rounding`` or ``no``.
        difference: of logits at most; None if it is no number.
        changed: share of the numbers that both models have.
        rank: the largest of the ranks of the changes of matrices; None if it is above the bound, 0 if none changed.
        rank_bound: above which ranks are not told apart.
        zeros: share of zeros in matrices, after.
        bits: bits per byte of held-out text, before and after.
        size: bytes of the files of weights, before and after.
        prompt: what both were asked.
        answers: what they wrote, before and after.
    """

    stage: str
    function: str
    difference: float | None
    changed: float
    rank: int | None
    rank_bound: int
    zeros: float
    bits: tuple[float | None, float | None]
    size: tuple[int, int]
    prompt: str
    answers: tuple[str, str]


@dataclass(frozen=True)
class Measure:
    """Bits per byte of the validation text, by this model or by something to compare it with."""

    name: str
    bits_per_byte: float
    note: str = ""
    own: bool = False
    key: str = ""
    """What the files of a release call it."""


@dataclass(frozen=True)
class Source:
    """Where training bytes come from. ``documents`` and ``bytes`` count what is in the training split."""

    name: str
    fetch: str
    licence: str
    availability: str
    attribution: str
    documents: int
    bytes: int
    validation_documents: int
    validation_bytes: int
    files: tuple[tuple[str, int, int], ...]
    """File name, documents and bytes in the training split, of the first :data:`NAMED` files."""
    more_files: int = 0
    """How many others there are."""


@dataclass(frozen=True)
class Example:
    """One excluded document."""

    source: str
    locator: str
    detail: str


@dataclass(frozen=True)
class Exclusion:
    """Documents that one stage dropped for one reason."""

    stage: str
    reason: str
    documents: int
    characters: int
    examples: tuple[Example, ...]


@dataclass(frozen=True)
class StageRow:
    """One stage of the build. ``key``, ``seconds`` and ``cached`` are of one machine and may be unknown."""

    name: str
    kind: str
    version: int
    digest: str
    parameters: Mapping[str, Any]
    inputs: tuple[tuple[str, str], ...]
    """Slot and name of the stage that fills it."""
    files: tuple[tuple[str, str], ...]
    artifact: str = ""
    """The type of what it gave."""
    origin: str | None = None
    """How it came by the weights it gave."""
    documents: str | None = None
    """What it did to documents."""
    key: str = ""
    seconds: float | None = None
    cached: bool | None = None


@dataclass(frozen=True)
class File:
    """A file the release digest covers."""

    path: str
    sha256: str
    size: int


@dataclass(frozen=True)
class ReportData:
    """Everything a report shows. Build one by hand, or read one from a release."""

    name: str
    digest: str
    licence: str = ""
    description: str = ""
    facts: Mapping[str, Any] = field(default_factory=dict)
    family: str = ""
    """What ``config.json`` calls the kind of decoder."""
    answers: bool = False
    """Whether it has a chat template."""
    line: tuple[tuple[str, str], ...] = ()
    """Stage and origin of the weights that went into the released ones, these last; empty if one does not say it."""
    bases: tuple[Base, ...] = ()
    """The models that it was made from."""
    lineage: Model | None = None
    """The release with these, and theirs, as far as it says it; None if it was only trained from random numbers."""
    effects: tuple[Effect, ...] = ()
    """What each change did, in the order in which they were made."""
    samples: tuple[Sample, ...] = ()
    losses: tuple[Loss, ...] = ()
    validation_loss: float | None = None
    measures: tuple[Measure, ...] = ()
    scores: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """What it reached in tasks, by the names that its recipe has for them."""
    doubts: tuple[Doubt, ...] = ()
    sources: tuple[Source, ...] = ()
    exclusions: tuple[Exclusion, ...] = ()
    evidence: tuple[Found, ...] = ()
    """What checks of the text found, in their order."""
    stages: tuple[StageRow, ...] = ()
    files: tuple[File, ...] = ()
    machine: Mapping[str, Any] = field(default_factory=dict)
    build: Mapping[str, Any] = field(default_factory=dict)
