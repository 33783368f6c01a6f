"""Listings of the Model Openness Tool: the class as listed, beside the class as delivered.

python -m pytest tests/audit/cases/test_listings.py
"""

import json
from collections.abc import Mapping
from pathlib import Path

import pytest
import yaml

from regrow.auditing import outputs
from regrow.auditing.audit import Options, audit
from regrow.auditing.result import Audit, Definition, Outcome

TODAY = "2026-11-21"
THIRD = (
    "Model architecture",
    "Model parameters (Final)",
    "Evaluation results",
    "Model card",
    "Data card",
    "Technical report",
)
SECOND = (*THIRD, "Training code", "Inference code", "Evaluation code", "Evaluation data")
FIRST = (
    *SECOND,
    "Datasets",
    "Data preprocessing code",
    "Model parameters (Intermediate)",
    "Research paper",
)
APACHE = {"distribution": {"name": "Apache-2.0", "path": "LICENSE"}}


def listing(
    folder: Path,
    names: tuple[str, ...],
    licences: Mapping[str, Mapping[str, str]] = APACHE,
    own: Mapping[str, str] = {},
) -> Path:
    """A listing of these components, some with a licence of their own."""
    components = [{"name": name, **({"license": own[name]} if name in own else {})} for name in names]
    release = {"name": "Kitten", "producer": "Cats", "license": dict(licences), "components": components}
    framework = {"name": "Model Openness Framework", "version": "1.0", "date": "2024-12-15"}
    path = folder / "kitten.yml"
    path.write_text(yaml.safe_dump({"framework": framework, "release": release}), encoding="utf-8")
    return path


def judged(path: Path) -> Audit:
    return audit(str(path), Options(TODAY))


def definition(found: Audit, id: str) -> Definition:
    return next(one for one in found.definitions if one.id == id)


def without(names: tuple[str, ...], *left_out: str) -> tuple[str, ...]:
    return tuple(name for name in names if name not in left_out)


@pytest.mark.parametrize(
    ("names", "level"),
    [
        ((), None),
        (without(THIRD, "Data card"), None),
        (THIRD, "III"),
        (without(FIRST, "Training code"), "III"),
        (SECOND, "II"),
        (FIRST, "I"),
        (without(FIRST, "Technical report"), "I"),
        (without(FIRST, "Technical report", "Research paper"), None),
    ],
)
def test_the_class_as_listed(tmp_path: Path, names: tuple[str, ...], level: str | None) -> None:
    found = judged(listing(tmp_path, names))
    assert (found.mof_class, found.mof_class_basis) == (level, "listed")
    assert definition(found, "mof-listed").level == (level or "")


@pytest.mark.parametrize(
    ("licences", "own", "level"),
    [
        ({}, {}, None),
        ({"distribution": {"name": "UPL-1.0"}}, {}, "III"),
        ({"distribution": {"name": "OGL-Canada-2.0"}}, {}, "III"),
        ({"distribution": {"name": "Eclipse Public License, v2.0"}}, {}, "III"),
        ({"distribution": {"name": "CC-BY-NC-4.0"}}, {}, None),
        (
            {"distribution": {"name": "CC-BY-NC-4.0"}, **{k: {"name": "MIT"} for k in ("code", "data", "document")}},
            {},
            "III",
        ),
        (APACHE, {"Model card": "unlicensed"}, None),
        (APACHE, {"Model card": "License not specified"}, None),
        (APACHE, {"Model card": "Component not included"}, None),
        (APACHE, {"Model card": "see the website"}, None),
        (APACHE, {"Model parameters (Final)": "Gemma Terms of Use"}, None),
        ({}, dict.fromkeys(THIRD, "OpenMDW-1.1"), "III"),
    ],
)
def test_each_listed_component_needs_an_open_licence(
    tmp_path: Path, licences: Mapping[str, Mapping[str, str]], own: Mapping[str, str], level: str | None
) -> None:
    assert judged(listing(tmp_path, THIRD, licences, own)).mof_class == level


def test_checkpoints_do_not_take_the_licence_of_the_final_weights(tmp_path: Path) -> None:
    licences = {"distribution": {"name": "MIT"}, "data": {"name": "CC-BY-NC-4.0"}}
    own = dict.fromkeys(("Model parameters (Final)", "Datasets", "Evaluation data"), "MIT")
    found = judged(listing(tmp_path, FIRST, licences, own))
    assert found.mof_class == "II"
    assert [one.title for one in definition(found, "mof-listed").verdicts if one.outcome is Outcome.NOT_MET] == [
        "Intermediate model parameters"
    ]


def test_what_is_listed_is_not_delivered(tmp_path: Path) -> None:
    found = judged(listing(tmp_path, FIRST))
    delivered = definition(found, "mof")
    assert (delivered.level, delivered.outcome) == ("", Outcome.NOT_SHOWN)
    assert all(one.outcome is Outcome.NOT_SHOWN for one in delivered.verdicts)
    listed = definition(found, "mof-listed")
    assert all(one.reason.startswith("as listed: ") and (one.evidence or one.missing) for one in listed.verdicts)
    assert "none of it was seen" in listed.notes[0]
    assert {one.answer for one in found.parts} == {"not shown"}


def test_every_format_says_as_listed(tmp_path: Path) -> None:
    found = judged(listing(tmp_path, THIRD))
    assert "class III" in outputs.text(found)
    assert "as listed" in outputs.text(found)
    assert "as listed" in outputs.html(found)
    assert outputs.json(found)["mof_class_basis"] == "listed"
    assert {"name": "regrow:audit:mof-class-basis", "value": "listed"} in properties(outputs.cyclonedx(found))
    assert '"mofClassBasis": "listed"' in json.dumps(outputs.statement(found, listing(tmp_path, THIRD)))


def properties(bill: object) -> list[object]:
    if isinstance(bill, dict):
        return [*bill.get("properties", ()), *(one for value in bill.values() for one in properties(value))]
    return [one for value in bill for one in properties(value)] if isinstance(bill, list) else []


def test_a_demand_is_for_what_is_delivered(tmp_path: Path) -> None:
    demand = tmp_path / "policy.toml"
    demand.write_text('policy = 1\nmof_class = "III"\n', encoding="utf-8")
    found = audit(str(listing(tmp_path, FIRST)), Options(TODAY, policy=demand))
    assert [check.outcome for check in found.policy] == [Outcome.NOT_SHOWN]
