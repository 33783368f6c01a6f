"""python -m pytest tests/audit/outputs/test_mot_output.py"""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from sample_audits import FOREIGN, LLAMA, OURS, hostile_audits

from regrow.auditing.facts import ArchitectureFact, Basis
from regrow.auditing.outputs import mot
from regrow.auditing.outputs.safe import whole
from regrow.auditing.result import Audit

yaml = pytest.importorskip("yaml")

# What the tool asks of a file, by the schema in its repository (schema/mof_schema.json).
TEXT = {"type": "string"}
LICENCE = {"type": "object", "properties": {key: {"type": ["string", "null"]} for key in ("name", "path")}}
TYPES = ["", "language", "vision", "image", "audio", "video", "3d", "code", "multimodal", "other"]
ARCHITECTURES = ["", "transformer", "transformer decoder", "transformer encoder-decoder", "decoder", "encoder"]
ARCHITECTURES += ["diffusion", "RNN", "CNN", "LSTM", "NeRF", "hybrid", "undisclosed", "other"]
COMPONENT = dict.fromkeys(("name", "description", "license", "license_path", "component_path"), TEXT)
DAY = {"type": "string", "format": "date"}
RELEASE = {
    **dict.fromkeys(("version", "origin", "producer", "contact"), TEXT),
    "name": {"type": "string", "minLength": 1},
    "date": DAY,
    "type": {"enum": TYPES},
    "architecture": {"enum": ARCHITECTURES},
    "treatment": {"enum": ["pre-trained", "instruct fine-tuned", "chat fine-tuned"]},
    "license": {
        "type": "object",
        "properties": dict.fromkeys(("distribution", "code", "document", "data"), LICENCE),
    },
    "components": {"type": "array", "maxItems": 17, "items": {"type": "object", "properties": COMPONENT}},
}
FRAMEWORK = {"name": {"enum": ["Model Openness Framework"]}, "version": TEXT, "date": DAY}
SCHEMA = {
    "type": "object",
    "required": ["framework", "release"],
    "properties": {
        "framework": {"type": "object", "required": ["name", "version", "date"], "properties": FRAMEWORK},
        "release": {
            "type": "object",
            "required": ["name", "license", "producer", "components"],
            "properties": RELEASE,
        },
    },
}


def read(audit: Audit) -> dict[str, Any]:
    """The release in a file, which keeps to the schema."""
    jsonschema = pytest.importorskip("jsonschema")
    file = yaml.safe_load(mot(audit))
    jsonschema.validate(file, SCHEMA, format_checker=jsonschema.FormatChecker())
    release: dict[str, Any] = file["release"]
    return release


def about(audit: Audit, **changes: Any) -> Audit:
    """The same audit with something else read of the model itself."""
    first, *others = audit.lineage.nodes
    first = replace(first, collected=replace(first.collected, **changes))
    return replace(audit, lineage=replace(audit.lineage, nodes=(first, *others)))


@pytest.mark.parametrize("audit", [OURS, FOREIGN])
def test_keeps_to_the_schema_whatever_was_read(audit: Audit) -> None:
    read(audit)
    bare = read(about(audit, facts=()))
    assert (bare["license"], bare["components"]) == ({}, [])


def test_who_made_it_is_told_where_the_hub_tells() -> None:
    assert read(OURS)["producer"] == ""
    assert read(about(FOREIGN, id="hf:cats/chatty-8b@0123abc"))["producer"] == "cats"


@pytest.mark.parametrize(
    ("modalities", "type"),
    [(("text",), "language"), (("audio",), "audio"), (("image",), "image"), (("image", "text"), "multimodal")],
)
def test_the_type_follows_from_what_goes_in_and_out(modalities: tuple[str, ...], type: str) -> None:
    at = FOREIGN.lineage.nodes[0].collected.facts[0].evidence
    facts = (ArchitectureFact(Basis.FOUND, at, "kitten", modalities=modalities),)
    assert read(about(FOREIGN, facts=facts))["type"] == type


def test_lists_what_was_seen_with_place_and_licence() -> None:
    release = read(OURS)
    components = {one["name"]: one for one in release["components"]}
    assert list(components) == [
        "Model architecture",
        "Model parameters (Final)",
        "Model card",
        "Training code",
        "Datasets",
    ]
    assert components["Datasets"]["component_path"] == "data/documents.parquet"
    assert components["Datasets"]["license"] == "CC0-1.0"
    assert release["license"]["distribution"] == {"name": "Apache-2.0", "path": "LICENSE"}


def test_what_was_only_promised_is_not_listed() -> None:
    assert "Training code" not in {one["name"] for one in read(FOREIGN)["components"]}


def test_weights_carry_their_own_licence_and_the_model_its_origin() -> None:
    release = read(FOREIGN)
    assert release["components"][0]["license"] == "llama3.1"
    assert release["components"][0]["license_path"] == "LICENSE"
    assert release["origin"] == f"{LLAMA}, GPT-4"


@given(hostile_audits())
@settings(max_examples=40, deadline=None)
def test_words_from_outside_stay_words(audit: Audit) -> None:
    release = read(audit)
    assert release["name"] == (whole(audit.name) or "unnamed")
    assert len(release["components"]) == len(read(OURS if audit.kind == "release" else FOREIGN)["components"])
