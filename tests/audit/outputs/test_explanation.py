"""python -m pytest tests/audit/outputs/test_explanation.py"""

from dataclasses import replace

import pytest
from sample_audits import OURS

from regrow.auditing.outputs import explanation
from regrow.auditing.result import Answer

PARTS = (Answer("data", "no", f"{'because ' * 80}of the end"), Answer("weights", "yes", "seen"))


def test_all_parts_are_judged_where_all_are_asked_for() -> None:
    words = " ".join(explanation("part", replace(OURS, parts=PARTS)).split())
    assert "data no because" in words and words.endswith("weights yes seen")


@pytest.mark.parametrize("name", ["Training code", "TRAINING-CODE", "training-code/"])
def test_a_name_is_taken_as_it_is_shown(name: str) -> None:
    assert explanation(name) == explanation("training-code")


def test_no_reason_is_cut() -> None:
    assert "because of the end" in " ".join(explanation("data", replace(OURS, parts=PARTS)).split())
