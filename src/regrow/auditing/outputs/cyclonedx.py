"""The audit as a bill of materials: CycloneDX 1.6 with a model card, data, ancestors, and how it was built.

No Python library writes these parts of the format, so the JSON is written here, and the tests hold it against the
schema. The serial number is made from the audit itself: the same audit gives the same file.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from regrow.auditing.facts import (
    Basis,
    Collected,
    DatasetFact,
    Evidence,
    LicenceFact,
    Role,
    Scope,
    UsageFact,
)
from regrow.auditing.lineage import Node
from regrow.auditing.outputs import view
from regrow.auditing.outputs.document import digest
from regrow.auditing.outputs.safe import plain, whole
from regrow.auditing.result import Audit, Definition
from regrow.report import ReportData, load
from regrow.report.data import StageRow
from regrow.version import __version__

SPEC = "1.6"
_MODEL = "model"
_DESCRIBED = {"use": "useCases", "capabilities": "useCases", "limitations": "technicalLimitations"}
_TASKS = {"files": "copy", "documents": "clean", "evaluation": "test"}
"""Which of the format's kinds of task a stage is, by the type of what it gives; any other builds something."""


def cyclonedx(audit: Audit, release: Path | None = None) -> dict[str, Any]:
    """The bill of materials.

    Args:
        audit: what to write down.
        release: the audited release, if it is one of ours: then how it was built is told, stage by stage.
    """
    data = load(release) if release else None
    first = view.subject(audit)
    sets = view.datasets(first)
    bom: dict[str, Any] = {
        "$schema": f"http://cyclonedx.org/schema/bom-{SPEC}.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": SPEC,
        "serialNumber": f"urn:uuid:{uuid5(NAMESPACE_URL, digest(audit))}",
        "version": 1,
        "metadata": {
            "timestamp": f"{audit.date}T00:00:00Z",
            "tools": {"components": [{"type": "application", "name": "regrow", "version": __version__}]},
            "component": _model(audit, sets),
            "properties": list(_verdicts(audit)),
        },
        "components": [_dataset(i, fact) for i, fact in enumerate(sets)],
        "dependencies": [{"ref": _MODEL, "dependsOn": [f"data-{i}" for i, fact in enumerate(sets) if _made_of(fact)]}],
    }
    if data and data.stages:
        bom["formulation"] = [_formula(data)]
    return bom


def _made_of(fact: DatasetFact) -> bool:
    return fact.role is not Role.EVALUATION


def _model(audit: Audit, sets: Sequence[DatasetFact]) -> dict[str, Any]:
    first = view.subject(audit)
    component: dict[str, Any] = {"type": "machine-learning-model", "bom-ref": _MODEL, **_named(first, audit.name)}
    component |= _if(licenses=_licences(first, Basis.DECLARED), hashes=_hashes(audit.version))
    component |= _if(pedigree=_pedigree(audit), purl=view.package_url(first.id))
    component["modelCard"] = _card(first, sets)
    return component | _if(evidence=_evidence(first))


def _named(collected: Collected, name: str) -> dict[str, Any]:
    return {"name": whole(name) or "unnamed"} | _if(version=whole(collected.version)[:1024])


def _if(**fields: Any) -> dict[str, Any]:
    """The fields that say something."""
    return {name: value for name, value in fields.items() if value}


def _hashes(version: str) -> list[dict[str, str]]:
    found = view.digest_of(version).get("sha256")
    return [{"alg": "SHA-256", "content": found}] if found else []


def _licences(collected: Collected, *bases: Basis) -> list[dict[str, Any]]:
    """The licences of the weights, each once."""
    facts = view.licence_facts(collected, Scope.WEIGHTS, Scope.EVERYTHING)
    chosen = [fact for fact in facts if fact.basis in bases]
    licences = {view.licence_name(fact): _licence(fact) for fact in chosen if view.licence_name(fact)}
    return [{"license": licence} for licence in licences.values()]


def _licence(fact: LicenceFact) -> dict[str, str]:
    return _licence_of(view.licence_name(fact)) | {
        "acknowledgement": "declared" if fact.basis is Basis.DECLARED else "concluded"
    }


def _licence_of(name: str) -> dict[str, str]:
    """One licence by its SPDX id if it has one, else by name."""
    expression = view.spdx_expression(name) or ""
    return {"id": expression} if expression and " " not in expression else {"name": plain(expression or name)}


def _pedigree(audit: Audit) -> dict[str, Any]:
    ancestors = [_ancestor(node, i) for i, node in enumerate(audit.lineage.nodes[1:], 1)]
    notes = [
        f"{plain(edge.child)}: {edge.relation} of {plain(edge.parent)} ({plain(edge.basis)})"
        for edge in audit.lineage.edges
    ]
    return _if(ancestors=ancestors, notes="; ".join(dict.fromkeys(notes)))


def _ancestor(node: Node, number: int) -> dict[str, Any]:
    component = {"type": "machine-learning-model", "bom-ref": f"ancestor-{number}"}
    component |= _named(node.collected, node.name)
    return component | _if(
        licenses=_licences(node.collected, *Basis),
        hashes=_hashes(node.collected.version),
        purl=view.package_url(node.id),
    )


def _card(collected: Collected, sets: Sequence[DatasetFact]) -> dict[str, Any]:
    found = view.architecture(collected)
    modes = [{"format": plain(mode)} for mode in found.modalities] if found else []
    parameters: dict[str, Any] = _if(
        architectureFamily=plain(found.family) if found else "",
        datasets=[{"ref": f"data-{i}"} for i, fact in enumerate(sets) if _made_of(fact)],
        inputs=modes,
        outputs=modes,
    )
    told: dict[str, list[str]] = {}
    for fact in collected.of(UsageFact):
        if fact.topic in _DESCRIBED:
            told.setdefault(_DESCRIBED[fact.topic], []).append(plain(fact.text, 2000))
    return _if(
        modelParameters=parameters,
        considerations=told,
        properties=[_property(f"model:{name}", value) for name, value in view.numbers(collected)],
    )


def _property(name: str, value: str) -> dict[str, str]:
    return {"name": f"regrow:{name}", "value": plain(value, 2000)}


def _evidence(collected: Collected) -> dict[str, Any]:
    places = [fact.evidence for fact in collected.facts if fact.basis is Basis.FOUND]
    return _if(
        licenses=_licences(collected, Basis.FOUND, Basis.KNOWN),
        occurrences=[_occurrence(one) for one in dict.fromkeys(places)],
    )


def _occurrence(evidence: Evidence) -> dict[str, str]:
    context = f"{evidence.collector} on {evidence.date}" + (f"; sha256 {evidence.sha256}" if evidence.sha256 else "")
    return {"location": plain(view.place(evidence), 2000), "additionalContext": plain(context)}


def _verdicts(audit: Audit) -> Iterator[dict[str, str]]:
    yield _property("audit:osaid", audit.osaid)
    yield _property("audit:mof-class", audit.mof_class or "none")
    yield _property("audit:mof-class-basis", audit.mof_class_basis)
    for one in (*audit.parts, *audit.freedoms):
        yield _property(f"audit:answer:{plain(one.name)}", f"{one.answer}: {one.reason}")
    for definition in audit.definitions:
        yield _property(f"audit:definition:{plain(definition.id)}", _standing(definition))
        for verdict in definition.verdicts:
            yield _property(f"audit:rule:{plain(verdict.rule)}", f"{verdict.outcome}: {verdict.reason}")
    for conflict in audit.conflicts:
        yield _property("audit:conflict", conflict.text)


def _standing(definition: Definition) -> str:
    return f"{definition.outcome}, {definition.level}" if definition.level else definition.outcome


def _dataset(number: int, fact: DatasetFact) -> dict[str, Any]:
    data: dict[str, Any] = {"type": "dataset", "name": whole(fact.name) or "unnamed"}
    told = [_property("data:role", fact.role), _property("data:availability", fact.availability)]
    if fact.bytes is not None:
        told.append(_property("data:bytes", str(fact.bytes)))
    if fact.where:
        told.append(_property("data:where", fact.where))
    data["contents"] = {"properties": told}
    component: dict[str, Any] = {"type": "data", "bom-ref": f"data-{number}", "name": data["name"], "data": [data]}
    licences = [{"license": _licence_of(fact.licence)}] if fact.licence.strip() else []
    return component | _if(licenses=licences, hashes=_hashes(fact.sha256))


def _formula(data: ReportData) -> dict[str, Any]:
    """How the release was built: one task per stage, bound to each other by what flows between them."""
    refs = {stage.name: f"stage-{i}" for i, stage in enumerate(data.stages)}
    return {
        "bom-ref": "formula",
        "components": [_artifact(stage, refs) for stage in data.stages],
        "workflows": [
            {
                "bom-ref": "workflow",
                "uid": data.digest,
                "name": "regrow build",
                "taskTypes": ["build"],
                "tasks": [_task(stage, refs) for stage in data.stages],
                "taskDependencies": [
                    {"ref": refs[stage.name], "dependsOn": sorted({refs[name] for _, name in _inputs(stage, refs)})}
                    for stage in data.stages
                ],
            }
        ],
    }


def _inputs(stage: StageRow, refs: dict[str, str]) -> list[tuple[str, str]]:
    return [(slot, name) for slot, name in stage.inputs if name in refs]


def _artifact(stage: StageRow, refs: dict[str, str]) -> dict[str, Any]:
    kind = "machine-learning-model" if stage.artifact == "weights" else "data"
    return {
        "type": kind,
        "bom-ref": f"artifact-{refs[stage.name]}",
        "name": whole(stage.name) or "unnamed",
    } | _if(hashes=_hashes(stage.digest))


def _task(stage: StageRow, refs: dict[str, str]) -> dict[str, Any]:
    inputs = [
        {
            "resource": {"ref": f"artifact-{refs[name]}"},
            "properties": [{"name": "regrow:slot", "value": plain(slot)}],
        }
        for slot, name in _inputs(stage, refs)
    ]
    settings = [{"name": plain(str(name)), "value": plain(str(value), 2000)} for name, value in _flat(stage.parameters)]
    if settings:
        inputs.append({"parameters": settings})
    return {
        "bom-ref": refs[stage.name],
        "uid": stage.digest or refs[stage.name],
        "name": whole(stage.name) or "unnamed",
        "taskTypes": [_TASKS.get(stage.artifact, "build")],
        "outputs": [{"type": "artifact", "resource": {"ref": f"artifact-{refs[stage.name]}"}}],
        "properties": [
            _property("kind", f"{stage.kind} {stage.version}"),
            *([_property("origin", stage.origin)] if stage.origin else []),
        ],
    } | _if(inputs=inputs)


def _flat(parameters: Any, before: str = "") -> Iterator[tuple[str, Any]]:
    """Nested parameters as dotted names; the pins of a source are told by the hash of its artifact."""
    for name, value in parameters.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{before}{name}.")
        elif name != "pins":
            yield f"{before}{name}", value
