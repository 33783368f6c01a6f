"""The audit as SPDX 3.0.1: an AI package, the data it was trained on, its ancestors, and how it was built.

Verdicts, conflicts and findings are annotations of the package.

The document claims to conform to the core, software and licensing profiles only. The AI and dataset profiles, whose
classes it uses, ask besides for who supplies a package and when it was released, and an audit does not know that.
"""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

from regrow.auditing.facts import (
    Availability,
    Collected,
    DatasetFact,
    Role,
    Scope,
    TrainingFact,
    UsageFact,
)
from regrow.auditing.lineage import BY_OUTPUTS
from regrow.auditing.outputs import view
from regrow.auditing.outputs.document import digest
from regrow.auditing.outputs.safe import plain, whole
from regrow.auditing.result import Answer, Audit, Verdict
from regrow.report import ReportData, load
from regrow.version import __version__

CONTEXT = "https://spdx.org/rdf/3.0.1/spdx-context.jsonld"
VERSION = "3.0.1"
_CREATION = "_:creation"


def spdx(audit: Audit, release: Path | None = None) -> dict[str, Any]:
    """The document, as JSON-LD.

    Args:
        audit: what to write down.
        release: the audited release, if it is one of ours: then every stage of the build is told.
    """
    data = load(release) if release else None
    base = f"urn:regrow:spdx:{digest(audit)}"
    elements = list(_Writer(audit, base).elements(data))
    names = [element["spdxId"] for element in elements]
    document = {
        "type": "SpdxDocument",
        "spdxId": f"{base}:document",
        "creationInfo": _CREATION,
        "name": f"{whole(audit.name)}: openness audit",
        "profileConformance": ["core", "simpleLicensing", "software"] + ["build"] * (data is not None),
        "rootElement": [f"{base}:bom"],
        "element": [f"{base}:bom", *names],
    }
    bom = {
        "type": "software_Sbom",
        "spdxId": f"{base}:bom",
        "creationInfo": _CREATION,
        "software_sbomType": ["analyzed"],
        "profileConformance": document["profileConformance"],
        "rootElement": [f"{base}:model-0"],
        "element": names,
    }
    creation = {
        "type": "CreationInfo",
        "@id": _CREATION,
        "specVersion": VERSION,
        "created": f"{audit.date}T00:00:00Z",
        "createdBy": [f"{base}:agent"],
        "createdUsing": [f"{base}:tool"],
    }
    return {"@context": CONTEXT, "@graph": [creation, document, bom, *elements]}


class _Writer:
    """Makes elements with ids under one base, and numbers the relationships between them."""

    def __init__(self, audit: Audit, base: str) -> None:
        self._audit = audit
        self._base = base
        self._licences: dict[str, str] = {}
        self._relations = 0
        self._annotations = 0

    def elements(self, data: ReportData | None) -> Iterator[dict[str, Any]]:
        """All elements but the document and the bill of materials themselves."""
        nodes = self._audit.lineage.nodes
        yield self._element("SoftwareAgent", "agent", name="regrow")
        yield self._element("Tool", "tool", name=f"regrow {__version__}")
        for number, node in enumerate(nodes):
            yield from self._model(number, node.collected, node.id)
        numbers = {node.id: i for i, node in enumerate(nodes)}
        for node in nodes:
            for edge in view.edges_from(self._audit, node.id):
                if edge.parent in numbers:
                    kind = "trainedOn" if edge.relation in BY_OUTPUTS else "descendantOf"
                    words = f"{edge.relation}, {plain(edge.basis)}"
                    yield self._relation(
                        kind, f"model-{numbers[node.id]}", f"model-{numbers[edge.parent]}", comment=words
                    )
        yield from self._verdicts()
        if data:
            yield from self._builds(data)

    def _element(self, kind: str, ref: str, **fields: Any) -> dict[str, Any]:
        told = {key: value for key, value in fields.items() if value not in (None, "", [], ())}
        return {"type": kind, "spdxId": f"{self._base}:{ref}", "creationInfo": _CREATION, **told}

    def _relation(self, kind: str, source: str, target: str, **fields: Any) -> dict[str, Any]:
        self._relations += 1
        return self._element(
            "Relationship",
            f"relationship-{self._relations}",
            relationshipType=kind,
            to=[f"{self._base}:{target}"],
            **{"from": f"{self._base}:{source}"},
            **fields,
        )

    def _model(self, number: int, collected: Collected, identity: str) -> Iterator[dict[str, Any]]:
        found = view.architecture(collected)
        training = view.best(collected, TrainingFact)
        name = f"model-{number}"
        yield self._element(
            "ai_AIPackage",
            name,
            name=whole(collected.name or identity) or "unnamed",
            software_packageVersion=whole(collected.version),
            software_packageUrl=view.package_url(identity),
            software_primaryPurpose="model",
            verifiedUsing=_hashes(collected.version),
            ai_typeOfModel=[plain(found.family)] if found and found.family else [],
            ai_hyperparameter=[_entry(name, plain(value)) for name, value in view.numbers(collected)],
            ai_informationAboutTraining=_training(training) if training else "",
            ai_informationAboutApplication=_usage(collected, "use", "capabilities", "integration"),
            ai_limitation=_usage(collected, "limitations"),
        )
        facts = view.licence_facts(collected, Scope.WEIGHTS, Scope.EVERYTHING)
        for relation, seen in (("hasDeclaredLicense", False), ("hasConcludedLicense", True)):
            told = (view.billed_licence(fact) for fact in facts if view.concluded(fact) is seen)
            for licence in dict.fromkeys(filter(None, told)):
                yield from self._licence(relation, name, licence)
        for i, one in enumerate(view.datasets(collected)):
            yield from self._dataset(f"data-{number}-{i}", name, one)

    def _licence(self, relation: str, source: str, name: str) -> Iterator[dict[str, Any]]:
        expression = view.spdx_expression(name) or f"LicenseRef-{_slug(name)}"
        if expression not in self._licences:
            self._licences[expression] = f"licence-{len(self._licences)}"
            yield self._element(
                "simplelicensing_LicenseExpression",
                self._licences[expression],
                name=plain(name),
                simplelicensing_licenseExpression=expression,
            )
        yield self._relation(relation, source, self._licences[expression])

    def _dataset(self, name: str, model: str, fact: DatasetFact) -> Iterator[dict[str, Any]]:
        """The size is in bytes; the vocabulary has a word only for data that anybody can download."""
        yield self._element(
            "dataset_DatasetPackage",
            name,
            name=whole(fact.name) or "unnamed",
            comment=f"availability: {fact.availability}" + (f"; from {plain(fact.where)}" if fact.where else ""),
            software_primaryPurpose="data",
            verifiedUsing=_hashes(fact.sha256),
            dataset_datasetAvailability="directDownload" if fact.availability is Availability.OPEN else "",
            dataset_datasetSize=fact.bytes,
            dataset_datasetType=["noAssertion"],
            dataset_intendedUse=fact.role if fact.role is not Role.UNKNOWN else "",
        )
        yield self._relation("testedOn" if fact.role is Role.EVALUATION else "trainedOn", model, name)
        if fact.licence.strip():
            yield from self._licence("hasDeclaredLicense", name, fact.licence)

    def _verdicts(self) -> Iterator[dict[str, Any]]:
        """Answers, standings, the verdict of each rule, conflicts and findings."""
        audit = self._audit
        for one in (*audit.parts, *audit.freedoms):
            yield self._annotation(f"{one.name}: {one.answer}: {_limited(one)}")
        for definition in audit.definitions:
            yield self._annotation(f"{definition.title}: {view.standing(definition)}")
            for verdict in definition.verdicts:
                yield self._annotation(f"{verdict.rule}: {verdict.outcome}: {_limited(verdict)}")
        for text in view.remarks(audit):
            yield self._annotation(text)

    def _annotation(self, statement: str) -> dict[str, Any]:
        self._annotations += 1
        return self._element(
            "Annotation",
            f"annotation-{self._annotations}",
            annotationType="review",
            subject=f"{self._base}:model-0",
            statement=plain(statement, 4000),
        )

    def _builds(self, data: ReportData) -> Iterator[dict[str, Any]]:
        numbers = {stage.name: i for i, stage in enumerate(data.stages)}
        for number, stage in enumerate(data.stages):
            yield self._element(
                "build_Build",
                f"build-{number}",
                name=whole(stage.name) or "unnamed",
                build_buildType=f"urn:regrow:stage:{_slug(stage.kind)}:{stage.version}",
                build_buildId=whole(stage.digest),
                build_parameter=[_entry(str(key), plain(str(value), 2000)) for key, value in stage.parameters.items()],
                **({"comment": f"weights: {plain(stage.origin)}"} if stage.origin else {}),
            )
            yield self._element(
                "software_File",
                f"artifact-{number}",
                name=whole(stage.name) or "unnamed",
                software_primaryPurpose="model" if stage.artifact == "weights" else "data",
                software_fileKind="directory",
                verifiedUsing=_hashes(stage.digest),
            )
            yield self._relation("hasOutput", f"build-{number}", f"artifact-{number}")
            for slot, name in stage.inputs:
                if name in numbers:
                    yield self._relation(
                        "hasInput", f"build-{number}", f"artifact-{numbers[name]}", comment=plain(slot)
                    )


def _limited(judged: Answer | Verdict) -> str:
    by = f" (limited by {judged.limited_by})" if judged.limited_by else ""
    return f"{judged.reason}{by}"


def _hashes(text: str) -> list[dict[str, str]]:
    found = view.digest_of(text).get("sha256")
    return [{"type": "Hash", "algorithm": "sha256", "hashValue": found}] if found else []


def _entry(key: str, value: str) -> dict[str, str]:
    return {"type": "DictionaryEntry", "key": plain(key) or "unnamed", "value": value}


def _training(fact: TrainingFact) -> str:
    told = {"tokens": fact.tokens, "operations": fact.flops, "accelerator hours": fact.accelerator_hours}
    words = [f"{name}: {value:g}" for name, value in told.items() if value is not None]
    return "; ".join([*words, *([f"hardware: {plain(fact.hardware)}"] if fact.hardware else [])])


def _usage(collected: Collected, *topics: str) -> str:
    return " ".join(plain(fact.text) for fact in collected.of(UsageFact) if fact.topic in topics)


def _slug(text: str) -> str:
    """Letters, digits, dots and hyphens, and a hash where something had to be left out."""
    kept = "".join(one if one.isascii() and (one.isalnum() or one in ".-") else "-" for one in text)[:60]
    mark = sha256(text.encode("utf-8", "replace")).hexdigest()[:8]
    return kept if kept == text and kept else f"{kept}-{mark}".strip("-")
