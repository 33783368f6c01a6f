from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq

from regrow.corpus.documents import (
    Document,
    Exclusion,
    identify,
    read_documents,
    read_exclusions,
    write_documents,
    write_exclusions,
)
from regrow.store.digest import sha256_bytes, sha256_file


def document(text: str = "hello", start: int = 0, file: str = "a.txt") -> Document:
    place = f"{file}:{start}-{start + len(text)}"
    return Document(
        identify("s", place, text),
        "s",
        "CC0-1.0",
        "open",
        file,
        start,
        start + len(text),
        sha256_bytes(text.encode()),
        text,
    )


def test_the_id_is_a_hash_anyone_can_compute() -> None:
    assert document().id == sha256_bytes(b"s\0a.txt:0-5\0hello")
    assert document().locator == "a.txt:0-5"


def test_a_changed_text_keeps_its_id() -> None:
    changed = document().with_text("hello!")
    assert (changed.id, changed.sha256) == (document().id, sha256_bytes(b"hello!"))


def test_there_and_back_in_canonical_order(tmp_path: Path) -> None:
    rows = [document("b", 10), document("\U0001f600", 2), document("c", 0, "B.txt"), document("", 3)]
    write_documents(tmp_path / "x", rows)
    found = read_documents(tmp_path / "x")
    assert [(row.file, row.start) for row in found] == [("B.txt", 0), ("a.txt", 2), ("a.txt", 3), ("a.txt", 10)]
    assert set(found) == set(rows)
    write_documents(tmp_path / "y", reversed(rows))
    assert (tmp_path / "x").read_bytes() == (tmp_path / "y").read_bytes()


def test_exclusions_there_and_back(tmp_path: Path) -> None:
    rows = [document().excluded("clean", "too short", "5 of 9 characters"), Exclusion("1", "a", "x", "s", "r", "", 0)]
    write_exclusions(tmp_path / "x", rows)
    assert read_exclusions(tmp_path / "x") == [rows[1], rows[0]]
    write_exclusions(tmp_path / "none", [])
    assert read_exclusions(tmp_path / "none") == []


def test_files_of_several_sources_become_one_order(tmp_path: Path) -> None:
    write_documents(tmp_path / "x", [document(), replace(document("z"), source="z")])
    write_documents(tmp_path / "y", [replace(document("m"), source="m")])
    found = [row.source for row in read_documents(tmp_path / "x", tmp_path / "y")]
    assert found == [row.source for row in read_documents(tmp_path / "y", tmp_path / "x")] == ["m", "s", "z"]


def test_the_files_hold_data_and_nothing_else(tmp_path: Path) -> None:
    write_documents(tmp_path / "x", [document(str(n), n) for n in range(5000)])
    meta = pq.ParquetFile(tmp_path / "x").metadata
    assert meta.metadata is None
    assert meta.num_row_groups == 2
    assert {meta.row_group(0).column(n).compression for n in range(meta.num_columns)} == {"UNCOMPRESSED"}
    assert not meta.row_group(0).column(0).is_stats_set
    assert [field.nullable for field in meta.schema.to_arrow_schema()] == [False] * 9


def test_the_bytes_are_known(tmp_path: Path) -> None:
    write_documents(tmp_path / "x", [document("one", 0), document("two", 9)])
    assert sha256_file(tmp_path / "x") == GOLDEN


GOLDEN = "ed00dacd0d83c55e7d06d830424dda2f9bcfad2cf1d42e8be3556d248acbdb43"
