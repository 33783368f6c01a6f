"""Which weights become 0: the right ones, as many as asked for, and of equal ones the last."""

import numpy as np
import pytest
import torch

from regrow.compression.pruning import Sparsity, magnitude, sparsegpt, wanda
from regrow.exact.random import normals

from .test_rounding import COLUMNS, ROWS, gram, lost, weight

HALF = Sparsity(0.5, of_four=False)
FOURS = Sparsity(0.5, of_four=True)


def dropped(x: torch.Tensor) -> list[list[int]]:
    return [torch.nonzero(row == 0)[:, 0].tolist() for row in x]


def test_the_smallest_of_the_whole_matrix_become_nothing():
    w = torch.tensor([[1.0, -2.0, 3.0, 4.0], [5.0, 6.0, -0.5, 8.0]])
    assert dropped(magnitude(w, Sparsity(0.4, of_four=False))) == [[0, 1], [2]]


def test_of_equal_ones_the_first_stay():
    w = torch.full((2, 8), -3.0)
    assert dropped(magnitude(w, HALF)) == [[], list(range(8))]
    assert dropped(magnitude(w, FOURS)) == [[2, 3, 6, 7]] * 2
    assert dropped(wanda(w, np.ones(8), HALF)) == [[4, 5, 6, 7]] * 2
    assert dropped(wanda(w, np.ones(8), FOURS)) == [[2, 3, 6, 7]] * 2
    # All columns read the same, by themselves: nothing can be made up for, and all that are left matter as much.
    found = sparsegpt(w, np.eye(8), HALF, 0.0)
    assert found is not None
    assert dropped(found) == [[4, 5, 6, 7]] * 2


def test_wanda_looks_at_what_is_read():
    w = torch.tensor([[1.0, 2.0, 3.0, 4.0]])
    assert dropped(wanda(w, np.array([100.0, 1.0, 1.0, 0.01]), HALF)) == [[1, 3]]


@pytest.mark.parametrize("sparsity", [HALF, FOURS, Sparsity(0.3, of_four=False)])
def test_sparsegpt_drops_as_many_and_loses_less(sparsity):
    w, sums = weight(), gram()
    found = sparsegpt(w, sums, sparsity, 0.01)
    assert found is not None
    plain = wanda(w, sums.diagonal(), sparsity)
    assert lost(w, found, sums) < 0.7 * lost(w, plain, sums)
    if sparsity.of_four:
        assert ((found == 0).view(-1, 4).sum(1) == 2).all()
    else:
        count = int(128 * sparsity.share) + int((COLUMNS - 128) * sparsity.share)
        assert ((found == 0).sum(1) == count).all()


def test_what_is_left_makes_up_for_what_is_dropped_as_well_as_it_can():
    """Given what the last segment drops, nothing that the columns in it could be instead would lose less."""
    w, sums = weight()[:, :64], gram()[:64, :64]
    found = sparsegpt(w, sums, HALF, 0.0)
    assert found is not None
    w64 = w.double().numpy()
    for row in range(ROWS):
        kept = found[row].numpy() != 0
        # Later columns make up for earlier ones: of the columns after the last that is dropped none can do better.
        last = int(np.flatnonzero(~kept).max())
        change = w64[row] - found[row].double().numpy()
        assert np.abs((change @ sums)[last + 1 :]).max(initial=0) < 1e-3 * np.abs(sums).max()


def test_too_little_is_known():
    assert sparsegpt(weight(), np.zeros((COLUMNS, COLUMNS)), HALF, 0.01) is None


def test_random_choice_is_no_part_of_it():
    x = torch.from_numpy(normals(5, "x", 64).reshape(4, 16).astype(np.float32))
    assert torch.equal(magnitude(x, HALF), magnitude(x.clone(), HALF))
