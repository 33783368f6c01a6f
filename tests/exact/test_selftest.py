"""The self-test notices a machine that does not multiply exactly, and such a GEMM backend is not used."""

import os
import subprocess
import sys
import warnings
from functools import cache

import pytest
import torch

from regrow.errors import Note, RecipeError
from regrow.exact import comparison, definition, inference, operations, registry, selection, selftest
from regrow.exact.backend import Backend
from regrow.exact.gemm import FLOAT32, FLOAT64, INT8, GemmBackend
from regrow.exact.registry import cpu_gemm_backends

VARIABLES = ("REGROW_GEMM", "REGROW_CARRIER")


class FusedProducts:
    """Products of operands with all their digits, which add up right."""

    def accumulate(self, left, right, total):
        planes = [x.to(torch.float64) for x in (*left, right.high, right.low)]
        places = [*reversed(range(len(left))), 1, 0]
        for x, i in zip(planes[:-2], places, strict=False):
            for y, j in zip(planes[-2:], places[-2:], strict=True):
                if i + j:
                    total += x @ y.mT * 2.0 ** (7 * (i + j))


def saturating(limit):
    """A product whose pairs of neighbouring terms saturate, as 8-bit products of some x86 processors do."""

    def product(left, right):
        a, b = left.to(torch.int64), right.to(torch.int64)
        out = torch.zeros((a.shape[0], a.shape[1], b.shape[2]), dtype=torch.int64)
        for start in range(0, a.shape[2], 2):
            pair = a[:, :, start : start + 2] @ b[:, start : start + 2]
            out += pair.clamp(-limit - 1, limit)
        return out

    return GemmBackend("saturating", torch.int8, 1 << 18, product)


def test_every_gemm_backend_is_exact_here():
    assert {gemm.name: selftest.gemm_fault(gemm) for gemm in cpu_gemm_backends()} == {
        gemm.name: "" for gemm in cpu_gemm_backends()
    }


def test_digits_are_safe_from_16_bit_saturation():
    assert selftest.gemm_fault(saturating(2**15 - 1)) == ""


def test_saturation_below_the_worst_pair_is_noticed():
    assert "integers wrong" in selftest.gemm_fault(saturating(2 * 64 * 64 - 1))


@pytest.mark.parametrize("error", [1, -1])
def test_one_wrong_integer_is_noticed(error):
    def product(left, right):
        out = INT8.product(left, right)
        out[0, 3, 5] += error
        return out

    assert "1 of" in selftest.gemm_fault(GemmBackend("off", torch.int8, 1 << 18, product))


def test_reduced_precision_is_noticed():
    def product(left, right):
        return torch.bmm(left, right).to(torch.bfloat16)

    assert "integers wrong" in selftest.gemm_fault(GemmBackend("rounded", torch.float32, 1 << 12, product))


def test_wrong_sums_of_operands_with_all_their_digits_are_noticed():
    class Saturating(FusedProducts):
        """As if words of the pairs' sums saturated: of the worst digits alone."""

        def accumulate(self, left, right, total):
            super().accumulate(left, right, total)
            total.clamp_(max=2.0**14 * 64 * 64 * right.depth)

    fused = [GemmBackend("fused", torch.int8, 1 << 18, INT8.product, one()) for one in (FusedProducts, Saturating)]
    assert selftest.gemm_fault(fused[0]) == ""
    assert "sums of operands with all their digits wrong" in selftest.gemm_fault(fused[1])


def test_a_gemm_backend_that_fails_is_not_chosen_and_cannot_be_asked_for(monkeypatch):
    monkeypatch.setattr(selection, "gemm_fault", lambda gemm, device: "" if gemm is FLOAT64 else "wrong")
    for variable in VARIABLES:
        monkeypatch.delenv(variable, raising=False)
    with pytest.warns(Note, match=f"`{registry.cpu_gemm_backends()[0].name}` is not exact here, and another"):
        assert selection.default.__wrapped__().gemm is FLOAT64
    monkeypatch.setenv("REGROW_GEMM", "int8")
    with pytest.raises(RecipeError, match="not exact on this machine"):
        selection.default.__wrapped__()


@pytest.mark.parametrize(
    ("vectors", "fitting", "asked", "why"),
    [
        (True, "", "int8", "NUMBA_CPU_NAME"),
        (True, "vnni", "float32", "`vnni` was made for it"),
        (False, "", "int8", ""),
        (True, "vnni", "vnni", ""),
    ],
)
def test_a_slow_gemm_backend_is_told(vectors, fitting, asked, why, monkeypatch):
    fused = GemmBackend("vnni", torch.int8, 1 << 12, INT8.product, fused=FusedProducts())
    monkeypatch.setattr(registry, "_has_vectors", lambda: vectors)
    monkeypatch.setattr(registry, "microkernels", lambda: [(fused, "" if fitting else "NUMBA_CPU_NAME")])
    gemm = fused if asked == "vnni" else {"int8": INT8, "float32": FLOAT32}[asked]
    assert registry.slower_than_need_be(gemm) == why
    monkeypatch.setattr(selection, "gemm_fault", lambda gemm, device: "")
    monkeypatch.setattr(selection, "find_gemm_backend", lambda name, variable: gemm)
    monkeypatch.setenv("REGROW_GEMM", asked)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        assert selection.default.__wrapped__().gemm is gemm
    assert [f"GEMM backend `{asked}` computes, slower" in str(one.message) for one in told] == [True] * bool(why)


@pytest.mark.parametrize(
    ("seconds", "chosen"),
    [
        # Rounds of int8, float32 and float64, the first of which is not counted.
        (([9, 1, 9], [1, 2, 3], [8, 2, 3], [8, 2, 3], [8, 2, 3]), INT8),  # timed once without a disturbance
        (([1, 1, 1], [2, 1.7, 3], [2, 1.7, 3], [2, 1.7, 3], [2, 1.7, 3]), INT8),  # hardly slower
        (([1, 1, 1], [2, 1, 3], [2, 9, 3], [9, 9, 3], [2, 1, 3]), FLOAT32),
    ],
)
def test_the_choice_withstands_a_machine_that_does_other_things_meanwhile(seconds, chosen, monkeypatch):
    times = iter([one for turn in seconds for one in turn])
    monkeypatch.setattr(selection, "_seconds", lambda run, clock: next(times))
    backends = [Backend(definition, gemm) for gemm in (INT8, FLOAT32, FLOAT64)]
    assert selection._fastest(backends, lambda backend: lambda: None).gemm is chosen


def test_a_backend_made_for_the_processor_is_not_timed(monkeypatch):
    made = GemmBackend("made", torch.int8, 1 << 17, INT8.product, fused=FusedProducts())
    monkeypatch.setattr(selection, "cpu_gemm_backends", lambda: (made, INT8, FLOAT32, FLOAT64))
    monkeypatch.setattr(selection, "_seconds", lambda run: pytest.fail("timed"))
    for variable in VARIABLES:
        monkeypatch.delenv(variable, raising=False)
    assert selection.default.__wrapped__().gemm is made


def test_a_machine_on_which_nothing_is_exact_is_a_clear_error(monkeypatch):
    monkeypatch.setattr(selection, "gemm_fault", lambda gemm, device: "wrong")
    for variable in VARIABLES:
        monkeypatch.delenv(variable, raising=False)
    with pytest.raises(RecipeError, match="cannot compute exactly"), pytest.warns(Note):
        _ = selection.default.__wrapped__().gemm


def test_what_needs_no_integer_products_has_none_chosen(monkeypatch):
    for variable in VARIABLES:
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setattr(selection, "_gemm", lambda *_: pytest.fail("chosen"))
    monkeypatch.setattr(selection, "default", cache(selection.default.__wrapped__))
    x, weight = comparison.sample((3, 96), 1), comparison.coded(*comparison.CODED["4"])
    inference.linear(operations.rms_norm(x, x[0], 1e-5), weight)


@pytest.mark.parametrize("variable", VARIABLES)
def test_either_variable_names_the_gemm_backend_and_the_newer_one_is_heeded_first(variable, monkeypatch):
    for other in VARIABLES:
        monkeypatch.delenv(other, raising=False)
    monkeypatch.setenv(variable, "float32")
    assert selection.default.__wrapped__().gemm is FLOAT32
    monkeypatch.setenv("REGROW_GEMM", "float64")
    assert selection.default.__wrapped__().gemm is FLOAT64


@pytest.mark.parametrize(
    ("name", "value"), [("REGROW_GEMM", "int4"), ("REGROW_CARRIER", "int4"), ("REGROW_BACKEND", "cobol")]
)
def test_unknown_names_are_a_clear_error(name, value, monkeypatch):
    for variable in VARIABLES:
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv(name, value)
    with pytest.raises(RecipeError, match=value) as caught:
        selection.default.__wrapped__()
    assert caught.value.where == name


def test_the_full_test_covers_every_kernel():
    results = selftest.self_test(full=True)
    assert all(result.ok for result in results), [r for r in results if not r.ok]
    assert len(results) > 40


def test_a_processor_without_the_unit_goes_without_it():
    code = (
        "from regrow.exact import registry, selection\n"
        "print([c.name for c in registry.cpu_gemm_backends()], selection.default().gemm.fused)\n"
        "registry.find_gemm_backend('amx')"
    )
    # What is timed are the products of libraries: Numba would compile its kernels for such a processor first.
    environment = os.environ | {"NUMBA_CPU_NAME": "generic", "NUMBA_CPU_FEATURES": "", "REGROW_BACKEND": "reference"}
    for variable in VARIABLES:
        environment.pop(variable, None)
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "['int8', 'float32', 'float64'] None"
    assert "there is no GEMM backend `amx` here" in done.stderr
    assert "lacks" in done.stderr


def test_without_numba_there_are_plain_gemm_backends_only(monkeypatch):
    monkeypatch.setattr(registry, "find_spec", lambda name: None)
    assert [c.name for c in registry.cpu_gemm_backends.__wrapped__()] == ["int8", "float32", "float64"]
    with pytest.raises(RecipeError, match="no GEMM backend `vnni` here") as caught:
        registry.find_gemm_backend("vnni")
    assert "Numba" in caught.value.why


def test_products_with_packed_weights_are_tested_too(monkeypatch):
    tests = dict(comparison.coded_faults())
    assert len(tests) == 2 * len(comparison.CODED)
    one = next(iter(tests))
    right = definition.coded_product
    assert tests[one]() == ""
    monkeypatch.setattr(definition, "coded_product", lambda x, weight: right(x, weight) + 1.0)
    assert "differs" in tests[one]()
