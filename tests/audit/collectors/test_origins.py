"""Where the weights of a release come from. python -m pytest tests/audit/collectors/test_origins.py"""

import json
from pathlib import Path
from typing import Any

import pytest

from regrow.auditing.facts import Aspect, Basis, DataAspectFact, OriginFact, ParentFact, Relation, TrainingFact

from .making import findings, of, read, release, statement, sum_up, write

BASE = {"artifact": "weights", "origin": "imported", "parameters": {"fetch": "hf:cats/kitten@main"}}
CARD = """---
license: apache-2.0
---
# small

It was trained from scratch by regrow, from the recipe in `regrow.toml`, on 3 billion tokens, and continues text.

## Training data

The model was trained on text that was filtered and labelled by people, from many sources.
"""


def made(root: Path, *statements: str) -> Any:
    """What is read of a release with these statements, and no other."""
    release(root)
    (root / "provenance" / "pretrain.intoto.json").unlink()
    write(root, {f"provenance/{json.loads(text)['subject'][0]['name']}.intoto.json": text for text in statements})
    sum_up(root)
    return read(root)


def parents(found: Any) -> list[tuple[str, Relation]]:
    return [(fact.parent, fact.relation) for fact in of(found, ParentFact)]


def test_random_values_are_the_origin(tmp_path: Path) -> None:
    found = read(release(tmp_path / "small"))
    [origin] = of(found, OriginFact)
    assert (origin.basis, origin.evidence.file) == (Basis.FOUND, "provenance/pretrain.intoto.json")
    assert origin.text == "stage pretrain trains from random initial values; no stage takes other weights"


@pytest.mark.parametrize("origin", [None, "grown"])
def test_where_no_statement_says_random_nothing_is_shown(tmp_path: Path, origin: str | None) -> None:
    assert not of(read(release(tmp_path / "small", origin=origin)), OriginFact)


def test_a_release_without_statements_shows_nothing(tmp_path: Path) -> None:
    found = made(tmp_path / "small")
    assert not of(found, OriginFact) and not of(found, ParentFact)


def test_final_weights_of_another_stage_name_it(tmp_path: Path) -> None:
    tuned = statement("tune", "pretrain", "labels", origin="fine-tuned")
    labels = statement("labels", artifact="documents", documents="label")
    found = made(tmp_path / "small", statement("pretrain", origin="random"), labels, tuned)
    [origin] = of(found, OriginFact)
    assert origin.text == (
        "stage pretrain trains from random initial values; "
        "stage tune gives weights that are fine-tuned, from pretrain; no stage takes other weights"
    )
    assert origin.evidence.file == "provenance/tune.intoto.json"


@pytest.mark.parametrize(
    ("stages", "relation"),
    [
        ([("tune", "fine-tuned")], Relation.FINETUNE),
        ([("more", "continued")], Relation.FINETUNE),
        ([("small", "quantised")], Relation.QUANTISED),
        ([("tune", "fine-tuned"), ("small", "quantised")], Relation.FINETUNE),
        ([("cut", "pruned"), ("small", "quantised")], Relation.QUANTISED),
        ([("changed", "edited"), ("small", "quantised")], Relation.UNKNOWN),
        ([("student", "distilled")], Relation.DISTILLED),
        ([], Relation.CONVERTED),
    ],
)
def test_weights_from_elsewhere_are_a_parent(tmp_path: Path, stages: list[tuple[str, str]], relation: Relation) -> None:
    names = ["base", *(name for name, _ in stages)]
    later = [statement(name, before, origin=origin) for (name, origin), before in zip(stages, names[:-1], strict=True)]
    found = made(tmp_path / "small", statement("base", **BASE), *later)
    assert parents(found) == [("hf:cats/kitten", relation)]
    assert not of(found, OriginFact)
    assert of(found, ParentFact)[0].sha256 == "2" * 64


def test_weights_that_go_into_nothing_are_nobodys_parent(tmp_path: Path) -> None:
    found = made(tmp_path / "small", statement("base", **BASE), statement("pretrain", origin="random"))
    assert not parents(found)
    assert of(found, OriginFact)


def test_a_merge_of_random_and_other_weights_has_a_parent(tmp_path: Path) -> None:
    stages = (statement("pretrain", origin="random"), statement("base", **BASE))
    found = made(tmp_path / "small", *stages, statement("both", "pretrain", "base", origin="merged"))
    assert parents(found) == [("hf:cats/kitten", Relation.MERGE)]
    assert not of(found, OriginFact)


def test_one_stage_of_the_line_that_says_nothing_leaves_it_unknown(tmp_path: Path) -> None:
    found = made(tmp_path / "small", statement("pretrain", origin="random"), statement("tune", "pretrain"))
    assert not of(found, OriginFact) and not of(found, ParentFact)


@pytest.mark.parametrize("text", ["[1]", "", statement("pretrain", origin="random")])
def test_a_damaged_statement_is_a_finding_and_none_is_believed(tmp_path: Path, text: str) -> None:
    root = write(release(tmp_path / "small"), {"provenance/other.intoto.json": text})
    sum_up(root)
    found = read(root)
    assert not of(found, OriginFact)
    assert "release-unreadable" in findings(found)


def test_our_own_card_is_no_evidence(tmp_path: Path) -> None:
    root = release(tmp_path / "small", origin=None)
    write(root, {"README.md": CARD})
    sum_up(root)
    found = read(root)
    assert not of(found, OriginFact)
    assert [fact.basis for kind in (TrainingFact, DataAspectFact) for fact in of(found, kind)].count(
        Basis.DECLARED
    ) == 0
    (root / "SHA256SUMS").unlink()  # the same words of somebody else are declared
    assert [fact.basis for fact in of(read(root), OriginFact)] == [Basis.DECLARED]


@pytest.mark.parametrize(("did", "aspect"), [("label", Aspect.LABELLING), ("filter", Aspect.FILTERING)])
def test_what_was_done_about_documents(tmp_path: Path, did: str, aspect: Aspect) -> None:
    chosen = statement("choose", artifact="documents", documents=did, parameters={"by": "length"})
    found = made(tmp_path / "small", chosen, statement("pretrain", origin="random"))
    told = [fact.text for fact in of(found, DataAspectFact) if fact.aspect is aspect]
    assert 'choose: by = "length"' in told
    none = any(text.startswith("none: ") for text in told)
    assert not (none and did == "label")
