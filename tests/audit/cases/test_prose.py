"""Models whose card says in its text, or beside the weights, what its tags do not.

python -m pytest tests/audit/cases/test_prose.py
"""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.audit.cases.test_cases import WEIGHTS, answer, card, finding_ids, judged
from tests.audit.collectors.making import sound


def test_the_base_that_a_library_wrote_down_limits_the_model(tmp_path: Path) -> None:
    body = "# out\n\nThis model is a fine-tuned version of [{0}](https://huggingface.co/{0}) on the None dataset.\n"
    found = judged(
        tmp_path / "out",
        {**WEIGHTS, "README.md": card(body.format("meta-llama/Llama-2-7b-hf"), license="apache-2.0")},
    )
    [edge] = [edge for edge in found.lineage.edges if edge.child == found.id]
    assert (edge.relation, edge.parent, edge.basis) == ("finetune", "hf:meta-llama/Llama-2-7b-hf", "declared")
    assert any("llama2" in "".join(conflict.between) for conflict in found.conflicts)
    assert answer(found, "use") == "no"


def test_the_card_beside_the_weights_is_heard(tmp_path: Path, licence_text: Callable[[str], str]) -> None:
    files = {
        "LICENSE": licence_text("mit"),
        "README.md": "# Detectors\n\nThe code is MIT. Each folder has its own terms.\n",
        "weights/README.md": card(license="cc-by-nc-4.0"),
        "weights/model.safetensors": sound(16),
    }
    found = judged(tmp_path / "m", files)
    assert "licence-differs" in finding_ids(found)
    assert answer(found, "use") != "yes"


@pytest.mark.parametrize(
    ("tag", "text", "body"),
    [
        ("apache-2.0", "", "The model is released under the MIT license."),
        ("mit", "", "License: CC BY-NC 4.0"),
        ("cc-by-nc-4.0", "", "Model license: MIT"),
        ("mit", "", "This model is for research use only."),
        ("mit", "", "License: Acme Weights License 2.0"),
        ("mit", "mit", "The weights are released for non-commercial use only."),
        ("cc-by-nc-4.0", "mit", "A small model."),
    ],
)
def test_what_contradicts_itself_may_not_be_used(
    tmp_path: Path, licence_text: Callable[[str], str], tag: str, text: str, body: str
) -> None:
    files = {**WEIGHTS, "README.md": card(f"# Kitten\n\n{body}\n", license=tag)}
    found = judged(tmp_path / "m", {**files, **({"LICENSE": licence_text(text)} if text else {})})
    assert "licence-differs" in finding_ids(found)
    assert answer(found, "use") == "not shown"


@pytest.mark.parametrize(
    ("tag", "body", "use"),
    [
        ("apache-2.0", "It is released under the Apache 2.0 license.", "yes"),
        ("mit", "The code is released under the Apache 2.0 license.", "yes"),
        ("cc-by-nc-4.0", "It is for non-commercial use only. It is released under CC BY-NC.", "no"),
        ("cc-by-nc-4.0", "It is released under the Acme License with limits of its own.", "no"),
        ("other", "It is released under the MIT license.", "not shown"),
        (None, "It is released under the MIT license.", "yes"),
        (None, "It is for non-commercial use only.", "no"),
    ],
)
def test_what_agrees_holds(tmp_path: Path, tag: str | None, body: str, use: str) -> None:
    front = {"license": tag} if tag else {}
    found = judged(tmp_path / "m", {**WEIGHTS, "README.md": card(f"# Kitten\n\n{body}\n", **front)})
    assert "licence-differs" not in finding_ids(found)
    assert answer(found, "use") == use
