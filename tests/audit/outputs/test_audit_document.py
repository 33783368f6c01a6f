"""python -m pytest tests/audit/outputs/test_audit_document.py"""

import json
from dataclasses import replace

from hypothesis import given, settings
from sample_audits import FOREIGN, OURS, hostile_audits

from regrow.auditing import outputs
from regrow.auditing.result import Audit, Cost


def test_its_fields_do_not_change() -> None:
    document = outputs.json(OURS)
    assert document["schema"] == "regrow/audit/1"
    assert " ".join(document) == (
        "schema id kind name version date parts freedoms cost definitions duties conflicts data lineage claims "
        "findings policy osaid mof_class mof_class_basis"
    )
    verdict = document["definitions"][0]["verdicts"][0]
    assert " ".join(verdict) == "rule title outcome reason reading evidence limited_by missing"
    assert " ".join(document["findings"][0]) == "id severity text evidence"
    node = document["lineage"]["nodes"][0]
    assert " ".join(node["collected"]) == "id kind name version facts findings files complete"
    assert " ".join(node["collected"]["facts"][0]["evidence"]) == "file locator sha256 collector date"


def test_the_two_verdicts_stand_on_top() -> None:
    assert (outputs.json(OURS)["osaid"], outputs.json(OURS)["mof_class"]) == ("met", "II")
    assert (outputs.json(FOREIGN)["osaid"], outputs.json(FOREIGN)["mof_class"]) == ("not met", None)


def test_a_fact_says_what_it_is() -> None:
    facts = outputs.json(OURS)["lineage"]["nodes"][0]["collected"]["facts"]
    assert {"licence", "data-aspect", "architecture", "component"} <= {fact["fact"] for fact in facts}


def test_a_number_that_json_does_not_have_is_null() -> None:
    audit = replace(OURS, cost=Cost(float("inf"), float("nan"), "", ""))
    assert outputs.json(audit)["cost"]["flops"] is None
    assert outputs.json(audit)["cost"]["accelerator_hours"] is None


@given(hostile_audits())
@settings(max_examples=40, deadline=None)
def test_any_audit_is_plain_ascii_that_reads_back(audit: Audit) -> None:
    written = outputs.to_text(outputs.json(audit))
    assert written.isascii()
    assert all(line.isprintable() for line in written.splitlines())
    assert json.loads(written) == outputs.json(audit)
