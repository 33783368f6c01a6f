"""Exponentials and their sums over rows have the bits of the functions that are defined."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from regrow.exact.chances import exponential_sums, exponentials
from regrow.exact.polynomials import exp64
from regrow.model.sampling import ranked

from ..independent.evaluation import logprobs

NUMBERS = [0.0, -0.0, 1.5, -2.0, np.float32(3e38), np.float32(-3e38), np.inf, -np.inf, np.nan]
NORMAL = np.random.default_rng(1).standard_normal


@pytest.mark.parametrize("scale", [0.01, 1.0, 30.0, 400.0, 1e6])
def test_exponentials_have_the_bits_of_the_definition(scale: float) -> None:
    x = -np.abs(NORMAL(5000)) * scale
    assert exponentials(x).tobytes() == exp64(np.maximum(x, -700.0)).tobytes()


def test_what_is_no_number_stays_so() -> None:
    assert np.isnan(exponentials(np.array([0.0, np.nan]))).tolist() == [False, True]


@pytest.mark.parametrize("columns", [1, 7, 8, 1023, 1024, 1025, 3001])
def test_sums_of_rows_of_any_length_are_taken_in_the_order_of_the_definition(columns: int) -> None:
    logits = (NORMAL((6, columns)) * 5).astype(np.float32)
    logits[2, 0], logits[3, 0], logits[4, -1] = np.nan, np.inf, -np.inf
    largest, sums = exponential_sums(logits)
    for row, top, total in zip(logits, largest, sums, strict=True):
        if np.isnan(top):
            assert np.isnan(total) and not np.isfinite(row.max())
            continue
        lanes = np.zeros(8)
        for place, weight in enumerate(exp64(np.maximum(row.astype(np.float64) - top, -700.0))):
            lanes[place % 8] += weight
        a, b, c, d, e, f, g, h = lanes
        assert total == ((a + e) + (c + g)) + ((b + f) + (d + h))
    assert np.isnan(logprobs(logits[2])).all()


@given(
    arrays(
        np.float32,
        st.integers(1, 40),
        elements=st.sampled_from(NUMBERS),
    ),
    st.integers(0, 45),
)
def test_tokens_are_ranked_as_a_stable_sort_ranks_them(logits: np.ndarray, count: int) -> None:
    assert ranked(logits, count).tolist() == np.argsort(-logits, kind="stable")[: count or None].tolist()
