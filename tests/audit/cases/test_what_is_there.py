"""Terms are judged of what is there, and names are those that are stated.

python -m pytest tests/audit/cases/test_what_is_there.py
"""

from pathlib import Path

import pytest

from regrow.auditing.audit import Options, audit
from regrow.auditing.result import Audit, Outcome
from tests.audit.collectors.making import small_gguf, sound, write

MET, NOT_MET, NOT_SHOWN = Outcome.MET, Outcome.NOT_MET, Outcome.NOT_SHOWN
WEIGHTS: dict[str, str | bytes] = {"config.json": '{"model_type": "llama"}', "model.safetensors": sound(16)}
TRAIN = "loss.backward()\n"


def judged(root: Path, files: dict[str, str | bytes]) -> Audit:
    return audit(str(write(root, files)), Options("2026-11-21"))


def card(licence: str, body: str = "# Harbour\n", **front: str) -> str:
    lines = "".join(f"{key}: {value}\n" for key, value in front.items())
    return f"---\nlicense: {licence}\n{lines}---\n{body}"


def outcome(found: Audit, rule: str) -> Outcome:
    return next(one.outcome for whole in found.definitions for one in whole.verdicts if one.rule == rule)


def answer(found: Audit, name: str) -> str:
    return next(one.answer for one in (*found.parts, *found.freedoms) if one.name == name)


@pytest.mark.parametrize("licence", ["cc-by-4.0", "cc-by-nc-4.0", "apache-2.0", "llama3.1"])
def test_the_licence_of_code_that_is_not_there_is_not_shown(tmp_path: Path, licence: str) -> None:
    found = judged(tmp_path, {**WEIGHTS, "README.md": card(licence)})
    assert outcome(found, "osaid-1.0/code/licence") is NOT_SHOWN
    assert outcome(found, "osaid-1.0/data-information/terms") is NOT_SHOWN
    open_weights = licence in ("apache-2.0", "cc-by-4.0")
    assert found.osaid is (NOT_SHOWN if open_weights else NOT_MET)
    assert answer(found, "fork") == ("not shown" if open_weights else "no")


def test_the_licence_of_code_that_is_there_is_judged(tmp_path: Path) -> None:
    found = judged(tmp_path, {**WEIGHTS, "README.md": card("cc-by-4.0"), "train.py": TRAIN})
    assert outcome(found, "osaid-1.0/code/licence") is NOT_MET
    assert [one.reason for whole in found.definitions for one in whole.verdicts if "not approved" in one.reason] == [
        "code: cc-by-4.0, by the tag in README.md: not approved by OSI"
    ], "what a right does not need is no reason for it"
    tagged = judged(tmp_path, {"train.py": f"# SPDX-License-Identifier: MIT\n{TRAIN}"})
    assert outcome(tagged, "osaid-1.0/code/licence") is MET


def test_the_terms_of_data_information_that_is_there_are_judged(tmp_path: Path) -> None:
    body = "# Harbour\n\n## Training data\n\nThe text was collected from one newspaper.\n"
    found = judged(tmp_path, {**WEIGHTS, "README.md": card("cc-by-nc-4.0", body)})
    assert outcome(found, "osaid-1.0/data-information/terms") is NOT_MET


def test_weights_that_are_not_there_have_no_terms_to_fail(tmp_path: Path) -> None:
    found = judged(tmp_path, {"README.md": "# Harbour\n", "config.json": '{"model_type": "llama"}'})
    for rule in ("osaid-1.0/parameters/terms", "osaid-1.0/parameters/assertion", "eu-ai-act-53-2/licence"):
        assert outcome(found, rule) is NOT_SHOWN, rule
    assert outcome(found, "osaid-1.0/parameters/weights") is NOT_MET
    assert answer(found, "share") == "not shown"


def test_a_licence_in_a_repository_of_code_is_the_codes(tmp_path: Path) -> None:
    found = judged(tmp_path, {"train.py": TRAIN, "LICENSE": "SPDX-License-Identifier: Apache-2.0\n"})
    assert found.kind == "code"
    assert outcome(found, "osaid-1.0/code/licence") is MET
    for rule in ("osaid-1.0/parameters/terms", "eu-ai-act-53-2/licence"):
        assert outcome(found, rule) is NOT_SHOWN, rule
    assert answer(found, "share") == "not shown"


@pytest.mark.parametrize(
    ("licence", "word"),
    [("apache-2.0", "yes"), ("cc-by-sa-4.0", "yes"), ("cc-by-nc-4.0", "no"), ("openrail", "no"), ("llama3.1", "no")],
)
def test_sharing_is_for_every_purpose_as_use_is(tmp_path: Path, licence: str, word: str) -> None:
    found = judged(tmp_path, {**WEIGHTS, "README.md": card(licence)})
    assert answer(found, "share") == answer(found, "use") == word


@pytest.mark.parametrize(
    ("folder", "body", "front", "called"),
    [
        ("llama-harbour", "# Harbour 8B\n", {}, "Harbour 8B"),
        ("harbour", "# Llama Harbour 8B\n", {}, ""),
        ("harbour", "Some text.\n", {}, ""),
        ("harbour", "# Model Card for Harbour\n", {}, "Harbour"),
        ("harbour", '<h1 align="center">Harbour</h1>\n', {}, "Harbour"),
        ("harbour", "# Model Card for Model ID\n", {}, ""),
        ("harbour", "## Harbour\n", {}, ""),
        ("harbour", "```\n# install it\n```\n", {}, ""),
        ("harbour", "# Introduction\n", {"model_name": "Llama-Harbour"}, ""),
        ("llama-harbour", "", {"model_name": "Harbour"}, "Harbour"),
    ],
)
def test_a_name_is_what_is_stated(tmp_path: Path, folder: str, body: str, front: dict[str, str], called: str) -> None:
    text = card("llama3.1", body, base_model="meta-llama/Llama-3.1-8B", **front)
    found = judged(tmp_path / folder, {**WEIGHTS, "README.md": text})
    said = [one.text for one in found.conflicts if "asks for a name" in one.text]
    assert [text.partition(", not ")[2] for text in said] == ([f"“{called}”"] if called else [])


@pytest.mark.parametrize(("name", "conflicts"), [("Llama Harbour", 0), ("Harbour", 1)])
def test_the_name_in_a_gguf_file_is_stated_too(tmp_path: Path, name: str, conflicts: int) -> None:
    base = {"general.base_model.0.repo_url": "https://huggingface.co/meta-llama/Llama-3.1-8B"}
    file = small_gguf(**{"general.name": name, "general.license": "llama3.1", **base})
    found = judged(tmp_path / "folder", {"harbour.gguf": file})
    assert len([one for one in found.conflicts if "asks for a name" in one.text]) == conflicts
