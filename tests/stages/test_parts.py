"""A corpus in parts: split, tokenizer, tokens, weights and what is measured of them are those of one in one part."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from regrow.corpus import encoded, tokenizer
from regrow.corpus.documents import EXCLUDED, Document, Documents, DocumentsWriter, Exclusion
from regrow.corpus.split import PARTS, Split
from regrow.corpus.tokenizer import Tokenizer
from regrow.corpus.tokens import TokenShards
from regrow.errors import StageError
from regrow.formats import parts
from regrow.stages import split as splitting
from regrow.store import tree_digest

from .conftest import Bench

ARCHITECTURE = {"layers": 1, "width": 16, "heads": 2, "context": 24}
TRAIN = {"tokens": 24 * 4 * 12, "micro_batch": 2, "micro_batches_per_step": 2, "validate_every": 5, "snapshots": 0}


def document(number: int, text: str) -> Document:
    return Document(f"{number:064x}", "s", "CC0-1.0", "open", "a.txt", number, number + 1, "0" * 64, text)


def laid(folder: Path, cuts: Sequence[int], documents: Sequence[Document], excluded: Sequence[Exclusion] = ()) -> Path:
    """An artifact of documents in parts, which end before the documents of these numbers."""
    borders = [0, *cuts, len(documents)]
    for number, (start, end) in enumerate(pairwise(borders)):
        with DocumentsWriter(parts.made(folder, number, len(borders) - 1)) as writer:
            for one in documents[start:end]:
                writer.add(one)
            for lost in excluded if number == 0 else ():
                writer.exclude(lost)
    return folder


def joined(split: Path, part: Any) -> list[Document]:
    return [one for folder in parts.folders(split) for one in Split(folder).documents(part)]


@pytest.fixture(scope="module")
def both(tiny: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Path], dict[str, Path]]:
    """All stages that follow on the texts of the tiny example, in one part and in four, of which one is empty."""
    bench, given = Bench(tmp_path_factory.mktemp("parts")), Documents.open(tiny["deduplicate"])
    made = []
    for name, cuts in (("one", []), ("four", [7, 7, 41])):
        one = {"documents": laid(bench.root / name, cuts, given.kept, given.excluded)}
        one["split"] = bench.run("split", {"validation": 0.1}, documents=one["documents"])
        one["tokenizer"] = bench.run("tokenizer", {"vocabulary": 400}, split=one["split"])
        one["tokenize"] = bench.run("tokenize", {}, split=one["split"], tokenizer=one["tokenizer"])
        fed = {"tokens": one["tokenize"], "tokenizer": one["tokenizer"]}
        one["pretrain"] = bench.run("pretrain", {"architecture": ARCHITECTURE, "train": TRAIN}, **fed)
        asked = {"prompts": ["The"], "sample_tokens": 4}
        one["evaluate"] = bench.run("evaluate", asked, weights=one["pretrain"], **fed)
        made.append(one)
    return made[0], made[1]


def test_the_same_documents_are_held_out(both: tuple[dict[str, Path], dict[str, Path]]) -> None:
    one, four = both
    assert [path.name for path in sorted(four["split"].iterdir())] == [f"part-0000{i}-of-00004" for i in range(4)]
    for part in PARTS:
        assert joined(one["split"], part) == joined(four["split"], part) != []
    assert joined(four["split"], "train") == sorted(joined(four["split"], "train"), key=lambda one: one.position)
    first = parts.folders(four["split"])[0]
    assert (first / EXCLUDED).read_bytes() == (one["split"] / EXCLUDED).read_bytes()


def test_the_same_tokenizer_is_learnt(both: tuple[dict[str, Path], dict[str, Path]]) -> None:
    assert tree_digest(both[0]["tokenizer"]) == tree_digest(both[1]["tokenizer"])


def test_the_tokens_are_the_same_row(both: tuple[dict[str, Path], dict[str, Path]]) -> None:
    one, four = (TokenShards.open(made["tokenize"]) for made in both)
    assert len(four.folders) == 4
    assert one.validation_bytes == four.validation_bytes
    for part in PARTS:
        assert one.read(part).tolist() == four.read(part).tolist()
        every = np.arange(one.documents(part))
        assert one.ids(part, every) == four.ids(part, every)
    border = four.counts["train"][0]
    straddling = border // 24
    assert straddling * 24 < border < straddling * 24 + 25
    assert four.sequences("train", [straddling], 24).tokens.equal(one.sequences("train", [straddling], 24).tokens)


def test_the_same_model_is_trained_and_measured(both: tuple[dict[str, Path], dict[str, Path]]) -> None:
    """Weights, every loss, the chain of hashes, and what is measured and written, bit for bit."""
    one, four = both
    assert tree_digest(one["pretrain"]) == tree_digest(four["pretrain"])
    assert tree_digest(one["evaluate"]) == tree_digest(four["evaluate"])


@settings(max_examples=15)
@given(
    count=st.integers(2, 24),
    share=st.sampled_from([1e-9, 0.02, 0.3, 0.5]),
    cuts=st.lists(st.integers(0, 24), max_size=4),
)
def test_however_it_is_cut_the_same_are_held_out(
    tmp_path_factory: pytest.TempPathFactory, count: int, share: float, cuts: list[int]
) -> None:
    """At least one is held out, and not all: what a hash of the id says of each decides among all, not in a part."""
    documents = [document(number, f"text {number}") for number in range(count)]
    bench = Bench(tmp_path_factory.mktemp("split"))
    borders = sorted(min(cut, count) for cut in cuts)
    split = bench.run("split", {"validation": share}, documents=laid(bench.root / "in", borders, documents))
    chances = sorted((splitting._chance(one.id), one.id) for one in documents)
    expected = {one for chance, one in chances if chance < splitting._threshold(share)}
    expected = expected or {chances[0][1]}
    expected = expected if len(expected) < count else {one for _, one in chances[:-1]}
    assert {one.id for one in joined(split, "validation")} == expected
    assert joined(split, "train") == [one for one in documents if one.id not in expected]


def test_all_but_one_may_be_held_out(bench: Bench) -> None:
    documents = [document(number, "t") for number in range(60)]
    chosen = [one for one in documents if splitting._chance(one.id) < splitting._threshold(0.5)]
    split = bench.run("split", {"validation": 0.5}, documents=laid(bench.root / "in", [1], chosen[:4]))
    assert (len(joined(split, "validation")), len(joined(split, "train"))) == (3, 1)


@pytest.mark.parametrize(("count", "what"), [(0, "the corpus is empty"), (1, "the corpus is a single document")])
def test_what_parts_together_do_not_have_is_told(bench: Bench, count: int, what: str) -> None:
    documents = [document(number, "t") for number in range(count)]
    lost = [replace(document(9, "x").excluded("clean", "too short"), id=f"{number:064x}") for number in range(3)]
    with pytest.raises(StageError, match=what) as caught:
        bench.run("split", {}, documents=laid(bench.root / "in", [0, 0], documents, lost))
    assert "left out before: too short (3)" in caught.value.why
    assert caught.value.where == ("a.txt:0-1" if count else "")


def test_a_sample_is_learnt_from_whatever_the_parts(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of many documents some, by a hash of their ids; the same for one part and for three, in canonical order."""
    seen: list[list[str]] = []
    learn = tokenizer.learn

    def watched(texts: Any, vocabulary: int) -> Any:
        seen.append([*texts])
        return learn(seen[-1], vocabulary)

    monkeypatch.setattr(tokenizer, "learn", watched)
    documents = [document(number, f"word{number} " * 1200) for number in range(400)]
    size = sum(len(one.text) for one in documents)
    digests = []
    for cuts in ([], [100, 101]):
        split = bench.root / f"split-{len(cuts)}"
        for number, (start, end) in enumerate(zip([0, *cuts], [*cuts, 400], strict=True)):
            folder = parts.made(split, number, len(cuts) + 1)
            Split.write(folder, {"train": documents[start:end], "validation": []}, [])
        made = bench.run("tokenizer", {"vocabulary": 300, "sample_bytes": 1 << 20}, split=split)
        digests.append(tree_digest(made))
    assert digests[0] == digests[1]
    assert seen[0] == seen[1] == [one.text for one in documents if one.text in {*seen[0]}]
    assert 0.95 * (1 << 20) < sum(map(len, seen[0])) <= 1 << 20 < size


def test_one_document_is_learnt_from_however_large(bench: Bench) -> None:
    split = bench.root / "split"
    split.mkdir()
    Split.write(split, {"train": [document(1, "abcd efgh " * 200_000)], "validation": []}, [])
    assert bench.run("tokenizer", {"vocabulary": 262, "sample_bytes": 1 << 20}, split=split)


@given(st.text(st.sampled_from("ab'sS0 1\n\t .,\u00e9\u0301\u4e00\u2019"), max_size=80), st.integers(1, 12))
def test_a_text_in_pieces_makes_the_tokens_of_the_whole(tiny: dict[str, Path], text: str, size: int) -> None:
    library = Tokenizer.open(tiny["tokenizer"])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tokenizer, "_PIECE", size)
        cut = [*library.pieces(text)]
    assert "".join(cut) == text
    assert [token for row in library.documents(cut) for token in row] == library.documents([text])[0]


def test_long_documents_are_cut_for_the_library(
    bench: Bench, tiny: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []
    documents = Tokenizer.documents

    def watched(self: Tokenizer, texts: Sequence[str]) -> list[list[int]]:
        asked.append(sum(map(len, texts)))
        return documents(self, texts)

    split = bench.root / "split"
    split.mkdir()
    long = " ".join(f"word{number} and" for number in range(200_000))
    Split.write(split, {"train": [document(1, "one"), document(2, long), document(3, "two")], "validation": []}, [])
    monkeypatch.setattr(Tokenizer, "documents", watched)
    tokens = TokenShards.open(bench.run("tokenize", {}, split=split, tokenizer=tiny["tokenizer"]))
    assert len(asked) > 2 and max(asked) < 3 * 2**19
    library = Tokenizer.open(tiny["tokenizer"])
    assert library.letters([tokens.read("train").tolist()]) == [f"one<|endoftext|>{long}<|endoftext|>two<|endoftext|>"]


def test_of_much_held_out_text_some_is_measured(
    both: tuple[dict[str, Path], dict[str, Path]], bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Evenly spread sequences, the bytes that their tokens say, and a unigram model of the same tokens."""
    made, told = both[1], list[Any]()
    shards = TokenShards.open(made["tokenize"])
    whole = shards.windows("validation", 24)
    most = whole // 3
    monkeypatch.setattr("tests.stages.conftest.Quiet.emit", lambda self, event, **fields: told.append((event, fields)))
    asked = {"prompts": [], "validation_tokens": most * 24 + 5}
    out = bench.run("evaluate", asked, weights=made["pretrain"], tokens=made["tokenize"], tokenizer=made["tokenizer"])
    found = json.loads((out / "evaluation.json").read_text())
    rows = [number * whole // most for number in range(most)]
    tokens = shards.sequences("validation", rows, 24).tokens[:, 1:].flatten().tolist()
    said = Tokenizer.open(made["tokenizer"]).bytes
    assert found["validation"]["sequences"] == {"measured": most, "held_out": whole}
    assert found["validation"]["tokens"] == len(tokens) == most * 24
    assert found["validation"]["bytes"] == sum(len(said[token]) for token in tokens if token)
    assert any(f"{most:,} of {whole:,} held-out sequences" in str(fields) for _, fields in told)
    everything = json.loads((made["evaluate"] / "evaluation.json").read_text())
    assert "sequences" not in everything["validation"]
    for name in ("validation", "unigram"):
        assert 0.8 < found[name]["bits_per_byte"] / everything[name]["bits_per_byte"] < 1.25


PEAK = """
import sys
from pathlib import Path
import pyarrow.parquet, pyarrow.compute, tokenizers, numpy
from tests.stages.conftest import Bench

def peak():
    return int(Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0]) * 1024

bench = Bench(Path(sys.argv[1]))
before = peak()
split = bench.run("split", {}, documents=bench.root / "documents")
bench.run("tokenizer", {"vocabulary": 300, "sample_bytes": 1 << 20}, split=split)
print(peak() - before)
"""
ROOT = Path(__file__).parents[2]


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="Linux says how much memory was used")
def test_memory_does_not_grow_with_the_text(tmp_path: Path) -> None:
    """All of it at once would be four bytes and more for each byte of 160 MB."""
    line = "".join(f"word{number % 1000} " for number in range(1200))
    texts = (document(number, f"{number} {line}") for number in range(16_000))
    with DocumentsWriter(parts.made(tmp_path / "documents", 0, 1)) as writer:
        for one in texts:
            writer.add(one)
    done = subprocess.run([sys.executable, "-c", PEAK, tmp_path], cwd=ROOT, capture_output=True, text=True, check=True)
    assert int(done.stdout) < 250e6


COUNTED = """
import sys
from pathlib import Path
from regrow.corpus.tokens import TokenShards
from regrow.stages.evaluate import counts, unigram_bits

def peak():
    return int(Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0]) * 1024

shards = TokenShards.open(Path(sys.argv[1]))
import regrow.exact.polynomials, numpy as np
shards.is_packed("train")
before = peak()
bits = unigram_bits(shards, counts([np.array([1, 2])], shards.vocabulary))
print(peak() - before, bits)
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="Linux says how much memory was used")
def test_frequencies_are_counted_some_at_a_time(tmp_path: Path) -> None:
    """To count all tokens at once takes ten bytes for each: after days of training there may be no room for them."""
    count = 24 << 20
    encoded.write(tmp_path, {"train": [], "validation": []}, vocabulary=300, end_of_text=0)
    np.ones(count, "<u2").tofile(tmp_path / "train.bin")
    facts = json.loads((tmp_path / "tokens.json").read_text())
    (tmp_path / "tokens.json").write_text(json.dumps({**facts, "train_tokens": count}))
    done = subprocess.run([sys.executable, "-c", COUNTED, tmp_path], capture_output=True, text=True, check=True)
    grown, bits = done.stdout.split()
    assert int(grown) < 2 * count
    assert float(bits) == pytest.approx(np.log2((count + 300) / (count + 1)) + np.log2(count + 300))
