"""The texts of the tiny example show what cleaning is for."""

from __future__ import annotations

from pathlib import Path

from regrow.corpus.documents import DOCUMENTS, read_documents, read_exclusions

from .conftest import TINY


def test_what_is_dropped_and_why(tiny: dict[str, Path]) -> None:
    rows = read_exclusions(tiny["split"] / "excluded.parquet")
    reasons = {row.reason: row for row in rows}
    assert set(reasons) == {"not utf-8", "too short", "exact duplicate", "near-duplicate"}
    assert reasons["not utf-8"].locator.startswith("cafe.txt:")
    assert reasons["too short"].locator == "short.txt:0-19"
    assert {row.locator.partition(":")[0] for row in rows if "duplicate" in row.reason} <= {
        "fables.txt", "fables-again.txt", "fables-second-edition.txt", "stories.jsonl",
    }  # fmt: skip


def test_every_plain_text_is_where_its_locator_says(tiny: dict[str, Path]) -> None:
    rows = [row for row in read_documents(tiny["texts"] / DOCUMENTS) if row.file.endswith((".txt", ".md"))]
    assert len(rows) > 20
    for row in rows:
        assert (TINY / row.file).read_bytes()[row.start : row.end].decode() == row.text


def test_all_formats_are_there_and_clean(tiny: dict[str, Path]) -> None:
    rows = read_documents(tiny["deduplicate"] / DOCUMENTS)
    assert {row.file.partition("!/")[0].rpartition(".")[2] for row in rows} == {"txt", "md", "html", "jsonl"}
    whole = "\n".join(row.text for row in rows)
    for unwanted in ("<p>", "console.log", "Kitchen", "author: the regrow", "\r", "\ufeff", "\x0c", '"paragraph"'):
        assert unwanted not in whole
    assert 80_000 < len(whole) < 150_000
