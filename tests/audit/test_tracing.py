"""The closure over parents and the table of known models. python -m pytest tests/audit/test_tracing.py"""

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from regrow.auditing import known, tracing
from regrow.auditing.facts import (
    Basis,
    Collected,
    Evidence,
    Fact,
    FileEntry,
    Finding,
    LicenceFact,
    OriginFact,
    ParentFact,
    Relation,
    Severity,
)

from .collectors.making import TODAY, read, sound, write

CARD = "---\nlicense: mit\n{more}---\n# A model\n\nA model with a card that is long enough to count as one.\n"


def evidence(file: str = "README.md", collector: str = "card") -> Evidence:
    return Evidence(file, "", "0" * 64, collector, TODAY)


def model(id: str, *parents: str, relation: Relation = Relation.FINETUNE) -> Collected:
    facts = tuple(ParentFact(Basis.DECLARED, evidence(), parent, relation) for parent in parents)
    return Collected(id, "huggingface", id, "1", facts, (), (FileEntry("README.md", 1, "card"),))


def nothing(_: str) -> None:
    return None


def test_parents_are_followed_breadth_first() -> None:
    models = {"hf:x/b": model("hf:x/b", "hf:x/d"), "hf:x/c": model("hf:x/c", "hf:x/d")}
    found, findings = tracing.trace(model("a", "hf:x/b", "hf:x/c"), reach=models.get)
    assert [(node.id, node.depth, node.collected.kind) for node in found.nodes] == [
        ("a", 0, "huggingface"),
        ("hf:x/b", 1, "huggingface"),
        ("hf:x/c", 1, "huggingface"),
        ("hf:x/d", 2, "unreached"),
    ]
    assert [(edge.child, edge.parent) for edge in found.edges] == [
        ("a", "hf:x/b"),
        ("a", "hf:x/c"),
        ("hf:x/b", "hf:x/d"),
        ("hf:x/c", "hf:x/d"),
    ]
    assert not findings


def test_a_circle_is_cut_and_said() -> None:
    models = {"hf:x/b": model("hf:x/b", "hf:x/c"), "hf:x/c": model("hf:x/c", "hf:x/b")}
    found, findings = tracing.trace(model("a", "hf:x/b"), reach=models.get)
    assert [(edge.child, edge.parent) for edge in found.edges] == [("a", "hf:x/b"), ("hf:x/b", "hf:x/c")]
    assert [(finding.id, finding.severity) for finding in findings] == [("lineage-cycle", Severity.CONFLICT)]


def test_a_model_is_not_its_own_parent() -> None:
    assert not tracing.trace(model("hf:x/a@1", "hf:X/A"), reach=nothing)[0].edges


def test_a_lineage_without_end_is_cut() -> None:
    def wide(id: str) -> Collected:
        return model(id, *(f"{id}{number}" for number in range(20)))

    found, findings = tracing.trace(wide("hf:x/a"), reach=wide)
    assert len(found.nodes) == tracing.MOST_NODES
    assert [finding.id for finding in findings] == ["lineage-too-large"]


@given(st.lists(st.tuples(st.integers(0, 7), st.integers(0, 7)), max_size=30))
def test_any_graph_has_a_lineage_without_circles(edges: list[tuple[int, int]]) -> None:
    def reach(id: str) -> Collected:
        return model(id, *(f"hf:x/{parent}" for child, parent in edges if id == f"hf:x/{child}"))

    found, _ = tracing.trace(reach("hf:x/0"), reach=reach)
    left = {(edge.child, edge.parent) for edge in found.edges}
    while leaves := {parent for _, parent in left} - {child for child, _ in left}:
        left = {(child, parent) for child, parent in left if parent not in leaves}
    assert not left
    depths = [node.depth for node in found.nodes]
    assert depths == sorted(depths)


def test_what_is_found_outweighs_what_is_said() -> None:
    said = model("a", "hf:x/b")
    adapter = ParentFact(Basis.FOUND, evidence("adapter_config.json", "config"), "hf:x/b", Relation.ADAPTER)
    collected = Collected("a", "huggingface", "a", "1", (*said.facts, adapter))
    [edge] = tracing.trace(collected, reach=nothing)[0].edges
    assert (edge.relation, edge.basis, len(edge.evidence)) == (Relation.ADAPTER, "found", 2)


@pytest.mark.parametrize(
    ("files", "relation"),
    [
        ({"mergekit_config.yml": "models: []\n"}, Relation.MERGE),
        ({"config.json": '{"quantization_config": {"quant_method": "gptq"}}'}, Relation.QUANTISED),
        ({"adapter_config.json": "{}"}, Relation.ADAPTER),
        ({"config.json": "{}"}, Relation.FINETUNE),
    ],
)
def test_the_relation_is_told_by_the_files(tmp_path: Path, files: dict[str, str], relation: Relation) -> None:
    write(tmp_path, {"README.md": CARD.format(more="base_model: x/b\n"), "model.safetensors": sound(8), **files})
    [edge] = tracing.trace(read(tmp_path), reach=nothing)[0].edges
    assert edge.relation is relation


def differences(root: Path, card: str, files: dict[str, str]) -> list[tuple[str, Severity]]:
    write(root, {"README.md": CARD.format(more=card), **files})
    _, findings = tracing.trace(read(root), reach=nothing)
    return [(finding.id, finding.severity) for finding in findings]


ADAPTER = json.dumps({"base_model_name_or_path": "x/b"})


def test_a_card_that_hides_the_base(tmp_path: Path) -> None:
    found = differences(tmp_path, "", {"adapter_config.json": ADAPTER})
    assert found == [("base-undeclared", Severity.CONFLICT)]


def test_a_card_that_names_another_base(tmp_path: Path) -> None:
    found = differences(tmp_path, "base_model: x/c\n", {"adapter_config.json": ADAPTER})
    assert found == [("base-differs", Severity.CONFLICT)]


def test_a_model_with_a_base_is_not_trained_from_random_values(tmp_path: Path) -> None:
    card = CARD.format(more="base_model: x/b\n") + "\nThe model was trained from scratch.\n"
    _, findings = tracing.trace(read(write(tmp_path, {"README.md": card})), reach=nothing)
    assert [(finding.id, finding.severity) for finding in findings] == [("origin-differs", Severity.CONFLICT)]


def test_a_card_that_agrees(tmp_path: Path) -> None:
    config = json.dumps({"_name_or_path": "/scratch/b", "model_type": "llama"})
    assert not differences(tmp_path, "base_model: X/B\n", {"adapter_config.json": ADAPTER, "config.json": config})


def test_a_configuration_may_name_its_own_model(tmp_path: Path) -> None:
    config = json.dumps({"_name_or_path": "somebody/kitten-1b", "model_type": "llama"})
    root = write(tmp_path / "Kitten-1B", {"config.json": config, "README.md": CARD.format(more="")})
    found, findings = tracing.trace(read(root), reach=nothing)
    assert not found.edges
    assert not findings


def test_a_grandparents_name_is_no_contradiction(tmp_path: Path) -> None:
    config = json.dumps({"_name_or_path": "x/grand", "model_type": "llama"})
    root = write(tmp_path, {"README.md": CARD.format(more="base_model: x/parent\n"), "config.json": config})
    reach = {"hf:x/parent": model("hf:x/parent", "hf:x/middle"), "hf:x/middle": model("hf:x/middle", "hf:x/grand")}
    _, findings = tracing.trace(read(root), reach=reach.get)
    assert not findings


def test_parents_are_read_where_the_user_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "none"))
    base = write(tmp_path / "base", {"README.md": CARD.format(more="")})
    reach = tracing.reacher({"x/b": base}, TODAY, False)
    reached = reach("hf:X/B@main")
    assert reached is not None and reached.name == "base"
    assert reach("hf:x/c") is None
    assert reach(f"path:{base}") is None  # what a model's own files name is not opened


def test_known_models_are_facts_of_their_own() -> None:
    found, _ = tracing.trace(model("a", "hf:meta-llama/Llama-3.1-8B-Instruct"), reach=nothing)
    assert [node.id for node in found.nodes] == [
        "a",
        "hf:meta-llama/Llama-3.1-8B-Instruct",
        "hf:meta-llama/Llama-3.1-8B",
    ]
    tuned, base = found.nodes[1].collected, found.nodes[2].collected
    assert {fact.basis for fact in (*tuned.facts, *base.facts)} == {Basis.KNOWN}
    assert [fact.id for fact in base.facts if isinstance(fact, LicenceFact)] == ["llama3.1"]
    assert any(isinstance(fact, OriginFact) for fact in base.facts)
    assert not any(isinstance(fact, OriginFact) for fact in tuned.facts)
    assert all(fact.evidence.locator.startswith("Llama 3.1: ") and fact.evidence.date == TODAY for fact in base.facts)


@pytest.mark.parametrize(
    ("id", "family"),
    [
        ("hf:EleutherAI/pythia-160m-deduped", "Pythia, deduped"),
        ("hf:allenai/OLMo-2-1124-7B@abc", "OLMo 2, 7B"),
        ("hf:Qwen/Qwen2.5-3B-Instruct", "Qwen 2.5, 3B"),
        ("hf:Qwen/Qwen2.5-7B", "Qwen 2.5"),
        ("hf:Qwen/Qwen3-VL-235B-A22B-Instruct", None),
        ("hf:CohereForAI/aya-101", None),
        ("hf:google/gemma-3-4b-it", "Gemma 3"),
        ("hf:google/gemma-2-9b", "Gemma 2"),
        ("hf:gpt2", "GPT-2"),
        ("hf:somebody/Llama-3.1-8B", None),
        ("Llama-3.1-8B", None),
        ("path:meta-llama/Llama-3.1-8B", None),
    ],
)
def test_a_model_is_known_by_its_id(id: str, family: str | None) -> None:
    entry = known.find(id)
    assert (entry.family if entry else None) == family


@pytest.mark.parametrize(
    ("id", "parent"),
    [
        ("hf:01-ai/Yi-9B", "hf:01-ai/Yi-6B"),
        ("hf:01-ai/Yi-1.5-9B", "hf:01-ai/Yi-9B"),
        ("hf:Qwen/Qwen2.5-Coder-7B", "hf:Qwen/Qwen2.5-7B"),
        ("hf:deepseek-ai/DeepSeek-R1", "hf:deepseek-ai/DeepSeek-V3-Base"),
        ("hf:google/gemma-3-270m-it", "hf:google/gemma-3-270m"),
        ("hf:mistralai/Mistral-7B-v0.3", ""),
        ("hf:meta-llama/Llama-3.2-1B", ""),
    ],
)
def test_what_was_trained_on_from_another_model_is_no_base(id: str, parent: str) -> None:
    told = known.facts(id, TODAY)
    assert not [fact for fact in told if isinstance(fact, OriginFact)]
    assert [fact.parent for fact in told if isinstance(fact, ParentFact)] == ([parent] if parent else [])


def test_every_row_of_the_table_can_be_told() -> None:
    for entry in known.entries():
        assert entry.source
        assert re.fullmatch(r"\d{4}-\d\d-\d\d", entry.fields["date"])
        assert all(source.startswith("https://") for source in entry.fields["sources"])
        told: tuple[Fact, ...] = known.told(entry, "hf:x/y", TODAY)
        licences = [fact for fact in told if isinstance(fact, LicenceFact)]
        assert [fact.raw for fact in licences] == ([entry.fields["licence"]] if "licence" in entry.fields else [])


def test_findings_name_their_place(tmp_path: Path) -> None:
    write(tmp_path, {"README.md": CARD.format(more=""), "adapter_config.json": ADAPTER})
    _, findings = tracing.trace(read(tmp_path), reach=nothing)
    [finding] = findings
    assert isinstance(finding, Finding)
    assert "base_model: x/b" in finding.text
    assert finding.evidence[0].file == "adapter_config.json"


@pytest.mark.parametrize(
    ("more", "relation"),
    [("datasets: [a/b]\n", Relation.FINETUNE), ("", Relation.QUANTISED)],
    ids=["tuned", "not tuned"],
)
def test_quantised_weights_of_which_data_is_named_were_tuned(tmp_path: Path, more: str, relation: Relation) -> None:
    config = {"model_type": "llama", "quantization_config": {"quant_method": "bitsandbytes"}}
    card = CARD.format(more=f"base_model: x/base\n{more}")
    root = write(tmp_path, {"README.md": card, "config.json": json.dumps(config), "model.safetensors": sound(8)})
    assert [edge.relation for edge in tracing.trace(read(root), reach=nothing)[0].edges] == [relation]


@pytest.mark.parametrize("relation", [Relation.DISTILLED, Relation.SYNTHETIC_DATA])
def test_a_student_may_be_trained_from_scratch(relation: Relation) -> None:
    start = model("a", "hf:x/teacher", relation=relation)
    start = replace(start, facts=(*start.facts, OriginFact(Basis.DECLARED, evidence(), "trained from scratch")))
    assert not tracing.trace(start, reach=nothing)[1]
