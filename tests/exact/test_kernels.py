"""Every kernel of every backend gives the bits of the definition, and the definition is right."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from regrow.exact import comparison, definition, grid, operations, selftest
from regrow.exact.backend import Backend
from regrow.exact.gemm import FLOAT32, FLOAT64, INT8
from regrow.exact.registry import cpu_gemm_backends, load_kernels
from regrow.exact.selection import use

numba = load_kernels("numba")


@pytest.mark.parametrize("name", list(comparison.cases()))
def test_compiled_kernel_has_the_bits_of_the_definition(name):
    case = comparison.cases()[name]
    assert comparison.difference(case(numba), case(definition)) == ""


def test_the_comparison_notices_one_bit():
    x = torch.tensor([1.0, 2.0])
    y = (x.view(torch.int32) + torch.tensor([0, 1], dtype=torch.int32)).view(torch.float32)
    assert "differs in 1 places, first at (1,)" in comparison.difference(y, x)


def test_powers_in_float32_are_those_of_float64_rounded():
    exponents = torch.arange(grid.MIN_EXPONENT, grid.NON_FINITE + 1, dtype=torch.int32)
    expected = grid.power_of_two(exponents).to(torch.float32)
    assert comparison.difference(grid.power_of_two_float32(exponents), expected) == ""


@settings(max_examples=25, deadline=None)
@given(
    rows=st.integers(1, 9),
    columns=st.integers(1, 40),
    layout=st.sampled_from(list(comparison.LAYOUTS.values())),
    kind=st.sampled_from(["normal", "wide", "edges"]),
    seed=st.integers(0, 2**32),
)
def test_split_agrees_and_is_within_half_a_grid_step(rows, columns, layout, kind, seed):
    x = comparison.sample((2, rows, columns), seed, kind)
    digits = numba.split(x, layout, torch.int8)
    assert comparison.difference(digits, definition.split(x, layout, torch.int8)) == ""
    assert int(digits.data.abs().max()) <= 64
    planes = digits.data if layout.stacked else digits.data.transpose(1, 2)
    low, high = (planes[:, 0], planes[:, 1]) if layout.right else (planes[:, 1], planes[:, 0])
    step = grid.power_of_two(digits.exponents - 13)
    step = step[:, :, None] if layout.by_row else step[:, None, :]
    error = ((high.double() * 128 + low.double()) * step - x.double()).abs()
    assert bool((error <= step / 2).all())


@pytest.mark.parametrize("gemm", cpu_gemm_backends(), ids=lambda c: c.name)
@pytest.mark.parametrize("depth", [1, 63, 700, 5000])
def test_products_are_the_same_integers_on_every_gemm_backend_and_close_to_the_real_product(gemm, depth):
    a, b = comparison.sample((3, 19, depth), 1), comparison.sample((3, depth, 11), 2)
    backend, oracle = Backend(numba, gemm), Backend(definition, FLOAT64)

    def product(which):
        return which.matmul(
            which.kernels.split(a, grid.LEFT, which.gemm.dtype),
            which.kernels.split(b, grid.RIGHT, which.gemm.dtype),
        )

    assert comparison.difference(product(backend), product(oracle)) == ""
    exact = a.double() @ b.double()
    assert float((product(backend) - exact).abs().max() / exact.abs().max()) < 2e-3


@pytest.mark.parametrize(
    "layouts", [("LEFT", "RIGHT_TRANSPOSED"), ("LEFT", "RIGHT"), ("LEFT_TRANSPOSED", "RIGHT_OF_TRANSPOSED")]
)
def test_every_pair_of_layouts_multiplies_what_it_says(layouts):
    left, right = (getattr(grid, name) for name in layouts)
    a, b = comparison.sample((1, 12, 20), 3), comparison.sample((1, 20, 9), 4)
    backend = Backend(numba, INT8)
    a_given = a.mT.contiguous() if layouts[0] == "LEFT_TRANSPOSED" else a
    b_given = b.mT.contiguous() if layouts[1] == "RIGHT_TRANSPOSED" else b
    found = backend.matmul(
        backend.kernels.split(a_given, left, torch.int8), backend.kernels.split(b_given, right, torch.int8)
    )
    assert torch.allclose(found, a @ b, atol=4e-3)


def test_depth_past_the_budget_is_cut_into_exact_blocks():
    depth = 3 * FLOAT32.depth + 17
    a = torch.full((1, 4, depth), 64.0)
    assert int(FLOAT32.multiply(a, a.mT)[0, 0, 0]) == 4096 * depth
    whole = FLOAT32.product(a, a.mT)
    assert whole.dtype == torch.float32  # one call could not have held it: 24 bits end at 4096 * 4096
    assert 4096 * depth > 2**24


def test_a_product_does_not_depend_on_the_order_of_the_depth():
    a, b = comparison.sample((1, 8, 300), 5), comparison.sample((1, 8, 300), 6)
    order = torch.from_numpy(np.argsort(comparison.sample((300,), 7).numpy()))
    backend = Backend(numba, INT8)

    def product(x, y):
        return backend.matmul(
            backend.kernels.split(x, grid.LEFT, torch.int8), backend.kernels.split(y, grid.RIGHT_TRANSPOSED, torch.int8)
        )

    assert comparison.difference(product(a[:, :, order], b[:, :, order]), product(a, b)) == ""


def test_sums_do_not_depend_on_order_where_plain_float32_sums_do():
    x = comparison.sample((1, 5000), 8, "wide").view(5000)
    order = torch.from_numpy(np.argsort(comparison.sample((5000,), 9).numpy()))
    assert float(definition.grid_sum(x, 0)) == float(definition.grid_sum(x[order], 0))
    plain = {float(np.add.accumulate(v.numpy())[-1]) for v in (x, x[order], x.flip(0))}
    assert len(plain) > 1


@pytest.mark.parametrize("turned", [(False, False), (True, False), (False, True), (True, True)])
@pytest.mark.parametrize("shape", [(1, 1, 1), (1, 2, 1), (1, 7, 9), (9, 1, 7), (5, 9, 1), (1, 64, 1), (1, 3, 8)])
@pytest.mark.parametrize("gemm", cpu_gemm_backends(), ids=lambda c: c.name)
def test_axes_of_length_one_are_multiplied_however_they_are_laid_out(gemm, shape, turned):
    rows, depth, columns = shape
    a = selftest._worst_digits(max(rows, 5), depth, 1)[:rows].to(gemm.dtype)
    b = selftest._worst_digits(max(columns, 5), depth, 2)[:columns].to(gemm.dtype).mT
    left = a.mT.contiguous().mT if turned[0] else a.contiguous()
    right = b.mT.contiguous().mT if turned[1] else b.contiguous()
    expected = (a.double() @ b.double()).to(torch.int64)
    assert torch.equal(gemm.multiply(left[None], right[None])[0].to(torch.int64), expected)


@pytest.mark.parametrize("gemm", cpu_gemm_backends(), ids=lambda c: c.name)
@pytest.mark.parametrize("shape", [(5, 7, 1), (1, 7, 5), (6, 1, 4), (1, 1, 1)])
def test_a_layer_with_one_output_input_or_row_has_the_right_gradients(gemm, shape):
    rows, depth, columns = shape

    def run(kernels, name):
        x = comparison.sample((rows, depth), 1).requires_grad_()
        weight = comparison.sample((columns, depth), 2).requires_grad_()
        with use(kernels, name):
            y = operations.linear(x, weight)
            y.backward(comparison.sample(tuple(y.shape), 3))
        return [y.detach(), x.grad, weight.grad]

    assert comparison.difference(run("numba", gemm.name), run("reference", "float64")) == ""
