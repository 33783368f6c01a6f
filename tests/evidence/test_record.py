"""What checks found, written and read again."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from regrow.evidence.record import EVIDENCE, Evidence

FOUND = Evidence("tags", "Are there tags?", "no", measures={"share": 0.5, "documents": 3}, limits=("None.",))


def test_what_is_written_is_read(tmp_path: Path) -> None:
    FOUND.write(tmp_path)
    assert Evidence.read((tmp_path / EVIDENCE).read_text("utf-8")) == FOUND


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"answer": None}, "answer: Input should be a valid string"),
        ({"limits": ["a", 3]}, "limits.1: Input should be a valid string"),
        ({"schema": "regrow/evidence/0"}, "not of the shape regrow/evidence/1"),
    ],
)
def test_what_is_wrong_is_told_in_a_line(tmp_path: Path, changed: dict[str, object], told: str) -> None:
    FOUND.write(tmp_path)
    text = json.dumps({**json.loads((tmp_path / EVIDENCE).read_text("utf-8")), **changed})
    with pytest.raises(ValueError, match=re.escape(told)) as caught:
        Evidence.read(text)
    assert str(caught.value) == told
