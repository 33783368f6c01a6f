"""What a card says of data that is not given, and of tokens. python -m pytest tests/audit/cases/test_told.py"""

import json
from pathlib import Path

import pytest

from regrow.auditing.audit import Options, audit
from regrow.auditing.result import Audit, Outcome

from ..collectors.making import TODAY, safetensors, write

TUNE = (
    "---\nlicense: mit\nbase_model: cats/kitten\ndatasets: [cats/questions]\n---\n# Tomcat\n\nIt answers questions.\n"
)
TENSOR = {"weight": {"dtype": "F32", "shape": [4, 4], "data_offsets": [0, 64]}}


def model(root: Path, card: str) -> Path:
    config = {"model_type": "llama", "hidden_size": 8, "vocab_size": 16}
    return write(
        root,
        {"README.md": card, "config.json": json.dumps(config), "model.safetensors": safetensors(TENSOR, bytes(64))},
    )


def audited(path: Path, **parents: Path) -> Audit:
    return audit(str(path), Options(TODAY, parents={f"hf:cats/{name}": place for name, place in parents.items()}))


def data(found: Audit) -> tuple[str, str]:
    answer = next(one for one in found.parts if one.name == "data")
    return answer.answer, answer.limited_by


@pytest.mark.parametrize(
    "said",
    [
        "The training data is confidential and will never be shared.",
        "Kitten was trained on a mixture of Wikipedia and internal data.",
        "我们不会公开训练数据。",
        "学習データは非公開です。",
    ],
)
def test_a_base_whose_data_is_not_given_limits_what_is_tuned_from_it(tmp_path: Path, said: str) -> None:
    base = model(tmp_path / "base", f"---\nlicense: mit\n---\n# Kitten\n\nIt was trained from scratch.\n\n{said}\n")
    alone, tuned = audited(base), audited(model(tmp_path / "tune", TUNE), kitten=base)
    assert (data(alone), alone.osaid) == (("no", ""), Outcome.NOT_MET)
    assert (data(tuned), tuned.osaid) == (("no", "hf:cats/kitten"), Outcome.NOT_MET)
    assert data(audited(tmp_path / "tune")) == ("not shown", "")


@pytest.mark.parametrize(
    ("said", "shown"),
    [("3.5+ trillion tokens", True), ("10**12 tokens", True), ("3 tokens", False), ("2-3T tokens", False)],
)
def test_no_rule_is_met_by_a_number_that_was_not_understood(tmp_path: Path, said: str, shown: bool) -> None:
    found = audited(model(tmp_path, f"# Kitten\n\nThe model was trained from scratch on {said}.\n"))
    verdicts = {one.rule: one for part in found.definitions for one in part.verdicts}
    outcome = verdicts["eu-ai-act-53-2/no-systemic-risk"].outcome
    assert outcome is (Outcome.MET if shown else Outcome.NOT_SHOWN)
    assert (found.cost.flops is not None) is shown
