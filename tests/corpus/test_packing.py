"""Documents packed into sequences: each token once, no conversation cut, and in the same way for the same lengths."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from regrow.corpus.packing import Packing

LENGTHS = st.lists(st.tuples(st.integers(2, 40), st.booleans()), min_size=1, max_size=30)


@given(LENGTHS, st.integers(2, 24))
def test_every_token_is_predicted_once(documents, context):
    ends, whole = np.cumsum([length for length, _ in documents]), np.array([one for _, one in documents])
    packing = Packing.of(ends, whole, context)
    assert packing.left_out.tolist() == [i for i, (length, one) in enumerate(documents) if one and length > context + 1]
    sequences = [packing.units(number) for number in range(len(packing))]
    units = [unit for sequence in sequences for unit in sequence]
    predicted = [(unit.document, place) for unit in units for place in range(unit.start + 1, unit.end)]
    starts = ends - [length for length, _ in documents]
    kept = [i for i in range(len(documents)) if i not in packing.left_out]
    expected = [(i, place) for i in kept for place in range(starts[i] + 1, ends[i])]
    assert sorted(predicted) == expected
    for sequence in sequences:
        assert 0 < sum(unit.length for unit in sequence) <= context + 1
        assert sequence == sorted(sequence, key=lambda unit: unit.start)
    for unit in (unit for unit in units if whole[unit.document]):
        assert unit.length == documents[unit.document][0]


def test_the_fullest_sequence_with_room_is_taken():
    ends = np.cumsum([5, 3, 6, 2, 2])
    packing = Packing.of(ends, np.ones(5, np.bool_), 7)
    assert [[unit.document for unit in packing.units(number)] for number in range(3)] == [[2, 3], [0, 1], [4]]


def test_many_are_packed_in_no_time():
    lengths = np.random.default_rng(1).integers(20, 900, 50_000)
    packing = Packing.of(np.cumsum(lengths), np.ones(50_000, np.bool_), 1023)
    assert lengths.sum() / (1024 * len(packing)) > 0.99
