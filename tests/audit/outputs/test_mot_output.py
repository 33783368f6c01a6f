"""python -m pytest tests/audit/outputs/test_mot_output.py"""

from typing import Any

import pytest
from hypothesis import given, settings
from sample_audits import FOREIGN, LLAMA, OURS, hostile_audits

from regrow.auditing.outputs import mot
from regrow.auditing.outputs.safe import whole
from regrow.auditing.result import Audit

yaml = pytest.importorskip("yaml")


def read(audit: Audit) -> dict[str, Any]:
    release: dict[str, Any] = yaml.safe_load(mot(audit))["release"]
    return release


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
    assert release["name"] == whole(audit.name)
    assert len(release["components"]) == len(read(OURS if audit.kind == "release" else FOREIGN)["components"])
