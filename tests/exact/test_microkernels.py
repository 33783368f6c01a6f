"""Products of our own on what the processor has: the bits of the definition, and who may use them."""

import numba as jit
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from regrow.exact import comparison, definition, grid, kept, operations, selftest
from regrow.exact.backend import Backend
from regrow.exact.gemm import FLOAT64, GemmBackend
from regrow.exact.microkernels import kernels, products, units
from regrow.exact.registry import cpu_gemm_backends, load_kernels
from regrow.exact.selection import use
from regrow.exact.threads import THREADS

fused = [gemm for gemm in cpu_gemm_backends() if gemm.fused]
if not fused:
    pytest.skip("this processor has none of the units", allow_module_level=True)

numba = load_kernels("numba")
oracle = Backend(definition, FLOAT64)
PAIRS = list(comparison._OPERANDS)
each = pytest.mark.parametrize("gemm", fused, ids=lambda c: c.name)


@pytest.mark.parametrize(("name", "test"), [pytest.param(n, t, id=n) for n, t in comparison.product_faults(fused)])
def test_fused_products_have_the_bits_of_the_definition(name, test):
    assert test() == ""


def test_one_kernel_is_compiled_for_all_that_may_become_of_a_product():
    """A place-holder of another type than what it stands for would have it compiled again, the longest of all."""
    gemm = fused[0]
    gemm.product(torch.ones(1, 2, 3, dtype=torch.int8), torch.ones(1, 3, 4, dtype=torch.int8))
    for name, case in comparison.products().items():
        if name.endswith(" one"):
            case(Backend(numba, gemm))
    assert len(kernels.multiply._shared.signatures) == 1


@each
@settings(max_examples=40, deadline=None)
@given(
    shape=st.tuples(st.integers(1, 3), st.integers(1, 80), st.integers(1, 200), st.integers(1, 80)),
    which=st.sampled_from(PAIRS),
    kind=st.sampled_from(["normal", "wide", "edges", "tiny"]),
)
def test_any_shape_has_the_bits_of_the_definition(gemm, shape, which, kind):
    found, expected = (comparison._matmul(which, shape, kind, b) for b in (Backend(numba, gemm), oracle))
    assert comparison.difference(found, expected) == ""
    assert (
        comparison.difference(comparison._matmul_of_numbers(which, shape, kind, Backend(numba, gemm)), expected) == ""
    )


@each
@pytest.mark.parametrize("which", PAIRS)
@pytest.mark.parametrize("shape", [(1, 700, 130, 90), (2, 64, 64, 64)], ids=["several chunks", "whole squares"])
def test_what_is_not_finite_in_numbers_reaches_its_row_or_column_alone(gemm, which, shape):
    (a, left), (b, right) = comparison._factors(which, shape, "normal")
    for x, bad in ((a, torch.nan), (b, -torch.inf)):
        x[-1, 3, 5] = x[0, 40, 40] = bad
    found, expected = (
        y.matmul(y.operand(a, left), y.packed(y.operand(b, right))) for y in (Backend(numba, gemm), oracle)
    )
    assert 0 < expected.isnan().sum() < expected.numel()
    assert comparison.difference(found, expected) == ""


@each
@pytest.mark.parametrize("columns", [528, 521], ids=["whole lines", "parts of lines"])
def test_results_too_large_for_the_cache_have_the_bits_of_the_definition(gemm, columns):
    shape = 1, 520, 70, columns
    assert 4 * shape[1] * columns >= products._STREAMED_BYTES
    found, expected = (comparison._matmul(PAIRS[0], shape, "normal", b) for b in (Backend(numba, gemm), oracle))
    assert comparison.difference(found, expected) == ""


@each
@settings(max_examples=12, deadline=None)
@given(
    heads=st.sampled_from([(1, 1), (2, 1), (4, 2), (3, 3)]),
    batch=st.integers(1, 2),
    positions=st.sampled_from([1, 2, 31, 33, 256, 257, 300, 600]),
    width=st.sampled_from([2, 16, 64, 80]),
    seed=st.integers(0, 1000),
)
def test_attention_has_the_bits_of_plain_products(gemm, heads, batch, positions, width, seed):
    def run(name):
        q, k, v = (
            comparison.sample((batch, positions, h, width), seed + i).requires_grad_()
            for i, h in enumerate((heads[0], heads[1], heads[1]))
        )
        with use("numba", name):
            y = operations.attention(q, k, v)
            y.backward(comparison.sample(tuple(y.shape), seed + 3))
        return [y.detach(), q.grad, k.grad, v.grad]

    assert comparison.difference(run(gemm.name), run("int8")) == ""


@each
def test_rows_and_groups_of_an_operand_are_multiplied_as_such(gemm):
    a, b = comparison.sample((3, 100, 70), 1), comparison.sample((3, 40, 70), 2)
    left, right = (numba.split(x, layout, torch.int8) for x, layout in ((a, grid.LEFT), (b, grid.RIGHT_TRANSPOSED)))
    whole = Backend(numba, gemm).matmul(left, right)
    some = Backend(numba, gemm).matmul(left.tile(slice(1, 3), slice(7, 50)), right.tile(slice(1, 3), slice(0, 33)))
    assert torch.equal(some, whole[1:3, 7:50, :33])


@each
def test_the_number_of_threads_does_not_matter(gemm):
    operands = comparison._operands("dweight", (2, 70, 300, 90), "normal", Backend(numba, gemm))
    before = jit.get_num_threads()
    found = []
    for threads in sorted({1, before}):
        jit.set_num_threads(threads)
        found.append(Backend(numba, gemm).matmul(*operands))
    jit.set_num_threads(before)
    assert all(torch.equal(found[0], other) for other in found)


@each
@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("shape", [(1, 1100, 300, 7), (1, 700, 9, 1000), (2, 90, 33, 65), (1, 1, 1, 1)])
def test_narrow_products_are_the_same_for_any_number_of_threads(gemm, shape, threads, monkeypatch):
    monkeypatch.setattr(type(THREADS), "worth", lambda _self, _memory: min(threads, jit.config.NUMBA_NUM_THREADS))
    for which in PAIRS:
        operands = comparison._operands(which, shape, "edges", Backend(numba, gemm))
        given = comparison.sample((shape[0], operands[0].exponents.shape[1], operands[1].exponents.shape[1]), 3)
        found = Backend(numba, gemm).matmul(*operands, onto=given.clone())
        expected = given + oracle.matmul(*comparison._operands(which, shape, "edges", oracle))
        assert comparison.difference(found, expected) == ""


@each
@pytest.mark.parametrize("layout", [grid.RIGHT_TRANSPOSED, grid.RIGHT], ids=["forwards", "backwards"])
@pytest.mark.parametrize("shape", [(1, 1, 1, 1), (40, 70, 9, 65), (300, 130, 70, 1024), (100, 20, 24, 3001)])
def test_a_narrow_product_beside_a_wide_one_has_the_bits_of_the_definition(gemm, shape, layout):
    rows, depth, rank, columns = shape
    x, w, a, b = (
        comparison.sample((1, *size), seed)
        for seed, size in enumerate(((rows, depth), (columns, depth), (rank, depth), (columns, rank)))
    )
    for bad, (one, place) in zip((torch.nan, torch.inf, -torch.inf), ((x, 7), (w, 3), (b, 5)), strict=True):
        if rows > 1:
            one[0, place, 0] = bad
    found, expected = (
        y.low_rank(x, *(y.packed(y.operand(one if layout.by_row else one.mT, layout)) for one in (w, a, b)))
        for y in (Backend(numba, gemm), oracle)
    )
    (*some, digits), (*others, same) = found, expected
    assert comparison.difference((*some, digits.exponents), (*others, same.exponents)) == ""
    assert torch.equal(digits.data, same.data.to(torch.int8))


@each
@pytest.mark.parametrize("layout", [grid.RIGHT, grid.RIGHT_OF_TRANSPOSED], ids=["inputs", "weights"])
@pytest.mark.parametrize("share", [0.0, 0.001, 1.0])
def test_rare_highest_digits_are_added_as_all_others(gemm, layout, share):
    rows, tokens = 40, products._MANY + 70
    draws = torch.Generator().manual_seed(1)
    top, middle, low = (torch.randint(-64, 64, (rows, tokens), generator=draws) for _ in range(3))
    top *= torch.rand((rows, tokens), generator=draws) < share
    x = comparison.sample((1, tokens if layout.stacked else rows, 50), 2)
    before = comparison.sample((rows if layout.stacked else tokens, 50), 3).mul(1e6).round().double()
    factors, found = torch.full((50,), 0.75, dtype=torch.float64), []
    for backend in (Backend(numba, gemm), oracle):
        dtype = backend.gemm.dtype
        pairs = (torch.stack(pair, 1).to(dtype) for pair in ((top, middle), (middle, low)))
        given = *pairs, backend.kernels.split(x, layout, dtype)
        total, rounded = before.clone(), torch.empty(before.shape)
        backend.add_deep(*given, total)
        backend.deep(*given, factors, rounded)
        found.append((total, rounded))
    assert all(torch.equal(a, b) for a, b in zip(*found, strict=True))


@each
@pytest.mark.parametrize("which", PAIRS)
def test_an_operand_packed_once_gives_what_it_gives_anew(gemm, which):
    backend = Backend(numba, gemm)
    left, right = comparison._operands(which, (2, 70, 45, 33), "wide", backend)
    packed = backend.packed(right)
    wanted = backend.matmul(left, right)
    assert all(torch.equal(backend.matmul(left, packed), wanted) for _ in range(2))
    with pytest.raises(TypeError, match="another backend"):
        Backend(numba, FLOAT64).matmul(left, packed)


@each
@pytest.mark.parametrize("layout", list(comparison.LAYOUTS.values()), ids=list(comparison.LAYOUTS))
def test_planes_lie_where_digits_say(gemm, layout):
    digits = numba.split(comparison.sample((3, 20, 12), 1), layout, torch.int8)
    for some in (digits, digits.tile(slice(1, 3), slice(2, 9)), digits.rows(slice(4, 9))):
        found, expected = products._Operand.digits(some), products._Operand.of(some.planes)
        assert found[1:] == expected[1:]
        assert found.addresses[:2] == expected.addresses[:2]


def test_heads_of_a_group_share_their_keys(monkeypatch):
    packed = []
    pack = products.MicrokernelProducts.pack
    monkeypatch.setattr(products.MicrokernelProducts, "pack", lambda self, x: packed.append(x) or pack(self, x))
    q, k, v = (comparison.sample((1, 20, heads, 8), heads).requires_grad_() for heads in (6, 2, 2))
    with use("numba", fused[0].name):
        y = operations.attention(q, k, v)
        assert len(packed) == 2
        y.sum().backward()
        assert len(packed) == 4


@each
def test_past_the_budget_of_depth_products_are_cut_into_exact_ones(gemm):
    small = GemmBackend(gemm.name, gemm.dtype, 100, gemm.product, gemm.fused)
    for which in PAIRS:
        shape = (1, 9, 350, 11)
        found = comparison._matmul(which, shape, "normal", Backend(numba, small))
        assert comparison.difference(found, comparison._matmul(which, shape, "normal", oracle)) == ""


@each
def test_a_wrong_integer_of_a_microkernel_is_noticed(gemm):
    def product(left, right):
        out = gemm.product(left, right)
        out[0, -1, -1] += 1
        return out

    assert "1 of" in selftest.gemm_fault(GemmBackend("off", torch.int8, 1 << 17, product, gemm.fused))


@pytest.mark.parametrize("unit", [u for u in units.UNITS if not products.refusal(u.name)], ids=lambda u: u.name)
def test_the_code_of_a_unit_is_kept_and_made_again_if_it_is_damaged(unit, tmp_path, monkeypatch):
    monkeypatch.setattr(kept, "folders", lambda: (tmp_path / "kernels",))
    compiled, made = units._compiled, []
    monkeypatch.setattr(units, "_compiled", lambda one: made.append(one) or compiled(one))
    find = units.addresses.__wrapped__
    assert all(find(unit)) and all(find(unit))
    assert made == [unit]
    assert kept.keep(units._file(unit), b"damaged")
    assert all(find(unit))
    assert made == [unit] * 2
