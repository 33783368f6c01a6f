"""Matrices that stay as they are: digits are made once, and the results are those of any other matrix."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from regrow.exact import operations as ops
from regrow.exact.backend import Backend
from regrow.exact.constant import constant
from regrow.exact.grid import LEFT, LEFT_TRANSPOSED, RIGHT_OF_TRANSPOSED, RIGHT_TRANSPOSED
from regrow.exact.registry import cpu_gemm_backends, load_kernels
from regrow.exact.selection import current, use
from regrow.exact.shorter import SHORTER, shortened


def _normal(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(sum(shape)))


def _results(weight: Tensor) -> tuple[Tensor, ...]:
    """Of all products with a matrix, forwards and backwards."""
    x = _normal(40, 24).requires_grad_()
    y = ops.linear(x, weight)
    a, b = _normal(3, 24).requires_grad_(), _normal(70, 3).requires_grad_()
    z = ops.low_rank(x, weight, a, b)
    loss = ops.linear_cross_entropy(x, weight, torch.arange(40))
    loss = loss + ops.linear_distillation(x, weight, torch.arange(40), (x.detach(), weight))
    loss = loss + ops.linear_log_probabilities(x, weight, torch.arange(40)).sum()
    total = (y * y).sum() + (z * z).sum() + loss
    looked_up = ops.embedding(torch.tensor([[3, 69], [0, 3]]), weight)
    return y.detach(), z.detach(), loss.detach(), looked_up, *torch.autograd.grad(total, [x, a, b])


def test_a_constant_gives_what_any_matrix_gives() -> None:
    weight = _normal(70, 24)
    wanted = _results(weight.clone())
    for _ in range(2):
        found = _results(constant(weight))
        assert all(torch.equal(one, other) for one, other in zip(found, wanted, strict=True))


@pytest.mark.parametrize("kernels", ["numba", "reference"])
@pytest.mark.parametrize("gemm", [gemm.name for gemm in cpu_gemm_backends()])
@pytest.mark.parametrize("kind", SHORTER)
def test_a_matrix_of_a_shorter_type_gives_what_the_same_numbers_give(
    kernels: str, gemm: str, kind: torch.dtype
) -> None:
    with use(kernels, gemm):
        short = _normal(70, 24).to(kind)
        wanted = _results(short.float())
        for weight in (short, constant(short)):
            found = _results(weight)
            assert all(torch.equal(one, other) for one, other in zip(found, wanted, strict=True))


def test_numbers_are_shortened_only_to_the_same() -> None:
    numbers = _normal(70, 24)
    numbers[0, :3] = torch.tensor([-0.0, torch.inf, 2.0**-133])
    brain, half = numbers.to(torch.bfloat16), numbers.clamp(-9.0, 9.0).to(torch.float16)
    assert shortened(numbers) is numbers
    assert shortened(brain.float()).dtype == torch.bfloat16
    assert shortened(half.float()).dtype == torch.float16
    for short in (brain, half):
        assert torch.equal(shortened(short.float()).view(torch.int16), short.view(torch.int16))
    brain[0, 0] = torch.nan
    assert shortened(brain.float()).dtype == torch.float32


def test_the_digits_of_a_constant_are_made_once(monkeypatch: pytest.MonkeyPatch) -> None:
    weight, made = constant(_normal(70, 24)), list[object]()
    kernels = current(weight).kernels
    split = kernels.split

    def counted(x: Tensor, layout: object, dtype: torch.dtype) -> object:
        made.extend([layout] if x.shape[-2:] == weight.shape else [])
        return split(x, layout, dtype)

    monkeypatch.setattr(kernels, "split", counted)
    with use(gemm="int8"):  # digits of a byte
        for _ in range(3):
            _results(weight)
        assert len(made) == len(set(made)) == 2, made
    with use(gemm="float64"):
        _results(weight)
        assert len(made) > 2


def test_a_constant_that_changed_after_all_is_noticed() -> None:
    weight = constant(_normal(70, 24))
    _results(weight)
    weight.mul_(3.0)
    wanted = _results(weight.clone())
    for _ in range(2):
        found = _results(weight)
        assert all(torch.equal(one, other) for one, other in zip(found, wanted, strict=True))
        constant(weight)


@pytest.mark.parametrize("gemm", cpu_gemm_backends(), ids=lambda gemm: gemm.name)
@pytest.mark.parametrize("shape", [(1, 64, 96, 8), (2, 33, 70, 65), (1, 3, 5, 2)])
def test_a_product_can_be_added_to_another(gemm: object, shape: tuple[int, int, int, int]) -> None:
    groups, rows, columns, depth = shape
    backend = Backend(load_kernels("numba"), gemm)  # type: ignore[arg-type]
    x, w, given = _normal(groups, rows, depth), _normal(groups, columns, depth), _normal(groups, rows, columns)
    dtype = backend.gemm.dtype
    for left, right in (
        (backend.kernels.split(x, LEFT, dtype), backend.kernels.split(w, RIGHT_TRANSPOSED, dtype)),
        (
            backend.kernels.split(x.mT.contiguous(), LEFT_TRANSPOSED, dtype),
            backend.kernels.split(w.mT.contiguous(), RIGHT_OF_TRANSPOSED, dtype),
        ),
    ):
        total = given.clone()
        assert backend.matmul(left, right, onto=total) is total
        assert torch.equal(total, given + backend.matmul(left, right))


def test_nothing_is_computed_for_gains_that_stay() -> None:
    x, gain, dy = _normal(40, 24), _normal(24), _normal(40, 24).mul(2.0)
    for kernels in ("reference", "numba"):
        backend = load_kernels(kernels)
        _, inverse = backend.rms_norm(x, gain, 1e-5)
        dx, _ = backend.rms_norm_backward(dy, x, gain, inverse)
        alone, nothing = backend.rms_norm_backward(dy, x, gain, inverse, changes=False)
        assert nothing is None
        assert torch.equal(alone, dx)


def test_the_head_gradient_is_the_same_in_one_block_and_in_several(monkeypatch: pytest.MonkeyPatch) -> None:
    found = []
    for height, rows in ((1024, 1 << 12), (16, 1 << 12), (1024, 32), (16, 32)):
        monkeypatch.setattr(ops, "HEAD_ENTRIES", 1)
        monkeypatch.setattr(ops, "HEAD_ROWS", height)
        monkeypatch.setattr(ops, "HEAD_TOTALS", rows)
        for gemm in cpu_gemm_backends():
            x, weight = _normal(40, 24).requires_grad_(), _normal(70, 24).requires_grad_()
            with use(gemm=gemm.name):
                loss = ops.linear_cross_entropy(x, weight, torch.arange(40))
                found.append(torch.autograd.grad(loss, [x, weight]))
    assert all(torch.equal(one, other) for some in found for one, other in zip(some, found[0], strict=True))
