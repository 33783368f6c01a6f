"""The rank of a change: as LAPACK has it, up to the bound, and the same bits whatever the machine."""

from __future__ import annotations

import numpy as np
import pytest

from regrow.model.rank import MOST, rank

SHAPES = [(48, 64), (300, 97), (16, 700)]


def random(*shape: int, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("wanted", [0, 1, 3, 8, 16])
def test_it_is_that_of_a_product_of_two_matrices(shape: tuple[int, int], wanted: int) -> None:
    before = random(*shape)
    after = before + random(shape[0], wanted, seed=2) @ random(wanted, shape[1], seed=3) * np.float32(0.05)
    assert rank(before, after) == wanted


def test_above_the_bound_it_is_not_told() -> None:
    before = random(200, 150)
    for wanted, found in ((MOST, MOST), (MOST + 1, None), (150, None)):
        left, right = (random(*shape).astype(np.float64) for shape in ((200, wanted), (wanted, 150)))
        change = (left @ right).astype(np.float32)
        assert rank(np.zeros_like(before), change) == found


def test_a_few_rows_or_numbers_count_one_each() -> None:
    before, after = random(500, 40), random(500, 40)
    after[[3, 77, 240, 499]] += random(4, 40, seed=5)
    assert rank(before, after) == 4
    after = before.copy()
    after[10, 20] += 1
    after[400, 3] -= 1
    assert rank(before, after) == 2


def test_what_rounding_leaves_is_nothing() -> None:
    before = random(128, 96)
    left, right = random(128, 4, seed=2).astype(np.float64), random(4, 96, seed=3).astype(np.float64)
    after = (before.astype(np.float64) + 1e-3 * left @ right).astype(np.float32)
    assert np.linalg.matrix_rank(after.astype(np.float64) - before) == 96
    assert rank(before, after) == 4


def test_numbers_that_are_none_do_not_end_in_a_fault() -> None:
    before, after = random(8, 8), random(8, 8)
    after[0, 0] = np.nan
    assert rank(before, after) in (None, *range(9))
