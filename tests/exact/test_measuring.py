"""What multiplies and how fast: what people are told. python -m pytest tests/exact/test_measuring.py"""

import pytest
import torch

from regrow.exact import definition, measuring, selection
from regrow.exact.backend import Backend
from regrow.exact.gemm import FLOAT32, FLOAT64
from regrow.exact.measuring import Way
from regrow.exact.selftest import Result

FAST, SLOW, MISSING = (
    Way("vnni", "", True, 0.5),
    Way("float32", "", True, 3.2),
    Way("amx", "the processor lacks it", False),
)


@pytest.mark.parametrize(
    ("ways", "asked", "advice"),
    [
        ((MISSING, FAST), "", ""),
        ((MISSING, SLOW), "", "3.2 times float32's time, and training nearly as much; `amx`: the processor lacks it"),
        ((Way("vnni", "", False, 0.5), SLOW), "float32", "`vnni` would be 6.4 times as fast, but REGROW_GEMM=float32"),
        ((Way("vnni", "", False, 0.5), Way("amx", "", True, 0.55)), "amx", ""),
        ((MISSING, Way("vnni", "3 integers wrong", True)), "", ""),
    ],
)
def test_what_would_be_faster_is_said(ways, asked, advice, monkeypatch):
    for variable in ("REGROW_GEMM", "REGROW_CARRIER"):
        monkeypatch.delenv(variable, raising=False)
    if asked:
        monkeypatch.setenv("REGROW_GEMM", asked)
    said = measuring._advice(ways)
    assert advice in said
    assert bool(said) == bool(advice)


@pytest.fixture
def plain(monkeypatch):
    """A machine that has what torch has, and one unit that is none of its processor's."""
    unit = type(FLOAT64)("amx", FLOAT32.dtype, 1, FLOAT32.product)
    monkeypatch.setattr(measuring, "microkernels", lambda: [(unit, "the processor lacks it")])
    monkeypatch.setattr(measuring, "cpu_gemm_backends", lambda: (FLOAT32, FLOAT64))
    monkeypatch.setattr(selection, "default", lambda kind: Backend(definition, FLOAT32))


def test_what_is_not_exact_is_not_measured(plain):
    results = [Result("gemm float32", True, "exact", 0.1), Result("gemm float64", False, "3 integers wrong", 0.1)]
    results.append(Result("gemm float64 on cuda", True, "exact", 0.1))
    found = measuring.speed(results)
    assert [(way.name, way.missing, way.chosen, way.ratio is None) for way in found.ways] == [
        ("amx", "the processor lacks it", False, True),
        ("float32", "", True, False),
    ]
    assert found.slowness > 0


def test_twice_the_time_of_both_is_twice_as_slow(plain, monkeypatch):
    known = [measuring._PRODUCT, measuring._DIGITS]
    for factor in (1, 2):
        took = [factor * torch.get_num_threads() * x for x in known]
        monkeypatch.setattr(selection, "best_seconds", lambda *_, took=took: took)
        assert measuring._slowness(selection.default("cpu")) == pytest.approx((factor, factor))
