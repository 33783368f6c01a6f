"""``tokenizer`` and ``tokenize``."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer

from regrow.corpus.documents import read_documents
from regrow.corpus.tokenizer import END_OF_TEXT
from regrow.errors import Interrupted, StageError
from regrow.stages import tokenize
from regrow.store.digest import tree_digest

from .conftest import Bench

TRAIN = """
import sys
from pathlib import Path
from tests.stages.conftest import Bench
print(Bench(Path(sys.argv[2])).run("tokenizer", {"vocabulary": 512}, split=Path(sys.argv[1])))
"""
ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    "settings",
    [
        {"PYTHONHASHSEED": "0", "RAYON_NUM_THREADS": "1"},
        {"PYTHONHASHSEED": "1", "RAYON_NUM_THREADS": "2"},
        {"PYTHONHASHSEED": "2", "TOKENIZERS_PARALLELISM": "false"},
        {"PYTHONHASHSEED": "3", "TOKENIZERS_PARALLELISM": "true", "RAYON_NUM_THREADS": "7"},
        {"LC_ALL": "C", "TZ": "Pacific/Auckland"},
    ],
)
def test_the_same_tokenizer_in_every_process(tiny: dict[str, Path], tmp_path: Path, settings: dict[str, str]) -> None:
    environment = {**os.environ, **settings}
    command = [sys.executable, "-c", TRAIN, tiny["split"], tmp_path]
    done = subprocess.run(command, env=environment, cwd=ROOT, check=True, capture_output=True, text=True)
    output, names = Path(done.stdout.strip()), ["special_tokens_map.json", "tokenizer.json", "tokenizer_config.json"]
    assert sorted(path.name for path in output.iterdir()) == names
    for name in names:
        assert (output / name).read_bytes() == (tiny["tokenizer"] / name).read_bytes()


def test_ties_are_settled_the_same_way_each_time(bench: Bench, tmp_path: Path) -> None:
    """A text in which every pair of letters occurs equally often: what is merged first is a matter of rules alone."""
    letters = "abcdefghijklmnop"
    split = bench.split({"a.txt": " ".join(one + other for one in letters for other in letters) * 2, "b.txt": "b"}, 0.0)
    digests = set()
    for turn in range(8):
        out = bench.run("tokenizer", {"vocabulary": 330}, split=split)
        digests.add(hashlib.sha256((out / "tokenizer.json").read_bytes()).hexdigest())
        assert len(digests) == 1, turn


def test_special_token_bytes_and_size(tiny: dict[str, Path]) -> None:
    tokenizer = Tokenizer.from_file(str(tiny["tokenizer"] / "tokenizer.json"))
    assert tokenizer.get_vocab_size() == 512
    assert tokenizer.token_to_id(END_OF_TEXT) == 0
    assert len([token for token in tokenizer.get_vocab() if len(token) == 1]) == 256
    assert tokenizer.encode("the").ids != tokenizer.encode("th").ids


@given(st.text())
def test_any_text_survives(tiny: dict[str, Path], text: str) -> None:
    tokenizer = Tokenizer.from_file(str(tiny["tokenizer"] / "tokenizer.json"))
    tokenizer.encode_special_tokens = True
    assert tokenizer.decode(tokenizer.encode(text, add_special_tokens=False).ids, skip_special_tokens=False) == text


def test_a_vocabulary_that_is_too_large_says_what_is_possible(bench: Bench) -> None:
    split = bench.split({"a.txt": "low lower lowest", "b.txt": "newer newest"}, 0.0)
    with pytest.raises(StageError, match="a vocabulary of 4096 tokens is more than the text allows") as caught:
        bench.run("tokenizer", {"vocabulary": 4096}, split=split)
    most = int(caught.value.hint.split("to ")[1].split()[0])
    assert 257 < most < 280
    out = bench.run("tokenizer", {"vocabulary": most}, split=split)
    assert Tokenizer.from_file(str(out / "tokenizer.json")).get_vocab_size() == most
    with pytest.raises(StageError, match=f"vocabulary of {most + 1} tokens"):
        bench.run("tokenizer", {"vocabulary": most + 1}, split=split)


@pytest.mark.parametrize("unit", ["acbdbaddcbcabdaccdba", "-", "1", "\u4e00\u4e8c\u4e09"])
def test_a_word_without_end(bench: Bench, unit: str) -> None:
    """The library needs the square of a word's length: hours for these, if nobody cuts them."""
    text = "x" + unit * (200_000 // len(unit)) + "y"
    split = bench.split({"a.txt": text, "b.txt": "some more words, some more words"}, 0.0)
    tokenizer = bench.run("tokenizer", {"vocabulary": 262}, split=split)
    assert json.loads((tokenizer / "tokenizer.json").read_text())["pre_tokenizer"]["type"] == "ByteLevel"
    tokens = bench.run("tokenize", {}, split=split, tokenizer=tokenizer)
    assert len(np.fromfile(tokens / "train.bin", "<u2")) < len(text.encode())


def test_how_many_documents_are_taken_at_once_changes_nothing(
    bench: Bench, tiny: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tokenize, "_BATCH", 1000)
    out = bench.run("tokenize", {}, split=tiny["split"], tokenizer=tiny["tokenizer"])
    assert tree_digest(out) == tree_digest(tiny["tokenize"])


def test_transformers_loads_it_and_agrees(tiny: dict[str, Path]) -> None:
    transformers = pytest.importorskip("transformers")
    loaded = transformers.AutoTokenizer.from_pretrained(tiny["tokenizer"])
    ours = Tokenizer.from_file(str(tiny["tokenizer"] / "tokenizer.json"))
    for document in read_documents(tiny["split"] / "train.parquet")[:40]:
        ids = ours.encode(document.text, add_special_tokens=False).ids
        assert loaded(document.text)["input_ids"] == ids
        assert loaded.decode(ids) == document.text
    assert (loaded.eos_token_id, loaded.bos_token_id, len(loaded)) == (0, 0, 512)
    assert loaded.decode([*loaded("a b").input_ids, 0], skip_special_tokens=True) == "a b"


def test_the_row_of_tokens_is_the_documents_in_order(tiny: dict[str, Path]) -> None:
    tokenizer = Tokenizer.from_file(str(tiny["tokenizer"] / "tokenizer.json"))
    facts = json.loads((tiny["tokenize"] / "tokens.json").read_text())
    for part in ("train", "validation"):
        row = np.fromfile(tiny["tokenize"] / f"{part}.bin", "<u2")
        places = pq.read_table(tiny["tokenize"] / f"{part}.documents.parquet").to_pylist()
        documents = read_documents(tiny["split"] / f"{part}.parquet")
        assert [place["id"] for place in places] == [document.id for document in documents]
        assert [place["start"] for place in places] == [0, *(place["end"] for place in places[:-1])]
        assert places[-1]["end"] == len(row) == facts[f"{part}_tokens"]
        for place, document in zip(places, documents, strict=True):
            *ids, last = row[place["start"] : place["end"]].tolist()
            assert (tokenizer.decode(ids, skip_special_tokens=False), last) == (document.text, 0)
    texts = [document.text for document in read_documents(tiny["split"] / "validation.parquet")]
    assert facts["validation_bytes"] == len("".join(texts).encode())
    assert {name: facts[name] for name in ("dtype", "vocabulary", "end_of_text")} == {
        "dtype": "uint16", "vocabulary": 512, "end_of_text": 0,
    }  # fmt: skip


def test_a_text_about_the_special_token_does_not_become_it(bench: Bench, tiny: dict[str, Path]) -> None:
    text = f"The token {END_OF_TEXT} ends a text.{END_OF_TEXT}"
    split = bench.split({"a.txt": text, "b.txt": "other"}, 0.0)
    out = bench.run("tokenize", {}, split=split, tokenizer=tiny["tokenizer"])
    row = np.fromfile(out / "train.bin", "<u2").tolist()
    assert (row.count(0), row[-1]) == (2, 0)  # one after each of the two documents, and none within


def test_a_tokenizer_trained_on_the_special_token_is_whole(bench: Bench) -> None:
    split = bench.split({"a.txt": f"{END_OF_TEXT} " * 50, "b.txt": "other"}, 0.0)
    out = bench.run("tokenizer", {"vocabulary": 262}, split=split)
    tokens = bench.run("tokenize", {}, split=split, tokenizer=out)
    assert np.fromfile(tokens / "train.bin", "<u2").tolist().count(0) == 2


def test_large_vocabularies_get_larger_numbers(bench: Bench, tiny: dict[str, Path], tmp_path: Path) -> None:
    data = json.loads((tiny["tokenizer"] / "tokenizer.json").read_text())
    data["model"]["vocab"] |= {f"unused{n}": 512 + n for n in range(70_000)}
    (tmp_path / "big").mkdir()
    (tmp_path / "big" / "tokenizer.json").write_text(json.dumps(data))
    out = bench.run("tokenize", {}, split=tiny["split"], tokenizer=tmp_path / "big")
    assert json.loads((out / "tokens.json").read_text())["dtype"] == "uint32"
    wide, narrow = np.fromfile(out / "train.bin", "<u4"), np.fromfile(tiny["tokenize"] / "train.bin", "<u2")
    assert wide.tolist() == narrow.tolist()


def test_a_tokenizer_that_loses_text_is_noticed(bench: Bench, tiny: dict[str, Path], tmp_path: Path) -> None:
    data = json.loads((tiny["tokenizer"] / "tokenizer.json").read_text())
    data["normalizer"] = {"type": "Lowercase"}
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "tokenizer.json").write_text(json.dumps(data))
    with pytest.raises(StageError, match="do not say what it says"):
        bench.run("tokenize", {}, split=tiny["split"], tokenizer=tmp_path / "bad")


def test_without_validation_documents(bench: Bench, tiny: dict[str, Path]) -> None:
    out = bench.run("tokenize", {}, split=bench.split({"a.txt": "hello"}, 0.0), tokenizer=tiny["tokenizer"])
    facts = json.loads((out / "tokens.json").read_text())
    assert (facts["validation_tokens"], facts["validation_bytes"]) == (0, 0)
    assert (out / "validation.bin").read_bytes() == b""
    with pytest.raises(StageError, match="there is no text to measure the model on"):
        bench.run("evaluate", {}, tokens=out, weights=bench.root, tokenizer=tiny["tokenizer"])


def test_a_stop_is_heard(bench: Bench, tiny: dict[str, Path]) -> None:
    with pytest.raises(Interrupted):
        bench.run("tokenize", {}, split=tiny["split"], tokenizer=tiny["tokenizer"], stopped=True)
