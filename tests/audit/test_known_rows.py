"""What the tables of known models hold. python -m pytest tests/audit/test_known_rows.py"""

import re
import tomllib
from dataclasses import dataclass
from datetime import date
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

import pytest

from regrow.auditing import known

IDS = Path(__file__).with_name("known_ids.txt")
FIELDS = {"name", "ids", "base", "tuned", "licence", "gated", "data", "data_withheld", "tokens"}
FIELDS |= {"training-code", "model-parameters-intermediate", "research-paper", "sources", "date"}


@dataclass(frozen=True)
class Row:
    table: str
    fields: dict[str, Any]
    pattern: re.Pattern[str]

    def __str__(self) -> str:
        return f"{self.table}: {self.fields['name']}"


@cache
def rows() -> tuple[Row, ...]:
    tables = [one for one in resources.files(known.__name__).iterdir() if one.name.endswith(".toml")]
    read = [(one.name, tomllib.loads(one.read_text("utf-8"))["family"]) for one in tables]
    return tuple(Row(table, row, re.compile("|".join(row["ids"]))) for table, rows in read for row in rows)


def matching(id: str) -> list[Row]:
    return [row for row in rows() if row.pattern.fullmatch(id.lower())]


def ids() -> list[tuple[str, str]]:
    lines = (line for line in IDS.read_text("utf-8").splitlines() if not line.startswith("#"))
    return [(id, licence) for id, licence in (line.split() for line in lines)]


def test_every_row_says_where_and_when_it_was_read() -> None:
    for row in rows():
        sources = row.fields.get("sources")
        assert sources, f"{row} names no source"
        assert all(source.startswith("https://") for source in sources), row
        assert date.fromisoformat(row.fields["date"]) >= date(2026, 11, 21), row
        assert row.fields.keys() <= FIELDS, row
        assert row.fields.keys() - {"name", "ids", "sources", "date"}, f"{row} says nothing"


def test_names_are_told_apart() -> None:
    names = [row.fields["name"] for row in rows()]
    assert len(set(names)) == len(names)


def test_an_id_has_one_row_and_the_row_its_licence() -> None:
    wrong = []
    for id, licence in ids():
        found = matching(id)
        if [row.fields.get("licence", "-") for row in found] != [licence]:
            wrong.append((id, licence, [str(row) for row in found]))
    assert not wrong


@pytest.mark.parametrize("table", ["newer.toml", "media.toml", "encoders.toml"])
def test_every_row_of_a_table_is_met_by_a_real_id(table: str) -> None:
    met = {str(row) for id, _ in ids() for row in matching(id)}
    assert {str(row) for row in rows() if row.table == table} <= met


def test_patterns_are_of_ids_in_small_letters() -> None:
    for row in rows():
        for pattern in row.fields["ids"] + row.fields.get("base", []):
            assert "/" in pattern, f"{row}: {pattern} has no owner"
            assert pattern == re.sub(r"(?<!\\)[A-Z]", lambda letter: letter[0].lower(), pattern), row


def test_a_base_is_one_of_the_models_of_its_row() -> None:
    for row in rows():
        bases = re.compile("|".join(row.fields.get("base", ())) or "(?!)")
        mine = [id.lower() for id, _ in ids() if row.pattern.fullmatch(id.lower())]
        if "base" in row.fields and mine:
            assert any(bases.fullmatch(id) for id in mine), row


def test_a_model_is_tuned_from_another() -> None:
    for id, _ in ids():
        for row in matching(id):
            if re.fullmatch("|".join(row.fields.get("base", ())) or "(?!)", id.lower()):
                continue
            for ending, base in row.fields.get("tuned", ()):
                assert ending == ending.lower(), row
                if id.lower().endswith(ending):
                    parent = f"{id[: len(id) - len(ending)]}{base}".lower()
                    assert re.fullmatch(r"([\w.-]+/)?[\w.-]+", parent), row
                    assert parent != id.lower(), row
                    break


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
    (row,) = matching(id)
    assert row.fields["licence"] == licence
    ending, base = next((one for one in row.fields["tuned"] if id.lower().endswith(one[0])), ("", ""))
    assert f"{id[: len(id) - len(ending)]}{base}" == parent
