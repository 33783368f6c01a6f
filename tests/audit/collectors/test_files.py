"""Configurations, licences, code and data cards. python -m pytest tests/audit/collectors/test_files.py"""

import json
from pathlib import Path

import pytest

from regrow.auditing.collectors import collect
from regrow.auditing.facts import (
    Basis,
    Component,
    ComponentFact,
    LicenceFact,
    ParentFact,
    Relation,
    Scope,
    State,
)
from regrow.errors import InputError

from .making import TODAY, findings, of, read, sound, write

MERGE = """\
slices:
  - sources:
      - model: cats/kitten@v1
        layer_range: [0, 8]
      - model: {model: {path: cats/lion, revision: abc}}
merge_method: slerp
base_model: cats/kitten
"""


def parents(root: Path) -> list[tuple[str, Relation, Basis]]:
    return [(fact.parent, fact.relation, fact.basis) for fact in of(read(root), ParentFact)]


def test_an_adapter_names_its_base(tmp_path: Path) -> None:
    write(tmp_path, {"adapter_config.json": '{"base_model_name_or_path": "cats/kitten", "peft_type": "LORA"}'})
    write(tmp_path, {"adapter_model.safetensors": sound(8)})
    assert parents(tmp_path) == [("hf:cats/kitten", Relation.ADAPTER, Basis.FOUND)]


def test_a_merge_names_its_parents_once(tmp_path: Path) -> None:
    assert parents(write(tmp_path, {"mergekit_config.yml": MERGE})) == [
        ("hf:cats/kitten", Relation.MERGE, Basis.FOUND),
        ("hf:cats/lion", Relation.MERGE, Basis.FOUND),
    ]


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("mergekit_config.yml", "models:\n  - model: cats/kitten@v1+cats/paw@v2\nbase_model: cats/lion\n"),
        (
            "mergekit_config.yml",
            "models:\n  - model: {model: {path: cats/kitten}, lora: {path: cats/paw}}\n  - model: cats/lion\n",
        ),
        (
            "mergekit_moe_config.yml",
            "base_model: cats/kitten\nexperts:\n  - source_model: cats/paw\n  - source_model: cats/lion\n",
        ),
    ],
)
def test_every_part_of_a_merge_is_a_parent(tmp_path: Path, file: str, text: str) -> None:
    names = ("hf:cats/kitten", "hf:cats/paw", "hf:cats/lion")
    assert parents(write(tmp_path, {file: text, "README.md": "# x"})) == [
        (name, Relation.MERGE, Basis.FOUND) for name in names
    ]


@pytest.mark.parametrize(
    ("name", "expected"),
    [("cats/kitten", ["hf:cats/kitten"]), ("/home/x/kitten", []), ("./out", []), ("../a", []), (7, [])],
)
def test_only_a_name_of_a_model_is_a_parent(tmp_path: Path, name: object, expected: list[str]) -> None:
    write(tmp_path, {"config.json": json.dumps({"_name_or_path": name, "model_type": "llama"})})
    assert [parent for parent, _, _ in parents(tmp_path)] == expected


@pytest.mark.parametrize("name", ["config.json", "adapter_config.json", "tokenizer_config.json", "mergekit_config.yml"])
@pytest.mark.parametrize(
    "content", ["", "[]", "{", "\0", "[" * 100_000, '{"a": ' * 5000, '{"base_model": {"model": 1}}']
)
def test_broken_configurations_are_findings_at_most(tmp_path: Path, name: str, content: str) -> None:
    found = read(write(tmp_path, {name: content, "model.safetensors": sound(8)}))
    assert findings(found) <= {"config-unreadable"}


def test_code_that_comes_with_a_model_is_named(tmp_path: Path) -> None:
    write(tmp_path, {"config.json": '{"auto_map": {"AutoModel": "dogs/code--modeling.Dog"}}'})
    assert "custom-code" in findings(read(tmp_path))


def test_licences_are_for_what_they_lie_beside(tmp_path: Path) -> None:
    tag = "SPDX-License-Identifier: MIT\n"
    paths = {
        "LICENSE": Scope.EVERYTHING,
        "LICENSE-CODE": Scope.CODE,
        "LICENSE-DATA.txt": Scope.DATA,
        "LICENSE-MODEL": Scope.WEIGHTS,
        "MODEL_LICENSE": Scope.WEIGHTS,
        "EULA.txt": Scope.EVERYTHING,
        "Lizenz.md": Scope.EVERYTHING,
        "WEIGHTS_LICENSE.md": Scope.WEIGHTS,
        "Kitten Community License.txt": Scope.EVERYTHING,
        "data/LICENSE": Scope.DATA,
        "src/COPYING": Scope.CODE,
    }
    write(
        tmp_path,
        {
            **dict.fromkeys(paths, tag),
            "third_party/x/LICENSE": tag,
            "THIRD_PARTY_LICENSES.txt": tag,
            "model.safetensors": sound(8),
        },
    )
    found = of(read(tmp_path), LicenceFact)
    assert {fact.evidence.file: fact.scope for fact in found} == paths


def test_a_licence_is_known_by_its_text(tmp_path: Path) -> None:
    write(tmp_path, {"LICENSE": "You may pet the cat, but not on Sundays. " * 30, "model.safetensors": sound(8)})
    [fact] = of(read(tmp_path), LicenceFact)
    assert (fact.basis, fact.id, fact.raw) == (Basis.FOUND, None, "LICENSE")


def test_code_is_recognised_by_what_it_does(tmp_path: Path) -> None:
    write(
        tmp_path,
        {
            "train.py": "# SPDX-License-Identifier: GPL-3.0-only\nloss.backward()\noptimizer.step()\n",
            "eval/run.py": "print('accuracy')",
            "generate.py": "model.generate(x)",
            "prepare_data.py": "tokenize(x)",
            "notes.py": "print('training code')",
            "modeling_cat.py": '"""Call loss.backward() on what this gives."""',
            "tests/train.py": "loss.backward()",
            "external/other/requirements.txt": "numpy\n",
            "external/other/train.py": "loss.backward()\noptimizer.step()\n",
            "pyproject.toml": '[project]\nname = "x"\nlicense = "MIT"\n',
        },
    )
    found = read(tmp_path)
    assert found.kind == "code"
    where = {(fact.component, fact.where) for fact in of(found, ComponentFact) if fact.state is State.PRESENT}
    assert where == {
        (Component.TRAINING_CODE, "train.py"),
        (Component.EVALUATION_CODE, "eval/run.py"),
        (Component.INFERENCE_CODE, "generate.py"),
        (Component.PREPROCESSING_CODE, "prepare_data.py"),
        (Component.LIBRARIES, "pyproject.toml"),
    }
    assert {(fact.raw, fact.scope) for fact in of(found, LicenceFact)} == {
        ("GPL-3.0-only", Scope.CODE),
        ("MIT", Scope.CODE),
    }


@pytest.mark.parametrize("name", ["data/example.csv", "data/sample/a.jsonl", "data/demo-1.jsonl"])
def test_a_sample_of_data_is_not_the_data(tmp_path: Path, name: str) -> None:
    found = of(read(write(tmp_path, {name: "text,label\nmeow,cat\n", "README.md": "# x"})), ComponentFact)
    assert Component.DATASETS not in {fact.component for fact in found}


def test_data_cards(tmp_path: Path) -> None:
    card = "---\nlicense: cc-by-4.0\n---\n# Data\n\nThe text was collected from Common Crawl and Wikipedia.\n"
    found = read(write(tmp_path, {"data/README.md": card, "data/a.jsonl": "{}", "README.md": "# x"}))
    assert [(fact.raw, fact.scope) for fact in of(found, LicenceFact)] == [("cc-by-4.0", Scope.DATA)]
    present = {fact.component for fact in of(found, ComponentFact) if fact.state is State.PRESENT}
    assert present == {Component.DATA_CARD, Component.DATASETS}


@pytest.mark.parametrize(
    ("asked", "hint"),
    [("build/bart", "did you mean `build/bard`?"), ("build/x", "spelling"), ("some/x", "is written hf:some/x")],
)
def test_what_is_not_there_is_told_of_what_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, asked: str, hint: str
) -> None:
    (tmp_path / "build" / "bard").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError) as caught:
        collect(asked, today=TODAY, network=False)
    assert hint in caught.value.hint
