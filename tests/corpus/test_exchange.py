from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from regrow.corpus import exchange
from regrow.corpus.exchange import Exchange, spread
from regrow.errors import StageError
from regrow.recipe.kind import FilesHere

PAIRS = Exchange("pairs", 2)
LIST = Exchange("list", 1, sorted=False)

numbers = st.one_of(st.integers(0, 5), st.integers(0, 2**64 - 1))
sent = st.lists(st.tuples(st.integers(0, 3), st.tuples(numbers, numbers)), max_size=60)


@pytest.fixture
def little(monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory for a few rows only."""
    monkeypatch.setattr(exchange, "HELD", 64)
    monkeypatch.setattr(exchange, "_LEAST", 32)


class Counting(FilesHere):
    """Says how much was read."""

    def __init__(self) -> None:
        self.bytes = 0

    def read(self, path: Path, start: int, length: int) -> bytes:
        self.bytes += length
        return super().read(path, start, length)


def folders(root: Path, count: int) -> Iterator[Path]:
    for number in range(count):
        folder = root / str(number)
        folder.mkdir(parents=True)
        yield folder


def rows(*numbers: tuple[int, ...]) -> NDArray[np.uint64]:
    return np.array(numbers, np.uint64)


def received(sort: Exchange, senders: list[Path], destination: int) -> list[tuple[int, ...]]:
    return [tuple(row) for block in sort.received(FilesHere(), senders, destination) for row in block.tolist()]


@pytest.mark.usefixtures("little")
@given(senders=st.lists(st.lists(sent, max_size=3), min_size=1, max_size=4))
@settings(max_examples=60, deadline=None)
def test_each_destination_gets_its_rows_as_a_sorted_set(
    tmp_path_factory: pytest.TempPathFactory, senders: list[list[list[tuple[int, tuple[int, int]]]]]
) -> None:
    made = list(folders(tmp_path_factory.mktemp("exchange"), len(senders)))
    for folder, lots in zip(made, senders, strict=True):
        with PAIRS.sender(folder, 4) as pairs, LIST.sender(folder, 4) as plain:
            for lot in filter(None, lots):
                pairs.put([where for where, _ in lot], rows(*(row for _, row in lot)))
                for where, (first, _) in lot:
                    plain.put(where, rows((first,)))
        assert sorted(path.name for path in folder.iterdir()) == ["list", "pairs"]
    every = [one for lots in senders for lot in lots for one in lot]
    for destination in range(4):
        mine = [row for where, row in every if where == destination]
        assert received(PAIRS, made, destination) == sorted(set(mine))
        assert received(LIST, made, destination) == [(first,) for first, _ in mine]


@pytest.mark.usefixtures("little")
def test_what_is_read_at_a_time_is_bounded(tmp_path: Path) -> None:
    """One destination gets all, equal rows among them; no block is much larger than what may be held."""
    made = list(folders(tmp_path, 3))
    for number, folder in enumerate(made):
        with PAIRS.sender(folder, 2) as sender:
            for place in range(100):
                sender.put(1, rows((7, 3 * place + number), (7, 0)))
    assert received(PAIRS, made, 0) == []
    assert received(PAIRS, made, 1) == [(7, place) for place in range(300)]
    blocks = [len(block) for block in PAIRS.received(FilesHere(), made, 1)]
    assert max(blocks) <= 3 * 2
    assert min(blocks) > 0


def test_a_destination_reads_little_more_than_what_is_for_it(tmp_path: Path) -> None:
    made = list(folders(tmp_path, 3))
    for folder in made:
        with PAIRS.sender(folder, 4096) as sender:
            sender.put(np.arange(4000), np.stack([np.arange(4000, dtype=np.uint64)] * 2, axis=1))
    files = Counting()
    assert [block.tolist() for block in PAIRS.received(files, made, 17)] == [[[17, 17]]]
    assert files.bytes == 3 * (24 + 16)
    assert list(PAIRS.received(FilesHere(), made, 4095)) == []


def test_destinations_are_even_ranges() -> None:
    hashes = np.sort(np.random.default_rng(1).integers(0, 2**64, 4000, np.uint64))
    for count in (1, 3, 4096, 65_536):
        found = spread(np.concatenate([hashes, rows(0, 2**64 - 1)[:, None].ravel()]), count)
        assert (found[-2], found[-1]) == (0, count - 1)
        assert (np.diff(found[:-2].astype(int)) >= 0).all()
    assert np.bincount(spread(hashes, 4)).min() > 900


@pytest.mark.parametrize("damage", ["cut", "emptied", "no offsets", "a bit"])
def test_a_damaged_file_is_named(tmp_path: Path, damage: str) -> None:
    with PAIRS.sender(tmp_path, 2) as sender:
        sender.put(1, rows((1, 2), (3, 4)))
    path = tmp_path / "pairs"
    data = path.read_bytes()
    made = {
        "cut": data[:-5],
        "emptied": b"",
        "no offsets": data[:16] + bytes(8) + data[24:],
        "a bit": data[:-1] + bytes([data[-1] ^ 1]),
    }
    path.write_bytes(made[damage])
    with pytest.raises(StageError, match="pairs is damaged") as caught:
        list(PAIRS.received(FilesHere(), [tmp_path], 1))
    assert caught.value.where == str(path)


def test_a_sender_that_fails_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), PAIRS.sender(tmp_path, 2) as sender:
        sender.put(1, rows((1, 2)))
        raise ZeroDivisionError
    assert not list(tmp_path.iterdir())
