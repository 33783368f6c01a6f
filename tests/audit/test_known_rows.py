"""What the tables of known models hold. python -m pytest tests/audit/test_known_rows.py"""

import re
from datetime import date
from pathlib import Path

import pytest

from regrow.auditing import known
from regrow.auditing.known import Entry

IDS = Path(__file__).with_name("known_ids.txt")


def matching(id: str) -> list[Entry]:
    return [entry for entry in known.entries() if entry.pattern.fullmatch(id.lower())]


def ids() -> list[tuple[str, str]]:
    lines = (line for line in IDS.read_text("utf-8").splitlines() if not line.startswith("#"))
    return [(id, licence) for id, licence in (line.split() for line in lines)]


def test_every_row_was_looked_up_lately_and_says_something() -> None:
    """The form of its keys is looked at in test_known.py."""
    for entry in known.entries():
        assert date.fromisoformat(entry.fields["date"]) >= date(2026, 11, 21), entry
        assert entry.fields.keys() - {"name", "ids", "sources", "date"}, f"{entry} says nothing"


def test_names_are_told_apart() -> None:
    names = [entry.family for entry in known.entries()]
    assert len(set(names)) == len(names)


def test_an_id_has_one_row_and_the_row_its_licence() -> None:
    wrong = []
    for id, licence in ids():
        found = matching(id)
        if [entry.fields.get("licence", "-") for entry in found] != [licence]:
            wrong.append((id, licence, [entry.family for entry in found]))
    assert not wrong


@pytest.mark.parametrize("table", ["newer", "media", "encoders"])
def test_every_row_of_a_table_is_met_by_a_real_id(table: str) -> None:
    met = {entry.family for id, _ in ids() for entry in matching(id)}
    assert {entry.family for entry in known.entries() if entry.file == f"known/{table}.toml"} <= met


def test_patterns_are_of_ids_in_small_letters() -> None:
    for entry in known.entries():
        for pattern in entry.fields["ids"] + entry.fields.get("base", []):
            assert "/" in pattern, f"{entry}: {pattern} has no owner"
            assert pattern == re.sub(r"(?<!\\)[A-Z]", lambda letter: letter[0].lower(), pattern), entry


def test_a_base_is_one_of_the_models_of_its_row() -> None:
    for entry in known.entries():
        mine = [id for id, _ in ids() if entry.pattern.fullmatch(id.lower())]
        if "base" in entry.fields and mine:
            assert any(map(entry.is_base, mine)), entry


def test_a_model_is_tuned_from_another() -> None:
    for id, _ in ids():
        for entry in matching(id):
            assert all(ending == ending.lower() for ending, _ in entry.fields.get("tuned", ())), entry
            parent = "" if entry.is_base(id) else entry.parent(id)
            assert not parent or re.fullmatch(r"hf:([\w.-]+/)?[\w.-]+", parent), (id, parent)
            assert parent.lower() != f"hf:{id}".lower(), entry


@pytest.mark.parametrize(
    ("id", "licence", "parent"),
    [
        ("distilbert-base-uncased-finetuned-sst-2-english", "apache-2.0", "distilbert-base-uncased"),
        ("intfloat/multilingual-e5-base", "mit", "FacebookAI/xlm-roberta-base"),
        ("stable-diffusion-v1-5/stable-diffusion-v1-5", "creativeml-openrail-m", "CompVis/stable-diffusion-v1-2"),
        ("openai/whisper-large-v3-turbo", "mit", "openai/whisper-large-v3"),
        ("deepseek-ai/DeepSeek-R1-Distill-Qwen-1.5B", "mit", "Qwen/Qwen2.5-Math-1.5B"),
        ("Qwen/Qwen3.5-9B", "apache-2.0", "Qwen/Qwen3.5-9B-Base"),
    ],
)
def test_what_is_known_of_a_tuned_model(id: str, licence: str, parent: str) -> None:
    (entry,) = matching(id)
    assert (entry.fields["licence"], entry.parent(id)) == (licence, f"hf:{parent}")
