"""Rows of tokens: in however many parts they lie, and wherever, they are one row."""

from __future__ import annotations

import os
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from regrow.corpus import encoded
from regrow.corpus.encoded import Encoded
from regrow.corpus.flat import Flat
from regrow.corpus.tokens import TokenShards
from regrow.errors import StageError
from regrow.formats import parts
from regrow.store import tree_digest

CONTEXT = 6

TEXT = st.builds(lambda tokens: (tokens, None, None), st.lists(st.integers(1, 99), max_size=20))
TALK = st.integers(2, 9).flatmap(
    lambda length: st.tuples(
        st.lists(st.integers(1, 99), min_size=length, max_size=length),
        st.lists(st.booleans(), min_size=length, max_size=length),
        st.none() | st.integers(1, length - 1),
    )
)


def documents(rows: list[tuple[Any, ...]], start: int = 0) -> list[Encoded]:
    return [Encoded(f"d{start + place}", *row, size=len(row[0])) for place, row in enumerate(rows)]


def written(folder: Path, *rows: list[tuple[Any, ...]]) -> TokenShards:
    """The same documents for both parts of the split, in as many parts as there are lists."""
    start = 0
    for number, some in enumerate(rows):
        both = {part: documents(some, start) for part in ("train", "validation")}
        encoded.write(parts.made(folder, number, len(rows)), both, vocabulary=100, end_of_text=0)
        start += len(some)
    return TokenShards.open(folder)


def told(shards: TokenShards) -> list[Any]:
    """Everything that training and measuring ask of tokens."""
    count = shards.windows("train", CONTEXT)
    batch = shards.sequences("train", range(count), CONTEXT) if count else ()
    facts: list[Any] = [shards.validation_bytes, shards.tokens("train"), shards.pairs("train"), count]
    facts += [None if one is None else one.tolist() for one in batch]
    facts += [shards.read("train").tolist(), shards.learnt("train").tolist(), shards.is_packed("train")]
    facts += [[token for some in shards.spoken("train") for token in some.tolist()]]
    every = np.arange(shards.documents("train"))
    facts += [shards.ids("train", every), shards.ids("train", every[1::2])]
    if shards.is_packed("train"):
        facts += [shards.packing("train", CONTEXT, pairs=True).left_out.tolist(), shards.shortest("train")]
        facts += [shards.learnt_of("train", document).tolist() for document in every.tolist()]
    return facts


@given(st.lists(TEXT | TALK, min_size=1, max_size=12), st.lists(st.integers(0, 12), max_size=3))
def test_in_parts_it_is_the_same_row(rows: list[tuple[Any, ...]], cuts: list[int]) -> None:
    borders = [0, *sorted(min(cut, len(rows)) for cut in cuts), len(rows)]
    pieces = [rows[start:end] for start, end in pairwise(borders)]
    with TemporaryDirectory() as folder:
        whole, cut = written(Path(folder, "whole"), rows), written(Path(folder, "cut"), *pieces)
        assert told(whole) == told(cut)
        row, learnt = whole.read("train"), whole.learnt("train")
        for start in range(0, len(row), 5):
            assert cut.read("train", start, start + 7).tolist() == row[start : start + 7].tolist()
            stop = min(len(row), start + 7)
            assert cut.learnt("train", start, stop).tolist() == learnt[start:stop].tolist()


def test_windows_lie_across_the_borders_of_parts(tmp_path: Path) -> None:
    """Parts of one, five and no tokens: a window has tokens of four of them."""
    rows = [[([], None, None)], [([1, 2, 3, 4], None, None)], [], [([5, 6, 7, 8, 9], None, None)]]
    shards = written(tmp_path, *rows)
    assert shards.sequences("train", [0], 8).tokens.tolist() == [[0, 1, 2, 3, 4, 0, 5, 6, 7]]
    assert shards.batch(1, 1, 3, 3).shape == (3, 4)


def test_a_part_without_conversations_among_others(tmp_path: Path) -> None:
    talk = ([1, 2, 3], [False, True, True], None)
    shards = written(tmp_path, [([7, 8], None, None)], [talk])
    assert not (shards.folders[0] / "train.learnt").exists()
    assert shards.learnt("train").tolist() == [True, True, True, False, True, True]
    assert "learnt" not in pq.read_schema(shards.folders[0] / "train.documents.parquet").names


@pytest.mark.parametrize("count", [0, 4096, 9000])
def test_the_table_is_that_of_all_rows_at_once(tmp_path: Path, count: int) -> None:
    """Row groups of 4096, and no column that is empty."""
    from regrow.formats import parquet

    both = {"train": (Encoded(f"d{i}", [1]) for i in range(count)), "validation": ()}
    encoded.write(tmp_path, both, vocabulary=10, end_of_text=0)
    table = pq.read_table(tmp_path / "train.documents.parquet")
    assert table.column_names == ["id", "start", "end"]
    parquet.write(tmp_path / "at-once.parquet", table, rows_in_group=4096)
    assert (tmp_path / "at-once.parquet").read_bytes() == (tmp_path / "train.documents.parquet").read_bytes()
    assert sorted(path.suffix for path in tmp_path.iterdir()) == [".bin", ".bin", ".json", *[".parquet"] * 3]


def test_a_row_that_is_cut_short_is_named(tmp_path: Path) -> None:
    shards = written(tmp_path, [([1, 2, 3], None, None)], [([4, 5, 6], None, None)])
    path = shards.folders[1] / "train.bin"
    os.truncate(path, 4)
    assert shards.read("train", 0, 5).tolist() == [1, 2, 3, 0, 4]
    with pytest.raises(StageError, match=r"train\.bin ends before its last number") as caught:
        shards.read("train", 5, 8)
    assert (caught.value.where, caught.value.why) == (str(path), "it should have 8 bytes")


def test_parts_of_different_tokenizers_are_refused(tmp_path: Path) -> None:
    for number, vocabulary in enumerate((10, 11)):
        both = {"train": [], "validation": []}
        encoded.write(parts.made(tmp_path, number, 2), both, vocabulary=vocabulary, end_of_text=0)
    with pytest.raises(StageError, match="part-00001-of-00002 has the tokens of another tokenizer"):
        TokenShards.open(tmp_path)


def test_a_damaged_write_leaves_no_table(tmp_path: Path) -> None:
    def broken() -> Any:
        yield Encoded("a", [1])
        raise KeyError

    with pytest.raises(KeyError):
        encoded.write(tmp_path, {"train": broken(), "validation": []}, vocabulary=10, end_of_text=0)
    assert not (tmp_path / "train.documents.parquet").exists()
    encoded.write(tmp_path, {"train": [], "validation": []}, vocabulary=10, end_of_text=0)
    assert len(tree_digest(tmp_path)) == 64


@pytest.mark.skipif(not Path("/proc/self/io").exists(), reason="Linux says what is read from the disk")
def test_a_window_costs_the_pages_that_it_lies_on(tmp_path: Path) -> None:
    """What is mapped is read in a hundred pages around each page."""
    path, count = tmp_path / "row.bin", 16 << 20
    path.write_bytes(bytes(2 * count))
    with path.open("rb") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    row, windows = Flat((path,), (count,), np.dtype("<u2")), 60

    def read() -> int:
        return int(Path("/proc/self/io").read_text().partition("\nread_bytes: ")[2].split()[0])

    before = read()
    for window in range(windows):
        row.read(window * (count // windows) + 100_000, window * (count // windows) + 100_257)
    assert read() - before <= windows * 3 * 4096
