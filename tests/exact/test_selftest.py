"""The self-test notices a machine that does not multiply exactly, and such a carrier is not used."""

import os
import subprocess
import sys

import pytest
import torch

from regrow.errors import RecipeError
from regrow.exact import backend, gemm, selftest
from regrow.exact.gemm import FLOAT64, INT8, Carrier, cpu_carriers


def saturating(limit):
    """A product whose pairs of neighbouring terms saturate, as 8-bit products of some x86 processors do."""

    def product(left, right):
        a, b = left.to(torch.int64), right.to(torch.int64)
        out = torch.zeros((a.shape[0], a.shape[1], b.shape[2]), dtype=torch.int64)
        for start in range(0, a.shape[2], 2):
            pair = a[:, :, start : start + 2] @ b[:, start : start + 2]
            out += pair.clamp(-limit - 1, limit)
        return out

    return Carrier("saturating", torch.int8, 1 << 18, product)


def test_every_carrier_is_exact_here():
    assert {carrier.name: selftest.carrier_fault(carrier) for carrier in cpu_carriers()} == {
        carrier.name: "" for carrier in cpu_carriers()
    }


def test_digits_are_safe_from_16_bit_saturation():
    assert selftest.carrier_fault(saturating(2**15 - 1)) == ""


def test_saturation_below_the_worst_pair_is_noticed():
    assert "integers wrong" in selftest.carrier_fault(saturating(2 * 64 * 64 - 1))


@pytest.mark.parametrize("error", [1, -1])
def test_one_wrong_integer_is_noticed(error):
    def product(left, right):
        out = INT8.product(left, right)
        out[0, 3, 5] += error
        return out

    assert "1 of" in selftest.carrier_fault(Carrier("off", torch.int8, 1 << 18, product))


def test_reduced_precision_is_noticed():
    def product(left, right):
        return torch.bmm(left, right).to(torch.bfloat16)

    assert "integers wrong" in selftest.carrier_fault(Carrier("rounded", torch.float32, 1 << 12, product))


def test_a_carrier_that_fails_is_not_chosen_and_cannot_be_asked_for(monkeypatch):
    monkeypatch.setattr(selftest, "carrier_fault", lambda carrier, device: "" if carrier is FLOAT64 else "wrong")
    monkeypatch.delenv("REGROW_CARRIER", raising=False)
    assert backend.default.__wrapped__().carrier is FLOAT64
    monkeypatch.setenv("REGROW_CARRIER", "int8")
    with pytest.raises(RecipeError, match="not exact on this machine"):
        backend.default.__wrapped__()


@pytest.mark.parametrize(("name", "value"), [("REGROW_CARRIER", "int4"), ("REGROW_BACKEND", "cobol")])
def test_unknown_names_are_a_clear_error(name, value, monkeypatch):
    monkeypatch.setenv(name, value)
    with pytest.raises(RecipeError, match=value) as caught:
        backend.default.__wrapped__()
    assert caught.value.where == name


def test_the_full_test_covers_every_kernel():
    results = selftest.self_test(full=True)
    assert all(result.ok for result in results), [r for r in results if not r.ok]
    assert len(results) > 40


def test_a_processor_without_the_unit_goes_without_it():
    code = (
        "from regrow.exact import backend, gemm\n"
        "print([c.name for c in gemm.cpu_carriers()], backend.default().carrier.whole)\n"
        "gemm.find_carrier('amx')"
    )
    environment = os.environ | {"NUMBA_CPU_NAME": "generic", "NUMBA_CPU_FEATURES": ""}
    environment.pop("REGROW_CARRIER", None)
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "['int8', 'float32', 'float64'] None"
    assert "there is no carrier `amx` here" in done.stderr
    assert "lacks" in done.stderr


def test_without_numba_there_are_plain_carriers_only(monkeypatch):
    monkeypatch.setattr(gemm, "find_spec", lambda name: None)
    assert [c.name for c in gemm.cpu_carriers.__wrapped__()] == ["int8", "float32", "float64"]
    with pytest.raises(RecipeError, match="no carrier `vnni` here") as caught:
        gemm.find_carrier("vnni")
    assert "Numba" in caught.value.why
