"""An index of tokens finds all there is, and nothing else. python -m pytest tests/corpus/test_suffixes.py"""

import re
import subprocess
import sys
from itertools import takewhile
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from regrow.corpus import suffixes
from regrow.corpus.lookup import Lookup
from regrow.corpus.order import place_of, step_windows, steps_of, window_at
from regrow.corpus.suffixes import Index, build, describe, ranges, restore, restored_rows, sorted_places, stretches
from regrow.errors import StageError


def indexed(row, ends, vocabulary, most, folder):
    """The index of a row, and its stretches."""
    shards = stretches(np.array(ends, np.int64), most)
    for number, (begin, end) in enumerate(shards):
        build(folder, row[begin:end], begin, number, vocabulary)
    describe(folder, shards)
    return Index.open(folder, [read_only(row)]), shards


def read_only(row):
    """A row as one that is mapped from a file, for which kernels are compiled in any case."""
    row = row.view()
    row.flags.writeable = False
    return row


@st.composite
def rows(draw):
    vocabulary = draw(st.integers(1, 6))
    row = draw(st.lists(st.integers(0, vocabulary - 1), min_size=1, max_size=60))
    ends = sorted({*draw(st.lists(st.integers(1, len(row)), max_size=6)), len(row)})
    return np.array(row, draw(st.sampled_from(["<u2", "<u4"]))), ends, vocabulary, draw(st.integers(1, 40))


@settings(max_examples=60, deadline=None)
@given(rows(), st.lists(st.integers(0, 5), min_size=1, max_size=4))
def test_all_places_are_found(given, query):
    row, ends, vocabulary, most = given
    query = [token % vocabulary for token in query]
    with TemporaryDirectory() as folder:
        index, shards = indexed(row, ends, vocabulary, most, Path(folder))
        assert shards[0][0] == 0
        assert [end for _, end in shards] == [*[begin for begin, _ in shards[1:]], len(row)]
        assert all(end in ends and (end - begin <= most or not _cut(ends, begin, end)) for begin, end in shards)
        wanted = _places(row.tolist(), query, shards)
        assert sorted(index.places([*ranges(index.find(query))])) == wanted
        assert index.count(query) == len(wanted)
        lengths = [length for length in range(1, len(query) + 1) if _places(row.tolist(), query[:length], shards)]
        assert index.longest(query, query[:1], [0], [len(query)]) == [max(lengths, default=0)]
        assert index.unigrams.tolist() == np.bincount(row, minlength=vocabulary).tolist()


def _cut(ends, begin, end):
    return any(begin < one < end for one in ends)


def _places(row, query, shards):
    return [
        place
        for begin, end in shards
        for place in range(begin, end - len(query) + 1)
        if row[place : place + len(query)] == query
    ]


PIECES = [b"a", b"b", b"A", b" ", b"\n", b" a", b"ab", b" ab", b"Ba", b"\n\n", b"a b", b"\xc3", b"\x89", b"\xa9", b""]


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.integers(0, len(PIECES) - 1), min_size=1, max_size=90),
    st.text("aAbB \nÉé", min_size=1, max_size=6),
    st.booleans(),
    st.booleans(),
)
def test_any_string_is_found_wherever_it_stands(tokens, query, case, blanks):
    """Counted against the text itself: every place at which a folded text begins a folded query, at a letter of it."""
    row = np.array(tokens, "<u2")
    with TemporaryDirectory() as folder:
        index, _ = indexed(row, [len(row)], len(PIECES), 100, Path(folder))
        lookup = Lookup(index, PIECES, case, blanks)
        assert lookup.count(query) == _count(tokens, query.encode(), case, blanks)
        assert Lookup(index, PIECES).count(query) == _count(tokens, query.encode(), False, False)


def _count(tokens, query, case, blanks):
    """By brute force over pairs of a token and a place in what it says, folded."""
    said = [_fold(PIECES[token], case, blanks) for token in tokens]
    query, found = _fold(query, case, blanks), 0
    for number, piece in enumerate(said):
        for place in range(len(piece)):
            text = piece[place:]
            for more in takewhile(bool, said[number + 1 :]):  # a special token ends a text
                text = (text + more).replace(b"  ", b" ") if blanks else text + more
            found += text.startswith(query)
    return found


def _fold(data, case, blanks):
    if case:
        try:
            data = data.decode().lower().encode()
        except UnicodeDecodeError:
            data = data.lower()
    return re.sub(rb"[ \n]+", b" ", data) if blanks else data


def test_many_places_are_found_by_bisection():
    """More places than are looked at one by one."""
    row = np.array([0, 5, 1, 3] * 500 + [0, 5, 2], "<u2")
    with TemporaryDirectory() as folder:
        index, _ = indexed(row, [len(row)], len(PIECES), 10**6, Path(folder))
        assert Lookup(index, PIECES).count("a ab ") == 500
        assert Lookup(index, PIECES, case=True, blanks=True).count("A A") == 501
        assert Lookup(index, PIECES).count("") == 0


@pytest.mark.parametrize("count", [1, 2, 5, 64, 1000])
def test_the_order_can_be_undone(count):
    places = np.arange(count)
    for epoch in (0, 3):
        windows = window_at(7, epoch, places, count)
        assert place_of(7, epoch, windows, count).tolist() == places.tolist()
    steps = [step_windows(7, step, 3, count).tolist() for step in range(1, 41)]
    asked = [0, count // 2, count - 1]
    seen = [sorted(step for step, there in enumerate(steps, 1) for one in there if one == window) for window in asked]
    assert steps_of(7, asked, 3, count, 40) == seen
    assert steps_of(7, [], 3, count, 40) == []


def repetitive(kind: str, dtype: str) -> np.ndarray:
    """Rows in which much stands twice, or many times, or all the time."""
    chance = np.random.default_rng(3)
    text = chance.integers(0, 500, 4000)
    found = {
        "one token": np.full(5000, 7),
        "two tokens": np.tile([9, 4], 2500),
        "a text again and again": np.tile(text[:700], 12),
        "nearly the same text": np.concatenate([np.where(chance.random(900) < 0.01, 3, text[:900]) for _ in range(9)]),
        "words": text[np.concatenate([np.arange(at, at + 5) for at in chance.integers(0, 3900, 3000)])],
        "falling": np.arange(499, -1, -1),
        "rising": np.arange(500),
    }
    return found[kind].astype(dtype)


@pytest.mark.parametrize("dtype", ["<u2", "<u4"])
@pytest.mark.parametrize(
    "kind",
    ["one token", "two tokens", "a text again and again", "nearly the same text", "words", "falling", "rising"],
)
def test_the_order_is_that_of_libdivsufsort(kind, dtype):
    divsufsort = pytest.importorskip("pydivsufsort").divsufsort
    row = repetitive(kind, dtype)
    theirs = divsufsort(row.astype(row.dtype.newbyteorder(">")).view(np.uint8))
    starts = np.concatenate(([0], np.cumsum(np.bincount(row, minlength=500))))
    theirs = theirs[theirs % row.itemsize == 0] // row.itemsize
    assert sorted_places(row, starts).tolist() == theirs.tolist()


def test_a_table_of_places_holds_the_row(tmp_path):
    row, ends = repetitive("words", "<u2"), [4000, 9000, 15000]
    indexed(row, ends, 500, 6000, tmp_path)
    restore(tmp_path)
    assert np.concatenate(restored_rows(tmp_path)).tolist() == row.tolist()


def test_an_index_that_does_not_fit_the_row_is_damaged(tmp_path):
    row = repetitive("words", "<u2")
    indexed(row, [4000, len(row)], 500, 6000, tmp_path)
    with pytest.raises(StageError, match="damaged"):
        Index.open(tmp_path, [row[:-1]])
    (tmp_path / "places-00001.bin").write_bytes(b"1234")
    with pytest.raises(StageError, match="damaged"):
        Index.open(tmp_path, [row])
    (tmp_path / "index.json").write_text("{}")
    with pytest.raises(StageError, match="damaged"):
        Index.open(tmp_path, [row])


@pytest.mark.parametrize("dtype", ["<u2", "<u4"])
@pytest.mark.parametrize("kind", ["one token", "two tokens", "a text again and again", "words", "rising"])
def test_heads_and_threads_change_nothing_that_is_found(kind, dtype, tmp_path, monkeypatch):
    row = repetitive(kind, dtype)
    ends = [*range(400, len(row), 400), len(row)]
    chance = np.random.default_rng(5)
    starts = chance.integers(0, len(row) - 12, 40)
    runs = [row[at : at + length].tolist() for at, length in zip(starts, chance.integers(1, 12, 40), strict=True)]
    runs += [[*run[:-1], 499] for run in runs] + [[499, 499], [0, 0, 0, 0, 0, 0]]
    text = [token for run in runs for token in run]
    begins = list(range(len(text)))

    def found(index):
        ranges_of = index.find_all(runs)
        places = [index.places([*ranges(one)]) for one in ranges_of]
        first = [(at, at + 2) for some in places[:20] for at in some if at % 400 < 398]
        passages = [one.tolist() for one in index.passages(first)]
        tokens = np.array([0, 7, 9, 499])
        followed = [one.following(one.bucket(run[0]), tokens, 1) for one in index.shards for run in runs]
        return ranges_of, places, passages, followed, index.longest(text, text, begins, [len(text)] * len(text))

    index, _ = indexed(row, ends, 500, 1500, tmp_path)
    assert len(index.shards[0].heads) > 1
    plain, shards = found(index), stretches(np.array(ends), 1500)
    assert [sorted(one) for one in plain[1]] == [_places(row.tolist(), run, shards) for run in runs]
    monkeypatch.setattr(suffixes, "_SMALL", 0)
    assert found(Index.open(tmp_path, [read_only(row)])) == plain
    for file in tmp_path.glob("heads-*"):  # as an index had none before
        file.unlink()
    assert found(Index.open(tmp_path, [read_only(row)])) == plain


def test_heads_of_another_shard_are_damage(tmp_path):
    row = repetitive("words", "<u2")
    indexed(row, [len(row)], 500, 10**6, tmp_path)
    (tmp_path / "heads-00000.bin").write_bytes(b"1234")
    with pytest.raises(StageError, match="damaged"):
        Index.open(tmp_path, [row])


SORTED = """
from pathlib import Path
import numpy as np
from regrow.corpus.suffixes import sorted_places

def peak():
    return int(Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0]) * 1024

def row(size):
    found = np.random.default_rng(1).integers(0, 4096, size, np.uint16)
    return found, np.append(0, np.cumsum(np.bincount(found, minlength=4096)))

sorted_places(*row(1000))
made = row(1 << 24)
Path("/proc/self/clear_refs").write_text("5")  # what was held at most is forgotten
before = peak()
sorted_places(*made)
print((peak() - before) / (1 << 24))
"""


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="Linux says how much memory was used")
def test_eight_bytes_of_memory_for_each_token_and_little_more():
    done = subprocess.run([sys.executable, "-c", SORTED], capture_output=True, text=True, check=True)
    assert float(done.stdout) < 9.5
