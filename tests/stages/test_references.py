"""Reference texts and lists of fingerprints, looked for in a corpus."""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from regrow.cli.root import cli
from regrow.errors import InputError
from regrow.evidence import EVIDENCE, TAGS, Evidence
from regrow.evidence.fingerprints import Fingerprints
from regrow.stages.fingerprint import NAME
from tests.evidence.test_fingerprints import prose
from tests.stages.conftest import SOURCE, Bench

BOOK, OTHER = prose(2000, 21), prose(900, 22)
REFERENCE = {**SOURCE, "source": "books", "licence": "LicenseRef-Proprietary", "availability": "obtainable"}


def corpus() -> dict[str, bytes | str]:
    words = BOOK.split()
    more = {3: f"\n\n{' '.join(words[100:900])}\n", 5: f"\n\nÉ. {' '.join(words[850:1000])}\n"}
    return {f"{n:02}.txt": prose(300, 30 + n) + more.get(n, "") for n in range(12)}


def fingerprints(bench: Bench, folder: Path, **parameters: object) -> Path:
    return bench.run("fingerprint", {**REFERENCE, **parameters}, files=folder)


@pytest.fixture
def works(tmp_path: Path) -> Path:
    folder = tmp_path / "works"
    folder.mkdir()
    (folder / "The Book.txt").write_text(BOOK)
    (folder / "other.txt").write_text(OTHER)
    return folder


def test_how_much_of_a_work_is_there_and_where(bench: Bench, works: Path) -> None:
    documents = bench.documents(corpus())
    output = bench.run("references", {}, documents=documents, fingerprints=[fingerprints(bench, works)])
    evidence = Evidence.read((output / EVIDENCE).read_text("utf-8"))
    windows = 751 + 101 - 1  # of both passages, which share a window
    assert evidence.measures["works"] == 2
    assert evidence.measures["works-found"] == 1
    assert evidence.measures["windows-found"] == windows
    assert evidence.measures["documents-matched"] == 2
    assert evidence.notices == (
        f"{windows / 1951:.1%} of the reference text `books: The Book.txt` are in 2 documents of the corpus.",
    )
    assert [row[4] for row in evidence.tables[1].rows] == [800, 150]
    texts = {one["id"]: one["text"] for one in pq.read_table(documents / "documents.parquet").to_pylist()}
    tags = pq.read_table(output / TAGS).to_pylist()
    words = BOOK.split()
    assert {texts[one["document"]][one["start"] : one["end"]] for one in tags} == {
        " ".join(words[100:900]),
        " ".join(words[850:1000]),
    }
    assert not any(word in (output / EVIDENCE).read_text("utf-8") for word in words[100:110])


def test_a_list_serves_as_well_as_the_texts_and_parts_change_nothing(bench: Bench, works: Path, tmp_path: Path) -> None:
    listed = tmp_path / "listed"
    listed.mkdir()
    said = CliRunner().invoke(cli, ["fingerprint", str(works), "--output", str(listed / "a.fingerprints")])
    assert said.exit_code == 0
    assert "windows of 2 works" in said.output
    documents = bench.documents(corpus())
    outputs = []
    for shards, folder in ((1, works), (3, listed)):
        given = bench.run("clean", {"minimum_characters": 0, "shards": shards}, documents=documents)
        outputs.append(bench.run("references", {}, documents=given, fingerprints=[fingerprints(bench, folder)]))
    for name in (EVIDENCE, TAGS):
        assert (outputs[0] / name).read_bytes() == (outputs[1] / name).read_bytes()


def test_several_sources(bench: Bench, works: Path, tmp_path: Path) -> None:
    more = tmp_path / "more"
    more.mkdir()
    (more / "b.jsonl").write_text("".join(f'{{"text": "{prose(60, n)}"}}\n' for n in range(3)))
    lists = [fingerprints(bench, works), fingerprints(bench, more, source="rows")]
    output = bench.run("references", {}, documents=bench.documents(corpus()), fingerprints=lists)
    evidence = Evidence.read((output / EVIDENCE).read_text("utf-8"))
    assert evidence.measures["works"] == 5
    assert [work.name.split(":")[0] for work in Fingerprints.open(lists[1] / NAME).works] == ["rows"] * 3


def test_what_cannot_be_looked_for(bench: Bench, tmp_path: Path) -> None:
    short = tmp_path / "short"
    short.mkdir()
    (short / "a.txt").write_text("A few words.")
    with pytest.raises(InputError, match="no work of `books` has 50 words"):
        fingerprints(bench, short)
    (short / "b.fingerprints").write_bytes(b"not a list\n")
    with pytest.raises(InputError, match="no list of fingerprints") as told:
        fingerprints(bench, short)
    assert told.value.where == "b.fingerprints"


def test_a_list_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    output = tmp_path / "a.fingerprints"
    missing = CliRunner().invoke(cli, ["fingerprint", str(tmp_path / "nothing"), "--output", str(output)])
    assert missing.exit_code == 6
    misnamed = CliRunner().invoke(cli, ["fingerprint", str(tmp_path), "--output", str(tmp_path / "a.txt")])
    assert misnamed.exit_code == 2
    assert list(tmp_path.iterdir()) == []
