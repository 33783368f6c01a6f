"""``clean``, ``deduplicate`` and ``split``."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import ValidationError

from regrow.corpus import tables as corpus_tables
from regrow.corpus.documents import (
    DOCUMENTS,
    EXCLUDED,
    Document,
    read_documents,
    read_exclusions,
    stream,
    stream_exclusions,
)
from regrow.errors import Interrupted, StageError
from regrow.formats import parts
from regrow.stages import KINDS

from .conftest import Bench

LONG = " ".join(f"word{n}" for n in range(120))


def read(folder: Path, name: str = DOCUMENTS) -> list[Document]:
    return read_documents(folder / name)


def test_clean_merges_normalises_and_drops_the_short(bench: Bench) -> None:
    one = bench.documents({"a.txt": "hello\r\nworld  \r\n", "b.txt": "\ufeff\n \n"}, source="one")
    two = bench.documents({"c.txt": "tiny", "d.txt": b"\xff"}, source="two")
    out = bench.run("clean", {"minimum_characters": 5}, documents=[two, one])
    (kept,) = read(out)
    assert (kept.source, kept.text) == ("one", "hello\nworld")
    assert kept.id == read(one)[0].id
    rows = [(row.source, row.locator, row.stage, row.reason, row.detail) for row in read_exclusions(out / EXCLUDED)]
    assert rows == [
        ("one", "b.txt:0-6", "clean", "empty", "0 of 5 characters"),
        ("two", "c.txt:0-4", "clean", "too short", "4 of 5 characters"),
        ("two", "d.txt:0-1", "documents", "not utf-8", "byte 0 is 0xff"),
    ]
    again = bench.run("clean", {"minimum_characters": 5}, documents=[one, two])
    assert (again / DOCUMENTS).read_bytes() == (out / DOCUMENTS).read_bytes()


@pytest.mark.parametrize(
    ("files", "why"),
    [
        ({"a.txt": " \n"}, "left out: empty (1)"),
        ({"a.jsonl": ""}, "there are no texts in the files of the sources"),
        ({"a.txt": "short", "b.txt": "", "c.txt": "less"}, "left out: too short (2), empty (1)"),
    ],
)
def test_an_empty_corpus_has_the_remedy_for_its_cause(bench: Bench, files: dict[str, str], why: str) -> None:
    documents = bench.documents(files)
    with pytest.raises(StageError, match="the corpus is empty") as caught:
        bench.run("clean", {"minimum_characters": 200}, documents=documents)
    assert caught.value.why == why
    assert ("lower `corpus.min_characters`, which is 200" in caught.value.hint) == ("short" in why)
    assert "look at the files" in caught.value.hint
    assert not list((bench.root / f"{bench.count:02}-clean").iterdir())


def test_copies_are_dropped_with_a_pointer_to_the_survivor(bench: Bench) -> None:
    files = {"b.txt": LONG, "a.txt": LONG, "c.txt": LONG + " and one more", "d.txt": "something else"}
    documents = bench.documents(files)
    out = bench.run("deduplicate", {"near_duplicates": 0.8}, documents=documents)
    by_file = {row.file: row for row in read(documents)}
    first = min((row for row in by_file.values() if row.file != "d.txt"), key=lambda row: row.rank)
    assert {row.file for row in read(out)} == {first.file, "d.txt"}
    rows = {row.locator.partition(":")[0]: (row.reason, row.detail) for row in read_exclusions(out / EXCLUDED)}
    similarity = 116 / 119
    expected = {"b.txt": ("exact duplicate", f"of {by_file['a.txt'].id}")}
    other = "a.txt" if first.file == "c.txt" else "c.txt"
    expected[other] = ("near-duplicate", f"of {first.id}, Jaccard {similarity:.4f}")
    assert rows == expected


def test_exact_copies_only(bench: Bench) -> None:
    documents = bench.documents({"a.txt": LONG, "b.txt": LONG, "c.txt": LONG + " more"})
    out = bench.run("deduplicate", {"near_duplicates": 0}, documents=documents)
    assert {row.file for row in read(out)} == {"a.txt", "c.txt"}


def test_chains_are_one_group(bench: Bench) -> None:
    words = LONG.split()
    files = {f"{n}.txt": " ".join([*words[8 * n :], *(f"new{m}" for m in range(8 * n))]) for n in range(4)}
    out = bench.run("deduplicate", {"near_duplicates": 0.8}, documents=bench.documents(files))
    assert len(read(out)) == 1
    assert any("Jaccard 0.6" in row.detail or "Jaccard 0.7" in row.detail for row in read_exclusions(out / EXCLUDED))


@pytest.mark.parametrize("threshold", [0.3, -0.1, 1.1, float("nan")])
def test_thresholds_that_make_no_sense(threshold: float) -> None:
    with pytest.raises(ValidationError):
        KINDS["deduplicate"].parameters(near_duplicates=threshold)


def test_split_sets_about_the_share_aside(bench: Bench) -> None:
    documents = bench.documents({f"{n}.txt": f"text {n}" for n in range(1000)})
    out = bench.run("split", {"validation": 0.1}, documents=documents)
    train, held_out = read(out, "train.parquet"), read(out, "validation.parquet")
    assert 70 < len(held_out) < 130
    assert sorted([*train, *held_out], key=lambda row: row.position) == read(documents)
    assert (out / EXCLUDED).read_bytes() == (documents / EXCLUDED).read_bytes()


def test_split_decides_for_each_document_alone(bench: Bench) -> None:
    files: dict[str, bytes | str] = {f"{n}.txt": f"text {n}" for n in range(300)}
    few = bench.run("split", {"validation": 0.1}, documents=bench.documents(dict(list(files.items())[:200])))
    all_ = bench.run("split", {"validation": 0.1}, documents=bench.documents(files))
    assert {row.id for row in read(few, "validation.parquet")} <= {row.id for row in read(all_, "validation.parquet")}


@pytest.mark.parametrize(("count", "share", "held_out"), [(2, 0.0001, 1), (2, 0.5, 1), (3, 1e-300, 1), (3, 0.5, None)])
def test_both_sides_get_a_document(bench: Bench, count: int, share: float, held_out: int | None) -> None:
    documents = bench.documents({f"{n}.txt": f"text {n}" for n in range(count)})
    out = bench.run("split", {"validation": share}, documents=documents)
    kept, apart = len(read(out, "train.parquet")), len(read(out, "validation.parquet"))
    assert kept >= 1 and apart >= 1 and kept + apart == count
    assert held_out in (None, apart)


def test_a_single_document_cannot_be_split(bench: Bench) -> None:
    with pytest.raises(StageError) as caught:
        bench.run("split", {"validation": 0.02}, documents=bench.documents({"a.txt": "hello"}))
    assert str(caught.value) == (
        "a.txt:0-5: the corpus is a single document\n"
        "because some are held out to measure the model\n"
        "hint: add texts, or set `max_characters` of the source, which cuts long texts into several documents"
    )


def test_what_was_left_out_before_is_told(bench: Bench) -> None:
    text = "The quick brown fox jumps over the lazy dog and runs away. " * 9
    documents = bench.documents(
        {"a.txt": text, "b.txt": text + "Again.", "c.txt": text + "Once more.", "d.txt": "\x01"}
    )
    few = bench.run("deduplicate", {"near_duplicates": 0.5}, documents=documents)
    with pytest.raises(StageError) as caught:
        bench.run("split", {"validation": 0.02}, documents=bench.run("clean", {"min_characters": 40}, documents=few))
    assert "left out before: near-duplicate (2), empty (1)" in caught.value.why


def test_nothing_to_split(bench: Bench) -> None:
    documents = bench.documents({"a.jsonl": ""})
    with pytest.raises(StageError, match="the corpus is empty"):
        bench.run("split", {}, documents=documents)


def many(bench: Bench) -> list[Path]:
    """The documents of three sources, of which one has files that are cut, and one nothing but what is left out."""
    rows = [json.dumps({"text": f"row {n} " + "word \n" * (n % 40)}) for n in range(400)] + ["no row"] * 30
    return [
        bench.documents({"b.jsonl": "\n".join(rows), "a.txt": "first", "c.txt": "last \r\n" * 9}, source="two"),
        bench.documents({f"{n}.txt": f"text {n} " * n for n in range(60)}, source="one", max_characters=60),
        bench.documents({"empty.jsonl": ""}, source="none"),
    ]


def test_the_parts_of_a_corpus_are_what_it_is_in_one(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(corpus_tables, "GROUP", 50)
    given = many(bench)
    parameters = {"minimum_characters": 40}
    whole = bench.run("clean", parameters, documents=given)
    kept, left_out = list(stream(whole)), list(stream_exclusions(whole))
    assert len(kept) > 200 and {row.stage for row in left_out} == {"documents", "clean"}
    size = sum(len(row.text) for row in kept)
    for shards in (2, 17):
        out = bench.run("clean", {**parameters, "shards": shards}, documents=given)
        assert [path.name for path in out.iterdir()] == [path.name for path in out.glob(f"part-*-of-{shards:05}")]
        joined = [row for folder in parts.folders(out) for row in read(folder)]
        assert joined == kept == list(stream(out))
        assert list(stream_exclusions(out)) == left_out
        sizes = [sum(len(row.text) for row in read(folder)) for folder in parts.folders(out)]
        assert max(sizes) < 1.5 * size / shards + 1000
        again = bench.run("clean", {**parameters, "shards": shards}, documents=[out])
        assert list(stream(again)) == kept


def test_sources_that_lie_between_one_another_are_cut_in_one_order(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(corpus_tables, "GROUP", 5)
    one = bench.documents({f"{n:03}.txt": f"even {n} " * 9 for n in range(0, 100, 2)})
    two = bench.documents({f"{n:03}.txt": f"odd {n} " * 9 for n in range(1, 100, 2)})
    out = bench.run("clean", {"minimum_characters": 1, "shards": 4}, documents=[two, one])
    found = [[row.file for row in read(folder)] for folder in parts.folders(out)]
    assert [file for files in found for file in files] == [f"{n:03}.txt" for n in range(100)]
    assert all(15 < len(files) < 35 for files in found)


@pytest.mark.parametrize("shards", [1, 3])
def test_nothing_that_is_long_enough_is_one_error_for_all_parts(bench: Bench, shards: int) -> None:
    with pytest.raises(StageError) as caught:
        bench.run("clean", {"shards": shards}, documents=[bench.documents({"a.txt": "a", "b.txt": "b"})])
    assert (caught.value.what, caught.value.why) == ("the corpus is empty", "left out: too short (2)")
    with pytest.raises(StageError, match="the corpus is empty") as caught:
        bench.run("clean", {"shards": shards}, documents=[bench.documents({"a.jsonl": ""})])
    assert caught.value.why == "there are no texts in the files of the sources"


def test_a_stop_is_heard_between_texts(bench: Bench) -> None:
    with pytest.raises(Interrupted):
        bench.run("clean", {}, documents=[bench.documents({"a.txt": LONG})], stopped=True)


WATCHED = """
import sys
from pathlib import Path

asked = []


class Watch:
    def find_spec(self, name, path=None, target=None):
        asked.append(name)


sys.meta_path.insert(0, Watch())
from regrow.corpus.documents import Document, DocumentsWriter, stream
from regrow.corpus.tables import Stretch
from regrow.stages import clean

rows = [Document(str(n), "s", "l", "open", "f", n, n, "0", "word \\n" * n, rights="r" * (n == 3)) for n in range(9)]
first, second = Path(sys.argv[1]), Path(sys.argv[2])
with DocumentsWriter(first) as writer:
    for row in rows:
        writer.add(row)
with DocumentsWriter(second) as writer:
    for batch in Stretch(first / "documents.parquet").batches():
        clean._clean(batch, 9, writer)
assert [row.text for row in stream(second)] == ["\\n".join(["word"] * n) for n in range(2, 9)]
assert "pyarrow" in asked, "the measurement works"
assert "pandas" not in asked, "half a second of every process"
"""


def test_texts_are_written_without_a_look_for_pandas(tmp_path: Path) -> None:
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
    folders = [tmp_path / "first", tmp_path / "second"]
    done = subprocess.run([sys.executable, "-c", WATCHED, *folders], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
