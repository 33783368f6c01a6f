"""python -m pytest tests/audit/outputs/test_bills_of_materials.py"""

import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from sample_audits import FOREIGN, FOUND, KNOWN, LLAMA, NOT_SHOWN, OURS, hostile_audits, nasty, read
from small_release import small_release

from regrow.auditing.collectors import legal
from regrow.auditing.facts import Evidence, LicenceFact, Scope
from regrow.auditing.outputs import cyclonedx, spdx, to_text
from regrow.auditing.result import Audit


@pytest.fixture(scope="module")
def check_cyclonedx() -> Any:
    """Hold a bill against the schema of CycloneDX, strictly."""
    validation = pytest.importorskip("cyclonedx.validation.json")
    pytest.importorskip("jsonschema")
    schema = pytest.importorskip("cyclonedx.schema")
    validator = validation.JsonStrictValidator(schema.SchemaVersion.V1_6)

    def check(bom: dict[str, Any]) -> None:
        assert validator.validate_str(to_text(bom)) is None
        refs = list(_values(bom, "bom-ref"))
        assert len(refs) == len(set(refs))
        assert {one for one in _values(bom, "ref") if isinstance(one, str)} <= set(refs)

    return check


@pytest.fixture(scope="module")
def check_spdx() -> Any:
    """Read a document into SPDX's own model and write it again, which refuses what a class lacks or has too much of."""
    model = pytest.importorskip("spdx_python_model")

    def check(document: dict[str, Any]) -> None:
        bindings, objects = model.load_data(json.loads(to_text(document)))
        assert len(list(objects.foreach_type(bindings.Element))) == len(document["@graph"]) - 1
        bindings.JSONLDSerializer().write(objects, io.BytesIO())
        unresolved = objects.link()
        assert not unresolved

    return check


def _values(value: Any, key: str) -> Any:
    if isinstance(value, dict):
        if key in value:
            yield value[key]
        for one in value.values():
            yield from _values(one, key)
    elif isinstance(value, list):
        for one in value:
            yield from _values(one, key)


@pytest.mark.parametrize("audit", [OURS, FOREIGN])
def test_cyclonedx_keeps_to_its_schema(audit: Audit, check_cyclonedx: Any) -> None:
    check_cyclonedx(cyclonedx(audit))


@pytest.mark.parametrize("audit", [OURS, FOREIGN])
def test_spdx_keeps_to_its_model(audit: Audit, check_spdx: Any) -> None:
    check_spdx(spdx(audit))


def test_cyclonedx_tells_model_licences_data_and_ancestors() -> None:
    bom = cyclonedx(FOREIGN)
    model = bom["metadata"]["component"]
    assert model["type"] == "machine-learning-model"
    assert model["licenses"] == [{"license": {"id": "Apache-2.0", "acknowledgement": "declared"}}]
    assert model["evidence"]["licenses"] == [{"license": {"name": "llama3.1", "acknowledgement": "concluded"}}]
    assert model["purl"] == f"pkg:huggingface/someone/chatty-8b@{FOREIGN.version}"
    assert [one["name"] for one in model["pedigree"]["ancestors"]] == ["Llama-3.1-8B", "GPT-4"]
    assert f"finetune of {LLAMA}" in model["pedigree"]["notes"]
    assert model["modelCard"]["modelParameters"]["architectureFamily"] == "llama"
    assert [one["name"] for one in bom["components"]] == ["ultrachat", "our own chats"]
    verdicts = {one["name"]: one["value"] for one in bom["metadata"]["properties"]}
    assert verdicts["regrow:audit:osaid"] == "not met"
    assert verdicts["regrow:audit:mof-class"] == "none"


def test_both_call_a_model_in_a_package_what_the_world_does() -> None:
    first, _, *others = FOREIGN.lineage.nodes
    parent = replace(FOREIGN.lineage.nodes[1], id="pypi:Small_Model==1.2.0")
    audit = replace(FOREIGN, lineage=replace(FOREIGN.lineage, nodes=(first, parent, *others)))
    (told, *_) = cyclonedx(audit)["metadata"]["component"]["pedigree"]["ancestors"]
    assert told["purl"] == "pkg:pypi/small-model@1.2.0"
    assert "pkg:pypi/small-model@1.2.0" in [one.get("software_packageUrl") for one in spdx(audit)["@graph"]]


def test_cyclonedx_attests_each_rule_with_its_claim_and_evidence() -> None:
    bom = cyclonedx(FOREIGN)
    standards = {one["name"]: one for one in bom["definitions"]["standards"]}
    asked = {one["bom-ref"]: one["identifier"] for one in standards["Open Source AI Definition 1.0"]["requirements"]}
    attestation = bom["declarations"]["attestations"][0]
    assert attestation["summary"].startswith("not open source AI: it does not give the whole chain, and example/Lla")
    judged = {asked[one["requirement"]]: one for one in attestation["map"]}
    terms = judged["osaid-1.0/parameters/terms"]
    assert terms["conformance"]["score"] == 0 and "llama3.1 is not OSI-approved" in terms["conformance"]["rationale"]
    claims = {one["bom-ref"]: one for one in bom["declarations"]["claims"]}
    (counter,) = terms["counterClaims"]
    evidence = {one["bom-ref"]: one["description"] for one in bom["declarations"]["evidence"]}
    assert next(evidence[one] for one in claims[counter]["evidence"]).startswith("regrow.toml: release on")
    unknown = judged["osaid-1.0/data-information/description"]
    assert set(unknown) == {"requirement", "conformance"} and "score" not in unknown["conformance"]
    assert len(claims) == sum(one.outcome is not NOT_SHOWN for each in FOREIGN.definitions for one in each.verdicts)


def test_both_tell_every_verdict_conflict_and_finding() -> None:
    noted = [one["text"] for one in cyclonedx(FOREIGN)["annotations"]]
    annotated = [one["statement"] for one in spdx(FOREIGN)["@graph"] if one["type"] == "Annotation"]
    for told in (noted, annotated):
        assert any(one.startswith("conflict between licences: the card says apache-2.0") for one in told)
        assert "warning: unsafe-file: optimizer.pt is a pickle and was not opened" in told
    assert len(noted) == len(FOREIGN.conflicts) + len(FOREIGN.findings)
    assert "eu-ai-act-53-2/licence: not met: a threshold of monthly users" in annotated
    assert "study: no: what it was trained on is not told (limited by hf:example/Llama-3.1-8B)" in annotated


def test_a_text_that_nobody_identified_is_declared_and_never_concluded(check_cyclonedx: Any, check_spdx: Any) -> None:
    first, *others = FOREIGN.lineage.nodes
    unknown = LicenceFact(FOUND, read("LICENSE"), Scope.EVERYTHING, None, "LICENSE", score=0.0)
    known = LicenceFact(KNOWN, read("known/models.toml"), Scope.WEIGHTS, "mit", "mit")
    node = replace(first, collected=replace(first.collected, facts=(unknown, known)))
    audit = replace(FOREIGN, lineage=replace(FOREIGN.lineage, nodes=(node, *others)))
    bom, document = cyclonedx(audit), spdx(audit)
    check_cyclonedx(bom)
    check_spdx(document)
    told = {"name": "text in LICENSE, not identified", "acknowledgement": "declared"}
    assert {"license": told} in bom["metadata"]["component"]["licenses"]
    assert not [one for one in _licences(bom) if one["license"]["acknowledgement"] == "concluded"]
    kinds = [one["relationshipType"] for one in document["@graph"] if one["type"] == "Relationship"]
    assert "hasDeclaredLicense" in kinds and "hasConcludedLicense" not in kinds


def test_cyclonedx_tells_how_a_release_was_built(tmp_path: Path, check_cyclonedx: Any) -> None:
    bom = cyclonedx(OURS, small_release(tmp_path))
    check_cyclonedx(bom)
    (workflow,) = bom["formulation"][0]["workflows"]
    assert [task["name"] for task in workflow["tasks"]] == ["fetch-texts", "clean", "pretrain"]
    training = workflow["tasks"][2]
    assert training["inputs"][0]["resource"] == {"ref": "artifact-stage-1"}
    assert {"name": "train.seed", "value": "1"} in training["inputs"][1]["parameters"]
    assert workflow["taskDependencies"][2] == {"ref": "stage-2", "dependsOn": ["stage-1"]}


def test_spdx_tells_licences_data_and_ancestors() -> None:
    graph = spdx(FOREIGN)["@graph"]
    named = {one["spdxId"]: one for one in graph if "spdxId" in one}
    found = {
        (one["relationshipType"], named[one["from"]]["name"], named[one["to"][0]]["name"])
        for one in graph
        if one["type"] == "Relationship"
    }
    assert {
        ("hasDeclaredLicense", "chatty-8b", "apache-2.0"),
        ("hasConcludedLicense", "chatty-8b", "llama3.1"),
        ("descendantOf", "chatty-8b", "Llama-3.1-8B"),
        ("trainedOn", "chatty-8b", "GPT-4"),
        ("trainedOn", "chatty-8b", "ultrachat"),
    } <= found
    expressions = {one.get("simplelicensing_licenseExpression") for one in graph}
    assert {"Apache-2.0", "LicenseRef-llama3.1"} <= expressions


def test_spdx_tells_how_a_release_was_built(tmp_path: Path, check_spdx: Any) -> None:
    document = spdx(OURS, small_release(tmp_path))
    check_spdx(document)
    builds = [one for one in document["@graph"] if one["type"] == "build_Build"]
    assert [one["build_buildType"] for one in builds] == [
        "urn:regrow:stage:fetch:1",
        "urn:regrow:stage:clean:1",
        "urn:regrow:stage:pretrain:1",
    ]


@pytest.mark.parametrize(
    ("tag", "expression"),
    [
        ("GPL-2.0-or-later", "GPL-2.0-or-later"),
        ("gpl-2.0+", "GPL-2.0-or-later"),
        ("gpl-2.0", "GPL-2.0-only"),
        ("LGPL-2.1-or-later", "LGPL-2.1-or-later"),
        ("AGPL-3.0-or-later", "AGPL-3.0-or-later"),
        ("GFDL-1.1-or-later", "GFDL-1.1-or-later"),
        ("OGL-UK-2.0", "OGL-UK-2.0"),
        ("Apache 2.0", "Apache-2.0"),
    ],
)
def test_a_licence_keeps_the_versions_it_was_declared_with(tag: str, expression: str) -> None:
    audit = _declared(tag)
    assert {"license": {"id": expression, "acknowledgement": "declared"}} in _licences(cyclonedx(audit))
    assert expression in set(_values(spdx(audit), "simplelicensing_licenseExpression"))


@pytest.mark.parametrize("tag", ["Apache-2.0 OR MIT", "MIT AND CC-BY-4.0"])
def test_an_expression_is_told_as_one(tag: str) -> None:
    audit = _declared(tag)
    assert {"license": {"name": tag, "acknowledgement": "declared"}} in _licences(cyclonedx(audit))
    assert tag in set(_values(spdx(audit), "simplelicensing_licenseExpression"))


@pytest.mark.parametrize("tag", ["()", "MIT OR ()", "OR", "(MIT"])
def test_what_is_no_expression_is_told_by_its_name(tag: str) -> None:
    assert {"license": {"name": tag, "acknowledgement": "declared"}} in _licences(cyclonedx(_declared(tag)))


def _declared(tag: str) -> Audit:
    """The audit of a model of which all that was read is a licence."""
    first, *others = FOREIGN.lineage.nodes
    told = legal.declared(tag, Scope.EVERYTHING, Evidence("README.md", "line 2", "", "card", "2026-11-21"))
    node = replace(first, collected=replace(first.collected, facts=(told,)))
    return replace(FOREIGN, lineage=replace(FOREIGN.lineage, nodes=(node, *others)))


def _licences(bom: dict[str, Any]) -> list[Any]:
    return [one for found in _values(bom, "licenses") for one in found]


def test_the_same_audit_gives_the_same_bytes_and_no_date_but_its_own() -> None:
    for make in (cyclonedx, spdx):
        assert to_text(make(OURS)) == to_text(make(OURS))
        assert set(_values(make(OURS), "timestamp")) | set(_values(make(OURS), "created")) == {"2026-11-21T00:00:00Z"}
    assert cyclonedx(OURS)["serialNumber"] != cyclonedx(FOREIGN)["serialNumber"]


@given(audit=hostile_audits())
@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_words_from_outside_break_neither(audit: Audit, check_cyclonedx: Any, check_spdx: Any) -> None:
    check_cyclonedx(cyclonedx(audit))
    check_spdx(spdx(audit))


@given(name=nasty, fetch=nasty)
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_words_of_a_release_break_neither(
    name: str, fetch: str, tmp_path: Path, check_cyclonedx: Any, check_spdx: Any
) -> None:
    clean = [text.encode("utf-8", "replace").decode() for text in (name, fetch)]
    release = small_release(tmp_path, *clean)
    check_cyclonedx(cyclonedx(OURS, release))
    check_spdx(spdx(OURS, release))
