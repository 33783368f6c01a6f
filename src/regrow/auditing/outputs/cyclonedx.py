"""The audit as a bill of materials: CycloneDX 1.6 with a model card, data, ancestors, verdicts, and how it was built.

The definitions are *standards* and their rules the requirements; the verdicts are attestations to these, with a claim
where a rule is met, a counterclaim where it is not, and neither where nothing is shown. Conflicts and findings are
annotations.

No Python library writes these parts of the format, so the JSON is written here, and the tests hold it against the
schema. The serial number is made from the audit itself: the same audit gives the same file.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from regrow.auditing.facts import (
    Basis,
    Collected,
    DatasetFact,
    Evidence,
    Role,
    Scope,
    UsageFact,
)
from regrow.auditing.lineage import Node
from regrow.auditing.outputs import view
from regrow.auditing.outputs.because import sentence
from regrow.auditing.outputs.document import digest
from regrow.auditing.outputs.safe import plain, whole
from regrow.auditing.result import Audit, Definition, Outcome, Verdict
from regrow.report import ReportData, load
from regrow.report.data import StageRow
from regrow.version import __version__

SPEC = "1.6"
_MODEL = "model"
_ASSESSOR = "assessor"
_TOOL = {"type": "application", "name": "regrow", "version": __version__}
_SCORES = {Outcome.MET: 1, Outcome.NOT_MET: 0}
"""Of what is not shown, nobody can say how far it conforms."""
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
            "tools": {"components": [dict(_TOOL)]},
            "component": _model(audit, sets),
            "properties": list(_verdicts(audit)),
        },
        "components": [_dataset(i, fact) for i, fact in enumerate(sets)],
        **_declared(audit),
        "annotations": [_annotation(i, text, audit) for i, text in enumerate(view.remarks(audit))],
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
    component |= _if(licenses=_licences(first, concluded=False), hashes=_hashes(audit.version))
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


def _licences(collected: Collected, *, concluded: bool | None = None) -> list[dict[str, Any]]:
    """The licences of the weights, each once: those that were concluded, those that were not, or both."""
    licences: dict[str, dict[str, str]] = {}
    for fact in view.licence_facts(collected, Scope.WEIGHTS, Scope.EVERYTHING):
        name, seen = view.billed_licence(fact), view.concluded(fact)
        if name and concluded in (None, seen):
            licences.setdefault(name, _licence_of(name) | {"acknowledgement": "concluded" if seen else "declared"})
    return [{"license": licence} for licence in licences.values()]


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
        licenses=_licences(node.collected),
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
        licenses=_licences(collected, concluded=True),
        occurrences=[_occurrence(one) for one in dict.fromkeys(places)],
    )


def _occurrence(evidence: Evidence) -> dict[str, str]:
    return {"location": plain(view.place(evidence), 2000), "additionalContext": _context(evidence)}


def _context(evidence: Evidence) -> str:
    sha256 = f"; sha256 {evidence.sha256}" if evidence.sha256 else ""
    return plain(f"{evidence.collector} on {evidence.date}{sha256}")


def _verdicts(audit: Audit) -> Iterator[dict[str, str]]:
    yield _property("audit:osaid", audit.osaid)
    yield _property("audit:mof-class", audit.mof_class or "none")
    yield _property("audit:mof-class-basis", audit.mof_class_basis)
    for one in (*audit.parts, *audit.freedoms):
        yield _property(f"audit:answer:{plain(one.name)}", f"{one.answer}: {one.reason}")
    for definition in audit.definitions:
        yield _property(f"audit:definition:{plain(definition.id)}", _standing(definition))


def _standing(definition: Definition) -> str:
    return f"{definition.outcome}, {definition.level}" if definition.level else definition.outcome


def _declared(audit: Audit) -> dict[str, Any]:
    """The definitions as standards, and what was found about their rules."""
    judged = [(definition, f"standard-{i}") for i, definition in enumerate(audit.definitions)]
    places = dict.fromkeys(
        one for definition, _ in judged for verdict in definition.verdicts for one in verdict.evidence
    )
    refs = {evidence: f"evidence-{i}" for i, evidence in enumerate(places)}
    numbered = [(one, f"{ref}-{i}") for definition, ref in judged for i, one in enumerate(definition.verdicts)]
    return {
        "definitions": {"standards": [_standard(definition, ref) for definition, ref in judged]},
        "declarations": {
            "assessors": [{"bom-ref": _ASSESSOR, "thirdParty": True, "organization": {"name": "regrow"}}],
            "attestations": [_attestation(definition, ref) for definition, ref in judged],
            "claims": [_claim(one, ref, refs) for one, ref in numbered if one.outcome in _SCORES],
            "evidence": [
                {"bom-ref": ref, "description": f"{plain(view.place(one), 2000)}: {_context(one)}"}
                for one, ref in refs.items()
            ],
        },
    }


def _standard(definition: Definition, ref: str) -> dict[str, Any]:
    requirements = [
        {"bom-ref": f"requirement-{ref}-{i}", "identifier": plain(one.rule), "title": plain(one.title)}
        for i, one in enumerate(definition.verdicts)
    ]
    return {"bom-ref": ref, "name": plain(definition.title)} | _if(requirements=requirements)


def _attestation(definition: Definition, ref: str) -> dict[str, Any]:
    judged = [_conformance(one, f"{ref}-{i}") for i, one in enumerate(definition.verdicts)]
    return {"summary": sentence(definition), "assessor": _ASSESSOR} | _if(map=judged)


def _conformance(verdict: Verdict, ref: str) -> dict[str, Any]:
    by = f" (limited by {verdict.limited_by})" if verdict.limited_by else ""
    told: dict[str, Any] = {"rationale": plain(f"{verdict.outcome}: {verdict.reason}{by}", 2000)}
    if verdict.outcome in _SCORES:
        told["score"] = _SCORES[verdict.outcome]
    sides = {Outcome.MET: "claims", Outcome.NOT_MET: "counterClaims"}
    claims = {sides[verdict.outcome]: [f"claim-{ref}"]} if verdict.outcome in sides else {}
    return {"requirement": f"requirement-{ref}", **claims, "conformance": told}


def _claim(verdict: Verdict, ref: str, refs: Mapping[Evidence, str]) -> dict[str, Any]:
    rests_on = list(dict.fromkeys(refs[one] for one in verdict.evidence))
    return {
        "bom-ref": f"claim-{ref}",
        "target": _MODEL,
        "predicate": plain(f"{verdict.title}: {verdict.outcome}"),
        "reasoning": plain(verdict.reason, 2000),
    } | _if(evidence=rests_on)


def _annotation(number: int, text: str, audit: Audit) -> dict[str, Any]:
    return {
        "bom-ref": f"annotation-{number}",
        "subjects": [_MODEL],
        "annotator": {"component": dict(_TOOL)},
        "timestamp": f"{audit.date}T00:00:00Z",
        "text": plain(text, 4000),
    }


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
