"""What an audit reads: facts, each with the place it was read in.

A collector gives facts and findings and judges nothing. A fact is *declared* if somebody says it (a card, a header),
*found* if it was seen in the delivered bytes themselves (a licence text, tensors, source files, a lock), and *known*
if it comes from the tables of well-known models that are shipped here, which nobody has seen in what is audited.
Declared and found are separate facts even where they agree.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeVar

from regrow.auditing.findings import FindingId


class Basis(StrEnum):
    """How far a fact can be relied on."""

    DECLARED = "declared"
    FOUND = "found"
    KNOWN = "known"


@dataclass(frozen=True)
class Evidence:
    """Where something was read.

    Attributes:
        file: path under the audited folder with ``/``, or the address it was fetched from.
        locator: ``key a.b.c``, ``line 12``, ``lines 3-20``, ``bytes 8-1024``, or empty for the whole file.
        sha256: of the whole file; where only a part of a large file was read (a header), of that part, and the
            locator gives its bytes.
        collector: the name of the collector that read it.
        date: the day it was read, ``2026-11-21``.
    """

    file: str
    locator: str
    sha256: str
    collector: str
    date: str


class Component(StrEnum):
    """The 17 components of the Model Openness Framework."""

    ARCHITECTURE = "model-architecture"
    PARAMETERS = "model-parameters-final"
    EVALUATION_RESULTS = "evaluation-results"
    MODEL_CARD = "model-card"
    DATA_CARD = "data-card"
    TECHNICAL_REPORT = "technical-report"
    SAMPLE_OUTPUTS = "sample-model-outputs"
    TRAINING_CODE = "training-code"
    INFERENCE_CODE = "inference-code"
    EVALUATION_CODE = "evaluation-code"
    EVALUATION_DATA = "evaluation-data"
    LIBRARIES = "supporting-libraries-and-tools"
    DATASETS = "datasets"
    PREPROCESSING_CODE = "data-preprocessing-code"
    INTERMEDIATE_PARAMETERS = "model-parameters-intermediate"
    RESEARCH_PAPER = "research-paper"
    METADATA = "model-metadata"


class State(StrEnum):
    """Whether a component is there."""

    PRESENT = "present"  # its bytes were seen, or their address answered with them
    PROMISED = "promised"  # somebody says so, or links to it, and it was not seen
    ABSENT = "absent"  # looked for where it would be, or declared not to exist, and not there


class Scope(StrEnum):
    """What a licence is for."""

    EVERYTHING = "everything"
    WEIGHTS = "weights"
    CODE = "code"
    DATA = "data"
    DOCUMENTS = "documents"


class Relation(StrEnum):
    """How a model was made from a parent."""

    FINETUNE = "finetune"
    ADAPTER = "adapter"
    MERGE = "merge"
    QUANTISED = "quantised"
    CONVERTED = "converted"
    DISTILLED = "distilled"
    SYNTHETIC_DATA = "synthetic-data"
    UNKNOWN = "unknown"


class Availability(StrEnum):
    """The four kinds of training data of the Open Source AI Definition, and not knowing."""

    OPEN = "open"
    PUBLIC = "public"
    OBTAINABLE = "obtainable"
    UNSHAREABLE = "unshareable"
    UNKNOWN = "unknown"


class Role(StrEnum):
    """What data was used for."""

    TRAINING = "training"
    FINETUNING = "finetuning"
    CALIBRATION = "calibration"
    EVALUATION = "evaluation"
    UNKNOWN = "unknown"


class Aspect(StrEnum):
    """What the description of training data must tell."""

    PROVENANCE = "provenance"
    SCOPE = "scope"
    CHARACTERISTICS = "characteristics"
    SELECTION = "selection"
    LABELLING = "labelling"
    PROCESSING = "processing"
    FILTERING = "filtering"


class Rebuild(StrEnum):
    """How far a release was checked by building it, in rising order."""

    DECLARED = "declared"
    PINNED = "pinned"
    SIGNED = "signed"
    SPOT_CHECKED = "spot-checked"
    REBUILT_HERE = "rebuilt-here"
    REBUILT_BY_OTHERS = "rebuilt-by-others"


@dataclass(frozen=True)
class Fact:
    """Something read in one place; the classes below say what.

    Attributes:
        basis: declared, found or known.
        evidence: where it was read.
    """

    basis: Basis
    evidence: Evidence


F = TypeVar("F", bound=Fact)


def places(facts: Iterable[Fact]) -> tuple[Evidence, ...]:
    """Where facts were read, each place once."""
    return tuple(dict.fromkeys(fact.evidence for fact in facts))


@dataclass(frozen=True)
class LicenceFact(Fact):
    """A licence, as a tag or as a text.

    Attributes:
        scope: what it is for.
        id: the id of the licence in our catalogue; None if it is not identified (``other``, or an unknown text).
        raw: as written: the tag, or the name of the text's file.
        name: a declared ``license_name``, or empty.
        link: a declared ``license_link``, or empty.
        score: for a text, how much of the known text was recognised, 0 to 1; 1 for a tag.
        quote: the sentence, where it is named in one.
    """

    scope: Scope
    id: str | None
    raw: str
    name: str = ""
    link: str = ""
    score: float = 1.0
    quote: str = ""


@dataclass(frozen=True)
class DenialFact(Fact):
    """A licence that the model is said not to be under; ``quote`` is the sentence."""

    id: str
    quote: str


@dataclass(frozen=True)
class ComponentFact(Fact):
    """A component is there, promised, or absent.

    Attributes:
        component: which.
        state: there, promised or absent.
        where: a path in the release or an address.
        licence: the component's own licence as written, where one is given.
    """

    component: Component
    state: State
    where: str
    licence: str | None = None


@dataclass(frozen=True)
class ParentFact(Fact):
    """A model whose parameters or outputs this one was made from.

    Attributes:
        parent: ``hf:org/name``, ``path:folder``, or a name as written.
        relation: how.
        revision: a commit or version, or empty.
        sha256: of the parent's weights or release, or empty.
        licence: of its weights, as whoever names it declares, or empty.
    """

    parent: str
    relation: Relation
    revision: str = ""
    sha256: str = ""
    licence: str = ""


@dataclass(frozen=True)
class OriginFact(Fact):
    """The parameters were trained from random initial values: there is no parent (or it is said to be so).

    Attributes:
        text: how it is said.
        changed: what was done to them afterwards, step by step, such as ``quantised``.
    """

    text: str
    changed: tuple[str, ...] = ()

    @property
    def words(self) -> str:
        """What the parameters began as, and what became of them."""
        return ", then ".join(("trained from random initial values", *self.changed))


@dataclass(frozen=True)
class DatasetFact(Fact):
    """Data used to make or to judge the model.

    Attributes:
        name: of the data or source.
        role: what for.
        availability: which of the four kinds.
        licence: as written (an SPDX expression or tag), or empty.
        bytes: size of the text that was used, or None.
        sha256: of the data, or empty.
        where: where to get it, or empty.
        reason: why it cannot be shared, where that is told.
    """

    name: str
    role: Role
    availability: Availability
    licence: str = ""
    bytes: int | None = None
    sha256: str = ""
    where: str = ""
    reason: str = ""


@dataclass(frozen=True)
class DataAspectFact(Fact):
    """A description of training data tells of an aspect.

    Attributes:
        aspect: which.
        text: the beginning of what it says.
        about: the source that it is about; empty for all of the data.
    """

    aspect: Aspect
    text: str
    about: str = ""


@dataclass(frozen=True)
class AllDataFact(Fact):
    """It is said that the training data that is named is all there is; ``text`` is how."""

    text: str


@dataclass(frozen=True)
class ArchitectureFact(Fact):
    """What the model is.

    Attributes:
        family: e.g. ``llama``; empty if unknown.
        parameters: how many, or None.
        dtypes: of the stored tensors, e.g. ``("BF16",)``.
        modalities: e.g. ``("text",)``; empty if unknown.
        context: positions, or None.
    """

    family: str
    parameters: int | None = None
    dtypes: tuple[str, ...] = ()
    modalities: tuple[str, ...] = ()
    context: int | None = None


@dataclass(frozen=True)
class TrainingFact(Fact):
    """What training took, as far as it is told; None where it is not.

    Attributes:
        tokens: seen in training.
        flops: floating-point (or integer) operations.
        accelerator_hours: of the named hardware.
        hardware: as written.
    """

    tokens: int | None = None
    flops: float | None = None
    accelerator_hours: float | None = None
    hardware: str = ""


@dataclass(frozen=True)
class RebuildFact(Fact):
    """How far the release was checked by building it.

    Attributes:
        level: see :class:`Rebuild`.
        by: who says so; empty for a lock or this machine.
        digest: the release's digest that was reached or promised.
    """

    level: Rebuild
    by: str = ""
    digest: str = ""


@dataclass(frozen=True)
class AccessFact(Fact):
    """Whether one can get the model.

    Attributes:
        access: ``open``, ``gated`` (asks for an account, data or consent), ``paid`` or ``private``.
        text: what is asked, as written.
    """

    access: str
    text: str = ""


@dataclass(frozen=True)
class NameFact(Fact):
    """What the model is called by its maker, wherever its files lie; ``name`` is as written."""

    name: str


@dataclass(frozen=True)
class UsageFact(Fact):
    """Usage information, by ``topic``.

    It is ``capabilities``, ``limitations``, ``modalities``, ``integration``, ``use`` or ``languages``.
    """

    topic: str
    text: str


@dataclass(frozen=True)
class ClaimFact(Fact):
    """A sentence that claims something is open or delivered.

    Attributes:
        topic: ``data``, ``training-code``, ``weights``, ``inference``, ``recipe``, ``licence``, ``everything``.
        text: the sentence.
        links: the addresses or paths it points to.
    """

    topic: str
    text: str
    links: tuple[str, ...] = ()


class Severity(StrEnum):
    """How much a finding matters."""

    CONFLICT = "conflict"  # two facts contradict each other, or a licence is broken
    WARNING = "warning"  # dangerous, or could not be read
    NOTE = "note"  # worth knowing


@dataclass(frozen=True)
class Finding:
    """Something a reader must know that is not a verdict.

    Attributes:
        id: stable, e.g. ``licence-differs``, ``unsafe-file``, ``header-too-large``, ``link-outside``.
        severity: how much it matters.
        text: one line, with what, where and what to do.
        evidence: the facts' places; may be empty where the matter is an absence.
    """

    id: FindingId
    severity: Severity
    text: str
    evidence: tuple[Evidence, ...] = ()


@dataclass(frozen=True)
class FileEntry:
    """A file of the audited thing: path with ``/``, bytes, and what it was taken for (``weights``, ``code``, ...)."""

    path: str
    size: int
    kind: str


@dataclass(frozen=True)
class Collected:
    """All that was read of one model.

    Attributes:
        id: ``hf:org/name@revision``, or the name of the folder or file.
        kind: ``release`` (ours), ``huggingface``, ``gguf``, ``safetensors``, ``code``, ``mot`` or ``unreached``.
        name: for people.
        version: the release digest, revision, or a sha256 over the inventory; a verdict is about this version.
        facts: in the order of reading.
        findings: what went wrong or looks wrong while reading.
        files: the inventory, sorted by path.
        complete: False if there may be more than could be read, so that what is not here may still be somewhere.
    """

    id: str
    kind: str
    name: str
    version: str
    facts: tuple[Fact, ...] = ()
    findings: tuple[Finding, ...] = ()
    files: tuple[FileEntry, ...] = ()
    complete: bool = True

    def of(self, kind: type[F]) -> list[F]:
        """The facts of one kind, in the order of reading."""
        return [fact for fact in self.facts if isinstance(fact, kind)]
