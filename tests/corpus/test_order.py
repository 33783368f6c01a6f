from __future__ import annotations

import hashlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from regrow.corpus import order
from regrow.corpus.mixing import mix, mix_integer


def test_mixing_is_that_of_splitmix64() -> None:
    golden = 0x9E3779B97F4A7C15  # the generator's published outputs for seed 0
    outputs = [mix_integer(golden * turn) for turn in (1, 2, 3)]
    assert outputs == [0xE220A8397B1DCDAF, 0x6E789E6AA1B965F4, 0x06C45D188009454F]
    assert mix(np.array([golden], np.uint64))[0] == outputs[0]


def reference(seed: int, epoch: int, place: int, count: int) -> int:
    """The order once more, in plain integers: what another language would have to do."""
    golden, half = 0x9E3779B97F4A7C15, (max(2, (count - 1).bit_length()) + 1) // 2
    state = mix_integer(mix_integer(seed + golden) + epoch)
    while True:
        left, right = divmod(place, 2**half)
        for turn in range(1, 9):
            left, right = right, left ^ mix_integer(right ^ mix_integer(state + turn * golden)) % 2**half
        place = left * 2**half + right
        if place < count:
            return place


@given(st.integers(0, 2**64 - 1), st.integers(0, 2**31), st.integers(1, 2**40), st.data())
def test_plain_integers_give_the_same(seed: int, epoch: int, count: int, data: st.DataObject) -> None:
    place = data.draw(st.integers(0, count - 1))
    assert order.window_at(seed, epoch, place, count) == reference(seed, epoch, place, count)


def test_known_answers() -> None:
    assert order.window_at(1, 0, np.arange(10), 10).tolist() == KNOWN["ten"]
    assert order.window_at(1, 1, np.arange(10), 10).tolist() == KNOWN["ten, next epoch"]
    assert order.window_at(2**63, 7, np.array([0, 999_999, 123_456]), 1_000_000).tolist() == KNOWN["million"]
    whole = order.window_at(42, 3, np.arange(10_007), 10_007).astype("<i8").tobytes()
    assert hashlib.sha256(whole).hexdigest() == KNOWN["digest"]


KNOWN: dict[str, object] = {
    "ten": [4, 7, 3, 2, 5, 9, 6, 0, 8, 1],
    "ten, next epoch": [6, 3, 5, 4, 1, 8, 9, 0, 2, 7],
    "million": [27101, 815288, 538646],
    "digest": "ff04ba53d8e590ed4349d7762f9de1bd940a52146612a55e4028fce99c2faf6d",
}


@given(st.integers(0, 2**64 - 1), st.integers(0, 2**31), st.integers(1, 3000))
def test_every_epoch_is_a_permutation(seed: int, epoch: int, count: int) -> None:
    found = order.window_at(seed, epoch, np.arange(count), count)
    assert sorted(found.tolist()) == list(range(count))


@given(st.integers(1, 2**40), st.data())
def test_large_numbers_stay_in_range(count: int, data: st.DataObject) -> None:
    places = data.draw(st.lists(st.integers(0, count - 1), min_size=1, max_size=20, unique=True))
    found = order.window_at(3, 0, np.array(places), count)
    assert np.all((found >= 0) & (found < count))
    assert len(set(found.tolist())) == len(places)


@given(st.integers(0, 9), st.integers(1, 20), st.integers(1, 20), st.integers(1, 30))
def test_steps_tile_the_epochs(seed: int, steps: int, per_step: int, count: int) -> None:
    whole = np.concatenate([order.step_windows(seed, step, per_step, count) for step in range(1, steps + 1)])
    epochs = -(-len(whole) // count)
    expected = np.concatenate([order.window_at(seed, epoch, np.arange(count), count) for epoch in range(epochs)])
    assert whole.tolist() == expected[: len(whole)].tolist()


def test_one_place_at_a_time_is_the_same_as_all_at_once() -> None:
    whole = order.window_at(5, np.arange(4)[:, None], np.arange(50), 50)
    assert whole.shape == (4, 50)
    for epoch in range(4):
        assert [int(order.window_at(5, epoch, place, 50)) for place in range(50)] == whole[epoch].tolist()


def test_orders_differ_and_look_random() -> None:
    count = 4000
    one = order.window_at(1, 0, np.arange(count), count)
    for other in (order.window_at(1, 1, np.arange(count), count), order.window_at(2, 0, np.arange(count), count)):
        assert np.mean(one == other) < 0.01
    assert abs(np.corrcoef(one, np.arange(count))[0, 1]) < 0.06
    assert abs(np.corrcoef(one[1:], one[:-1])[0, 1]) < 0.06


@pytest.mark.parametrize(("place", "count"), [(10, 10), (-1, 10), (0, 0)])
def test_places_outside_are_refused(place: int, count: int) -> None:
    with pytest.raises(IndexError):
        order.window_at(1, 0, place, count)


@pytest.mark.parametrize(
    ("tokens", "context", "expected"), [(0, 4, 0), (1, 4, 0), (4, 4, 0), (5, 4, 1), (8, 4, 1), (9, 4, 2)]
)
def test_windows_have_a_token_to_predict(tokens: int, context: int, expected: int) -> None:
    assert order.windows(tokens, context) == expected


@settings(max_examples=50)
@given(st.lists(st.integers(1, 9), min_size=1, max_size=20), st.integers(1, 12))
def test_units_cover_a_window_and_nothing_else(lengths: list[int], context: int) -> None:
    ends = np.cumsum(lengths)
    tokens = [document for document, length in enumerate(lengths) for _ in range(length)]
    for window in range(order.windows(len(tokens), context)):
        found = order.units(window, context, ends)
        places = range(window * context, window * context + context + 1)
        assert [place for unit in found for place in range(unit.start, unit.end)] == list(places)
        assert [unit.document for unit in found for _ in range(unit.length)] == [tokens[place] for place in places]
