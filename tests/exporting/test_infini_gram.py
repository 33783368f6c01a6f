"""A training text for infini-gram: python -m pytest tests/exporting/test_infini_gram.py

Beside their indexer and engine where these are installed (`python -m pip install infini-gram`).
"""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import numpy as np
import pytest

from regrow.exporting.infini_gram import Text, written

VOCABULARIES = [600, 65_536]


def _export(folder: Path, vocabulary: int) -> list[list[Text]]:
    """Two shards of tokens whose bytes and numbers are in different orders, with much that stands twice."""
    chance = np.random.default_rng(7)
    known = np.array([1, 2, 255, 256, 257, 300, 513, vocabulary - 1])
    again = chance.choice(known, 30)
    shards = [
        [
            Text(
                np.concatenate((chance.choice(known, int(chance.integers(0, 40))), again[: 10 * (number % 3)])),
                f"übung-{shard}.txt",
                20 * shard + number,
                {"licence": "CC0-1.0"},
            )
            for number in range(20)
        ]
        for shard in range(2)
    ]
    written(folder, shards, vocabulary=vocabulary, end_of_text=0, words=[1, 255])
    return shards


@pytest.mark.parametrize("vocabulary", VOCABULARIES)
def test_the_files_are_as_they_are_described(vocabulary: int, tmp_path: Path) -> None:
    shards = _export(tmp_path, vocabulary)
    size = 2 if vocabulary < 2**16 else 4
    for number, texts in enumerate(shards):
        data = (tmp_path / f"tokenized.{number}").read_bytes()
        wanted = b"".join(b"\xff" * size + text.tokens.astype(f"<u{size}").tobytes() for text in texts)
        assert data == wanted
        offsets = np.fromfile(tmp_path / f"offset.{number}", "<u8").tolist()
        assert [data[at : at + size] for at in offsets] == [b"\xff" * size] * len(texts)
        table = (tmp_path / f"table.{number}").read_bytes()
        width = len(table) * size // len(data)
        places = [int.from_bytes(table[at : at + width], "little") for at in range(0, len(table), width)]
        assert places == sorted(range(0, len(data), size), key=lambda at: data[at:])
        lines = (tmp_path / f"metadata.{number}").read_bytes()
        begins = np.fromfile(tmp_path / f"metaoff.{number}", "<u8").tolist()
        said = [json.loads(lines[begin:].partition(b"\n")[0]) for begin in begins]
        assert [(one["path"], one["linenum"]) for one in said] == [(text.path, text.number) for text in texts]
        counts = dict(map(int, line.split()) for line in (tmp_path / f"unigram.{number}").read_text().splitlines())
        assert sum(counts.values()) == len(data) // size
        assert counts[2 ** (8 * size) - 1] == len(texts)


@pytest.mark.parametrize("vocabulary", VOCABULARIES)
def test_their_engine_reads_it(vocabulary: int, tmp_path: Path) -> None:
    """And their indexer would have written the same table."""
    theirs = pytest.importorskip("infini_gram.engine")
    (tmp_path / "ours").mkdir()
    shards = _export(tmp_path / "ours", vocabulary)
    said = json.loads((tmp_path / "ours" / "engine.json").read_text("utf-8"))
    said["bow_ids_path"] = str(tmp_path / "ours" / said["bow_ids_path"])
    engine = theirs.InfiniGramEngine(index_dir=str(tmp_path / "ours"), **said)
    rows = [text.tokens.tolist() for texts in shards for text in texts]
    for query in ([256], [257, 300], [1, 256], [vocabulary - 1, 255], [300, 300, 2], [3]):
        count = sum(row[at : at + len(query)] == query for row in rows for at in range(len(row)))
        assert engine.count(query) == {"count": count, "approx": False}
    (low, _), _ = engine.find([257])["segment_by_shard"]
    found = engine.get_doc_by_rank(s=0, rank=low, max_disp_len=1000)
    text = shards[0][found["doc_ix"]]
    assert found["token_ids"] == text.tokens.tolist()
    assert json.loads(found["metadata"])["path"] == text.path
    if said["token_dtype"] == "u16":  # theirs wants 32 GiB of memory for wider ones
        _require_their_table(Path(theirs.__file__).with_name("rust_indexing"), tmp_path, 2)


def _require_their_table(program: Path, folder: Path, size: int) -> None:
    data, table = folder / "ours" / "tokenized.0", (folder / "ours" / "table.0").read_bytes()
    width = len(table) * size // data.stat().st_size
    parts, merged, whole = folder / "parts", folder / "merged", folder / "table"
    parts.mkdir()
    merged.mkdir()
    common = f"--ratio {width} --token-width {size} --data-file {data}"
    for command in (
        f"make-part --parts-dir {parts} --start-byte 0 --end-byte {data.stat().st_size}",
        f"merge --parts-dir {parts} --merged-dir {merged} --num-threads 1 --hacksize 100000",
        f"concat --merged-dir {merged} --merged-file {whole} --num-threads 1",
    ):
        subprocess.run([program, *command.split(), *common.split()], check=True, capture_output=True)
    assert whole.read_bytes() == table
