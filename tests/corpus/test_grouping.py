from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from regrow.corpus.grouping import COMPARED, components, grouped, pairs

buckets = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 40)), unique=True, max_size=90).map(sorted)
cuts = st.lists(st.integers(1, 12), min_size=90, max_size=90)


def blocks(rows: list[tuple[int, int]], sizes: list[int]) -> list[np.ndarray]:
    ends = np.cumsum(sizes)
    found = np.split(np.array(rows, np.uint64).reshape(-1, 2), ends[ends < len(rows)])
    return [block for block in found if len(block)]


@given(buckets, cuts)
def test_each_is_paired_with_the_first_of_its_bucket_wherever_blocks_end(
    rows: list[tuple[int, int]], sizes: list[int]
) -> None:
    expected = []
    for bucket in {number for number, _ in rows}:
        names = [name for number, name in rows if number == bucket]
        expected += [(name, first) for name in names for first in names[:COMPARED] if first < name]
    found = [tuple(pair) for block in pairs(blocks(rows, sizes)) for pair in block.tolist()]
    assert sorted(found) == sorted(expected)


def test_a_bucket_of_all_takes_little_memory() -> None:
    """However large it is, no more than its first few rows come again with the next block."""
    many = (
        np.stack([np.zeros(100, np.uint64), np.arange(n, n + 100, dtype=np.uint64)], 1) for n in range(0, 9900, 100)
    )
    assert max(len(rows) for rows, _, _ in grouped(many, 1, COMPARED)) == 100 + COMPARED


@given(st.lists(st.tuples(st.integers(0, 29), st.integers(0, 29)), max_size=40))
def test_components_are_those_of_a_walk(edges: list[tuple[int, int]]) -> None:
    expected = list(range(30))
    for _ in range(30):
        for one, other in edges:
            expected[one] = expected[other] = min(expected[one], expected[other])
    assert components(np.array(edges, np.intp).reshape(-1, 2), 30).tolist() == expected


def test_a_long_chain_is_one_component() -> None:
    places = np.random.default_rng(2).permutation(10_000)
    assert not components(np.stack([places[1:], places[:-1]], 1), 10_000).any()
