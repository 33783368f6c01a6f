"""Small integers: those that the definition says, better than the nearest, and never wrong where little is known."""

import numpy as np
import pytest
import torch

from regrow.compression import kernels
from regrow.compression.factor import by_activation, damped, upper_factor
from regrow.compression.rounding import Grid, gptq, nearest
from regrow.errors import StageError
from regrow.exact.random import normals

GRID = Grid(bits=4, group=32)
ROWS, COLUMNS = 21, 160  # no whole number of blocks


def weight() -> torch.Tensor:
    return torch.from_numpy(normals(1, "weight", ROWS * COLUMNS).reshape(ROWS, COLUMNS).astype(np.float32))


def gram(count: int = 400) -> np.ndarray:
    """Of columns that say much the same."""
    x = normals(2, "x", count * COLUMNS).reshape(count, COLUMNS) + 2 * normals(2, "all", count)[:, None]
    x *= np.exp(normals(2, "columns", COLUMNS))
    return x.T @ x


def plainly(w: list[float], m: np.ndarray, scales: list[float], groups: list[int]) -> list[int]:
    """One row, with nothing but the numbers of Python, in the order that the definition says."""
    sums, out = [0.0] * len(w), []
    for c, value in enumerate(w):
        scale = scales[groups[c]]
        code = min(max(round((value + sums[c] / m[c][c]) / scale), -8), 7)
        out.append(code)
        for j in range(c + 1, len(w)):
            sums[j] += (value - code * scale) * m[c][j]
    return out


def lost(w: torch.Tensor, values: torch.Tensor, sums: np.ndarray) -> float:
    change = (w - values).double().numpy()
    return float(np.trace(change @ sums @ change.T))


def test_the_nearest_is_the_nearest():
    w = weight()
    codes = nearest(w, GRID)
    steps = codes.scales.repeat_interleave(32, 1)
    inside = (w / steps > -8) & (w / steps < 7)
    assert ((codes.values() - w).abs() <= steps / 2 * 1.0001)[inside].all()
    assert torch.equal(codes.scales, codes.scales.half().float())
    assert (codes.integers.min(), codes.integers.max()) == (-8, 7)


def test_the_factor_is_one():
    sums = damped(gram(), 0.01)
    m = upper_factor(sums)
    assert m is not None
    assert not np.tril(m, -1).any()
    assert np.allclose(m @ m.T, sums, rtol=1e-12, atol=1e-9)


def test_gptq_is_what_the_definition_says():
    w, sums = weight(), gram()
    order = by_activation(sums)
    m = upper_factor(damped(sums, 0.01)[np.ix_(order, order)])
    codes = gptq(w, sums, GRID, 0.01)
    assert codes is not None and m is not None
    for row in (0, 20):
        said = plainly(
            w[row].double().numpy()[order].tolist(), m.tolist(), codes.scales[row].tolist(), (order // 32).tolist()
        )
        assert codes.integers[row].numpy()[order].tolist() == said


def test_it_is_gptq_as_it_is_usually_written():
    """With the inverse of the Gram matrix, and what a column loses handed on to all that follow."""
    w, sums = weight(), gram()
    order = by_activation(sums)
    inverse = np.linalg.cholesky(np.linalg.inv(damped(sums, 0.01)[np.ix_(order, order)])).T
    left, said = w.double().numpy()[:, order].copy(), np.empty((ROWS, COLUMNS))
    codes = gptq(w, sums, GRID, 0.01)
    assert codes is not None
    scales = codes.scales.double().numpy()[:, order // 32]
    for c in range(COLUMNS):
        said[:, c] = np.clip(np.rint(left[:, c] / scales[:, c]), -8, 7)
        error = (left[:, c] - said[:, c] * scales[:, c]) / inverse[c, c]
        left[:, c:] -= error[:, None] * inverse[c, c:]
    assert (codes.integers.numpy()[:, order] == said).mean() > 0.999


def test_it_loses_less_than_the_nearest():
    w, sums = weight(), gram()
    codes = gptq(w, sums, GRID, 0.01)
    assert codes is not None
    assert lost(w, codes.values(), sums) < 0.5 * lost(w, nearest(w, GRID).values(), sums)


def test_columns_that_nothing_was_read_by_are_rounded_to_the_nearest():
    w, sums = weight(), gram()
    sums[40:50] = 0
    sums[:, 40:50] = 0
    codes = gptq(w, sums, GRID, 0.01)
    assert codes is not None
    assert torch.equal(codes.integers[:, 40:50], nearest(w, GRID).integers[:, 40:50])


def test_what_is_nothing_stays_nothing():
    w = weight()
    w[:, ::3] = 0
    w[4, 32:64] = 0  # a group of which the scale is 0
    codes = gptq(w, gram(), GRID, 0.01)
    assert codes is not None
    assert not codes.values()[w == 0].any()
    assert torch.equal(nearest(w, GRID).values()[4, 32:64], torch.zeros(32))


@pytest.mark.parametrize("sums", [np.zeros((COLUMNS, COLUMNS)), gram(20), -np.eye(COLUMNS)])
def test_without_damping_too_little_is_known(sums):
    assert gptq(weight(), sums, GRID, 0.0) is None


def test_of_columns_that_read_as_much_the_first_comes_first():
    sums = np.diag([1.0, 3.0, 3.0, 1.0, 5.0])
    assert by_activation(sums).tolist() == [4, 1, 2, 0, 3]


@pytest.mark.parametrize("threads", [1, 2])
def test_threads_change_nothing(threads):
    sums = damped(gram(), 0.01)
    turned = sums[::-1, ::-1].copy()
    kernels.factor(turned, np.empty((64, COLUMNS)), np.zeros(1, np.int64), threads=threads)
    m = np.ascontiguousarray(np.tril(turned)[::-1, ::-1])
    assert m.tobytes() == upper_factor(sums).tobytes()
    w, out = weight().double().numpy(), np.empty((ROWS, COLUMNS), np.int8)
    scales, groups = nearest(weight(), GRID).scales.double().numpy(), np.arange(COLUMNS) // 32
    kernels.quantise(w, m, scales, groups, np.array(GRID.bounds), out, threads=threads)
    for row in (0, 20):
        assert out[row].tolist() == plainly(w[row].tolist(), m.tolist(), scales[row].tolist(), groups.tolist())


@pytest.mark.parametrize("value", [1e6, torch.inf, torch.nan])
def test_weights_that_no_scale_reaches_are_told(value):
    w = weight()
    w[2, 2] = value
    with pytest.raises(StageError, match="small integers cannot stand for"):
        nearest(w, GRID)
