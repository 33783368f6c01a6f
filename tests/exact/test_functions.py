"""Elementary functions, random numbers and schedules: known answers, and accuracy against other implementations."""

import hashlib

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from regrow.exact import definition, polynomials, random


def digest(values):
    return hashlib.sha256(np.ascontiguousarray(values).tobytes()).hexdigest()[:16]


def test_float32_exponential_has_known_bits_and_is_accurate():
    x = torch.linspace(-90.0, 90.0, 100001)
    found = definition.exp(x).numpy()
    assert digest(found) == "3069357effbfee87"
    inside = (x >= -86.9) & (x <= 87.9)
    expected = np.exp(x.numpy().astype(np.float64))
    assert np.max(np.abs(found / expected - 1.0)[inside]) < 1.2e-7
    assert np.all(found[x.numpy() < -87.0] == 0.0)


@pytest.mark.parametrize(
    ("function", "low", "high", "expected"),
    [
        ("exp64", -600.0, 600.0, "89e20325a2cc5b30"),
        ("log64", 1e-300, 1e300, "0718c24cbd5c9ad4"),
        ("log64", 0.5, 2.0, "9a77c33863bd0303"),
    ],
)
def test_float64_functions_have_known_bits_and_are_accurate(function, low, high, expected):
    x = np.linspace(low, high, 20001)
    found = getattr(polynomials, function)(x)
    assert digest(found) == expected
    theirs = getattr(np, function[:3])(x)
    assert np.max(np.abs(found - theirs) / np.maximum(np.spacing(np.abs(theirs)), 1e-17)) <= 8


def test_sine_and_cosine_have_known_bits_and_are_accurate():
    x = np.linspace(-1e5, 1e5, 20001)
    sine, cosine = polynomials.sin_cos64(x)
    assert digest(np.stack((sine, cosine))) == "d3e8458b50a32756"
    assert np.max(np.abs(sine - np.sin(x))) < 1e-15
    assert np.max(np.abs(cosine - np.cos(x))) < 1e-15


@given(st.floats(0.5, 0.9999), st.integers(0, 100000))
def test_powers_are_close_to_the_platform_s(base, exponent):
    assert polynomials.power(base, exponent) == pytest.approx(base**exponent, rel=1e-9, abs=1e-300)


def test_square_roots_are_correctly_rounded_where_torch_s_are_not_promised_to_be():
    x = torch.linspace(1e-6, 10.0, 100003)
    assert np.array_equal(definition.sqrt(x).numpy(), np.sqrt(x.numpy().astype(np.float64)).astype(np.float32))


def test_random_numbers_have_known_values():
    assert random.integers(7, "purpose", 2).tolist() == [6335877453125274247, 17490050476608019579]
    assert digest(random.normals(7, "purpose", 1001)) == "5fcf1c187dc5e4cd"


def test_random_numbers_depend_on_seed_and_purpose_and_are_prefixes_of_longer_streams():
    base = random.normals(1, "a", 100)
    assert not np.array_equal(base, random.normals(2, "a", 100))
    assert not np.array_equal(base, random.normals(1, "b", 100))
    assert np.array_equal(base[:51], random.normals(1, "a", 51))


def test_normals_look_normal():
    values = random.normals(3, "shape", 400_000)
    assert abs(values.mean()) < 0.01
    assert abs(values.std() - 1.0) < 0.01
    assert abs((values**4).mean() - 3.0) < 0.1
