"""python -m pytest tests/audit/outputs/test_training_data_outputs.py"""

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from sample_audits import DECLARED, FOREIGN, LOCK, OURS, TINY, hostile_audits, nasty
from small_release import small_release

from regrow.auditing.facts import Availability, DatasetFact, Role, TrainingFact, UsageFact
from regrow.auditing.lineage import Lineage, Node
from regrow.auditing.outputs import croissant, eu_summary, to_text
from regrow.auditing.result import Audit
from regrow.errors import RecipeError


def section(summary: str, heading: str) -> str:
    """What stands under a heading of the summary."""
    found = re.search(rf"^###? {re.escape(heading)}.*?\n(.*?)(?=^##|\Z)", summary, re.DOTALL | re.MULTILINE)
    assert found, heading
    return found[1]


def test_summary_has_every_section_of_the_template(tmp_path: Path) -> None:
    for summary in (eu_summary(OURS, small_release(tmp_path)), eu_summary(FOREIGN)):
        for number in ("1.1", "1.2", "1.3", "2.1", "2.2", "2.3", "2.4", "2.5", "2.6", "3.1", "3.2", "3.3"):
            assert section(summary, number).strip(), number


def test_summary_of_a_release_is_filled(tmp_path: Path) -> None:
    summary = eu_summary(OURS, small_release(tmp_path))
    assert "less than 1 billion tokens (1,500 bytes of text)" in section(summary, "1.3")
    assert "none, the parameters were trained from random initial values" in section(summary, "1.2")
    assert "| texts | pypi:texts==1.0 | CC0-1.0 | open | 1 kB |" in section(summary, "2.1").replace("\\", "")
    assert "bought" in section(summary, "2.2")
    assert "data.example" in section(summary, "2.3")
    assert "| clean | too short | 1 |" in section(summary, "3.3")


def test_summary_of_a_foreign_model_says_what_is_not_shown() -> None:
    summary = eu_summary(FOREIGN)
    assert "finetune of hf:example/Llama-3.1-8B" in section(summary, "1.2")
    assert "not shown" in section(summary, "1.3")
    assert "our own chats" in section(summary, "2.2")
    assert section(summary, "2.3").startswith("\nNot shown.")
    assert "GPT-4" in section(summary, "2.5")


def test_languages_are_those_that_the_card_declares() -> None:
    assert "- Languages: not shown; **[to be" in section(eu_summary(FOREIGN), "1.3")
    told = (UsageFact(DECLARED, LOCK, "languages", "en, de"), UsageFact(DECLARED, LOCK, "use", "continues text"))
    audit = replace(OURS, lineage=Lineage((Node("m", 0, replace(TINY, facts=told)),), ()))
    assert "- Languages: en, de, as the model card declares" in section(eu_summary(audit), "1.3")


def test_only_a_person_can_know_the_rest(tmp_path: Path) -> None:
    summary = eu_summary(OURS, small_release(tmp_path))
    assert "Provider: **[to be filled in: name and contact]**" in summary
    assert "Date placed on the Union market: **[to be filled in: date]**" in summary


@pytest.mark.parametrize(
    ("size", "tokens", "expected"),
    [
        (999_999_999, None, "less than 1 billion tokens (999,999,999 bytes of text)"),
        (1_000_000_000, None, "not shown"),
        (None, 999_999_999, "less than 1 billion tokens (999,999,999 seen"),
        (None, 10**9, "1 billion to 10 trillion tokens"),
        (None, 10**13, "1 billion to 10 trillion tokens"),
        (10**14, 10**13 + 1, "more than 10 trillion tokens"),
    ],
)
def test_size_is_a_range_only_where_it_is_sure(size: int | None, tokens: int | None, expected: str) -> None:
    facts = (
        DatasetFact(DECLARED, LOCK, "web", Role.TRAINING, Availability.PUBLIC, bytes=size),
        TrainingFact(DECLARED, LOCK, tokens=tokens),
    )
    audit = replace(OURS, lineage=Lineage((Node("m", 0, replace(TINY, facts=facts)),), ()))
    assert f"- Size of the training data: {expected}" in section(eu_summary(audit), "1.3")


def test_croissant_names_files_sources_and_fields(tmp_path: Path) -> None:
    release = small_release(tmp_path)
    document = croissant(OURS, release)
    sums = dict(line.split("  ")[::-1] for line in (release / "SHA256SUMS").read_text().splitlines())
    assert {file["@id"]: file["sha256"] for file in document["distribution"]} == {
        path: digest for path, digest in sums.items() if path.startswith("data/")
    }
    assert [source["name"] for source in document["isBasedOn"]] == ["texts", "bought"]
    assert document["isBasedOn"][0]["identifier"] == [f"sha256:{'ab' * 32} a.txt"]
    assert document["isBasedOn"][1]["url"] == "https://data.example/bought.txt"
    assert "https://spdx.org/licenses/CC0-1.0.html" in document["license"]
    fields = {field["name"] for field in document["recordSet"][0]["field"]}
    assert {"id", "source", "licence", "sha256", "split"} <= fields
    assert "clean left out 1 documents: too short" in document["rai:dataPreprocessingProtocol"]


def test_croissant_is_for_our_releases_with_their_list_of_documents(tmp_path: Path) -> None:
    release = small_release(tmp_path)
    told = set()
    bare = small_release(tmp_path / "bare")
    (bare / "data/documents.parquet").unlink()
    for audit, place in ((FOREIGN, None), (FOREIGN, release), (OURS, None), (OURS, bare)):
        with pytest.raises(RecipeError, match="no training data here") as caught:
            croissant(audit, place)
        told.add(caught.value.what)
    assert len(told) == 1


def test_croissant_is_read_by_mlcroissant(tmp_path: Path) -> None:
    mlcroissant = pytest.importorskip("mlcroissant")
    data = mlcroissant.Dataset(jsonld=json.loads(to_text(croissant(OURS, small_release(tmp_path)))))
    assert not data.metadata.ctx.issues.errors


@given(audit=hostile_audits())
@settings(max_examples=30, deadline=None)
def test_words_from_outside_stay_words(audit: Audit) -> None:
    summary = eu_summary(audit)
    assert all(line.isprintable() for line in summary.split("\n"))
    headings = [line for line in summary.splitlines() if line.startswith("#")]
    assert [line for line in headings if not re.match(r"#{2,3} [123]\.|### Data whose", line)] == headings[:1]
    assert not re.search(r"(?<!\\)[<\[|]", re.sub(r"\*\*\[.*?\]\*\*|^\|.*", "", summary, flags=re.MULTILINE))


@given(name=nasty, fetch=nasty)
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_hostile_source_stays_in_its_cell(name: str, fetch: str, tmp_path: Path) -> None:
    clean = [text.encode("utf-8", "replace").decode() for text in (name, fetch)]
    release = small_release(tmp_path, *clean)
    rows = [line for line in section(eu_summary(OURS, release), "2.1").splitlines() if line.startswith("|")]
    assert len(rows) == 3
    assert all(len(re.findall(r"(?<!\\)\|", row)) == 6 for row in rows)
    assert to_text(croissant(OURS, release)).isascii()
