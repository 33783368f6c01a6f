"""The sums of products: the right ones, and the same ones however the rows come."""

import numpy as np
import pytest
import torch

from regrow.compression.gram import Gram, Squares
from regrow.errors import StageError
from regrow.exact.random import normals
from regrow.exact.selection import use

WIDTH = 24


def rows(count: int = 700) -> torch.Tensor:
    """Rows of very different sizes, one of them nothing, with a column that is large and one that is nothing."""
    x = normals(3, "rows", count * WIDTH).reshape(count, WIDTH) * np.exp(2 * normals(3, "sizes", count))[:, None]
    x[:, 5] *= 300
    x[:, 9] = 0
    x[17] = 0
    return torch.from_numpy(x.astype(np.float32))


def total(sums: Gram | Squares, parts) -> bytes:
    for part in parts:
        sums.add(part)
    return sums.total().tobytes()


def test_it_is_the_product_to_ten_bits_of_each_row():
    x = rows()
    gram = Gram(WIDTH)
    gram.add(x)
    wide = x.double().numpy()
    largest = np.abs(wide).max(1)
    # A number is off by half a step, 2**-10 of the row's largest at most; a product of two by that of each.
    bound = (largest**2 * 2.0**-9).sum()
    assert np.abs(gram.total() - wide.T @ wide).max() < bound
    assert (gram.total() == gram.total().T).all()
    assert not gram.total()[9].any()


@pytest.mark.parametrize("batch", [1, 37, 512])
def test_it_does_not_depend_on_how_the_rows_come(batch):
    x = rows()
    once = total(Gram(WIDTH), [x])
    assert total(Gram(WIDTH), x.split(batch)) == once
    assert total(Gram(WIDTH), reversed(x.split(batch))) == once
    assert total(Squares(WIDTH), x.split(batch)) == total(Squares(WIDTH), [x])


def test_its_diagonal_is_that_of_the_squares():
    gram, squares = Gram(WIDTH), Squares(WIDTH)
    for sums in (gram, squares):
        sums.add(rows())
    assert (gram.total().diagonal() == squares.total()).all()


@pytest.mark.parametrize("gemm", ["int8", "float32", "float64"])
def test_it_does_not_depend_on_what_multiplies(gemm):
    once = total(Gram(WIDTH), [rows()])
    with use("reference", gemm):
        assert total(Gram(WIDTH), [rows()]) == once


@pytest.mark.parametrize("value", [torch.inf, torch.nan])
def test_what_is_no_number_is_told(value):
    x = rows()
    x[3, 4] = value
    with pytest.raises(StageError, match="what is no number"):
        Gram(WIDTH).add(x)
