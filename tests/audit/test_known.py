"""The tables of known models: what a row is, and what it may do. python -m pytest tests/audit/test_known.py"""

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from regrow.auditing import cost, known
from regrow.auditing.audit import Options, audit
from regrow.auditing.facts import (
    Availability,
    Basis,
    ComponentFact,
    DatasetFact,
    Fact,
    LicenceFact,
    OriginFact,
    Relation,
    State,
    TrainingFact,
)
from regrow.auditing.result import Audit, Outcome, Verdict

from .collectors.making import TODAY, gguf, pair, sound, tensor, write
from .rules import build

KEYS = {
    "name": str,
    "ids": list,
    "base": list,
    "tuned": list,
    "licence": str,
    "gated": bool,
    "data_withheld": bool,
    "tokens": int,
    "data": list,
    "training-code": str,
    "model-parameters-intermediate": str,
    "research-paper": str,
    "sources": list,
    "date": str,
}
OF_DATA = {"name", "availability", "licence", "where"}
SOURCE = re.compile(r"https://\S+|[\w.-]+/[\w.-]+:\S+")


def faults(row: dict[str, Any]) -> Iterable[str]:
    """What is wrong with a row of a table."""
    yield from (f"{key} = {value}" for key, value in row.items() if not isinstance(value, KEYS.get(key, ())))
    yield from (f"there is no {key}" for key in ("name", "ids", "date") if not row.get(key))
    sources = row.get("sources", [])
    if not sources:
        yield "nobody says where this was read"
    yield from (f"{one} is no place to look it up" for one in sources if not SOURCE.fullmatch(one))
    if not re.fullmatch(r"\d{4}-\d\d-\d\d", row.get("date", "")):
        yield "its date is no day on which it was read"
    yield from (f"{key} in data" for data in row.get("data", ()) for key in data.keys() - OF_DATA)
    yield from (f"no base for {ending}" for ending in row.get("tuned", ()) if len(ending) != 2)
    yield from (f"{one} has capitals" for key in ("ids", "base") for one in row.get(key, ()) if one != one.lower())


ENTRIES = known.entries()
for _entry in ENTRIES:  # a row that nobody can look up never comes as far as to be tested
    if _found := list(faults(dict(_entry.fields))):
        raise ValueError(f"{_entry.file}, {_entry.family}: {'; '.join(_found)}")


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: f"{entry.file}:{entry.family}")
def test_every_row_of_the_tables_can_be_told(entry: known.Entry) -> None:
    told: tuple[Fact, ...] = known.told(entry, "hf:x/y", TODAY)
    licences = [fact for fact in told if isinstance(fact, LicenceFact)]
    assert [fact.raw for fact in licences] == ([entry.fields["licence"]] if "licence" in entry.fields else [])
    assert {fact.basis for fact in told} == {Basis.KNOWN}
    assert not [fact for fact in told if isinstance(fact, ComponentFact) and fact.state is State.PRESENT]
    assert all(row.get("availability", "unknown") in set(Availability) for row in entry.fields.get("data", ()))


ROW = {"name": "Cats", "ids": ["cats/cat-\\d+b"], "sources": ["https://example.org/cat"], "date": "2026-11-20"}


@pytest.mark.parametrize(
    "change",
    [
        {"sources": []},
        {"sources": ["the maker's announcement"]},
        {"sources": ["https://example.org/a b"]},
        {"date": "lately"},
        {"licens": "mit"},
        {"ids": ["Cats/Cat"]},
        {"data": [{"name": "mice", "place": "cellar"}]},
        {"gated": "yes"},
    ],
    ids=str,
)
def test_a_row_that_cannot_be_looked_up_is_refused(change: dict[str, Any]) -> None:
    assert not list(faults(ROW))
    assert list(faults({**ROW, **change}))


def test_all_tables_are_read_and_evidence_names_the_one() -> None:
    folder = Path(known.__file__).parent
    assert {entry.file for entry in ENTRIES} == {f"known/{path.name}" for path in folder.glob("*.toml")}
    row = 'name = "Cats"\nids = ["cats/.*"]\nsources = ["https://a.example", "b/c:README.md"]\ndate = "2026-11-20"\n'
    [entry] = known.read("cats.toml", f"[[family]]\n{row}".encode())
    [fact] = known.told(entry, "hf:cats/tom", TODAY)
    assert (fact.evidence.file, fact.evidence.collector) == ("known/cats.toml", "known")
    assert fact.evidence.locator == "Cats: https://a.example and 1 more, 2026-11-20"


# Which model is known


@pytest.mark.parametrize(
    ("id", "family"),
    [
        ("hf:EleutherAI/pythia-160m-deduped", "Pythia"),
        ("hf:allenai/OLMo-2-1124-7B@abc", "OLMo 2"),
        ("hf:Qwen/Qwen2.5-7B", "Qwen 2"),
        ("hf:google/gemma-3-4b-it", "Gemma 3"),
        ("hf:gpt2", "GPT-2"),
        ("hf:somebody/Llama-3.1-8B", None),
        ("gpt2", None),
        ("t5-base", None),
        ("meta-llama/Llama-3.1-8B", None),
        ("path:meta-llama/Llama-3.1-8B", None),
        ("/models/gpt2", None),
    ],
)
def test_a_model_is_known_by_its_id_on_the_hub_alone(id: str, family: str | None) -> None:
    entry = known.find(id)
    assert (entry is not None and entry.family.startswith(family)) if family else entry is None


CONFIG = '{"model_type": "t5", "_name_or_path": "t5-base"}'
LETTERS = "---\nlicense: apache-2.0\n---\n# Letters\n\nIt was trained further on letters that are kept in a safe.\n"


def known_facts(found: Audit) -> list[Fact]:
    return [fact for node in found.lineage.nodes for fact in node.collected.facts if fact.basis is Basis.KNOWN]


def audited(path: Path, **options: Any) -> Audit:
    return audit(str(path), Options(TODAY, **options))


@pytest.mark.parametrize("name", ["t5-base", "gpt2", "hf:gpt2", "google-t5--t5-base", "bert-base-uncased"])
def test_a_folder_is_no_model_that_it_is_called_after(tmp_path: Path, name: str) -> None:
    files = {"README.md": LETTERS, "config.json": CONFIG, "model.safetensors": sound(16)}
    found = audited(write(tmp_path / name, files))
    assert not known_facts(found)
    assert outcome(found, "osaid-1.0/origin") is Outcome.NOT_SHOWN
    assert outcomes(found, "osaid-1.0/data-information/") == {Outcome.NOT_SHOWN}
    assert answer(found, "data") == "not shown"


def test_no_file_is_either(tmp_path: Path) -> None:
    keys = {"general.architecture": "gpt2", "general.name": "gpt2", "general.basename": "gpt2"}
    made = gguf([pair(*item) for item in keys.items()], [tensor("w", [8], 0)], 32)
    form = "framework: {name: MOF}\nrelease: {name: gpt2, origin: gpt2, components: []}\n"
    write(tmp_path, {"gpt2.gguf": made, "hf:gpt2.gguf": made, "gpt2.yml": form})
    for path in tmp_path.iterdir():
        assert not known_facts(audited(path)), path


@pytest.mark.parametrize(
    "keys",
    [
        {"general.base_model.0.name": "Llama 3.1 8B", "general.base_model.0.organization": "meta-llama"},
        {"general.base_model.0.name": "Llama-3.1-8B", "general.base_model.0.organization": "meta-llama"},
        {"general.base_model.0.name": "gpt2"},
    ],
)
def test_words_in_a_header_are_no_id(tmp_path: Path, keys: dict[str, str]) -> None:
    header = {"general.architecture": "llama", "general.base_model.count": 1, **keys}
    (tmp_path / "m.gguf").write_bytes(gguf([pair(*item) for item in header.items()], [tensor("w", [8], 0)], 32))
    found = audited(tmp_path / "m.gguf")
    assert len(found.lineage.nodes) == 2
    assert not known_facts(found)


def test_a_base_without_an_organisation_is_an_id_where_the_hub_wants_one(tmp_path: Path) -> None:
    card = LETTERS.replace("---\n#", "base_model: gpt2\n---\n#")
    for name in ("letters", "gpt2"):  # called like its base, it is made from it all the same
        found = audited(write(tmp_path / name, {"README.md": card, "model.safetensors": sound(16)}))
        [edge] = found.lineage.edges
        assert (row := known.find(edge.parent)) and row.family == "GPT-2"
        assert answer(found, "data") == "no"
        assert "as known (GPT-2: " in next(one.reason for one in found.parts if one.name == "data")


# What is known may do


def answer(found: Audit, name: str) -> str:
    return next(one.answer for one in (*found.parts, *found.freedoms) if one.name == name)


def verdicts(found: Audit) -> list[Verdict]:
    return [one for whole in found.definitions for one in whole.verdicts]


def outcome(found: Audit, rule: str) -> Outcome:
    return next(one.outcome for one in verdicts(found) if one.rule == rule)


def outcomes(found: Audit, prefix: str) -> set[Outcome]:
    return {one.outcome for one in verdicts(found) if one.rule.startswith(prefix)}


def cached(root: Path, name: str, files: dict[str, str | bytes]) -> Path:
    """A model in a hub's cache."""
    top, commit = root / f"models--{name.replace('/', '--')}", "a" * 40
    write(top, {"refs/main": commit, "blobs/keep": ""})
    write(top / "snapshots" / commit, files)
    return root


TUNED = """---
license: apache-2.0
---
# A chat

Tuned on talks.

## Data

| part | rows |
|---|---|
| somebody/talks | 1,000 |
"""


@pytest.mark.parametrize(
    "name",
    [
        "LLM360/AmberChat",
        "allenai/OLMo-2-1124-7B-Instruct",
        "swiss-ai/Apertus-70B-Instruct-2509",
        "HuggingFaceTB/SmolLM2-1.7B-Instruct",
    ],
)
def test_the_row_of_a_base_says_nothing_of_what_a_model_was_tuned_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    files: dict[str, str | bytes] = {"README.md": TUNED, "config.json": CONFIG, "model.safetensors": sound(16)}
    monkeypatch.setenv("HF_HUB_CACHE", str(cached(tmp_path, name, files)))
    found = audit(f"hf:{name}", Options(TODAY))
    first = found.lineage.nodes[0].collected
    of_making = [fact for fact in first.facts if isinstance(fact, DatasetFact | TrainingFact | OriginFact)]
    assert not [fact for fact in of_making if fact.basis is Basis.KNOWN]
    assert answer(found, "data") == "not shown"
    assert not {one.rule for one in verdicts(found) if one.outcome is Outcome.MET} & {
        f"osaid-1.0/data-information/{rule}" for rule in ("kinds", "public-data", "obtainable-data", "open-data")
    }
    origin = next(one for one in verdicts(found) if one.rule == "osaid-1.0/origin")
    assert origin.outcome is Outcome.NOT_SHOWN or "as known (" in origin.reason


def entry(**fields: Any) -> known.Entry:
    return known.Entry("Cats", re.compile(".*"), {**ROW, **fields}, "known/cats.toml", "0" * 64)


OPEN = entry(
    licence="apache-2.0",
    base=["cats/cat"],
    tokens=10**12,
    data=[{"name": "mice", "availability": "open", "licence": "cc0-1.0", "where": "hf:datasets/cats/mice"}],
    **{"training-code": "https://example.org/code", "research-paper": "arXiv:2600.00001"},
)
BASE = "hf:cats/cat"


def good(judgement: build.Judgement) -> set[str]:
    return {name for name, one in build.outcomes(judgement).items() if one is Outcome.MET}


def test_a_row_alone_shows_nothing_that_was_to_be_delivered() -> None:
    judgement = build.judged(build.alone(known.told(OPEN, BASE, TODAY), "huggingface"))
    told = [one for whole in judgement.definitions for one in whole.verdicts if one.outcome is Outcome.MET]
    assert {one.rule for one in told} <= {
        "osaid-1.0/origin",
        "osaid-1.0/parameters/terms",
        "eu-ai-act-53-2/licence",
        "eu-ai-act-53-2/no-systemic-risk",
    }
    assert "osaid-1.0/origin" in {one.rule for one in told}
    assert all("as known (Cats: https://example.org/cat, 2026-11-20)" in one.reason for one in told)
    assert {one.answer for one in judgement.parts} == {"not shown"}
    assert not {one.name for one in judgement.freedoms if one.answer == "yes"} - {"share"}  # a right alone


def test_the_row_of_a_base_completes_no_fine_tune() -> None:
    whole = build.judged(build.derived(build.adapter(), (BASE, Relation.FINETUNE, build.documented())))
    row = build.judged(build.derived(build.adapter(), (BASE, Relation.FINETUNE, known.told(OPEN, BASE, TODAY))))
    unread = build.judged(build.derived(build.adapter(), (BASE, Relation.FINETUNE, None)))
    lost = good(whole) - good(row)
    assert {"answer data", "answer study", "osaid-1.0/data-information/kinds"} <= lost
    assert good(row) - good(unread) <= {
        "osaid-1.0/origin",
        "osaid-1.0/parameters/terms",
        "eu-ai-act-53-2/licence",
        "answer use",
        "answer share",
    }
    kinds = next(one for one in row.definitions[0].verdicts if one.rule == "osaid-1.0/data-information/kinds")
    assert kinds.limited_by == BASE and "as known (Cats: " in kinds.reason


def test_a_row_completes_no_card_that_names_no_data() -> None:
    told = [*build.drop(build.documented(), DatasetFact), *known.told(OPEN, BASE, TODAY)]
    verdicts = build.judged(build.alone(told, "huggingface")).definitions[0].verdicts
    [kinds] = [one for one in verdicts if one.rule == "osaid-1.0/data-information/kinds"]
    assert kinds.outcome is Outcome.NOT_SHOWN
    assert kinds.reason.endswith("only as known (Cats: https://example.org/cat, 2026-11-20), not seen")


def test_data_that_is_known_to_be_withheld_limits_what_is_tuned_from_it() -> None:
    withheld = known.told(entry(data_withheld=True), BASE, TODAY)
    judgement = build.judged(build.derived(build.adapter(), (BASE, Relation.FINETUNE, withheld)))
    assert judgement.osaid is Outcome.NOT_MET
    [data] = [one for one in judgement.parts if one.name == "data"]
    assert (data.answer, data.limited_by) == ("no", BASE)
    assert "not given, as known (Cats: https://example.org/cat, 2026-11-20)" in data.reason


def test_what_is_read_needs_nothing_that_is_known() -> None:
    told = [*build.documented(), *known.told(OPEN, BASE, TODAY)]
    judgement = build.judged(build.alone(told, "huggingface"))
    plain = build.judged(build.alone(build.documented(), "huggingface"))
    assert build.outcomes(judgement) == build.outcomes(plain)
    origin = next(one for one in judgement.definitions[0].verdicts if one.rule == "osaid-1.0/origin")
    assert "as known" not in origin.reason


def test_an_edge_that_is_declared_does_not_rest_on_the_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    card = TUNED.replace("---\n#", "base_model: LLM360/Amber\n---\n#")
    files: dict[str, str | bytes] = {"README.md": card, "model.safetensors": sound(16)}
    monkeypatch.setenv("HF_HUB_CACHE", str(cached(tmp_path, "LLM360/AmberChat", files)))
    [edge] = audit("hf:LLM360/AmberChat", Options(TODAY)).lineage.edges
    assert (edge.basis, {place.file for place in edge.evidence}) == ("declared", {"README.md"})


def test_the_terms_of_a_base_that_was_not_read_are_known_and_said_to_be(tmp_path: Path) -> None:
    card = LETTERS.replace("---\n#", "base_model: google-t5/t5-base\n---\n#")
    found = audited(write(tmp_path / "m", {"README.md": card, "model.safetensors": sound(16)}))
    use = next(one for one in found.freedoms if one.name == "use")
    assert use.answer == "yes" and "in part as known (T5: " in use.reason
    bare = audited(write(tmp_path / "n", {"README.md": LETTERS, "model.safetensors": sound(16)}))
    assert "as known" not in next(one.reason for one in bare.freedoms if one.name == "use")


def test_what_else_comes_from_a_row_says_that_it_is_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files: dict[str, str | bytes] = {"README.md": LETTERS, "config.json": CONFIG, "model.safetensors": sound(16)}
    monkeypatch.setenv("HF_HUB_CACHE", str(cached(tmp_path, "google-t5/t5-base", files)))
    found = audit("hf:google-t5/t5-base", Options(TODAY))
    assert found.lineage.nodes[0].collected.of(DatasetFact)
    assert not found.data, "no bytes of it were seen"
    of_data = [duty.text for duty in found.duties if "of the data" in duty.text]
    assert all("(as known)" in text for text in of_data)


def test_what_training_took_may_be_known() -> None:
    line = build.alone([*known.told(OPEN, BASE, TODAY), build.architecture()], "huggingface")
    assert cost.estimate(line).source.endswith("as known (Cats: https://example.org/cat, 2026-11-20)")
    declared = build.alone([*known.told(OPEN, BASE, TODAY), build.architecture(), build.flops(1e15)], "huggingface")
    assert cost.estimate(declared).source == "stated"


def test_a_claim_is_not_delivered_by_the_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    card = "# A model\n\nThe weights of our model are open source, as everything is.\n"
    files: dict[str, str | bytes] = {"README.md": card, "model.safetensors": sound(16)}
    monkeypatch.setenv("HF_HUB_CACHE", str(cached(tmp_path, "LLM360/Amber", files)))
    found = audit("hf:LLM360/Amber", Options(TODAY))
    assert found.claims
    assert Outcome.MET not in {claim.outcome for claim in found.claims}
