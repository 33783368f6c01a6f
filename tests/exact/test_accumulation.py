"""Means of gradients: the same bits whatever is kept of them, and memory that does not grow with their number."""

import pytest
import torch

from regrow.exact.accumulation import MOST_MICRO_BATCHES, Few, Gradients, Many
from regrow.exact.selection import use
from regrow.train import section


def mean(kept, parts):
    found = Gradients({"x": kept}, len(parts))
    for part in parts:
        found.add([part])
    return found.mean()["x"]


def both(parts):
    dtype = torch.int32 if len(parts) <= 127 else torch.int64
    return mean(Few(parts[0], dtype), parts), mean(Many(parts[0], dtype, len(parts)), parts)


def wild(count, seed=0):
    """Rows whose grids rise at any time, by any number of levels, from nothing, and to where nothing is left."""
    made = torch.Generator().manual_seed(seed)
    parts = torch.randn(count, 8, 33, generator=made) * torch.exp2(torch.randint(-8, 9, (count, 8, 33), generator=made))
    parts *= torch.exp2(torch.randint(-14, 15, (count, 8, 1), generator=made))
    parts[: count // 2, 1] = 0
    parts[count // 2, 2] *= 2.0**60
    parts[0, 3] *= 2.0**-140
    parts[:, 4] = torch.randint(-3, 4, (count, 33), generator=made) * 0.5  # ties
    parts[-1, 4] *= 2.0**20
    return list(parts)


@pytest.mark.parametrize("kernels", ["numba", "reference"])
@pytest.mark.parametrize("count", [2, 9, 130])
def test_sums_on_all_grids_end_at_the_same_bits(kernels, count):
    with use(kernels):
        few, many = both(wild(count))
    assert torch.equal(few, many)


@pytest.mark.parametrize("count", [168, 169, 400])
def test_the_small_integers_do_not_overflow(count):
    """All roundings go the same way, at each level, as far as they can."""
    for number in (0.5 - 2.0**-12, 0.5 + 2.0**-12, -0.5 - 2.0**-12, 1 / 3, 2 / 3, -2 / 3):
        parts = [torch.full((1, 8), number) for _ in range(count)]
        for level, part in enumerate(parts[:8]):
            part[0, 1:] += level * 2.0**-24
        parts[-1] = parts[-1] * 2.0**12
        few, many = both(parts)
        assert torch.equal(few, many)


@pytest.mark.parametrize("bad", [torch.nan, torch.inf])
def test_a_row_that_is_not_finite_is_nan_and_no_other(bad):
    parts = wild(9)
    parts[3][5, 5] = bad
    few, many = both(parts)
    assert torch.equal(few.isnan(), many.isnan())
    assert many.isnan().all(1).tolist() == [row == 5 for row in range(8)]


def test_what_is_kept_does_not_grow_with_the_number_of_gradients():
    like = torch.zeros(64, 64)
    for count in (8, 100):
        kept = Gradients.of({"x": like}, count, count).sums["x"]
        for _ in range(count):
            kept.add(torch.randn(64, 64))
        held = sum(x.nbytes for x in vars(kept).values() if isinstance(x, torch.Tensor))
        assert held <= 28 * like.numel() + 4 * 64
        assert not any(isinstance(x, list) for x in vars(kept).values())


def test_more_micro_batches_than_are_defined_are_refused():
    assert section.MOST_MICRO_BATCHES == MOST_MICRO_BATCHES
    with pytest.raises(ValueError, match="of up to 32768"):
        Gradients.of({"x": torch.zeros(1, 1)}, 1, MOST_MICRO_BATCHES + 1)
